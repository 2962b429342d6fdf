// Handlers for `worker --app`, in a process that is told to stop as soon as it does not end by it.
import { Handlers } from 'credential-rotation';

process.on('newListener', (name) => {
  if (name === 'SIGINT') {
    setImmediate(() => process.kill(process.pid, 'SIGTERM'));
  }
});

export const handlers = new Handlers().defaultHandler(() => null);

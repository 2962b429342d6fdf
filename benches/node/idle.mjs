// A worker with nothing to do, until its input ends. Usage: node idle.mjs URL.
import { JobManager, Worker } from 'credential-rotation';

const worker = new Worker(await JobManager.connect(process.argv[2]), { queues: ['idle:100'] });
worker.handler('idle', () => {});
process.stdin.on('end', () => worker.stop()).resume();
const running = worker.run();
process.stdout.write('{}\n');
await running;

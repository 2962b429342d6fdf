// Handlers for `worker --app`.
import { Handlers, Unrecoverable } from 'credential-rotation';

export const tasks = new Handlers()
  .handler('shout', (job) => String(job.payload).toUpperCase())
  .handler('fails', () => {
    throw new Unrecoverable('for good');
  })
  .handler('prints', (job) => {
    console.log(job.payload);
  })
  .handler('listens', () => {
    process.on('SIGTERM', () => undefined);
  })
  .handler('slow', async (job, { signal }) => {
    console.log(`began ${job.id}`);
    await new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, Number(job.payload));
      signal.addEventListener('abort', () => {
        clearTimeout(timer);
        reject(/** @type {Error} */ (signal.reason));
      });
    });
    return 'done';
  })
  .handler('deaf', async (job) => {
    console.log(`began ${job.id}`);
    await new Promise((resolve) => setTimeout(resolve, 60_000));
  });

export default tasks;

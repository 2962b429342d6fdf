// A worker that goes on until somebody ends it.
import { JobManager, Worker } from 'credential-rotation';

const jobs = await JobManager.connect(process.argv[2] ?? '');
const worker = new Worker(jobs, { queues: ['q:4'], leaseMs: 1_000 });
worker.handler('q', async (job) => {
  if (job.payload % 200 === 0) {
    // Longer than its lease, and nothing else of this thread runs.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_300);
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
  return job.payload;
});
const running = worker.run();
console.log('ready');
await running;

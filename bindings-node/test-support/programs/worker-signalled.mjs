// A worker that is told to go in the middle of a job.
import { JobManager, Worker } from 'credential-rotation';

const jobs = await JobManager.connect(process.argv[2] ?? '');
const worker = new Worker(jobs, { queues: ['q'] });
worker.handler('q', async () => {
  console.log('begun');
  process.kill(process.pid, 'SIGTERM');
  await new Promise((resolve) => setTimeout(resolve, 50));
});
await jobs.enqueue({ queue: 'q' });
const report = await worker.runUntilSignalled();
console.log(`drained: ${report.completed} done`);

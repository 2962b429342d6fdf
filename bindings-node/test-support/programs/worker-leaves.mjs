/** Leaves by process.exit() and by ending a thread while jobs run and events are followed. */
import { isMainThread, Worker as Thread, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';

import { JobManager, Worker } from 'credential-rotation';

const url = isMainThread ? (process.argv[2] ?? '') : workerData;
const queue = isMainThread ? 'main' : 'thread';
const jobs = await JobManager.connect(url);
void jobs.events().next();
await jobs.enqueue({ queue, id: queue });
const worker = new Worker(jobs, { queues: [queue], leaseMs: 500 });
const begun = new Promise((resolve) => {
  worker.defaultHandler(() => {
    resolve(undefined);
    return new Promise(() => undefined);
  });
});
void worker.run();
await begun;
if (isMainThread) {
  const thread = new Thread(fileURLToPath(import.meta.url), { stdout: true, workerData: url });
  await new Promise((resolve) => thread.stdout.once('data', resolve));
  await thread.terminate();
  console.log('terminated');
  process.exit(0);
} else {
  console.log('in hand');
}

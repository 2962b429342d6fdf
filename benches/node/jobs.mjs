// Jobs a second through our Node package: taken in 1,000 at a time, then run by one
// worker of 100 slots whose handler does nothing. Usage: node jobs.mjs URL [JOBS].
import { JobManager, Worker } from 'credential-rotation';

import { BATCH, SLOTS, payload, told } from './sizes.mjs';

const [url, count = '100000'] = process.argv.slice(2);
const jobs = Number(count);
const manager = await JobManager.connect(url);

let began = performance.now();
for (let taken = 0; taken < jobs; taken += BATCH) {
  const batch = Array.from({ length: BATCH }, () => ({
    queue: 'bench', payload: payload(), resultTtlMs: 0,
  }));
  const answers = await manager.enqueueMany(batch);
  if (!answers.every((answer) => answer.duplicate === false)) throw new Error('a job was refused');
}
told('jobs node bulk add', jobs, began);

const worker = new Worker(manager, { queues: [`bench:${SLOTS}`] });
let left = jobs;
worker.handler('bench', () => {
  left -= 1;
  if (left === 0) worker.stop();
});
began = performance.now();
const report = await worker.run();
// Until the last end is recorded.
told('jobs node drain', jobs, began);
if (report.completed !== jobs) throw new Error(`${JSON.stringify(report)} of ${jobs}`);
process.exit(0);

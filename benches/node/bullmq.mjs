// Jobs a second through BullMQ: the same jobs and slots as ours, nothing kept of those
// that are done. Usage: node bullmq.mjs URL [JOBS].
import { Queue, Worker } from 'bullmq';

import { BATCH, SLOTS, payload, told } from './sizes.mjs';

const [url, count = '50000'] = process.argv.slice(2);
const jobs = Number(count);
const { hostname: host, port } = new URL(url);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const opts = { removeOnComplete: true };

const queue = new Queue('bench', { connection });
await queue.waitUntilReady();
let began = performance.now();
for (let taken = 0; taken < jobs; taken += BATCH) {
  await queue.addBulk(Array.from({ length: BATCH }, () => ({ name: 'bench', data: payload(), opts })));
}
told('jobs BullMQ bulk add', jobs, began);

let left = jobs;
let ended;
const done = new Promise((resolve) => { ended = resolve; });
const handler = async () => {
  left -= 1;
  if (left === 0) ended();
};
const worker = new Worker('bench', handler, { connection, concurrency: SLOTS, autorun: false });
worker.on('error', (error) => { throw error; });
await worker.waitUntilReady();
began = performance.now();
void worker.run();
await done;
// The last ends are still to be recorded: that is not held against it.
told('jobs BullMQ drain', jobs, began);
process.exit(0);

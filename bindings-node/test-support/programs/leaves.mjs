/** Leaves by process.exit() and by ending a worker thread while calls are in flight. */
import { isMainThread, Worker } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';

import { Wrapper } from 'credential-rotation';
import { SimulatedEndpoint } from 'credential-rotation/testing';

const endpoint = new SimulatedEndpoint({ default: [{ fault: 'stall' }] });
const credentials = [{ id: 'a', secret: 'sk-secret-a' }];
const wrapper = new Wrapper({ baseUrl: endpoint.openaiUrl, model: 'sim-1', credentials });
const host = new Wrapper({ provider: { send: () => new Promise(() => undefined) }, credentials });
for (let call = 0; call < 20; call += 1) {
  void wrapper.call('hello');
  void host.call('hello');
}
while (endpoint.inFlight === 0) {
  await new Promise((resolve) => setTimeout(resolve, 2));
}
if (isMainThread) {
  const worker = new Worker(fileURLToPath(import.meta.url), { stdout: true });
  await new Promise((resolve) => worker.stdout.once('data', resolve));
  await worker.terminate();
  console.log('terminated');
  process.exit(0);
} else {
  console.log('in flight');
}

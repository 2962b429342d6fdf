// Memory while 100 MB of streamed text pass. Usage: node stream.mjs URL.

import { Credential, Wrapper } from 'credential-rotation';

const WHOLE = 100 << 20;
// Buffers and the collector have taken what they need by then.
const SETTLED = 10 << 20;
const LOOK_EVERY = 256;

const wrapper = new Wrapper({
  baseUrl: `${process.argv[2]}/v1`,
  model: 'sim-1',
  credentials: [new Credential('stream', 'sk-secret-stream')],
});
const started = performance.now();
let [chunks, total, settled, most] = [0, 0, 0, 0];
for await (const chunk of wrapper.stream('a long story')) {
  total += chunk.text?.length ?? 0;
  chunks += 1;
  if (chunks % LOOK_EVERY === 0) {
    most = Math.max(most, process.memoryUsage.rss() / 2 ** 20);
    if (total < SETTLED) settled = most;
  }
}
const seconds = (performance.now() - started) / 1000;
if (total !== WHOLE) throw new Error(`${total} bytes came`);
const speed = total / 2 ** 20 / seconds;
console.log(JSON.stringify({
  name: 'node stream', value: most - settled, unit: 'MB grown', chunks, 'MB/s': speed,
}));

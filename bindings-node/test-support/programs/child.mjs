/** Leaves by process.exit() while a program of a CLI provider runs; prints its process group. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Wrapper } from 'credential-rotation';

const folder = mkdtempSync(join(tmpdir(), 'credential-rotation-'));
process.once('exit', () => {
  rmSync(folder, { recursive: true });
});
const program = join(folder, 'program');
writeFileSync(program, `#!/bin/sh\necho $$ > '${folder}/pid.new'\nmv '${folder}/pid.new' '${folder}/pid'\nsleep 300 & wait\n`);
chmodSync(program, 0o700);
const wrapper = new Wrapper({
  provider: 'qwen',
  program,
  model: 'sim-1',
  credentials: [{ id: 'a', secret: 'sk-secret-a' }],
});
const controller = new AbortController();
const call = wrapper.call('hello', { signal: controller.signal });
const given = join(folder, 'pid');
const end = Date.now() + 10_000;
while (!existsSync(given)) {
  if (Date.now() > end) {
    throw new Error('the program was not started');
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
}
console.log(readFileSync(given, 'utf8').trim());
if (process.argv[2] === 'abort') {
  controller.abort();
  await call.catch(() => undefined);
} else {
  process.exit(0);
}

// The examples in the documentation run as they are.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { SimulatedEndpoint } from 'credential-rotation/testing';

const here = dirname(fileURLToPath(import.meta.url));
const run = promisify(execFile);

for (const page of ['../../README.md', '../../docs/jobs.md', '../../docs/sessions.md', '../../docs/testing.md']) {
  const blocks = [...readFileSync(join(here, page), 'utf8').matchAll(/```js\n([^]*?)```/g)];
  assert.ok(blocks.length > 0, page);
  for (const [index, [, code = '']] of blocks.entries()) {
    test(`example ${index + 1} of ${page} runs`, async () => {
      const endpoint = new SimulatedEndpoint();
      const env = {
        ...process.env,
        OPENAI_API_KEY: 'sk-' + 'secret-docs',
        OPENAI_BASE_URL: `${endpoint.url}/v1`,
      };
      const { stderr } = await run(process.execPath, ['-e', code], { env, cwd: here });
      assert.equal(stderr, '');
      await endpoint.close();
    });
  }
}

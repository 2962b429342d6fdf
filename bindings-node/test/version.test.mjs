import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import { version } from 'credential-rotation';

const require = createRequire(import.meta.url);
const manifest = require('../package.json');

test('the core and the package are of one version', () => {
  assert.equal(version(), manifest.version);
});

test('import and require give one instance', () => {
  assert.equal(require('credential-rotation').version, version);
});

for (const [program, file] of Object.entries(manifest.bin)) {
  test(`${program} as npm installs it tells its version`, () => {
    const output = execFileSync(process.execPath, [file, '--version'], {
      cwd: new URL('..', import.meta.url),
      encoding: 'utf8',
      timeout: 30_000,
    });
    assert.equal(output, `${program} ${version()}\n`);
  });
}

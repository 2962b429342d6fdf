/** The package as others load it. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import * as imported from 'credential-rotation';
import * as importedTesting from 'credential-rotation/testing';

const require = createRequire(import.meta.url);

test('require and import give the same names and the same classes', () => {
  for (const [name, module] of Object.entries({
    'credential-rotation': imported,
    'credential-rotation/testing': importedTesting,
  })) {
    const required = require(name);
    const names = Object.keys(module).filter((key) => key !== '__esModule');
    assert.deepEqual(Object.keys(required).sort(), names.sort());
    for (const key of names) {
      assert.equal(required[key], /** @type {any} */ (module)[key], key);
    }
  }
});

test('nothing of the native half is offered', () => {
  for (const value of Object.values(imported)) {
    if (typeof value === 'function') {
      assert.ok(!/native/i.test(value.name), value.name);
    }
  }
});

/** What a binding must not do to the process that loads it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { program, until } from '../test-support/peers.mjs';

test('a process with nothing to do exits', async () => {
  const { stdout } = await program('idle.mjs');
  assert.equal(stdout, 'idle\n');
});

test('a process with a call in flight waits for it', async () => {
  const { stdout } = await program('in-flight.mjs');
  assert.equal(stdout, 'late\n');
});

test('a worker is terminated, and a process exits, with calls in flight', async () => {
  const { stdout, stderr } = await program('leaves.mjs');
  assert.equal(stdout, 'terminated\n');
  assert.equal(stderr, '');
});

for (const way of ['exit', 'abort']) {
  test(`a program of a CLI provider and its children do not outlive the ${way}`, async () => {
    const { stdout } = await program('child.mjs', [way]);
    const group = Number(stdout.trim());
    assert.ok(group > 1);
    await until(() => !alive(group), 'the process group is gone');
  });
}

/** @type {[string, RegExp][]} */
const callbacks = [
  ['sync', /^an answer at once$/],
  ['throws', /^request_rejected: .*thrown at once/],
  ['throws nothing', /^request_rejected: .*undefined/],
  ['throws a text', /^request_rejected: .*a text/],
  ['rejects', /^request_rejected: .*rejected/],
  ['no promise', /^request_rejected: .*string or an object/],
  ['nothing', /^request_rejected: .*string or an object/],
  ['thenable', /^from a thenable$/],
  ['broken thenable', /^request_rejected: .*broken/],
  ['hostile error', /^request_rejected: /],
];
for (const [word, printed] of callbacks) {
  test(`a callback that does "${word}" does not take the process down`, async () => {
    const { stdout, stderr } = await program('callbacks.mjs', [word]);
    assert.match(stdout.trim(), printed);
    assert.equal(stderr, '');
  });
}

/** @param {number} group */
function alive(group) {
  try {
    process.kill(-group, 0);
    return true;
  } catch {
    return false;
  }
}

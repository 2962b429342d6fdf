/** No secret is in anything that prints. */
import assert from 'node:assert/strict';
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';

import { Credential, CredentialPool, Wrapper } from 'credential-rotation';

import { play } from '../test-support/peers.mjs';

const SECRET = 'sk-secret-never-shown';

/**
 * Everything that a program could print of a value.
 * @param {any} value
 */
function shown(value) {
  const options = { depth: 20, showHidden: true, getters: false };
  const texts = [inspect(value, options), JSON.stringify(value), String(value)];
  return value instanceof Error ? [...texts, value.stack, value.message].join('\n') : texts.join('\n');
}

/**
 * @param {any} value
 * @param {string} what
 */
function silent(value, what) {
  // Not assert.doesNotMatch: its message would show what leaked.
  assert.ok(!shown(value).includes('secret-never'), `a secret is in ${what}`);
}

test('a credential gives its secret when asked by name, and else not', () => {
  const credential = new Credential('a', SECRET, { model: 'm', quotaGroup: 'g' });
  assert.equal(credential.secret === SECRET, true);
  silent(credential, 'a credential');
  silent([credential], 'a list of credentials');
  silent({ ...credential }, 'a copy of a credential');
  assert.deepEqual(Object.keys(credential), []);
  assert.deepEqual(JSON.parse(JSON.stringify(credential)), { id: 'a', model: 'm', quotaGroup: 'g' });
});

test('a pool, a wrapper, an outcome, a stream and their errors are silent', async (t) => {
  const { endpoint } = play(t, { z: [{}] });
  endpoint.script(SECRET, [{ fault: 'unauthorized', echo_key: true }]);
  const credentials = [new Credential('a', SECRET)];
  const pool = new CredentialPool({ credentials });
  const wrapper = new Wrapper({ baseUrl: endpoint.openaiUrl, model: 'sim-1', pool });
  const outcome = await wrapper.call('hello');
  assert.equal(outcome.trail[0]?.fault?.reason, 'unauthorized');
  assert.match(outcome.trail[0].fault.message, /\*\*\*/);
  const stream = wrapper.stream('hello');
  const broken = await stream.next().then(() => undefined, (error) => error);
  for (const [what, value] of Object.entries({ pool, wrapper, outcome, stream, broken, list: pool.list() })) {
    silent(value, what);
  }
  silent(outcome.error, "the outcome's error");
  silent(endpoint, 'the endpoint');
  silent(endpoint.requests(), 'the requests seen');
});

test('what a run and a provider are given is silent', async () => {
  const wrapper = new Wrapper({ credentials: [{ id: 'a', secret: SECRET }] });
  await wrapper.run((credential, context) => {
    silent(credential, "a run's credential");
    silent(context, "a run's context");
  });
  const host = new Wrapper({
    provider: {
      send: (request, credential, context) => {
        silent([request, credential, context], "a provider's arguments");
        throw Object.assign(new Error(`refused ${credential.secret}`), { status: 401, body: credential.secret });
      },
    },
    credentials: [{ id: 'a', secret: SECRET }],
  });
  const outcome = await host.call('hello');
  silent(outcome, 'the outcome');
  assert.match(outcome.trail[0]?.fault?.message ?? '', /refused \*\*\*/);
});

/** @type {[string, any][]} */
const mistakes = [
  ['a key in place of the list', { credentials: SECRET }],
  ['a key in place of a credential', { credentials: [SECRET] }],
  ['a key under another name', { credentials: [{ id: 'a', key: SECRET }] }],
  ['a key in place of a number', { credentials: [{ id: 'a', secret: 'x', weight: SECRET }] }],
  ['a key in a URL', { baseUrl: `http://user:${SECRET}@example.org/?key=${SECRET}`, credentials: [{ secret: 'x' }] }],
  ['a key that no header can carry', { credentials: [{ id: 'a', secret: `${SECRET}\n` + 'x' }] }],
  ['a key as pool', { pool: SECRET }],
];
for (const [mistake, options] of mistakes) {
  test(`the error for ${mistake} is silent`, () => {
    assert.throws(
      () => new Wrapper(options),
      (error) => {
        silent(error, 'the error');
        return true;
      },
    );
  });
}

test('the errors of files with keys are silent', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'credential-rotation-'));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  for (const [name, content] of Object.entries({
    'a.json': `{"credentials": "${SECRET}"}`,
    'b.json': `[{"secret": "${SECRET}", "weight": "${SECRET}"}]`,
    'c.toml': `credentials = "${SECRET}`,
    'd.toml': `[wrapper]\ncredentials = "${SECRET}"`,
  })) {
    const file = join(folder, name);
    writeFileSync(file, content, { mode: 0o600 });
    for (const load of [() => new Wrapper({ sources: [{ file }] }), () => Wrapper.fromConfig(file)]) {
      assert.throws(load, (error) => {
        silent(error, `the error of ${name}`);
        return true;
      });
    }
  }
});

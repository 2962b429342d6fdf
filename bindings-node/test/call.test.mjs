/** Calls that come to an outcome. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { AllCoolingError, CredentialPool, RequestRejectedError, Wrapper } from 'credential-rotation';

import { keys, play, until } from '../test-support/peers.mjs';

test('a call goes past a spent key and a throttled one, and the trail says why', async (t) => {
  const { wrapper } = play(t, {
    a: [{ fault: 'insufficient_quota' }],
    b: [{ fault: 'rate_limited', retry_after: 30 }],
    c: [{ text: 'to {prompt}', usage: { input_tokens: 3, output_tokens: 4 } }],
  });
  const outcome = await wrapper.call('hello');
  assert.equal(outcome.success, true);
  assert.equal(outcome.output, 'to hello');
  assert.equal(outcome.unwrap(), 'to hello');
  assert.equal(outcome.error, null);
  assert.equal(outcome.attempts, 3);
  assert.deepEqual(outcome.usage, { inputTokens: 3, outputTokens: 4, cachedTokens: 0 });
  assert.equal(outcome.model, 'sim-1');
  assert.equal(outcome.finishReason, 'stop');
  assert.deepEqual(
    outcome.trail.map(({ credential, fault }) => [credential, fault?.reason]),
    [['a', 'quota_exhausted'], ['b', 'rate_limited'], ['c', undefined]],
  );
  const [first] = outcome.trail;
  assert.equal(first?.provider, 'openai');
  assert.equal(first.fault?.status, 429);
  assert.equal(typeof first.durationMs, 'number');
});

test('an outcome is the same JSON as in every language', async (t) => {
  const { wrapper } = play(t, { a: [{ text: 'yes' }] });
  const json = JSON.parse(JSON.stringify(await wrapper.call('hello')));
  assert.deepEqual(Object.keys(json).sort(), [
    'attempts', 'cached', 'duration_ms', 'error', 'finish_reason', 'model', 'output', 'success',
    'tool_calls', 'trail', 'usage',
  ]);
});

test('a failed call is an outcome, and unwrap throws its error', async (t) => {
  const { wrapper } = play(t, { a: [{ fault: 'bad_request', message: 'no such field' }] });
  const outcome = await wrapper.call('hello');
  assert.equal(outcome.success, false);
  assert.equal(outcome.output, null);
  assert.ok(outcome.error instanceof RequestRejectedError);
  assert.equal(outcome.error.code, 'request_rejected');
  assert.equal(outcome.error.fault?.status, 400);
  assert.throws(() => outcome.unwrap(), (error) => error === outcome.error);
  assert.equal(await wrapper.callWithFallback('hello', 'sorry'), 'sorry');
});

test('a whole request goes over under the names of the wire', async (t) => {
  const { endpoint, wrapper } = play(t, { a: [{ text: 'yes' }] });
  const tools = [{ type: 'function', function: { name: 'lookUp', parameters: { maxItems: 1 } } }];
  const outcome = await wrapper.complete({
    system: 'be short',
    messages: [{ role: 'user', content: [{ type: 'text', text: 'hello' }] }],
    maxTokens: 7,
    temperature: 0.5,
    stop: ['.'],
    tools,
    toolChoice: 'auto',
    extra: { topLogprobs: 1 },
  });
  assert.equal(outcome.unwrap(), 'yes');
  const body = /** @type {any} */ (endpoint.requests()[0]?.body);
  assert.equal(body.max_tokens ?? body.max_completion_tokens, 7);
  assert.equal(body.temperature, 0.5);
  assert.deepEqual(body.tools, tools);
  assert.equal(body.tool_choice, 'auto');
  assert.equal(body.topLogprobs, 1);
});

test('half a character and every language go over', async (t) => {
  const { wrapper } = play(t, { a: [{ text: '{prompt}' }] });
  assert.equal(await wrapper.callWithFallback('è 漢字 🦀', ''), 'è 漢字 🦀');
  assert.equal(await wrapper.callWithFallback('cut \ud83e', ''), 'cut \ufffd');
  const outcome = await wrapper.complete({ messages: [{ role: 'user', content: 'cut \ud83e' }] });
  assert.equal(outcome.output, 'cut \ufffd');
});

test('50 concurrent calls, one key bad: no call fails, the bad key is hit once', async (t) => {
  const { endpoint, wrapper } = play(t, { a: [{ fault: 'unauthorized' }], b: [{}], c: [{}], d: [{}] });
  const outcomes = await Promise.all(keys('x'.repeat(50)).map(() => wrapper.call('hello')));
  assert.ok(outcomes.every((outcome) => outcome.success));
  assert.equal(endpoint.hits('sk-secret-a'), 1);
});

test('two wrappers share a pool', async (t) => {
  const pool = new CredentialPool({ credentials: keys('ab'), strategy: 'fill_first' });
  const { endpoint, wrapper } = play(t, { a: [{ fault: 'rate_limited' }], b: [{}] }, { pool });
  const other = new Wrapper({ baseUrl: endpoint.openaiUrl, model: 'sim-1', pool });
  assert.equal((await wrapper.call('hello')).attempts, 2);
  assert.equal((await other.call('hello')).attempts, 1);
  assert.equal(pool.size, 2);
  assert.equal(pool.list()[0]?.state, 'cooling');
});

test('credentials are cooled, parked, disabled and admitted by hand', async (t) => {
  const { wrapper } = play(t, { a: [{}] });
  const { pool } = wrapper;
  const state = () => pool.list()[0]?.state;
  await pool.cool('a', 60_000, 'my reason');
  assert.equal(state(), 'cooling');
  const { error } = await wrapper.call('hello');
  assert.ok(error instanceof AllCoolingError);
  assert.ok(error.earliest instanceof Date && error.earliest.getTime() > Date.now());
  assert.equal(error.credentials[0]?.reason, 'my reason');
  await pool.park('a');
  assert.equal(state(), 'parked');
  await pool.disable('a');
  assert.equal(state(), 'disabled');
  await pool.admit('a');
  assert.equal((await pool.refreshedList())[0]?.state, 'ready');
  await assert.rejects(pool.admit('z'), { name: 'UnknownCredentialError', code: 'unknown_credential' });
});

test('a call has a deadline of its own', async (t) => {
  const { endpoint, wrapper } = play(t, { a: [{ fault: 'stall' }] });
  const outcome = await wrapper.call('hello', { deadlineMs: 60 });
  assert.equal(outcome.error?.code, 'deadline_exceeded');
  assert.equal(outcome.trail.length, 1);
  await until(() => endpoint.closedEarly('sk-secret-a') === 1, 'the connection is closed');
});

test('an abort rejects with its reason and ends the request upstream', async (t) => {
  const { endpoint, wrapper } = play(t, { a: [{ fault: 'stall' }] });
  const controller = new AbortController();
  const reason = new Error('changed my mind');
  const call = wrapper.call('hello', { signal: controller.signal });
  await until(() => endpoint.inFlight === 1, 'the request is there');
  controller.abort(reason);
  await assert.rejects(call, (error) => error === reason);
  await until(() => endpoint.closedEarly('sk-secret-a') === 1, 'the connection is closed');
  assert.equal(wrapper.pool.list()[0]?.inFlight, 0);
});

test('a signal keeps its onabort, and is aborted before or after a call without harm', async (t) => {
  const { endpoint, wrapper } = play(t, { a: [{}] });
  const controller = new AbortController();
  let heard = 0;
  controller.signal.onabort = () => {
    heard += 1;
  };
  assert.ok((await wrapper.call('hello', { signal: controller.signal })).success);
  controller.abort();
  assert.equal(heard, 1);
  await assert.rejects(wrapper.call('hello', { signal: controller.signal }), { name: 'AbortError' });
  await assert.rejects(wrapper.call('hello', { signal: AbortSignal.abort('a text') }), (error) => error === 'a text');
  assert.equal(endpoint.hits(), 1);
});

test('what is no prompt and no request is a TypeError', async () => {
  const wrapper = new Wrapper({ credentials: keys('a') });
  await assert.rejects(wrapper.call(/** @type {any} */ (42)), TypeError);
  await assert.rejects(wrapper.complete(/** @type {any} */ (null)), TypeError);
  assert.throws(() => wrapper.stream(/** @type {any} */ (undefined)), TypeError);
  assert.throws(() => new Wrapper({ provider: /** @type {any} */ ({}) }), TypeError);
});

test('a wrapper is set up from a configuration file', async (t) => {
  const { endpoint } = play(t, { a: [{ text: 'from the file' }] });
  const folder = mkdtempSync(join(tmpdir(), 'credential-rotation-'));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  const file = join(folder, 'credential-rotation.toml');
  const lines = [
    '[wrapper]',
    `base_url = "${endpoint.openaiUrl}"`,
    'model = "sim-1"',
    'credentials = [{ id = "a", secret = "sk-secret-a" }]',
  ];
  writeFileSync(file, lines.join('\n'), { mode: 0o600 });
  assert.equal((await Wrapper.fromConfig(file).call('hello')).unwrap(), 'from the file');
});

test('identical calls share an answer when there is a cache', async (t) => {
  const { endpoint, wrapper } = play(t, { a: [{ text: 'hit {hit}', delay_ms: 20 }] }, { cache: { ttlMs: 60_000 } });
  const outcomes = await Promise.all(['same', 'same', 'same'].map((prompt) => wrapper.call(prompt)));
  assert.deepEqual(outcomes.map(({ output }) => output), ['hit 1', 'hit 1', 'hit 1']);
  assert.deepEqual(outcomes.map(({ cached }) => cached).sort(), [false, true, true]);
  assert.equal(endpoint.hits(), 1);
});

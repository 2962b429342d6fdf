/** Rotation around client code of the user's own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';

import Anthropic, { AuthenticationError as AnthropicAuthenticationError } from '@anthropic-ai/sdk';
import OpenAI from 'openai';

import { AllCoolingError, factsOf, Wrapper } from 'credential-rotation';

import { keys, play, until } from '../test-support/peers.mjs';

/**
 * @param {import('credential-rotation/testing').SimulatedEndpoint} endpoint
 * @returns {import('credential-rotation').Work<string | null | undefined>}
 */
function openai(endpoint) {
  return async (credential, { signal }) => {
    const client = new OpenAI({ apiKey: credential.secret, baseURL: endpoint.openaiUrl, maxRetries: 0 });
    const answer = await client.chat.completions.create(
      { model: 'sim-1', messages: [{ role: 'user', content: 'hello' }] },
      { signal },
    );
    return answer.choices[0]?.message.content;
  };
}

/**
 * @param {import('credential-rotation/testing').SimulatedEndpoint} endpoint
 * @returns {import('credential-rotation').Work<string>}
 */
function anthropic(endpoint) {
  return async (credential, { signal }) => {
    const client = new Anthropic({ apiKey: credential.secret, baseURL: endpoint.url, maxRetries: 0 });
    const answer = await client.messages.create(
      { model: 'sim-1', max_tokens: 50, messages: [{ role: 'user', content: 'hello' }] },
      { signal },
    );
    const [first] = answer.content;
    return first?.type === 'text' ? first.text : '';
  };
}

test('the openai package: rotation is ours', async (t) => {
  const { endpoint, wrapper } = play(t, {
    a: [{ fault: 'insufficient_quota' }],
    b: [{ fault: 'rate_limited', retry_after: 30 }],
    c: [{ fault: 'server_error', times: 1 }, { text: 'from {hit}' }],
  });
  assert.equal(await wrapper.run(openai(endpoint)), 'from 2');
  const states = wrapper.pool.list().map(({ id, state, reason }) => [id, state, reason]);
  assert.deepEqual(states, [
    ['a', 'parked', 'quota_exhausted'],
    ['b', 'cooling', 'rate_limited'],
    ['c', 'ready', undefined],
  ]);
});

test('the openai package: errors are theirs', async (t) => {
  const { endpoint, wrapper } = play(t, { a: [{ fault: 'bad_request' }] });
  await assert.rejects(wrapper.run(openai(endpoint)), OpenAI.BadRequestError);
  assert.equal(endpoint.hits(), 1);
  assert.equal(wrapper.pool.list()[0]?.inFlight, 0);
});

test('the openai package: when all rest, the error is ours and theirs its cause', async (t) => {
  const { endpoint, wrapper } = play(t, { a: [{ fault: 'unauthorized' }], b: [{ fault: 'rate_limited' }] });
  await assert.rejects(
    wrapper.run(openai(endpoint)),
    (error) => error instanceof AllCoolingError && error.cause instanceof OpenAI.RateLimitError,
  );
  await assert.rejects(
    wrapper.run(openai(endpoint)),
    (error) => error instanceof AllCoolingError && error.cause === undefined,
  );
  assert.equal(endpoint.hits(), 2);
});

test('the openai package: an endpoint that is not there is retried, then theirs', async () => {
  const wrapper = new Wrapper({ credentials: keys('a'), maxRetries: 1, policy: { backoffMs: 1 } });
  let attempts = 0;
  const work = wrapper.run((credential) => {
    attempts += 1;
    const client = new OpenAI({ apiKey: credential.secret, baseURL: 'http://127.0.0.1:9', maxRetries: 0 });
    return client.models.list();
  });
  await assert.rejects(work, OpenAI.APIConnectionError);
  assert.equal(attempts, 2);
});

test('the anthropic package: rotation is ours', async (t) => {
  const scripts = {
    a: [{ fault: 'billing' }],
    b: [{ fault: 'overloaded', times: 1 }, { fault: 'rate_limited', retry_after: 30 }],
    c: [{ text: 'from c' }],
  };
  const { endpoint, wrapper } = play(t, scripts, { provider: 'anthropic' });
  assert.equal(await wrapper.run(anthropic(endpoint)), 'from c');
  assert.equal(wrapper.pool.list()[0]?.state, 'parked');
});

test('the anthropic package: errors are theirs', async (t) => {
  const { endpoint, wrapper } = play(
    t,
    { a: [{ fault: 'unauthorized' }] },
    { provider: 'anthropic', maxRetries: 0 },
  );
  await assert.rejects(wrapper.run(anthropic(endpoint)), AnthropicAuthenticationError);
});

test('an error of the user\'s own comes out at once and blames nobody', async () => {
  const wrapper = new Wrapper({ credentials: keys('ab') });
  for (const theirs of [new TypeError('a slip'), 'a text', undefined, null, 7, { status: 'odd' }]) {
    let attempts = 0;
    const work = wrapper.run(() => {
      attempts += 1;
      throw theirs;
    });
    await assert.rejects(work, (error) => error === theirs);
    assert.equal(attempts, 1);
  }
  assert.ok(wrapper.pool.list().every(({ state, inFlight }) => state === 'ready' && inFlight === 0));
});

test('a classifier of the user\'s own decides', async () => {
  const slip = new Error('my words');
  /** @type {[import('credential-rotation').Classifier, string, number][]} */
  const rows = [
    [() => 'rate_limited', 'all_cooling', 2],
    [() => ({ reason: 'quota_exhausted', retryAfterMs: 5_000, message: 'spent' }), 'all_cooling', 2],
    [() => ({ status: 401 }), 'all_cooling', 2],
    [(error) => factsOf(error), 'theirs', 1],
    [() => null, 'theirs', 1],
    [() => undefined, 'theirs', 1],
    [() => 'no such reason', 'invalid_config', 1],
  ];
  for (const [classify, ends, tried] of rows) {
    const wrapper = new Wrapper({ credentials: keys('ab') });
    let attempts = 0;
    const work = () => {
      attempts += 1;
      throw slip;
    };
    await assert.rejects(wrapper.run(work, { classify }), (/** @type {any} */ error) =>
      ends === 'theirs' ? error === slip : error.code === ends,
    );
    assert.equal(attempts, tried, classify.toString());
    assert.ok(wrapper.pool.list().every(({ inFlight }) => inFlight === 0));
  }
});

test('work may answer at once, and knows its attempt, model and address', async (t) => {
  const { wrapper } = play(t, {}, {
    model: 'sim-2',
    credentials: [{ id: 'a', secret: 'sk-secret-a', baseUrl: 'https://example.org/v1' }],
  });
  const told = await wrapper.run(({ id, secret, baseUrl, model }, { attempt }) => [id, secret, baseUrl, model, attempt]);
  assert.deepEqual(told, ['a', 'sk-secret-a', 'https://example.org/v1', 'sim-2', 1]);
});

test('an attempt that takes too long is given up and its signal aborted', async () => {
  const wrapper = new Wrapper({ credentials: keys('ab'), attemptTimeoutMs: 30, policy: { backoffMs: 1 } });
  /** @type {AbortSignal[]} */
  const signals = [];
  const done = await wrapper.run((_credential, { signal, attempt }) => {
    signals.push(signal);
    return attempt === 1 ? new Promise(() => undefined) : 'second';
  });
  assert.equal(done, 'second');
  assert.equal(signals[0]?.reason.name, 'TimeoutError');
  assert.equal(signals[1]?.aborted, false);
});

test('an abort ends a run wherever it is', async (t) => {
  const reason = new Error('changed my mind');
  const { endpoint, wrapper } = play(t, { a: [{ fault: 'stall' }] });
  const controller = new AbortController();
  const running = wrapper.run(openai(endpoint), { signal: controller.signal });
  await until(() => endpoint.inFlight === 1, 'the request is there');
  controller.abort(reason);
  await assert.rejects(running, (error) => error === reason);
  await until(() => endpoint.closedEarly('sk-secret-a') === 1, 'the connection is closed');
  await until(() => wrapper.pool.list()[0]?.inFlight === 0, 'the credential is back');

  const waiting = new Wrapper({ credentials: keys('a'), waitWhenCooling: true });
  await waiting.pool.cool('a', 60_000);
  const second = new AbortController();
  const stuck = waiting.run(() => 'never', { signal: second.signal });
  setImmediate(() => {
    second.abort(reason);
  });
  await assert.rejects(stuck, (error) => error === reason);
  await assert.rejects(waiting.run(() => 'never', { signal: AbortSignal.abort(reason) }), (error) => error === reason);
});

/** Errors as the usual clients throw them, and the reason that the core finds. */
class AxiosError extends Error {}
const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
/** @type {[string, unknown, string | null][]} */
const errors = [
  ['fetch', new TypeError('fetch failed', { cause: refused }), 'connect'],
  ['undici', new TypeError('fetch failed', { cause: Object.assign(new Error('x'), { code: 'UND_ERR_SOCKET' }) }), 'connect'],
  ['undici headers', Object.assign(new Error('x'), { name: 'HeadersTimeoutError', code: 'UND_ERR_HEADERS_TIMEOUT' }), 'timeout'],
  ['AbortSignal.timeout', new DOMException('too late', 'TimeoutError'), 'timeout'],
  ['node', refused, 'connect'],
  ['axios', Object.assign(new AxiosError('Request failed'), { code: 'ERR_BAD_REQUEST', response: { status: 429, headers: { 'retry-after': '30' }, data: {} } }), 'rate_limited'],
  ['axios, out of money', Object.assign(new AxiosError('Request failed'), { response: { status: 429, data: { error: { code: 'insufficient_quota' } } } }), 'quota_exhausted'],
  ['axios, no answer', Object.assign(new AxiosError('timeout'), { code: 'ECONNABORTED' }), 'connect'],
  ['got', Object.assign(new Error('Response code 401'), { response: { statusCode: 401, body: '{}' } }), 'unauthorized'],
  ['AWS', Object.assign(new Error('Too many requests'), { name: 'ThrottlingException', $metadata: { httpStatusCode: 429 } }), 'rate_limited'],
  ['AWS by status', Object.assign(new Error('no'), { name: 'AccessDeniedException', $metadata: { httpStatusCode: 403 } }), 'forbidden'],
  ['AI SDK', Object.assign(new Error('x'), { name: 'AI_APICallError', statusCode: 529, responseHeaders: {}, responseBody: '' }), 'overloaded'],
  ['a status of one\'s own', { status: 503 }, 'overloaded'],
  ['a slip', new ReferenceError('x is not defined'), null],
  ['a missing file', Object.assign(new Error('ENOENT'), { code: 'ENOENT' }), null],
];
for (const [client, error, reason] of errors) {
  test(`an error of ${client} is ${reason ?? 'none of the pool\'s business'}`, async () => {
    const wrapper = new Wrapper({ provider: { send: () => { throw error; } }, credentials: keys('a'), maxRetries: 0 });
    const outcome = await wrapper.call('hello');
    const [attempt] = outcome.trail;
    assert.equal(attempt?.fault?.reason, reason ?? 'bad_request', inspect(outcome.trail, { depth: 5 }));
    assert.equal(attempt.fault.message.startsWith('the provider threw'), reason === null);
  });
}

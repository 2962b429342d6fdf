/** Streamed answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { StreamInterruptedError } from 'credential-rotation';

import { play, until } from '../test-support/peers.mjs';

test('a stream gives its pieces, then how it ended', async (t) => {
  const { wrapper } = play(t, {
    a: [{ fault: 'rate_limited' }],
    b: [{ pieces: ['Hel', 'lo'], usage: { input_tokens: 1, output_tokens: 2 } }],
  });
  const stream = wrapper.stream('hi');
  const chunks = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
  }
  assert.deepEqual(chunks, [
    { type: 'text', text: 'Hel' },
    { type: 'text', text: 'lo' },
    { type: 'done', model: 'sim-1', usage: { inputTokens: 1, outputTokens: 2, cachedTokens: 0 }, finishReason: 'stop' },
  ]);
  assert.deepEqual(
    stream.trail.map(({ credential, fault }) => [credential, fault?.reason]),
    [['a', 'rate_limited'], ['b', undefined]],
  );
  assert.deepEqual(await stream.next(), { done: true, value: undefined });
});

test('the text alone', async (t) => {
  const { wrapper } = play(t, { a: [{ pieces: ['a', 'b', 'c'] }] });
  let text = '';
  for await (const piece of wrapper.stream({ messages: [{ role: 'user', content: 'hi' }] }).text()) {
    text += piece;
  }
  assert.equal(text, 'abc');
});

test('break closes the stream upstream', async (t) => {
  const { endpoint, wrapper } = play(t, { a: [{ pieces: ['one', 'two', 'three'], piece_ms: 20_000 }] });
  for await (const chunk of wrapper.stream('hi')) {
    assert.deepEqual(chunk, { type: 'text', text: 'one' });
    break;
  }
  await until(() => endpoint.closedEarly('sk-secret-a') === 1, 'the connection is closed');
  assert.equal(wrapper.pool.list()[0]?.inFlight, 0);
});

test('leaving the text early closes the stream upstream', async (t) => {
  const { endpoint, wrapper } = play(t, { a: [{ pieces: ['one', 'two'], piece_ms: 20_000 }] });
  for await (const piece of wrapper.stream('hi').text()) {
    assert.equal(piece, 'one');
    break;
  }
  await until(() => endpoint.closedEarly('sk-secret-a') === 1, 'the connection is closed');
});

test('an abort while waiting for a piece rejects with its reason and closes upstream', async (t) => {
  const { endpoint, wrapper } = play(t, { a: [{ pieces: ['one', 'two'], piece_ms: 20_000 }] });
  const controller = new AbortController();
  const stream = wrapper.stream('hi', { signal: controller.signal });
  await stream.next();
  const reason = new Error('enough');
  const next = stream.next();
  controller.abort(reason);
  await assert.rejects(next, (error) => error === reason);
  await until(() => endpoint.closedEarly('sk-secret-a') === 1, 'the connection is closed');
  assert.deepEqual(await stream.next(), { done: true, value: undefined });
});

test('close ends a read in flight', async (t) => {
  const { endpoint, wrapper } = play(t, { a: [{ fault: 'stall' }] });
  const stream = wrapper.stream('hi');
  const next = stream.next();
  await until(() => endpoint.inFlight === 1, 'the request is there');
  stream.close();
  assert.deepEqual(await next, { done: true, value: undefined });
  await until(() => endpoint.inFlight === 0, 'the connection is closed');
});

test('a break after the first piece is a typed error with the text so far', async (t) => {
  const { wrapper } = play(t, {
    a: [{ pieces: ['Hel', 'lo', '!'], fault: 'reset', after: 2 }],
    b: [{ text: 'not from here' }],
  });
  let text = '';
  await assert.rejects(
    async () => {
      for await (const piece of wrapper.stream('hi').text()) {
        text += piece;
      }
    },
    (error) => error instanceof StreamInterruptedError && error.partial === 'Hello',
  );
  assert.equal(text, 'Hello');
});

test('several reads at once are answered in order', async (t) => {
  const { wrapper } = play(t, { a: [{ pieces: ['a', 'b'], piece_ms: 5 }] });
  const stream = wrapper.stream('hi');
  const all = await Promise.all([stream.next(), stream.next(), stream.next(), stream.next()]);
  assert.deepEqual(
    all.map(({ done, value }) => [done, value?.type]),
    [[false, 'text'], [false, 'text'], [false, 'done'], [true, undefined]],
  );
});

test('nothing is sent before the first read', async (t) => {
  const { endpoint, wrapper } = play(t, { a: [{}] });
  const stream = wrapper.stream('hi');
  await wrapper.call('hello');
  assert.equal(endpoint.hits(), 1);
  stream.close();
});

test('30 MB pass in constant memory', async (t) => {
  const { wrapper } = play(t, { a: [{ bytes: 30_000_000 }] });
  let bytes = 0;
  let most = 0;
  const before = process.memoryUsage().rss;
  for await (const piece of wrapper.stream('hi').text()) {
    bytes += piece.length;
    most = Math.max(most, process.memoryUsage.rss() - before);
  }
  assert.equal(bytes, 30_000_000);
  assert.ok(most < 120e6, `${most} bytes more`);
});

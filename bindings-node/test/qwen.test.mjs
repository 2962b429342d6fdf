/** The qwen service under the names that its users know. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { QwenWrapper } from 'credential-rotation';
import { SimulatedEndpoint } from 'credential-rotation/testing';

import { keys, until } from '../test-support/peers.mjs';

/**
 * A folder with these keys, and the service over it.
 * @param {import('node:test').TestContext} context
 * @param {import('credential-rotation/testing').Scenario} scenario
 */
function service(context, scenario) {
  const qwenDir = mkdtempSync(join(tmpdir(), 'credential-rotation-'));
  const endpoint = new SimulatedEndpoint(scenario);
  const credentials = JSON.stringify({ credentials: keys('ab') });
  writeFileSync(join(qwenDir, 'credentials.json'), credentials, { mode: 0o600 });
  context.after(() => {
    endpoint.close();
    rmSync(qwenDir, { recursive: true });
  });
  const options = { qwenDir, provider: 'openai', baseUrl: endpoint.openaiUrl, model: 'sim-1' };
  return { endpoint, qwenDir, qwen: new QwenWrapper(options) };
}

test('a prompt is answered past a spent account, and the quota status tells', async (t) => {
  const { qwen, qwenDir } = service(t, {
    keys: { 'sk-secret-a': [{ fault: 'insufficient_quota' }], 'sk-secret-b': [{ text: 'from b' }] },
  });
  assert.equal(qwen.accountManager.qwenDir, qwenDir);
  assert.deepEqual(await qwen.checkQuotaStatus(), { a: true, b: true });
  const outcome = await qwen.call('hello', { timeout: 30 });
  assert.equal(outcome.output, 'from b');
  assert.deepEqual(await qwen.checkQuotaStatus(), { a: false, b: true });
  assert.equal(await qwen.callWithFallback('hello'), 'from b');
});

test('the fallback message stands in when there is no answer', async (t) => {
  const { qwen } = service(t, { default: [{ fault: 'bad_request' }] });
  assert.equal(await qwen.callWithFallback('hello'), 'AI analysis unavailable');
  assert.equal(await qwen.callWithFallback('hello', 'sorry'), 'sorry');
});

test('a timeout in seconds ends each attempt', async (t) => {
  const { endpoint, qwen } = service(t, {
    keys: { 'sk-secret-a': [{ fault: 'stall' }], 'sk-secret-b': [{ text: 'from b' }] },
  });
  const outcome = await qwen.call('hello', { timeout: 0.05 });
  assert.equal(outcome.trail[0]?.fault?.reason, 'timeout');
  assert.equal(outcome.output, 'from b');
  await until(() => endpoint.inFlight === 0, 'the connection is closed');
});

/** What the tests share: wrappers over a simulated endpoint, and waiting for a fact. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { Wrapper } from 'credential-rotation';
import { SimulatedEndpoint } from 'credential-rotation/testing';

const run = promisify(execFile);

/**
 * Credentials named by the letters: `ab` gives a and b, whose keys are sk-secret-a and sk-secret-b.
 * @param {string} letters
 */
export function keys(letters) {
  return [...letters].map((id) => ({ id, secret: `sk-secret-${id}` }));
}

/**
 * An endpoint that plays the scripts of these credentials, and a wrapper over it.
 * @param {import('node:test').TestContext} context
 * @param {Record<string, import('credential-rotation/testing').Step[]>} scripts
 * @param {import('credential-rotation').WrapperOptions} [options]
 */
export function play(context, scripts, options = {}) {
  const named = Object.entries(scripts).map(([id, script]) => [`sk-secret-${id}`, script]);
  const endpoint = new SimulatedEndpoint({ keys: Object.fromEntries(named), unknown: '401' });
  context.after(() => {
    endpoint.close();
  });
  const wrapper = new Wrapper({
    baseUrl: options.provider === 'anthropic' ? endpoint.url : endpoint.openaiUrl,
    model: 'sim-1',
    credentials: keys(Object.keys(scripts).join('')),
    policy: { backoffMs: 1, maxBackoffMs: 2 },
    ...options,
  });
  return { endpoint, wrapper };
}

/**
 * Waits until something is so, at most five seconds, or so many.
 * @param {() => boolean} holds
 * @param {string} what
 * @param {number} [seconds]
 */
export async function until(holds, what, seconds = 5) {
  const end = Date.now() + seconds * 1_000;
  while (!holds()) {
    assert.ok(Date.now() < end, `not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/**
 * Runs a program of `test-support/programs` to its end and gives what it printed.
 * @param {string} name
 * @param {string[]} [words]
 */
export async function program(name, words = []) {
  const file = fileURLToPath(new URL(`programs/${name}`, import.meta.url));
  const { stdout, stderr } = await run(process.execPath, [file, ...words], { timeout: 30_000 });
  return { stdout, stderr };
}

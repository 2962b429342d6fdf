/** The scenarios that all languages share, from Node. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { CredentialRotationError, Wrapper } from 'credential-rotation';
import { SimulatedEndpoint } from 'credential-rotation/testing';

/** @typedef {{ prompt: string, expect: { output: string | null, code: string | null, trail: [string, string | null][] } }} Call */
/** @typedef {{ name: string, drives: string[], scenario: import('credential-rotation/testing').Scenario, options: Record<string, any>, calls: Call[] }} Case */
/** @typedef {{ output?: string, error?: unknown, trail?: readonly import('credential-rotation').Attempt[] }} Seen */

const file = new URL('../../core/vectors/rotation.json', import.meta.url);
const { cases } = /** @type {{ cases: Case[] }} */ (JSON.parse(readFileSync(file, 'utf8')));

/** A run gives the client's own error for these. */
const THEIRS = ['request_rejected', 'attempts_exhausted'];

/** @type {Record<string, (wrapper: Wrapper, prompt: string, url: string, anthropic: boolean) => Promise<Seen>>} */
const drives = {
  async call(wrapper, prompt) {
    const { output, error, trail, attempts } = await wrapper.call(prompt);
    assert.equal(attempts, trail.length);
    return error === null ? { output: output ?? '', trail } : { error, trail };
  },
  async stream(wrapper, prompt) {
    const stream = wrapper.stream(prompt);
    let output = '';
    try {
      for await (const text of stream.text()) {
        output += text;
      }
      return { output, trail: stream.trail };
    } catch (error) {
      return { error, trail: stream.trail };
    }
  },
  async run(wrapper, prompt, url, anthropic) {
    try {
      return { output: await wrapper.run((credential) => post(url, anthropic, credential.secret, prompt)) };
    } catch (error) {
      return { error };
    }
  },
};

for (const [drive, make] of Object.entries(drives)) {
  for (const it of cases.filter((one) => one.drives.includes(drive))) {
    test(`${drive}: ${it.name}`, async (t) => {
      const endpoint = new SimulatedEndpoint(it.scenario);
      t.after(() => {
        endpoint.close();
      });
      const wrapper = new Wrapper(placed(it.options, endpoint.openaiUrl));
      for (const { prompt, expect } of it.calls) {
        const seen = await make(wrapper, prompt, endpoint.url, it.options['provider'] === 'anthropic');
        if (expect.output !== null) {
          assert.equal(seen.output, expect.output, String(seen.error));
        } else if (drive === 'run' && THEIRS.includes(expect.code ?? '')) {
          assert.ok(seen.error instanceof HttpError, String(seen.error));
        } else {
          assert.ok(seen.error instanceof CredentialRotationError);
          assert.equal(seen.error.code, expect.code);
        }
        if (seen.trail !== undefined) {
          const trail = seen.trail.map(({ credential, fault }) => [credential, fault?.reason ?? null]);
          assert.deepEqual(trail, expect.trail);
        }
      }
    });
  }
}

/**
 * @param {Record<string, any>} options
 * @param {string} baseUrl
 */
function placed(options, baseUrl) {
  const { fallbacks = [], ...others } = options;
  return {
    ...others,
    baseUrl,
    model: 'sim-1',
    fallbacks: fallbacks.map((/** @type {object} */ one) => ({ ...one, baseUrl })),
  };
}

class HttpError extends Error {
  /**
   * @param {Response} response
   * @param {string} body
   */
  constructor(response, body) {
    super(`HTTP ${response.status}`);
    this.status = response.status;
    this.headers = response.headers;
    this.body = body;
  }
}

/**
 * A client of the user's own: fetch, with an error that carries what was answered.
 * @param {string} url
 * @param {boolean} anthropic
 * @param {string} secret
 * @param {string} prompt
 */
async function post(url, anthropic, secret, prompt) {
  const response = await fetch(`${url}${anthropic ? '/v1/messages' : '/v1/chat/completions'}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(anthropic ? { 'x-api-key': secret } : { authorization: `Bearer ${secret}` }),
    },
    body: JSON.stringify({ model: 'sim-1', max_tokens: 50, messages: [{ role: 'user', content: prompt }] }),
  });
  const text = await response.text();
  if (!response.ok) {
    throw new HttpError(response, text);
  }
  /** @type {any} */
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw Object.assign(new Error('not JSON'), { code: 'MALFORMED' });
  }
  const said = anthropic ? answer.content?.[0]?.text : answer.choices?.[0]?.message?.content;
  if (typeof said !== 'string') {
    throw new HttpError(response, text);
  }
  return said;
}

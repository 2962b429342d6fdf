// Calls a second at 64 in flight: ours with four keys of which one is bad, and the peers.
// Usage: node calls.mjs URL. Prints one JSON object a line.

import { Agent, request } from 'undici';
import OpenAI from 'openai';
import { Credential, Wrapper } from 'credential-rotation';

const IN_FLIGHT = 64;
const ROUNDS = 5;
const url = process.argv[2];
const body = { model: 'sim-1', messages: [{ role: 'user', content: 'hello' }] };

async function rate(call, calls) {
  await Promise.all(Array.from({ length: IN_FLIGHT }, call));
  let left = calls;
  const started = performance.now();
  const worker = async () => {
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return (calls / (performance.now() - started)) * 1000;
}

function check(text) {
  if (!text) throw new Error('no answer');
}

const keys = ['good-1', 'bad', 'good-2', 'good-3'];
const wrapper = new Wrapper({
  baseUrl: `${url}/v1`,
  model: 'sim-1',
  credentials: keys.map((key) => new Credential(key, `sk-secret-${key}`)),
});
const dispatcher = new Agent({ connections: IN_FLIGHT, pipelining: 1 });
const headers = { authorization: 'Bearer sk-secret-good-1', 'content-type': 'application/json' };
const client = new OpenAI({ apiKey: 'sk-secret-good-1', baseURL: `${url}/v1`, maxRetries: 0 });

const contenders = {
  'node call': [async () => check((await wrapper.call('hello')).output), 20_000],
  'node undici': [
    async () => {
      const answer = await request(`${url}/v1/chat/completions`, {
        method: 'POST', headers, body: JSON.stringify(body), dispatcher,
      });
      check((await answer.body.json()).choices[0].message.content);
    },
    20_000,
  ],
  'node openai': [
    async () => check((await client.chat.completions.create(body)).choices[0].message.content),
    2_000,
  ],
};

const rates = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
for (let round = 0; round < ROUNDS; round += 1) {
  for (const [name, [call, calls]] of Object.entries(contenders)) {
    rates[name].push(await rate(call, calls));
  }
}
for (const [name, values] of Object.entries(rates)) {
  const value = values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  console.log(JSON.stringify({ name, value, unit: 'calls/s' }));
}
wrapper.close();
await dispatcher.close();

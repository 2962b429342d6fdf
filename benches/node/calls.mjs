// Calls a second at 64 in flight: ours with four keys of which one is bad, or a peer.
// Usage: node calls.mjs URL (call|undici|openai). Prints one JSON object.

const IN_FLIGHT = 64;
const KEYS = ['good-1', 'bad', 'good-2', 'good-3'];
const BODY = { model: 'sim-1', messages: [{ role: 'user', content: 'hello' }] };

function check(text) {
  if (!text) throw new Error('no answer');
}

async function ours(url) {
  const { Credential, Wrapper } = await import('credential-rotation');
  const wrapper = new Wrapper({
    baseUrl: `${url}/v1`,
    model: 'sim-1',
    credentials: KEYS.map((key) => new Credential(key, `sk-secret-${key}`)),
  });
  return async () => check((await wrapper.call('hello')).output);
}

async function undici(url) {
  const { Agent, request } = await import('undici');
  const dispatcher = new Agent({ connections: IN_FLIGHT, pipelining: 1 });
  const headers = { authorization: 'Bearer sk-secret-good-1', 'content-type': 'application/json' };
  return async () => {
    const answer = await request(`${url}/v1/chat/completions`, {
      method: 'POST', headers, body: JSON.stringify(BODY), dispatcher,
    });
    check((await answer.body.json()).choices[0].message.content);
  };
}

async function openai(url) {
  const { default: OpenAI } = await import('openai');
  const client = new OpenAI({ apiKey: 'sk-secret-good-1', baseURL: `${url}/v1`, maxRetries: 0 });
  return async () => check((await client.chat.completions.create(BODY)).choices[0].message.content);
}

async function all(calls, call) {
  let left = calls;
  const worker = async () => {
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

// A tenth more go before, uncounted: they make the connections and warm the compiler.
async function rate(calls, call) {
  await all(calls / 10, call);
  const started = performance.now();
  await all(calls, call);
  return (calls / (performance.now() - started)) * 1000;
}

const contenders = { call: [ours, 30_000], undici: [undici, 30_000], openai: [openai, 4_000] };
const [url, name] = process.argv.slice(2);
const [make, calls] = contenders[name];
const value = await rate(calls, await make(url));
// Clients are not closed: what that costs is not measured.
process.stdout.write(
  `${JSON.stringify({ name: `node ${name}`, value, unit: 'calls/s' })}\n`,
  () => process.exit(0),
);

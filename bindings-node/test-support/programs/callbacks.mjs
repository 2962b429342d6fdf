/** A provider whose callback does what its first word says; prints what came of the call. */
import { Wrapper } from 'credential-rotation';

/** @type {Record<string, () => any>} */
const callbacks = {
  sync: () => 'an answer at once',
  throws: () => {
    throw new Error('thrown at once');
  },
  'throws nothing': () => {
    throw undefined;
  },
  'throws a text': () => {
    throw 'a text';
  },
  rejects: () => Promise.reject(new Error('rejected')),
  'no promise': () => 42,
  nothing: () => undefined,
  thenable: () => ({ then: (/** @type {(answer: string) => void} */ give) => { give('from a thenable'); } }),
  'broken thenable': () => ({
    get then() {
      throw new Error('broken');
    },
  }),
  'hostile error': () => {
    throw new Proxy(new Error('hostile'), {
      get() {
        throw new Error('no member can be read');
      },
    });
  },
};
const wrapper = new Wrapper({
  provider: { name: 'mine', send: callbacks[process.argv[2] ?? ''] ?? (() => 'unknown word') },
  credentials: [{ id: 'a', secret: 'sk-secret-a' }],
});
const outcome = await wrapper.call('hello');
console.log(outcome.output ?? `${outcome.error?.code}: ${outcome.error?.message}`);

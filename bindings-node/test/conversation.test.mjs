/** Conversations, answered by the simulated endpoint, and documents. */
import assert from 'node:assert/strict';
import { Blob, Buffer } from 'node:buffer';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import {
  Conversations,
  JobManager,
  readDocument,
  sessionName,
  SessionManager,
  stage,
  Worker,
  Wrapper,
} from 'credential-rotation';
import { SimulatedEndpoint } from 'credential-rotation/testing';

const STYLE = 'Bread is patient. It waits for nobody.';
const SAMPLE = fileURLToPath(new URL('../../examples/sample.pdf', import.meta.url));
const CREW = fileURLToPath(new URL('../test-support/programs/worker-conversations.mjs', import.meta.url));
const BRIEF = { topic: 'ovens', words: 120, audience: 'bakers' };

/**
 * @param {import('node:test').TestContext} context
 * @param {import('credential-rotation/testing').Step[]} steps
 */
async function place(context, steps) {
  const endpoint = new SimulatedEndpoint({ keys: { 'sk-secret-a': steps } });
  context.after(() => { endpoint.close(); });
  const wrapper = new Wrapper({
    provider: 'anthropic',
    baseUrl: endpoint.url,
    model: 'sim-1',
    maxRetries: 0,
    credentials: [{ id: 'a', secret: 'sk-secret-a' }],
  });
  const folder = mkdtempSync(join(tmpdir(), 'talks-'));
  const sessions = await SessionManager.connect(`sqlite:${join(folder, 'sessions.db')}`);
  const talks = new Conversations(sessions, wrapper);
  await sessions.create({ id: 's' });
  return { endpoint, wrapper, sessions, talks, talk: talks.open('s'), folder };
}

/**
 * What a job came to.
 * @param {import('credential-rotation').Job} job
 */
const resultOf = (job) => /** @type {Record<string, unknown>} */ (job.result);

/** @param {Promise<unknown>} work */
const code = (work) => work.then(() => undefined, (error) => error.code);

test('an answer that was cut is said to be', async (context) => {
  const cut = { text: 'It ends in the mid', finish_reason: 'max_tokens' };
  const { talk } = await place(context, [cut]);
  const reply = await talk.send('hello');
  assert.deepEqual([reply.truncated, reply.finishReason], [true, 'max_tokens']);
});

test('a turn that nobody reads holds up others for a time only', async (context) => {
  const { sessions, wrapper } = await place(context, [{ text: 'a b', piece_ms: 5 }]);
  const talk = new Conversations(sessions, wrapper, { maxWaiting: 1, waitMs: 20 }).open('s');
  const unread = talk.sendStream('unread');
  await unread.next();
  const one = talk.sendStream('one');
  const two = talk.send('two');
  // Both are heard at once: one that fails unheard fails the test.
  const codes = await Promise.all([code(one.reply()), code(two)]);
  assert.deepEqual(codes, ['session_busy', 'session_busy']);
  unread.close();
});

test('a session has a name among jobs', () => {
  assert.equal(sessionName('s'), 'default/s');
  assert.equal(sessionName({ owner: 'a/%', id: 'b/c' }), 'a%2F%25/b/c');
  assert.throws(() => sessionName(''), { code: 'invalid_session' });
});

test('it is trained and writes what it learned', async (context) => {
  const { talk, sessions } = await place(context, [{ text: 'answer {hit}' }]);
  const trained = await talk.train({ title: 'On bread', text: STYLE });
  assert.deepEqual([trained.text, trained.session.training], ['answer 1', [0, 1]]);
  const written = await talk.generate(BRIEF);
  assert.deepEqual([written.text, written.model, written.repeated], ['answer 2', 'sim-1', false]);
  assert.equal(written.trail[0]?.credential, 'a');
  assert.ok((written.usage?.inputTokens ?? 0) > 0);
  let text = '';
  for await (const piece of talk.sendStream('Shorter').text()) {
    text += piece;
  }
  assert.equal(text, 'answer 3');
  const session = await sessions.get('s');
  assert.deepEqual([session.turns, 'credential' in session], [3, false]);
});

test('it learns from files that are open, as it comes and as far as is wanted', async (context) => {
  const { talk, sessions } = await place(context, [{ text: 'answer {hit}' }]);
  const content = new Blob(['# On salt\n\nSalt is older.']).stream();
  const stream = await talk.trainDocumentStream({ body: content, name: 'salt.md' }, { maxPages: 1 });
  assert.equal((await stream.reply()).text, 'answer 1');
  const [asked] = await sessions.last('s', 2);
  assert.match(String(asked?.message.content), /On salt[^]*Salt is older/);
  const over = (async function* () {
    for (let part = 0; ; part += 1) yield new Uint8Array(1 << 20);
  })();
  assert.equal(await code(talk.train(over)), 'document_too_large');
  assert.equal(await code(talk.train(new Blob(['a']).stream(), { maxPages: 0 })), 'document_limit');
});

test('what cannot be asked is refused before any call', async (context) => {
  const { endpoint, sessions, talks, talk, wrapper } = await place(context, [{}]);
  await sessions.create({ id: 'odd', settings: { templates: { training: '{nothing}' } } });
  const small = new Conversations(sessions, wrapper, { window: { tokenBudget: 1 } });
  const codes = await Promise.all([
    code(talk.generate(BRIEF)),
    code(talk.train({ text: '  ' })),
    code(talk.send('')),
    code(talk.generate({ ...BRIEF, words: 0 })),
    code(talk.generate({ ...BRIEF, topic: ' ' })),
    code(talks.open({ id: 's', owner: 'bob' }).send('hello')),
    code(talks.open('odd').train({ text: STYLE })),
    code(small.open('s').send('more than one token')),
  ]);
  assert.deepEqual(codes, [
    'not_trained',
    'empty_document',
    'empty_prompt',
    'invalid_conversation',
    'template_field',
    'unknown_session',
    'template_field',
    'window_too_small',
  ]);
  assert.throws(() => new Conversations(sessions, wrapper, { language: 'xx' }), { code: 'invalid_conversation' });
  assert.equal(endpoint.hits('sk-secret-a'), 0);
});

test('a turn that fails or is stopped leaves no trace', async (context) => {
  const { sessions, talk } = await place(context, [
    { text: 'one' },
    { fault: 'truncated', after: 1 },
    { text: '', tool_calls: [{ name: 'look' }] },
    { text: 'a b c d e f', piece_ms: 50 },
    { text: 'a b c d e f', piece_ms: 50 },
    { text: 'two' },
  ]);
  await talk.send('first');
  assert.equal(await code(talk.send('cut')), 'stream_interrupted');
  assert.equal(await code(talk.send('silent')), 'no_answer');
  for await (const piece of talk.sendStream('left')) {
    assert.equal(piece.type, 'text');
    break;
  }
  const stop = new AbortController();
  const aborted = talk.sendStream('aborted', { signal: stop.signal });
  await aborted.next();
  const rest = aborted.reply();
  stop.abort(new Error('enough'));
  await assert.rejects(rest, /enough/);
  await talk.send('second');
  const texts = (await sessions.last('s', 99)).map((entry) => entry.message.content);
  assert.deepEqual(texts, ['first', 'one', 'second', 'two']);
});

test('a job takes its turn once', async (context) => {
  const { endpoint, talk } = await place(context, [{ text: 'answer {hit}' }]);
  const first = await talk.fenced({ job: 'j', epoch: 1 }).send('hello');
  const again = await talk.fenced({ job: 'j', epoch: 2 }).send('hello');
  assert.deepEqual([again.text, again.repeated, endpoint.hits('sk-secret-a')], [first.text, true, 1]);
});

test('training and generation are jobs', async (context) => {
  const { folder, sessions, talks } = await place(context, [{ text: 'answer {hit}' }]);
  const jobs = await JobManager.connect(`sqlite:${join(folder, 'jobs.db')}`);
  context.after(() => jobs.close());
  const notes = join(folder, 'notes.md');
  writeFileSync(notes, '# Salt\n\nSalt is older than bread.');
  const trained = await talks.submitTraining(jobs, 's', { title: 'On bread', text: STYLE });
  const byFile = await talks.submitTraining(jobs, 's', notes, { job: { maxAttempts: 2 } });
  const written = await talks.submitGeneration(jobs, 's', BRIEF, { job: { id: 'g' } });
  assert.equal(stage('generation', (await jobs.find(written)).state), 'pending');
  const worker = new Worker(jobs, { queues: ['conversations:2'], conversations: talks });
  const running = worker.run();
  try {
    const done = await jobs.wait(written, { timeoutMs: 30_000 });
    assert.deepEqual([done.state, resultOf(done)['text'], resultOf(done)['topic']], ['completed', 'answer 3', 'ovens']);
  } finally {
    worker.stop();
    await running;
  }
  assert.equal(resultOf(await jobs.find(trained))['title'], 'On bread');
  assert.equal(resultOf(await jobs.find(byFile))['title'], 'Salt');
  assert.equal(stage('training', 'running'), 'training');
  assert.equal((await sessions.get('s')).turns, 3);
});

test('it learns and writes although its workers are killed', async (context) => {
  const slow = { pieces: Array(400).fill('word '), piece_ms: 50 };
  const steps = [slow, { text: 'I know this voice' }, slow, { text: 'at last' }];
  const { endpoint, folder, sessions, talks } = await place(context, steps);
  const jobs = await JobManager.connect(`sqlite:${join(folder, 'jobs.db')}`);
  context.after(() => jobs.close());
  const begin = () => {
    const worker = spawn(process.execPath, [CREW, folder, endpoint.url], { stdio: 'inherit' });
    context.after(() => worker.kill('SIGKILL'));
    return worker;
  };
  /** @param {string} job */
  const speaking = async (job) => {
    const giveUp = Date.now() + 30_000;
    while (!(await jobs.find(job)).progress?.message.includes('words written')) {
      assert.ok(Date.now() < giveUp, 'the model does not speak');
      await setTimeout(20);
    }
  };
  const first = begin();
  const trained = await talks.submitTraining(jobs, 's', SAMPLE);
  await speaking(trained);
  first.kill('SIGKILL');
  await once(first, 'exit');
  assert.equal((await sessions.get('s')).turns, 0);
  const second = begin();
  const learned = await jobs.wait(trained, { timeoutMs: 30_000 });
  assert.deepEqual([resultOf(learned)['text'], learned.attempt], ['I know this voice', 1]);
  const written = await talks.submitGeneration(jobs, 's', BRIEF);
  await speaking(written);
  second.kill('SIGKILL');
  await once(second, 'exit');
  assert.equal((await sessions.get('s')).turns, 1);
  begin();
  const done = await jobs.wait(written, { timeoutMs: 30_000 });
  assert.equal(resultOf(done)['text'], 'at last');
  assert.equal((await sessions.get('s')).turns, 2);
  assert.equal(endpoint.hits('sk-secret-a'), 4);
});

test('no more of a document is read than shows that it is too large', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'documents-'));
  context.after(() => { rmSync(folder, { recursive: true }); });
  const large = join(folder, 'large.pdf');
  writeFileSync(large, '%PDF-1.7');
  truncateSync(large, 2 ** 30);
  assert.equal(await code(readDocument(large)), 'document_too_large');
  await assert.rejects(readDocument(folder), /no regular file/);
});

test('documents are read, and refused by what they are', async () => {
  const notes = await readDocument({ body: Buffer.from('# Salt\n\nOld.'), name: 'n.md' });
  assert.deepEqual([notes.kind, notes.title, notes.text], ['markdown', 'Salt', '# Salt\n\nOld.']);
  const codes = await Promise.all([
    code(readDocument(Buffer.from(''))),
    code(readDocument({ body: Buffer.from('PK\x03\x04'), name: 'a.pdf' })),
    code(readDocument(Buffer.from('%PDF-1.7 nothing'))),
  ]);
  assert.deepEqual(codes, ['document_empty', 'document_not_supported', 'document_damaged']);
});

/** `credential-rotation worker --app`: the handlers of a module, in a process of their own. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { JobManager } from 'credential-rotation';

import { freePort, redis } from '../test-support/redis.mjs';

const bin = fileURLToPath(new URL('../bin/credential-rotation.js', import.meta.url));
const apps = fileURLToPath(new URL('../test-support/apps', import.meta.url));

/**
 * The program with the words that follow `worker`, in the folder of the modules.
 * @param {import('node:test').TestContext} context
 * @param {string[]} words
 */
function worker(context, words, env = process.env) {
  const child = spawn(process.execPath, [bin, 'worker', ...words], {
    cwd: apps,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  context.after(() => child.kill('SIGKILL'));
  const said = { out: '', err: '' };
  child.stdout.on('data', (text) => (said.out += text));
  child.stderr.on('data', (text) => (said.err += text));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    /** Its next line. */
    line: async () => (await lines.next()).value,
    /** @param {NodeJS.Signals} signal */
    kill: (signal) => child.kill(signal),
    /** @param {RegExp} words */
    complains: async (words) => {
      while (!words.test(said.err)) {
        await once(child.stderr, 'data');
      }
    },
    /** What it said, and its exit code. */
    end: async () => {
      if (child.exitCode === null) {
        await once(child, 'close');
      }
      return { ...said, code: child.exitCode };
    },
  };
}

/** @param {import('node:test').TestContext} context */
function file(context) {
  const folder = mkdtempSync(join(tmpdir(), 'credential-rotation-'));
  context.after(() => { rmSync(folder, { recursive: true }); });
  return `sqlite:${join(folder, 'jobs.db')}`;
}

/** @type {[name: string, url: (context: import('node:test').TestContext) => string | Promise<string>][]} */
const backends = [['SQLite', file], ['Redis', (context) => redis(context)]];
for (const [name, place] of backends) {
  describe(`over ${name}`, () => {
    test('a module does jobs until a signal, and what it did is told', async (t) => {
      const url = await place(t);
      const jobs = await JobManager.connect(url);
      await jobs.enqueueMany([
        { queue: 'q', id: 'a', kind: 'shout', payload: 'ciao' },
        { queue: 'q', id: 'b', kind: 'fails' },
        { queue: 'q', id: 'c', kind: 'nobody' },
      ]);
      const env = { ...process.env, CREDENTIAL_ROTATION_URL: url };
      const program = worker(t, ['--queues', 'q:2', '--app', './tasks.mjs', '--id', 'w', '--json'], env);
      const ended = await Promise.all(['a', 'b', 'c'].map((id) => jobs.wait(id, { timeoutMs: 20_000 })));
      assert.deepEqual(ended.map((job) => job.state), ['completed', 'failed', 'failed']);
      assert.deepEqual([ended[0]?.result, ended[0]?.worker], ['CIAO', 'w']);
      assert.deepEqual([ended[1]?.error?.message, ended[2]?.error?.kind], ['for good', 'unknown_kind']);
      program.kill('SIGTERM');
      const { out, code } = await program.end();
      const { success, report } = JSON.parse(out);
      assert.deepEqual([success, report.completed, report.failed, code], [true, 1, 2, 0]);
      await jobs.close();
    });

    test('Ctrl-C lets what runs end, and says so', async (t) => {
      const url = await place(t);
      const jobs = await JobManager.connect(url);
      await jobs.enqueueMany([
        { queue: 'q', id: 'one', kind: 'slow', payload: 400 },
        { queue: 'q', id: 'two', kind: 'slow', payload: 0 },
      ]);
      const program = worker(t, ['--url', url, '--queues', 'q:1', '--app', 'tasks.mjs:tasks']);
      assert.equal(await program.line(), 'began one');
      program.kill('SIGINT');
      assert.deepEqual(await program.end(), {
        out: 'began one\nstopped: 1 completed, 0 failed, 0 given back\n',
        err: 'stopping: waiting for the jobs that run; once more gives them back now\n',
        code: 0,
      });
      assert.equal((await jobs.find('one')).result, 'done');
      assert.equal((await jobs.find('two')).state, 'waiting');
      await jobs.close();
    });

    test('a second Ctrl-C gives back what runs, though its handler does not listen', async (t) => {
      const url = await place(t);
      const jobs = await JobManager.connect(url);
      await jobs.enqueue({ queue: 'q', id: 'one', kind: 'deaf' });
      const program = worker(t, ['--url', url, '--queues', 'q:1', '--app', 'tasks.mjs']);
      assert.equal(await program.line(), 'began one');
      program.kill('SIGINT');
      await program.complains(/waiting for the jobs that run/);
      program.kill('SIGINT');
      const { out, err, code } = await program.end();
      assert.match(err, /\nstopping: giving back the jobs that run\n/);
      assert.deepEqual([out, code], ['began one\nstopped: 0 completed, 0 failed, 1 given back\n', 0]);
      const job = await jobs.find('one');
      assert.deepEqual([job.state, job.attempt, job.stalls], ['waiting', 0, 0]);
      await jobs.close();
    });
  });
}

test('of a CommonJS module with several handlers one is named', async (t) => {
  const url = file(t);
  const jobs = await JobManager.connect(url);
  const { id } = await jobs.enqueue({ queue: 'q' });
  const program = worker(t, ['--url', url, '--queues', 'q', '--app', './two.cjs:second']);
  assert.equal((await jobs.wait(id, { timeoutMs: 20_000 })).result, 'second');
  program.kill('SIGTERM');
  assert.equal((await program.end()).code, 0);
  await jobs.close();
});

test('what is wrong with the words, the module or the place is told by its exit code', async (t) => {
  const [url, port] = [file(t), await freePort()];
  const [where, what] = [['--url', url], ['--queues', 'q']];
  for (const [words, complaint, code] of /** @type {[string[], RegExp, number][]} */ ([
    [[...where, ...what, '--app', './nowhere.mjs'], /Cannot find module .*nowhere/, 4],
    [[...where, ...what, '--app', './two.cjs'], /it exports 2 `Handlers`/, 4],
    [[...where, ...what, '--app', './tasks.mjs:other'], /it exports 0 `Handlers`/, 4],
    [[...where, ...what, '--app', './broken.mjs'], /RangeError: not today\n.*broken\.mjs/, 4],
    [[...where, '--queues', 'q:0', '--app', './tasks.mjs'], /concurrency/, 4],
    [[...what, '--app', './tasks.mjs'], /CREDENTIAL_ROTATION_URL/, 4],
    [['--url', `redis://127.0.0.1:${port}`, ...what, '--app', './tasks.mjs'], /check that it runs/, 5],
    [[...where, '--app', './tasks.mjs'], /--queues/, 2],
    [[...where, ...what, '--app', './tasks.mjs', '--lease', 'long'], /--lease long: give seconds/, 2],
    [[...where, ...what, '--app', './tasks.mjs', '--nonsense'], /--nonsense/, 2],
  ])) {
    const said = await worker(t, words).end();
    assert.match(said.err, complaint);
    assert.deepEqual([said.out, said.code], ['', code], said.err);
  }
});

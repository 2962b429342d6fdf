/** `credential-rotation worker --app`: the handlers of a module, in a process of their own. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
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
    /**
     * Its next line with these words.
     * @param {string} words
     */
    line: async (words) => {
      let { value = words } = await lines.next();
      while (!value.includes(words)) {
        ({ value = words } = await lines.next());
      }
      return value;
    },
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
      const told = out.trimEnd().split('\n').map((line) => JSON.parse(line));
      const { success, report } = told.pop();
      assert.deepEqual([success, report.completed, report.failed, code], [true, 1, 2, 0]);
      const outcomes = told.map(({ id, outcome }) => `${id} ${outcome}`).sort();
      assert.deepEqual(outcomes, ['a completed', 'b failed', 'c failed']);
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
      assert.equal(await program.line('began'), 'began one');
      program.kill('SIGINT');
      const { out, err, code } = await program.end();
      assert.match(out, /^worker .*\nbegan one\nq one \d+ ms done\nstopped: 1 completed, 0 failed, 0 given back\n$/);
      assert.equal(err, 'stopping: waiting for the jobs that run; once more gives them back now\n');
      assert.equal(code, 0);
      assert.equal((await jobs.find('one')).result, 'done');
      assert.equal((await jobs.find('two')).state, 'waiting');
      await jobs.close();
    });

    test('a second Ctrl-C gives back what runs, though its handler does not listen', async (t) => {
      const url = await place(t);
      const jobs = await JobManager.connect(url);
      await jobs.enqueue({ queue: 'q', id: 'one', kind: 'deaf' });
      const program = worker(t, ['--url', url, '--queues', 'q:1', '--app', 'tasks.mjs']);
      assert.equal(await program.line('began'), 'began one');
      program.kill('SIGINT');
      await program.complains(/waiting for the jobs that run/);
      program.kill('SIGINT');
      const { out, err, code } = await program.end();
      assert.match(err, /\ngiving back the jobs that run\n/);
      assert.match(out, / given back\nstopped: 0 completed, 0 failed, 1 given back\n$/);
      assert.equal(code, 0);
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

test('signals that the module hears, too, stop its worker', async (t) => {
  const url = file(t);
  const jobs = await JobManager.connect(url);
  const { id } = await jobs.enqueue({ queue: 'q', kind: 'listens' });
  const program = worker(t, ['--url', url, '--queues', 'q', '--app', './tasks.mjs']);
  await jobs.wait(id, { timeoutMs: 20_000 });
  program.kill('SIGTERM');
  const { out, code } = await program.end();
  assert.match(out, /\nstopped: 1 completed, 0 failed, 0 given back\n/);
  assert.equal(code, 0);
  await jobs.close();
});

test('a signal that comes as it starts stops it', async (t) => {
  const words = ['--url', file(t), '--queues', 'q', '--app', './early.mjs'];
  const { err, code } = await worker(t, words).end();
  // Before it has reached its jobs, or after.
  assert.ok(code === 143 || code === 0, `${String(code)} ${err}`);
});

test('what is shown waits for a reader that is slow, beside what handlers print', async (t) => {
  const url = file(t);
  const jobs = await JobManager.connect(url);
  // More than a pipe holds, while nobody reads.
  const ids = Array.from({ length: 1_500 }, (_, nth) => `${'long'.repeat(40)}-${String(nth)}`);
  await jobs.enqueueMany(ids.map((id) => ({ queue: 'q', id, kind: 'prints', payload: 'x' })));
  const words = ['--url', url, '--queues', 'q:64', '--app', './tasks.mjs'];
  const child = spawn(process.execPath, [bin, 'worker', ...words], {
    cwd: apps,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const full = async () => (await jobs.counts()).some(({ running, completed }) => completed > 100 && running > 0);
  const end = Date.now() + 60_000;
  while (!(await full())) {
    assert.ok(Date.now() < end, 'it does not begin');
    await new Promise((resolve) => setImmediate(resolve));
  }
  let out = '';
  child.stdout.on('data', (text) => {
    out += text;
  });
  await jobs.wait(/** @type {string} */ (ids.at(-1)), { timeoutMs: 60_000 });
  child.kill('SIGTERM');
  const [code] = await once(child, 'close');
  const done = out.split('\n').filter((line) => line.endsWith(' ms done'));
  assert.equal(done.length, 1_500);
  assert.match(out, /\nstopped: 1500 completed, 0 failed, 0 given back\n$/);
  assert.equal(code, 0);
  await jobs.close();
});

const script = spawnSync('script', ['--version'], { encoding: 'utf8' });
const terminal = script.status === 0 && /util-linux/.test(script.stdout);

test('on a terminal it shows what runs below what ended', { skip: !terminal && 'there is no `script` of util-linux' }, async (t) => {
  const url = file(t);
  const jobs = await JobManager.connect(url);
  await jobs.enqueue({ queue: 'q', id: 'one', kind: 'slow', payload: 400 });
  // In the place of the shell, which may else end of Ctrl-C by itself, as dash does.
  const command = `exec "${process.execPath}" "${bin}" worker --url "${url}" --queues q --app ./tasks.mjs`;
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    cwd: apps,
    env: { ...process.env, TERM: 'xterm', COLUMNS: '100' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let screen = '';
  child.stdout.on('data', (text) => {
    screen += text;
  });
  const end = Date.now() + 20_000;
  /** @param {string} words */
  const shows = async (words) => {
    while (!screen.includes(words)) {
      // It goes on turning whatever it shows.
      assert.ok(Date.now() < end, screen);
      await once(child.stdout, 'data');
    }
  };
  await shows('1 running  0 done  0 failed');
  await shows('0 running  1 done  0 failed');
  await shows('q one ');
  // Ctrl-C as it is typed.
  child.stdin.write('\x03');
  await shows('stopping: waiting for the jobs that run');
  await shows('stopped: 1 completed');
  const [code] = await once(child, 'close');
  assert.equal(code, 0);
  await jobs.close();
});

test('what is wrong with the module or the place is told, in JSON as well', async (t) => {
  const [url, port] = [file(t), await freePort()];
  const what = ['--queues', 'q', '--json'];
  for (const [app, complaint, trace] of /** @type {[string, string, RegExp | undefined][]} */ ([
    ['./nowhere.mjs', 'Cannot find module', undefined],
    ['./two.cjs', 'it has 2 `Handlers`: let it have one, or name one as MODULE:NAME', undefined],
    ['./tasks.mjs:other', 'it has 0 `Handlers`', undefined],
    ['./broken.mjs', 'RangeError: not today', /^RangeError: not today\n {4}at .*broken\.mjs/],
  ])) {
    const { out, err, code } = await worker(t, ['--url', url, ...what, '--app', app]).end();
    const lines = err.trimEnd().split('\n');
    const last = lines.pop() ?? '';
    assert.ok(last.startsWith(`error: invalid configuration in --app ${app}: ${complaint}`), err);
    assert.equal(lines.length > 0, trace !== undefined, err);
    assert.match(lines.join('\n'), trace ?? /^$/);
    const { success, error } = JSON.parse(out);
    assert.deepEqual([success, error.code, code], [false, 'invalid_config', 4]);
    assert.ok(error.message.includes(complaint), out);
  }
  const away = ['--url', `redis://127.0.0.1:${port}`, '--queues', 'q', '--app', './tasks.mjs'];
  const { out, err, code } = await worker(t, away).end();
  assert.match(err, /check that it runs/);
  assert.deepEqual([out, code], ['', 5]);
});

describe('what is said is what all programs say', () => {
  /** @typedef {{ name: string, words: string[], code: number, out: string[], err: string[] }} Case */
  const vectors = new URL('../../core/vectors/programs.json', import.meta.url);
  const { cases } = /** @type {{ cases: Case[] }} */ (JSON.parse(readFileSync(vectors, 'utf8')));
  for (const { name, words, ...expected } of cases) {
    test(name, (t) => {
      const folder = mkdtempSync(join(tmpdir(), 'credential-rotation-'));
      t.after(() => { rmSync(folder, { recursive: true }); });
      const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...words], {
        cwd: folder,
        env: { PATH: process.env['PATH'], HOME: folder, COLUMNS: '100' },
        stdio: ['ignore', 'pipe', 'pipe'],
        encoding: 'utf8',
      });
      /** @param {string} text */
      const lines = (text) => (text === '' ? [] : text.replace(/\n$/, '').split('\n'));
      assert.deepEqual({ code: status, out: lines(stdout), err: lines(stderr) }, expected);
    });
  }
});

/** Every public error, reached from here. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import * as api from 'credential-rotation';
import {
  AccountManager,
  CredentialPool,
  CredentialRotationError,
  ERROR_CODES,
  JobManager,
  Wrapper,
} from 'credential-rotation';

import { keys, play } from '../test-support/peers.mjs';
import { freePort, redis } from '../test-support/redis.mjs';

/** @typedef {import('node:test').TestContext} Context */

/**
 * @param {Context} context
 * @param {string} [name]
 * @param {string} [content]
 * @param {number} [mode]
 */
function place(context, name = 'file', content = '', mode = 0o600) {
  const folder = mkdtempSync(join(tmpdir(), 'credential-rotation-'));
  context.after(() => {
    rmSync(folder, { recursive: true });
  });
  const file = join(folder, name);
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}

/**
 * A folder, perhaps with one account.
 * @param {Context} context
 * @param {boolean} [account]
 */
function folder(context, account = false) {
  const qwenDir = mkdtempSync(join(tmpdir(), 'credential-rotation-'));
  context.after(() => {
    rmSync(qwenDir, { recursive: true });
  });
  if (account) {
    mkdirSync(join(qwenDir, 'accounts'), { mode: 0o700 });
    const tokens = JSON.stringify({ access_token: 'tok-secret-a', refresh_token: 'tok-secret-b' });
    writeFileSync(join(qwenDir, 'accounts', 'oauth_creds_1.json'), tokens, { mode: 0o600 });
  }
  return qwenDir;
}

/**
 * Another process that holds a lock until the test is over. Node has no file locks.
 * @param {Context} context
 * @param {string} file
 */
async function hold(context, file) {
  const program = 'import fcntl, sys; f = open(sys.argv[1], "a"); fcntl.flock(f, fcntl.LOCK_EX); print("held", flush=True); sys.stdin.read()';
  const holder = spawn('python3', ['-c', program, file], { stdio: ['pipe', 'pipe', 'inherit'] });
  context.after(() => {
    holder.stdin.end();
  });
  await once(holder.stdout, 'data');
}

/** @param {Promise<import('credential-rotation').Outcome>} call */
async function unwrapped(call) {
  return (await call).unwrap();
}

/**
 * How each is reached, and what its message names.
 * @type {Record<string, [(context: Context) => unknown, RegExp]>}
 */
const reached = {
  empty_prompt: [() => unwrapped(new Wrapper({ credentials: keys('a') }).call(' ')), /give it some text/],
  prompt_too_large: [
    () => unwrapped(new Wrapper({ credentials: keys('a'), promptLimit: 4 }).call('hello')),
    /5 bytes, the limit is 4/,
  ],
  no_credentials: [() => new Wrapper({ sources: [{ env: 'SURELY_NOT_SET' }] }), /SURELY_NOT_SET_API_KEY/],
  credential_file_unreadable: [() => new Wrapper({ sources: [{ file: '/no/such/file.toml' }] }), /\/no\/such\/file/],
  credential_file_corrupt: [
    (t) => new Wrapper({ sources: [{ file: place(t, 'keys.json', '{"credentials": 7') }] }),
    /keys\.json is corrupt/,
  ],
  credential_file_permissions: [
    (t) => new Wrapper({ sources: [{ file: place(t, 'keys.txt', 'sk-secret-a', 0o644) }] }),
    /mode 0644.*chmod 600/,
  ],
  invalid_account_index: [
    (t) => new AccountManager({ qwenDir: folder(t), totalAccounts: 3 }).switchTo(4),
    /index 4: accounts go from 1 to 3/,
  ],
  unknown_credential: [() => new Wrapper({ credentials: keys('a') }).pool.admit('z'), /`z`/],
  duplicate_credential: [() => new CredentialPool({ credentials: keys('aa') }), /`a` is there twice/],
  cli_not_found: [
    () => new Wrapper({ provider: 'qwen', program: '/no/such/program', credentials: keys('a') }),
    /\/no\/such\/program/,
  ],
  unknown_provider: [() => new Wrapper({ provider: 'nobody', credentials: keys('a') }), /`nobody`: use one of openai/],
  invalid_url: [() => new Wrapper({ baseUrl: 'ftp://example.org', credentials: keys('a') }), /ftp:\/\/example\.org/],
  invalid_config: [() => new Wrapper(/** @type {any} */ ({ maxRetrys: 3 })), /`max_retrys`/],
  all_cooling: [
    async (t) => {
      const { wrapper } = play(t, { a: [{ fault: 'rate_limited' }], b: [{ fault: 'rate_limited' }] });
      return unwrapped(wrapper.call('hello'));
    },
    /comes back at .*: a cooling \(rate_limited\), b cooling/,
  ],
  pool_saturated: [
    async (t) => {
      const credentials = [{ id: 'a', secret: 'sk-secret-a', concurrency: 1 }];
      const { wrapper } = play(t, { a: [{ fault: 'stall' }] }, { credentials, pool: { maxWaiting: 1 }, deadlineMs: 500 });
      const outcomes = await Promise.all(['1', '2', '3'].map((prompt) => wrapper.call(prompt)));
      throw outcomes.find(({ error }) => error?.code === 'pool_saturated')?.error;
    },
    /1 calls wait/,
  ],
  deadline_exceeded: [
    (t) => unwrapped(play(t, { a: [{ fault: 'stall' }] }, { deadlineMs: 40 }).wrapper.call('hello')),
    /no answer within 40 ms/,
  ],
  request_rejected: [(t) => unwrapped(play(t, { a: [{ fault: 'bad_request' }] }).wrapper.call('hello')), /bad_request/],
  attempts_exhausted: [
    (t) => unwrapped(play(t, { a: [{ fault: 'server_error' }] }, { maxRetries: 1 }).wrapper.call('hello')),
    /2 attempts failed/,
  ],
  retry_budget_exhausted: [
    (t) => unwrapped(play(t, { a: [{ fault: 'server_error' }] }, { retryBudget: 0 }).wrapper.call('hello')),
    /retries are suspended/,
  ],
  stream_interrupted: [
    async (t) => {
      const { wrapper } = play(t, { a: [{ pieces: ['a', 'b', 'c'], fault: 'reset', after: 1 }] });
      for await (const chunk of wrapper.stream('hello')) {
        void chunk;
      }
    },
    /broke after 1 bytes/,
  ],
  state_unavailable: [
    (t) => new CredentialPool({ credentials: keys('a'), store: join(place(t), 'state.db') }),
    /state\.db/,
  ],
  lock_timeout: [
    async (t) => {
      const qwenDir = folder(t, true);
      const manager = new AccountManager({ qwenDir, lockWaitMs: 30 });
      await hold(t, manager.lockFile);
      return manager.switchTo(1);
    },
    /another process holds .*rotation\.lock for over 30 ms/,
  ],
  closed: [
    () => {
      const wrapper = new Wrapper({ credentials: keys('a') });
      wrapper.close();
      return wrapper.run(() => 'never');
    },
    /is closed/,
  ],
  invalid_job: [
    async (t) => (await memory(t)).enqueue({ queue: '{q}' }),
    /`queue`: it has braces/,
  ],
  job_too_large: [
    async (t) => {
      const jobs = await memory(t);
      await jobs.setLimits('q', { maxPayload: 4 });
      return jobs.enqueue({ queue: 'q', payload: 'hello' });
    },
    /payload has 7 bytes, the limit is 4/,
  ],
  queue_full: [
    async (t) => {
      const jobs = await memory(t);
      await jobs.setLimits('q', { maxBytes: 4 });
      return jobs.enqueue({ queue: 'q', payload: 'hello' });
    },
    /`q` is full \(4 bytes/,
  ],
  unknown_job: [async (t) => (await memory(t)).find('j'), /no job `j`/],
  illegal_move: [
    async (t) => {
      const jobs = await memory(t);
      const { id } = await jobs.enqueue({ queue: 'q', id: 'j' });
      return jobs.retry(id);
    },
    /`j` is waiting/,
  ],
  wait_timeout: [
    async (t) => {
      const jobs = await memory(t);
      const { id } = await jobs.enqueue({ queue: 'q', id: 'j' });
      return jobs.wait(id, { timeoutMs: 10 });
    },
    /`j` did not end within 10 ms/,
  ],
  backend_unavailable: [
    async () => JobManager.connect(`redis://user:sk-secret-p@127.0.0.1:${await freePort()}`),
    /^cannot reach (?!.*secret).*127\.0\.0\.1/,
  ],
  backend_unsuitable: [
    async (t) => JobManager.connect(await redis(t, ['--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru'])),
    /noeviction/,
  ],
  manager_closed: [
    async (t) => {
      const jobs = await memory(t);
      await jobs.close();
      return jobs.counts();
    },
    /connect again/,
  ],
};

/** What only workers of one's own making meet, and what `sessions` and `conversation` reach. */
const beyond = [
  'unknown_queue',
  'stale_attempt',
  'invalid_session',
  'unknown_session',
  'session_taken',
  'stale_version',
  'session_too_large',
  'unknown_file',
  'invalid_import',
  'invalid_conversation',
  'not_trained',
  'empty_document',
  'template_field',
  'unknown_template',
  'window_too_small',
  'session_busy',
  'no_answer',
  'document_empty',
  'document_too_large',
  'document_not_supported',
  'document_encrypted',
  'document_no_text',
  'document_damaged',
  'document_limit',
  'document_unreadable',
  'document_busy',
  'document_cancelled',
];

/** @param {Context} context */
async function memory(context) {
  const jobs = await JobManager.connect('memory:');
  context.after(() => jobs.close());
  return jobs;
}

for (const [code, [provoke, message]] of Object.entries(reached)) {
  test(`${code} is reached, and its message names the thing`, async (t) => {
    await assert.rejects(
      async () => provoke(t),
      (error) => {
        assert.ok(error instanceof CredentialRotationError);
        assert.equal(error.code, code);
        assert.equal(error.name, className(code));
        assert.equal(error.constructor, /** @type {any} */ (api)[className(code)]);
        assert.match(error.message, message);
        assert.deepEqual(JSON.parse(JSON.stringify(error)).code, code);
        return true;
      },
    );
  });
}

test('every code of the core is reached here, and has its class', () => {
  assert.deepEqual([...Object.keys(reached), ...beyond].sort(), [...ERROR_CODES].sort());
  const classes = Object.keys(api).filter((name) => name.endsWith('Error') && name !== 'CredentialRotationError');
  assert.deepEqual(classes.sort(), ERROR_CODES.map(className).sort());
});

/** @param {string} code */
function className(code) {
  return `${code.replace(/(^|_)([a-z])/g, (_, _gap, letter) => letter.toUpperCase())}Error`;
}

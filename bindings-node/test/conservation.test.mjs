/** Workers are killed, and a server restarted, in the middle: what was taken in ends once. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { BackendUnavailableError, JobManager } from 'credential-rotation';

import { until } from '../test-support/peers.mjs';
import { redis, redisServer } from '../test-support/redis.mjs';

const COUNT = 600;
const PATIENCE_SECONDS = 90;
const BUSY = fileURLToPath(new URL('../test-support/programs/worker-busy.mjs', import.meta.url));

/**
 * A worker that goes on until it is killed.
 * @param {import('node:test').TestContext} context
 * @param {string} url
 */
async function busy(context, url) {
  const child = spawn(process.execPath, [BUSY, url], { stdio: ['ignore', 'pipe', 'inherit'] });
  context.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

/**
 * Numbers from 0 to 1 that come again with the same seed: mulberry32.
 * @param {number} seed
 */
function chances(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @type {[name: string, place: (context: import('node:test').TestContext) => Promise<{ url: string, restart: () => Promise<void> }>][]} */
const places = [
  ['SQLite', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'credential-rotation-'));
    t.after(() => { rmSync(folder, { recursive: true }); });
    return { url: `sqlite:${join(folder, 'jobs.db')}`, restart: async () => undefined };
  }],
  ['Redis', async (t) => {
    const server = await redisServer(t, ['--appendonly', 'yes', '--appendfsync', 'always']);
    const restart = async () => {
      await server.kill();
      assert.ok(await server.begin(), 'its port is still free');
    };
    return { url: server.url, restart };
  }],
];

for (const [name, place] of places) {
  test(`over ${name} every job that was taken in has one end`, async (t) => {
    const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 32));
    t.diagnostic(`SEED=${seed}`);
    const chance = chances(seed);
    const { url, restart } = await place(t);
    const jobs = await JobManager.connect(url);
    const begin = () => busy(t, url);
    const specs = Array.from({ length: COUNT }, (_, n) => ({ queue: 'q', payload: n, maxStalls: 50 }));
    const taken = await jobs.enqueueMany(specs);
    const ids = taken.map(({ id }) => id ?? '');
    const workers = [await begin(), await begin()];
    let completed = 0;
    const look = async () => {
      try {
        const found = await jobs.get(ids);
        completed = found.filter((job) => job?.state === 'completed').length;
      } catch (error) {
        // The server was just restarted.
        assert.ok(error instanceof BackendUnavailableError, String(error));
      }
    };
    const goTo = async (/** @type {number} */ count) => {
      const end = Date.now() + PATIENCE_SECONDS * 1_000;
      while (completed < count) {
        assert.ok(Date.now() < end, `${completed} of ${count} are done`);
        await look();
      }
    };
    for (const share of [0.2, 0.4, 0.6]) {
      await goTo(COUNT * (share + 0.1 * chance()));
      workers.splice(Math.floor(chance() * workers.length), 1)[0]?.kill('SIGKILL');
      await restart();
      workers.push(await begin());
    }
    await goTo(COUNT);
    const found = await jobs.get(ids);
    assert.deepEqual(found.map((job) => job?.result), specs.map(({ payload }) => payload));
    await jobs.close();
  });
}

test('every job that was taken in is told of once', async (t) => {
  const url = await redis(t);
  const jobs = await JobManager.connect(url);
  const begin = () => busy(t, url);
  const ends = new Map();
  const events = await jobs.events().opened();
  const follow = (async () => {
    for await (const { event, id } of events) {
      if (event === 'completed') {
        ends.set(id, (ends.get(id) ?? 0) + 1);
      }
    }
  })();
  const workers = [await begin(), await begin()];
  const specs = Array.from({ length: COUNT }, (_, n) => ({ queue: 'q', payload: n, maxStalls: 50 }));
  const taken = await jobs.enqueueMany(specs);
  for (const share of [0.2, 0.4, 0.6]) {
    await until(() => ends.size >= COUNT * share, 'jobs are done', PATIENCE_SECONDS);
    workers.shift()?.kill('SIGKILL');
    workers.push(await begin());
  }
  await until(() => ends.size === COUNT, 'all are done', PATIENCE_SECONDS);
  events.close();
  await follow;
  const found = await jobs.get(taken.map(({ id }) => id ?? ''));
  assert.deepEqual(found.map((job) => [job?.state, job?.result]), specs.map(({ payload }) => ['completed', payload]));
  assert.ok([...ends.values()].every((times) => times === 1));
  await jobs.close();
});

/** Jobs through every backend: taken in, looked up, ordered about and followed. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Job, JobManager } from 'credential-rotation';

import { program } from '../test-support/peers.mjs';
import { redis } from '../test-support/redis.mjs';

/** @type {[name: string, url: (context: { after(work: () => unknown): void }) => string | Promise<string>][]} */
const backends = [
  ['memory', () => 'memory:'],
  ['Redis', (context) => redis(context)],
];

for (const [name, url] of backends) {
  describe(`over ${name}`, () => {
    /** @type {JobManager} */
    let jobs;
    /** @type {(() => unknown)[]} */
    const ends = [];

    before(async () => {
      jobs = await JobManager.connect(await url({ after: (work) => ends.push(work) }));
    });
    after(async () => {
      await jobs.close();
      for (const end of ends) {
        await end();
      }
    });

    test('a job that was taken in is found with all it was asked for', async () => {
      const runAt = new Date(Date.now() + 3_600_000);
      const { id, added, duplicate } = await jobs.enqueue({
        queue: 'found',
        kind: 'mail',
        id: 'letter',
        payload: { userName: 'Zoë', snake_case: [1, null, '🦀'] },
        priority: 7,
        maxAttempts: 5,
        retry: { kind: 'list', delaysMs: [1, 2], jitter: 0.5 },
        runAt,
        tags: ['a', 'b'],
        group: 'g',
        session: 's',
        uniqueKey: 'u',
        timeoutMs: 1_000,
        resultTtlMs: 5_000,
      });
      assert.deepEqual([id, added, duplicate], ['letter', true, false]);
      const job = await jobs.find('letter');
      assert.ok(job instanceof Job);
      assert.equal(job.state, 'delayed');
      // Names within a payload are the user's.
      assert.deepEqual(job.payload, { userName: 'Zoë', snake_case: [1, null, '🦀'] });
      assert.deepEqual(
        [job.queue, job.kind, job.priority, job.maxAttempts, job.tags, job.group, job.session],
        ['found', 'mail', 7, 5, ['a', 'b'], 'g', 's'],
      );
      assert.deepEqual(
        [job.runAt, job.uniqueKey, job.timeoutMs, job.resultTtlMs, job.result, job.resultJson],
        [runAt.getTime(), 'u', 1_000, 5_000, null, null],
      );
      assert.equal(await jobs.get('nobody'), null);
      assert.deepEqual((await jobs.get(['nobody', 'letter'])).map((found) => found?.id), [undefined, 'letter']);
    });

    test('a payload that is given as text is kept to the letter', async () => {
      const payloadJson = '{"n": 9007199254740993, "b": 1e400, "a":"\\u00e9"}';
      const { id } = await jobs.enqueue({ queue: 'exact', payloadJson });
      assert.equal((await jobs.find(id)).payloadJson, payloadJson);
      for (const text of ['', '{', '1,"queue":"other"', '1}']) {
        await assert.rejects(jobs.enqueue({ queue: 'exact', payloadJson: text }), {
          name: 'InvalidJobError',
          code: 'invalid_job',
          message: /no JSON/,
        });
      }
    });

    test('a number that is none is refused, not left out', async () => {
      const never = new Date('never');
      for (const wrong of [{ runAt: never }, { deadline: NaN }, { delayMs: Infinity }, { delayMs: -1 }]) {
        await assert.rejects(jobs.enqueue({ queue: 'wrong', ...wrong }), { code: 'invalid_job' });
      }
      await assert.rejects(jobs.setLimits('wrong', { concurrency: NaN }), { code: 'invalid_job' });
      await assert.rejects(jobs.wait('nobody', { timeoutMs: NaN }), { code: 'invalid_job' });
      assert.equal((await jobs.counts()).find(({ queue }) => queue === 'wrong')?.waiting ?? 0, 0);
    });

    test('a payload may be as deep and as large as JSON allows', async () => {
      const payloadJson = '['.repeat(1_000) + ']'.repeat(1_000);
      const large = { text: 'é'.repeat(500_000) };
      const [deep, big] = await jobs.enqueueMany([{ queue: 'deep', payloadJson }, { queue: 'deep', payload: large }]);
      assert.equal((await jobs.find(deep?.id ?? '')).payloadJson, payloadJson);
      assert.deepEqual((await jobs.find(big?.id ?? '')).payload, large);
    });

    test('of a batch each job has its own answer', async () => {
      const answers = await jobs.enqueueMany([
        { queue: 'batch', id: 'first' },
        { queue: 'batch', id: 'first' },
        { queue: 'bat ch' },
        /** @type {any} */ ({ queue: 'batch', prioritty: 1 }),
        { queue: 'batch', payload: '\ud800' },
        { queue: 'batch', payload: 4 },
      ]);
      assert.deepEqual(
        answers.map(({ id, duplicate, error }) => error?.code ?? (duplicate ? `again ${id}` : 'added')),
        ['added', 'again first', 'invalid_job', 'invalid_job', 'added', 'added'],
      );
      assert.match(answers[3]?.error?.message ?? '', /prioritty/);
      assert.deepEqual(await jobs.enqueueMany([]), []);
    });

    test('a thousand jobs are taken in at once and listed by pages', async () => {
      const specs = Array.from({ length: 1_000 }, (_, n) => ({ queue: 'many', payload: { n } }));
      const answers = await jobs.enqueueMany(specs);
      assert.equal(new Set(answers.map(({ id }) => id)).size, 1_000);
      const seen = new Set();
      /** @type {string | null} */
      let after = null;
      do {
        const page = await jobs.list({ queue: 'many', state: 'waiting', limit: 300, after });
        page.jobs.forEach(({ id }) => seen.add(id));
        after = page.next;
      } while (after !== null);
      assert.equal(seen.size, 1_000);
      const counts = (await jobs.counts()).find(({ queue }) => queue === 'many');
      assert.deepEqual([counts?.waiting, counts?.running, counts?.paused], [1_000, 0, false]);
      assert.equal(typeof counts?.oldestMs, 'number');
    });

    test('jobs are cancelled, retried, purged and deleted', async () => {
      await jobs.enqueueMany([{ queue: 'order', id: 'x' }, { queue: 'order', id: 'y' }]);
      await assert.rejects(jobs.retry('x'), { name: 'IllegalMoveError', code: 'illegal_move' });
      assert.equal(await jobs.cancel('x'), 'cancelled');
      assert.deepEqual(await jobs.cancel(['y', 'nobody']), ['cancelled', null]);
      await jobs.retry('x');
      assert.equal((await jobs.find('x')).state, 'waiting');
      const [unknown, illegal] = await jobs.retry(['nobody', 'x']);
      assert.deepEqual([unknown?.code, illegal?.code], ['unknown_job', 'illegal_move']);
      assert.equal(await jobs.purge('order'), 1);
      assert.deepEqual(await jobs.delete(['x', 'y']), [true, false]);
      assert.equal(await jobs.delete('x'), false);
      await assert.rejects(jobs.find('x'), { name: 'UnknownJobError', code: 'unknown_job' });
      await assert.rejects(jobs.log('x'), { code: 'unknown_job' });
      assert.equal(typeof (await jobs.sweep()), 'number');
    });

    test('queues are paused and limited', async () => {
      await jobs.pause('slow');
      await jobs.enqueue({ queue: 'slow' });
      const paused = async () => (await jobs.counts()).find(({ queue }) => queue === 'slow')?.paused;
      assert.equal(await paused(), true);
      await jobs.resume('slow');
      assert.equal(await paused(), false);
      await jobs.setLimits('slow', { groupConcurrency: 2, rate: { jobs: 10, perMs: 1_000 }, maxPayload: 8 });
      const limits = await jobs.limits('slow');
      assert.deepEqual(
        [limits.groupConcurrency, limits.rate, limits.maxPayload, limits.concurrency, limits.maxBytes],
        [2, { jobs: 10, perMs: 1_000, burst: null }, 8, null, 2 ** 30],
      );
      await assert.rejects(jobs.enqueue({ queue: 'slow', payload: 'a long one' }), { code: 'job_too_large' });
      await assert.rejects(jobs.setLimits('slow', { concurrency: 0 }), { code: 'invalid_job' });
    });

    test('schedules are put, listed and deleted', async () => {
      const payloadJson = '{"id": 9007199254740993}';
      const job = { queue: 'night', payloadJson, retry: /** @type {const} */ ({ kind: 'fixed', delayMs: 5 }) };
      await jobs.putSchedule({ name: 'nightly', cron: '0 3 * * *', timeZone: 'Europe/Rome', job });
      const [schedule] = await jobs.schedules();
      assert.ok(schedule);
      assert.deepEqual([schedule.name, schedule.timeZone, schedule.misfire], ['nightly', 'Europe/Rome', 'once']);
      assert.equal(schedule.job.payloadJson, payloadJson);
      assert.deepEqual(schedule.job.retry, { kind: 'fixed', delayMs: 5, jitter: 0 });
      assert.ok(schedule.nextAt > Date.now());
      // What was read can be put again; names within its payload are the user's.
      await jobs.putSchedule(schedule);
      await jobs.putSchedule({ name: 'daily', cron: '@daily', job: { queue: 'night', payload: { userName: 1 } } });
      assert.deepEqual((await jobs.schedules()).map(({ name, job }) => [name, job.payload])[0], ['daily', { userName: 1 }]);
      assert.equal(await jobs.deleteSchedule('daily'), true);
      assert.equal((await jobs.schedules()).length, 1);
      assert.equal(await jobs.deleteSchedule('nightly'), true);
      assert.equal(await jobs.deleteSchedule('nightly'), false);
      await assert.rejects(jobs.putSchedule({ name: 'n', cron: 'never', job: { queue: 'q' } }), {
        code: 'invalid_job',
        message: /never/,
      });
    });

    test('events are followed, and break follows no more', async () => {
      const events = await jobs.events().opened();
      await jobs.enqueue({ queue: 'news', id: 'told' });
      await jobs.cancel('told');
      const seen = [];
      for await (const event of events) {
        if (event.queue === 'news' && event.id === 'told') {
          seen.push(event.event);
          assert.ok(Math.abs(event.at - Date.now()) < 60_000);
        }
        if (event.event === 'cancelled') {
          break;
        }
      }
      assert.deepEqual(seen, ['waiting', 'cancelled']);
      assert.deepEqual(await events.next(), { done: true, value: undefined });
    });

    test('aborting a signal ends events and waits with its reason', async () => {
      const controller = new AbortController();
      await jobs.enqueue({ queue: 'wait', id: 'long' });
      const events = jobs.events({ signal: controller.signal });
      const next = (async () => {
        for await (const event of events) {
          void event;
        }
      })();
      const wait = jobs.wait('long', { signal: controller.signal });
      controller.abort(new Error('enough'));
      await assert.rejects(next, /enough/);
      await assert.rejects(wait, /enough/);
      assert.equal((await jobs.find('long')).state, 'waiting');
    });

    test('a wait ends with the job, or when it is too long', async () => {
      await jobs.enqueue({ queue: 'wait', id: 'short' });
      await assert.rejects(jobs.wait('short', { timeoutMs: 20 }), { code: 'wait_timeout', details: { id: 'short', waitedMs: 20 } });
      const wait = jobs.wait('short', { timeoutMs: 10_000 });
      await jobs.cancel('short');
      assert.equal((await wait).state, 'cancelled');
      await assert.rejects(jobs.wait('nobody', { timeoutMs: 10_000 }), { code: 'unknown_job' });
    });

    test('what is counted is told', async () => {
      await jobs.enqueue({ queue: 'counted', payload: { text: 'ciao' } });
      const lines = (await jobs.metrics()).trim().split('\n');
      assert.ok(lines.includes('jobs_waiting{queue="counted"} 1'));
      assert.equal(lines.at(-1), '# EOF');
    });

    test('there are no workers yet', async () => {
      assert.deepEqual(await jobs.workers(), []);
    });
  });
}

test('closing ends events, and refuses what comes after', async () => {
  const jobs = await JobManager.connect('memory:');
  assert.equal(jobs.backend, 'memory:');
  const events = await jobs.events().opened();
  const next = events.next();
  await jobs.close();
  assert.deepEqual(await next, { done: true, value: undefined });
  await assert.rejects(jobs.enqueue({ queue: 'q' }), { name: 'ManagerClosedError', code: 'manager_closed' });
  await jobs.close();
});

test('a manager is made by connect alone', () => {
  assert.throws(() => new /** @type {any} */ (JobManager)(), { message: /await JobManager\.connect/ });
});

test('a process with jobs but nothing to do exits', async (t) => {
  for (const url of ['memory:', await redis(t)]) {
    const { stdout, stderr } = await program('jobs-idle.mjs', [url]);
    assert.equal(stdout, 'waiting\n');
    assert.equal(stderr, '');
  }
});

/** What users test their handlers with: a clock set by hand, and draining. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Handlers, Snooze } from 'credential-rotation';
import { drainUntilIdle, ManualClock } from 'credential-rotation/testing';

test('time passes when it is told to', async () => {
  const clock = new ManualClock(1_000_000);
  const jobs = clock.jobs();
  /** @type {[string, number][]} */
  const done = [];
  const handlers = new Handlers().handler('mail', (job, { attempt }) => {
    done.push([job.id, clock.now]);
    if (attempt === 1) {
      throw new Error('not yet');
    }
    return 'sent';
  });
  await jobs.enqueue({ queue: 'q', kind: 'mail', id: 'now', retry: { kind: 'fixed', delayMs: 5_000, jitter: 0 } });
  await jobs.enqueue({ queue: 'q', kind: 'mail', id: 'later', delayMs: 60_000, maxAttempts: 1 });
  assert.equal(await drainUntilIdle(jobs, handlers), 1);
  assert.equal((await jobs.find('now')).state, 'delayed');
  assert.equal(await drainUntilIdle(jobs, handlers), 0);
  clock.advance(5_000);
  assert.equal(await drainUntilIdle(jobs, handlers), 1);
  assert.equal((await jobs.find('now')).result, 'sent');
  clock.set(new Date(1_060_000));
  clock.set(0);
  assert.deepEqual([clock.now, await drainUntilIdle(jobs, handlers)], [1_060_000, 1]);
  assert.equal((await jobs.find('later')).state, 'failed');
  assert.deepEqual(done, [['now', 1_000_000], ['now', 1_005_000], ['later', 1_060_000]]);
  await jobs.close();
});

test('what a handler adds is done too', async () => {
  const jobs = new ManualClock().jobs();
  const handlers = new Handlers()
    .handler('parent', async () => { await jobs.enqueue({ queue: 'other', kind: 'child' }); })
    .defaultHandler((job) => {
      if (job.payload === 'later') {
        throw new Snooze(30_000);
      }
    });
  await jobs.enqueue({ queue: 'q', kind: 'parent' });
  await jobs.enqueue({ queue: 'q', payload: 'later', id: 'later' });
  assert.equal(await drainUntilIdle(jobs, handlers), 3);
  assert.equal((await jobs.find('later')).state, 'delayed');
  await jobs.close();
});

test('a clock begins in 2026 and refuses what is no time', async () => {
  assert.equal(new ManualClock().now, Date.UTC(2026, 0, 1));
  assert.throws(() => new ManualClock(-1), RangeError);
  assert.throws(() => { new ManualClock().advance(0.5); }, RangeError);
  const none = /** @type {Handlers} */ (/** @type {unknown} */ ({}));
  await assert.rejects(drainUntilIdle(new ManualClock().jobs(), none), TypeError);
});

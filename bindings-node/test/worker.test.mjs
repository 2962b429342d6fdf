/** Workers: what their handlers get, what they give, and what happens to them. */
import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';

import { Cancelled, JobManager, JsonText, Snooze, Unrecoverable, Worker } from 'credential-rotation';

import { MachineWatch } from '../test-support/machine-watch.mjs';
import { program, until } from '../test-support/peers.mjs';
import { redis } from '../test-support/redis.mjs';

/**
 * A worker that runs until the test is over.
 * @param {import('node:test').TestContext} context
 * @param {Worker} worker
 */
function start(context, worker) {
  const done = worker.run();
  context.after(async () => {
    worker.stop();
    await done;
  });
  return done;
}

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

    /** @param {string} id */
    const ended = (id) => jobs.wait(id, { timeoutMs: 20_000 });

    test('a webhook is told of an end', async (t) => {
      /** @type {{ headers: import('node:http').IncomingHttpHeaders, body: string }[]} */
      const told = [];
      const server = createServer((request, response) => {
        const pieces = /** @type {Buffer[]} */ ([]);
        request.on('data', (piece) => pieces.push(piece));
        request.on('end', () => {
          told.push({ headers: request.headers, body: Buffer.concat(pieces).toString() });
          response.writeHead(204).end();
        });
      });
      await new Promise((done) => server.listen(0, '127.0.0.1', () => { done(null); }));
      t.after(() => server.close());
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      const key = Buffer.alloc(32, 7);
      const webhooks = { secret: `whsec_${key.toString('base64')}`, allowPrivate: true };
      const worker = new Worker(jobs, { queues: ['hooked:1'], webhooks });
      worker.defaultHandler((job) => [job.kind]);
      start(t, worker);
      const { id } = await jobs.enqueue({ queue: 'hooked', webhook: `http://127.0.0.1:${port}/a` });
      await ended(id);
      assert.equal((await ended(`webhook:${id}`)).state, 'completed');
      assert.equal(told.length, 1);
      const [{ headers, body }] = /** @type {[typeof told[0]]} */ (told);
      assert.equal(headers['webhook-id'], id);
      assert.deepEqual(JSON.parse(body).data.result, ['hooked']);
      const signed = `${id}.${headers['webhook-timestamp']}.${body}`;
      const signature = createHmac('sha256', key).update(signed).digest('base64');
      assert.equal(headers['webhook-signature'], `v1,${signature}`);
    });

    test('a handler gets its job and gives its result', async (t) => {
      const worker = new Worker(jobs, { queues: ['letters:2'], id: `scribe-${name}` });
      worker.handler('shout', async (job, context) => {
        context.progress(50, 'half');
        context.log(`attempt ${context.attempt} of ${context.maxAttempts}`);
        const { text } = /** @type {{ text: string }} */ (job.payload);
        return { shouted: text.toUpperCase(), session: job.session, kind: job.kind, snake_case: null };
      });
      start(t, worker);
      const { id } = await jobs.enqueue({ queue: 'letters', kind: 'shout', payload: { text: 'zoë 🦀' }, session: 's' });
      const job = await ended(id);
      assert.equal(job.state, 'completed');
      assert.deepEqual(job.result, { shouted: 'ZOË 🦀', session: 's', kind: 'shout', snake_case: null });
      assert.deepEqual([job.progress, job.worker], [{ percent: 50, message: 'half' }, `scribe-${name}`]);
      assert.deepEqual((await jobs.log(id)).map(({ text }) => text), ['attempt 1 of 3']);
      const [presence] = await jobs.workers();
      assert.deepEqual([presence?.worker, presence?.pid, presence?.queues], [`scribe-${name}`, process.pid, ['letters:2']]);
    });

    test('what a handler throws decides what follows', async (t) => {
      const worker = new Worker(jobs, { queues: ['ends:4'] });
      let snoozed = 0;
      worker
        .handler('flaky', (_job, { attempt }) => {
          if (attempt === 1) {
            throw new RangeError('not yet \ud800');
          }
          return attempt;
        })
        .handler('hopeless', async () => {
          throw new Unrecoverable('never', { cause: new TypeError('why') });
        })
        .handler('later', (_job, { attempt }) => {
          snoozed += 1;
          if (snoozed === 1) {
            throw new Snooze(5);
          }
          return attempt;
        })
        .handler('hostile', () => {
          throw { toString: null };
        })
        .handler('bigint', () => 1n)
        .handler('nothing', () => undefined)
        .handler('exact', () => new JsonText('{"n": 9007199254740993}'))
        .handler('deep', () => new JsonText('['.repeat(1_000) + ']'.repeat(1_000)))
        .handler('echo', (job) => new JsonText(job.payloadJson));
      start(t, worker);
      const once = { queue: 'ends', maxAttempts: 1 };
      const rest = /** @type {const} */ ({ kind: 'fixed', delayMs: 1 });
      await jobs.enqueueMany([
        { queue: 'ends', kind: 'flaky', id: 'flaky', retry: rest },
        { queue: 'ends', kind: 'hopeless', id: 'hopeless' },
        { ...once, kind: 'later', id: 'later' },
        { ...once, kind: 'flaky', id: 'once' },
        { ...once, kind: 'hostile', id: 'hostile' },
        { ...once, kind: 'bigint', id: 'bigint' },
        { ...once, kind: 'nothing', id: 'nothing' },
        { ...once, kind: 'exact', id: 'exact' },
        { ...once, kind: 'echo', id: 'echo', payloadJson: '[18446744073709551617, "\\u00e9"]' },
        { ...once, kind: 'deep', id: 'deep' },
        { ...once, kind: 'nobody', id: 'unknown' },
      ]);
      const flaky = await ended('flaky');
      assert.deepEqual([flaky.state, flaky.result, flaky.attempt], ['completed', 2, 2]);
      const hopeless = await ended('hopeless');
      assert.deepEqual([hopeless.state, hopeless.attempt, hopeless.error?.kind], ['failed', 1, 'TypeError']);
      const later = await ended('later');
      assert.deepEqual([later.state, later.result], ['completed', 1]);
      const failed = await ended('once');
      assert.deepEqual([failed.state, failed.error?.kind, failed.error?.message], ['failed', 'RangeError', 'not yet \ufffd']);
      assert.match(failed.error?.trace ?? '', /worker\.test\.mjs/);
      assert.equal((await ended('hostile')).error?.kind, 'error');
      assert.equal((await ended('bigint')).error?.kind, 'TypeError');
      assert.equal((await ended('nothing')).resultJson, 'null');
      assert.equal((await ended('exact')).resultJson, '{"n": 9007199254740993}');
      assert.equal((await ended('deep')).resultJson?.length, 2_000);
      assert.equal((await ended('echo')).resultJson, '[18446744073709551617, "\\u00e9"]');
      assert.equal((await ended('unknown')).error?.kind, 'unknown_kind');
    });

    test('an end that cannot be recorded is the failure of its own job', async (t) => {
      class Torn extends JsonText {
        /** @override */
        get text() {
          return '{"torn":';
        }
      }
      class Bent extends Snooze {
        /** @override */
        afterMs = /** @type {any} */ ('5000');
      }
      const worker = new Worker(jobs, { queues: ['torn:8'] });
      worker
        .handler('torn', () => new Torn('{}'))
        .handler('bent', () => {
          throw new Bent(5);
        })
        .handler('endless', () => {
          throw new Snooze(Infinity);
        })
        .handler('words', () => {
          throw new Snooze(/** @type {any} */ ('5000'));
        })
        .handler('whole', () => 'whole')
        .handler('off', () => {
          throw new Cancelled();
        });
      const done = start(t, worker);
      // They begin, and so end, together.
      await jobs.pause('torn');
      const kinds = ['torn', 'bent', 'endless', 'words', 'whole', 'off'];
      await jobs.enqueueMany(kinds.map((kind) => ({ queue: 'torn', kind, id: `torn-${kind}`, maxAttempts: 1 })));
      await jobs.resume('torn');
      for (const kind of ['torn', 'bent', 'endless', 'words']) {
        const job = await ended(`torn-${kind}`);
        assert.deepEqual([kind, job.state, job.error?.kind], [kind, 'failed', 'TypeError']);
      }
      assert.equal((await ended('torn-whole')).result, 'whole');
      assert.equal((await ended('torn-off')).state, 'cancelled');
      worker.stop();
      const report = await done;
      assert.deepEqual([report.failed, report.completed, report.cancelled], [4, 1, 1]);
    });

    test('what a worker is told before it runs is done when it does', async () => {
      const stopped = new Worker(jobs, { queues: ['early'] }).defaultHandler(() => null);
      stopped.stop();
      await jobs.enqueue({ queue: 'early', id: 'early' });
      const report = await stopped.run();
      assert.equal(Object.values(report).reduce((sum, count) => sum + count, 0), 0);
      assert.equal((await jobs.find('early')).state, 'waiting');

      const wide = new Worker(jobs, { queues: ['wide'] });
      let here = 0;
      wide.defaultHandler(async () => {
        here += 1;
        await until(() => here === 2, 'both are here');
      });
      wide.setConcurrency('wide', 2);
      await jobs.enqueueMany([{ queue: 'wide', id: 'wide-1' }, { queue: 'wide', id: 'wide-2' }]);
      const done = wide.run();
      assert.throws(() => { wide.setConcurrency('other', 1); }, { code: 'invalid_job', message: /no lane `other`/ });
      for (const id of ['wide-1', 'wide-2']) {
        assert.equal((await ended(id)).state, 'completed');
      }
      wide.stop();
      await done;
      const wrong = new Worker(jobs, { queues: ['wide'] }).defaultHandler(() => null);
      wrong.setConcurrency('other', 1);
      await assert.rejects(wrong.run(), { code: 'invalid_job', message: /no lane `other`/ });
    });

    test('a job that is called off, or takes too long, has its signal aborted', async (t) => {
      const worker = new Worker(jobs, { queues: ['signals:2'] });
      /** @type {string[]} */
      const aborted = [];
      worker.defaultHandler((job, { signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            aborted.push(job.id);
            reject(/** @type {Error} */ (signal.reason));
          });
        }),
      );
      start(t, worker);
      await jobs.enqueueMany([
        { queue: 'signals', id: 'off' },
        { queue: 'signals', id: 'slow', timeoutMs: 50, maxAttempts: 1 },
      ]);
      const slow = await ended('slow');
      assert.deepEqual([slow.state, slow.error?.kind], ['failed', 'timeout']);
      assert.equal(await jobs.cancel('off'), 'running');
      assert.equal((await ended('off')).state, 'cancelled');
      await until(() => aborted.length === 2, 'both signals are aborted');
      assert.deepEqual(aborted.sort(), ['off', 'slow']);
    });

    test('a handler that does not heed its signal keeps its slot until it settles', async (t) => {
      const worker = new Worker(jobs, { queues: ['deaf:1'] });
      /** @type {(value: unknown) => void} */
      let settle = () => undefined;
      let settled = false;
      worker
        .handler('deaf', () => new Promise((resolve) => (settle = resolve)).finally(() => (settled = true)))
        .handler('next', () => settled);
      start(t, worker);
      await jobs.enqueueMany([
        { queue: 'deaf', kind: 'deaf', id: 'deaf', timeoutMs: 50, maxAttempts: 1 },
        { queue: 'deaf', kind: 'next', id: 'behind-deaf' },
      ]);
      assert.equal((await ended('deaf')).error?.kind, 'timeout');
      while (!(await jobs.metrics()).includes('jobs_stuck{queue="deaf"} 1')) {
        assert.equal((await jobs.find('behind-deaf')).state, 'waiting');
      }
      assert.equal((await jobs.find('behind-deaf')).state, 'waiting');
      settle('late');
      assert.equal((await ended('behind-deaf')).result, true);
      assert.match(await jobs.metrics(), /jobs_stuck{queue="deaf"} 0/);
    });

    test('a handler that blocks the event loop for ten leases loses nothing', async (t) => {
      /** @param {number} leaseMs */
      const blockForTen = async (leaseMs) => {
        const queue = `blocked-${leaseMs}`;
        const worker = new Worker(jobs, { queues: [`${queue}:2`], leaseMs });
        let blocked = false;
        // The first blocks itself and the other, whose lease is kept as well.
        worker.handler('blocked', () => {
          const end = Date.now() + (blocked ? 0 : 10 * leaseMs);
          blocked = true;
          while (Date.now() < end) {
            // Nothing else of this thread runs.
          }
          return 'done';
        });
        const done = start(t, worker);
        const ids = ['b1', 'b2'].map((id) => `${id}-${leaseMs}`);
        await jobs.enqueueMany(ids.map((id) => ({ queue, kind: 'blocked', id })));
        const told = [];
        for (const id of ids) {
          const { state, stalls, attempt, result } = await jobs.wait(id, { timeoutMs: 20 * leaseMs });
          told.push([state, stalls, attempt, result]);
        }
        worker.stop();
        const { completed, lost } = await done;
        return [...told, [completed, lost]];
      };
      for (const leaseMs of [1_000, 2_000, 4_000]) {
        const watch = new MachineWatch();
        t.after(() => watch.stop());
        const told = await blockForTen(leaseMs);
        const stillMs = await watch.end();
        // No worker keeps a lease that its machine sleeps through: then it has to be longer.
        if (stillMs < leaseMs / 4 || leaseMs === 4_000) {
          const whole = ['completed', 0, 1, 'done'];
          assert.deepEqual(told, [whole, whole, [2, 0]], `it stood still for ${stillMs} ms`);
          return;
        }
        t.diagnostic(`with a lease of ${leaseMs} ms the machine stood still for ${stillMs} ms: ${told}`);
      }
    });

    test('of attempts that end while the event loop is busy no handler begins', async (t) => {
      // A cancel that comes before the worker follows them is heard of with the next renewal.
      const worker = new Worker(jobs, { queues: ['busy:5'], leaseMs: 1_500 });
      /** @type {[id: string, attempt: number, aborted: boolean][]} */
      const begun = [];
      let here = 0;
      /** @param {number} ms Nothing else of this thread runs for so long. */
      const block = (ms) => {
        const end = Date.now() + ms;
        while (Date.now() < end);
      };
      const short = { queue: 'busy', kind: 'short' };
      worker
        .handler('blocks', () => {
          // The core takes them in, claims them and sees them end meanwhile.
          void jobs.enqueueMany([
            { ...short, id: 'over', timeoutMs: 100, maxAttempts: 1 },
            { ...short, id: 'again', timeoutMs: 100, maxAttempts: 2, retry: { kind: 'fixed', delayMs: 60_000 } },
            { ...short, id: 'off' },
            { ...short, id: 'patient' },
          ]);
          block(500);
          void jobs.cancel('off');
          block(1_000);
        })
        .handler('meets', async () => {
          here += 1;
          await until(() => here === 5, 'all are here');
        })
        .handler('short', (job, { attempt, signal }) => {
          begun.push([job.id, attempt, signal.aborted]);
        });
      const done = start(t, worker);
      await jobs.enqueue({ queue: 'busy', kind: 'blocks', id: 'blocks' });
      await ended('blocks');
      assert.equal((await ended('patient')).state, 'completed');
      assert.equal((await ended('over')).error?.kind, 'timeout');
      assert.equal((await ended('off')).state, 'cancelled');
      assert.equal((await jobs.find('again')).state, 'delayed');
      assert.deepEqual(begun, [['patient', 1, false]]);
      // Their slots are free again: as many jobs as there are slots are under way at once.
      await jobs.enqueueMany(Array.from({ length: 5 }, (_, nth) => ({ queue: 'busy', kind: 'meets', id: `meets-${nth}` })));
      await ended('meets-4');
      worker.stop();
      const { completed, failed, retried, cancelled } = await done;
      assert.deepEqual([completed, failed, retried, cancelled], [7, 1, 1, 1]);
    });

    test('a worker that is stopped ends what runs and takes no more', async () => {
      const controller = new AbortController();
      const worker = new Worker(jobs, { queues: [{ queues: ['stop', 'other'], concurrency: 1, weights: [2, 1] }] });
      /** @type {(value: unknown) => void} */
      let finish = () => undefined;
      worker.handler('stop', () => new Promise((resolve) => (finish = resolve)));
      const done = worker.run({ signal: controller.signal });
      await jobs.enqueueMany([{ queue: 'stop', id: 's1' }, { queue: 'stop', id: 's2' }]);
      await running('s1');
      controller.abort();
      setTimeout(() => { finish('in time'); }, 20);
      const report = await done;
      assert.deepEqual([report.completed, report.released], [1, 0]);
      assert.equal((await jobs.find('s1')).result, 'in time');
      assert.equal((await jobs.find('s2')).state, 'waiting');
    });

    test('a worker that is stopped now gives back what runs', async () => {
      const worker = new Worker(jobs, { queues: ['now:1'] });
      /** @type {AbortSignal | undefined} */
      let seen;
      worker.handler('now', (_job, { signal }) => {
        seen = signal;
        return new Promise(() => undefined);
      });
      const done = worker.run();
      await jobs.enqueue({ queue: 'now', id: 'n1' });
      await running('n1');
      worker.stop({ now: true });
      assert.equal((await done).released, 1);
      await until(() => seen?.aborted === true, 'the signal is aborted');
      const job = await jobs.find('n1');
      assert.deepEqual([job.state, job.attempt], ['waiting', 0]);
    });

    test('a thousand jobs are done once each', async (t) => {
      const worker = new Worker(jobs, { queues: ['many:64'] });
      /** @type {Map<string, number>} */
      const seen = new Map();
      worker.handler('many', async (job) => {
        seen.set(job.id, (seen.get(job.id) ?? 0) + 1);
        await Promise.resolve();
        return job.payload;
      });
      const done = start(t, worker);
      await jobs.enqueueMany(Array.from({ length: 1_000 }, (_, n) => ({ queue: 'many', payload: n })));
      await until(() => seen.size === 1_000, 'all are begun');
      worker.stop();
      const report = await done;
      assert.equal(report.completed, 1_000);
      assert.ok([...seen.values()].every((count) => count === 1));
    });

    /** @param {string} id */
    async function running(id) {
      while ((await jobs.find(id)).state !== 'running') {
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    }
  });
}

test('what is wrong with a worker is told when it is to run', async () => {
  const jobs = await JobManager.connect('memory:');
  const handler = () => null;
  for (const [options, message] of /** @type {[any, RegExp][]} */ ([
    [{ queues: [] }, /`lane`/],
    [{ queues: ['a b:1'] }, /`queue`/],
    [{ queues: ['a:0'] }, /`concurrency`/],
    [{ queues: ['a'], leaseMs: 1 }, /`lease`/],
    [{ queues: ['a'], timeoutMs: NaN }, /`options`/],
    [{ queues: ['a'], lease: 1 }, /`options`.*lease/],
  ])) {
    const worker = new Worker(jobs, options).defaultHandler(handler);
    await assert.rejects(worker.run(), { name: 'InvalidJobError', message });
  }
  await assert.rejects(new Worker(jobs, { queues: ['a'] }).run(), { message: /`handlers`/ });
  assert.throws(() => new Worker(jobs, { queues: ['a'] }).handler('a', /** @type {any} */ (7)), TypeError);
  await jobs.close();
});

test('a manager that is closed ends its worker', async () => {
  const jobs = await JobManager.connect('memory:');
  const done = new Worker(jobs, { queues: ['a'] }).defaultHandler(() => null).run();
  const ends = assert.rejects(done, { code: 'manager_closed' });
  await jobs.close();
  await ends;
});

test('a process with a worker lives until a signal, drains and exits', async (t) => {
  const { stdout, stderr } = await program('worker-signalled.mjs', [await redis(t)]);
  assert.equal(stdout, 'begun\ndrained: 1 done\n');
  assert.match(stderr, /^stopping: waiting for the jobs that run; .*\n$/);
});

test('a thread is terminated, and a process exits, with jobs in hand; they are done elsewhere', async (t) => {
  const url = await redis(t);
  const { stdout, stderr } = await program('worker-leaves.mjs', [url]);
  assert.equal(stdout, 'terminated\n');
  assert.equal(stderr, '');
  const jobs = await JobManager.connect(url);
  const worker = new Worker(jobs, { queues: ['thread:4', 'main:4'] }).defaultHandler(() => 'elsewhere');
  const done = worker.run();
  for (const id of ['thread', 'main']) {
    const job = await jobs.wait(id, { timeoutMs: 20_000 });
    assert.deepEqual([job.result, job.attempt], ['elsewhere', 1]);
  }
  worker.stop();
  await done;
  await jobs.close();
});

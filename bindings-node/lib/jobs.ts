/** Jobs: taken in once, run at least once, with one recorded outcome. */
import { JobManager as NativeManager } from '../native/index.js';

import { desk, submit } from './desk.js';
import { errorFromWire, typed, type CredentialRotationError, type WireError } from './errors.js';
import { JobEvents } from './job-events.js';
import {
  enqueuedFromWire,
  Job,
  specToWire,
  type Enqueued,
  type JobSpec,
  type JobState,
  type Refused,
} from './job.js';
import { camelKeys, camelTopKeys, exactSnakeKeys, type Wire } from './wire.js';

/** Which jobs to list. What is left out does not matter. */
export interface JobFilter {
  queue?: string;
  state?: JobState;
  kind?: string;
  group?: string;
  session?: string;
  tag?: string;
  /** At most so many: 1 to 1,000. Default: 100. */
  limit?: number;
  /** Behind this mark: the `next` of the page before. */
  after?: string | null;
}

/** A page of a list. */
export interface JobPage {
  readonly jobs: readonly Job[];
  /** What to give as `after` to have the next page; `null` at the end. */
  readonly next: string | null;
}

/** What is counted of a queue. */
export interface QueueCounts {
  readonly queue: string;
  readonly waiting: number;
  readonly delayed: number;
  readonly running: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Bytes of payloads that wait or run. */
  readonly bytes: number;
  /** How long the next one has waited, in milliseconds. */
  readonly oldestMs: number | null;
  readonly paused: boolean;
}

/** A queue's limits. They hold for all workers together. */
export interface QueueLimits {
  /** Jobs that run at once. Default: as many as the workers take. */
  concurrency?: number | null;
  /** Jobs of one group that run at once. Default: no limit. */
  groupConcurrency?: number | null;
  /** So many may begin in a time, and so many at once after a rest. Default: no limit. */
  rate?: { jobs: number; perMs: number; burst?: number | null } | null;
  /** Bytes of payloads that wait or run; beyond, new jobs are refused. Default: 1 GiB. */
  maxBytes?: number;
  /** Bytes of one payload or result. Default: 16 MiB. */
  maxPayload?: number;
  /** Failed jobs that are kept. Default: 10,000. */
  keepFailed?: number;
  /** How long failed jobs are kept, in milliseconds. Default: 30 days. */
  failedTtlMs?: number;
  /** Completed and cancelled jobs that are kept. Default: 1,000,000. */
  keepFinished?: number;
  /** Bytes of payloads and results of jobs that have ended. Default: 256 MiB. */
  keepBytes?: number;
}

/** A job that comes again, as it is asked for. */
export interface ScheduleOptions {
  name: string;
  /** When: five fields, or six with seconds first; `@daily` and the like. */
  cron: string;
  /** The time zone by its IANA name. Default: UTC. */
  timeZone?: string;
  /** What. It has no `id`, `delayMs` and `runAt`: they come from the tick. */
  job: JobSpec;
  /** Of ticks missed while nobody was there: fire `once` for all (the default), or none. */
  misfire?: 'once' | 'skip';
}

/** A job that comes again. */
export interface Schedule extends Required<ScheduleOptions> {
  /** When it fires next, in milliseconds since the epoch. */
  readonly nextAt: number;
}

/** A worker that is there. */
export interface WorkerPresence {
  readonly worker: string;
  /** What tells it from others of the same id. */
  readonly instance: string;
  readonly host: string;
  readonly pid: number;
  /** As on its command line. */
  readonly queues: readonly string[];
  /** The jobs it has. */
  readonly running: readonly string[];
  /** Its resident memory in bytes. */
  readonly rss: number;
  readonly startedAt: number;
  readonly seenAt: number;
}

/** A line of a job's log. */
export interface LogLine {
  /** When, in milliseconds since the epoch. */
  readonly at: number;
  readonly text: string;
}

/** How to wait for a job's end. */
export interface WaitOptions {
  /** At most so long. Default: an hour. `Infinity` is as long as it takes. */
  timeoutMs?: number;
  /** Ends the wait, not the job. */
  signal?: AbortSignal;
}

/** Which jobs that have ended to drop. */
export interface PurgeOptions {
  /** Those in these states. Default: all that have ended. */
  states?: readonly JobState[];
  /** Those that have ended so long ago. Default: 0, all. */
  olderThanMs?: number;
}

const AN_HOUR_MS = 3_600_000;
const CENTURY_MS = 3.2e12;
const ENDED: readonly JobState[] = ['completed', 'failed', 'cancelled'];
const connecting = Symbol();

/** Where jobs are kept, moved and told of. */
export class JobManager implements AsyncDisposable {
  readonly #native: NativeManager;
  #backend = '';

  /** Use `JobManager.connect`. */
  constructor(native: NativeManager, key: typeof connecting) {
    if ((key as unknown) !== connecting) {
      throw new TypeError('use `await JobManager.connect(url)`');
    }
    this.#native = native;
  }

  /**
   * Opens the jobs at a URL: `memory:`, `sqlite:PATH`, `redis://…`, `rediss://…`,
   * `redis-cluster://a:1,b:2` or `redis-sentinel://a:1,b:2/MASTER`.
   */
  static async connect(url: string): Promise<JobManager> {
    const native = NativeManager.at(url);
    const manager = new JobManager(native, connecting);
    manager.#backend = await submit<string>((number) => { native.connect(desk, number); });
    return manager;
  }

  /** A manager whose native half is connected already. */
  static ofNative(native: NativeManager, backend: string): JobManager {
    const manager = new JobManager(native, connecting);
    manager.#backend = backend;
    return manager;
  }

  /** The native half of a manager. */
  static nativeOf(manager: JobManager): NativeManager {
    return manager.#native;
  }

  /** Where the jobs are, without user and password. */
  get backend(): string {
    return this.#backend;
  }

  /** Takes one job in. */
  async enqueue(job: JobSpec): Promise<Enqueued> {
    const [taken] = await this.enqueueMany([job]);
    if (taken?.error !== undefined) {
      throw taken.error;
    }
    return taken as Enqueued;
  }

  /** Takes jobs in, each by itself: the answers are in the order of the jobs. */
  async enqueueMany(jobs: readonly JobSpec[]): Promise<(Enqueued | Refused)[]> {
    const texts: [index: number, text: string][] = [];
    const specs = jobs.map((job, index) => {
      const [spec, payloadJson] = specToWire(job);
      if (payloadJson !== undefined) {
        texts.push([index, payloadJson]);
      }
      return spec;
    });
    const [all, payloads] = [JSON.stringify(specs), JSON.stringify(texts)];
    const taken = await submit<unknown[]>((number) => {
      this.#native.enqueue(desk, number, all, payloads);
    });
    return taken.map(enqueuedFromWire);
  }

  /** Looks jobs up; `null` for one that is not there. */
  get(id: string): Promise<Job | null>;
  get(ids: readonly string[]): Promise<(Job | null)[]>;
  async get(ids: string | readonly string[]): Promise<Job | null | (Job | null)[]> {
    return each(ids, await this.#take<(Wire | null)[]>({ get: { ids: list(ids) } }), (wire) =>
      wire === null ? null : new Job(wire),
    );
  }

  /** Looks a job up that must be there. */
  async find(id: string): Promise<Job> {
    return new Job(await this.#take<Wire>({ find: { id } }));
  }

  /** Lists jobs, a page at a time. */
  async list(filter: JobFilter = {}): Promise<JobPage> {
    const page = await this.#take<{ jobs: Wire[]; next: string | null }>({
      list: exactSnakeKeys(filter),
    });
    return { jobs: page.jobs.map((wire) => new Job(wire)), next: page.next };
  }

  /** Counts the jobs of all queues, by name. */
  async counts(): Promise<QueueCounts[]> {
    return camelKeys(await this.#take('counts'));
  }

  /**
   * Calls jobs off: one that waits at once, a running one by a sign to its worker. Gives
   * each job's state; `null` for one that is not there.
   */
  cancel(id: string): Promise<JobState | null>;
  cancel(ids: readonly string[]): Promise<(JobState | null)[]>;
  async cancel(
    ids: string | readonly string[],
  ): Promise<JobState | null | (JobState | null)[]> {
    const states = await this.#take<(JobState | null)[]>({ cancel: { ids: list(ids) } });
    return each(ids, states, (state) => state);
  }

  /** Removes jobs with all that is known of them. Tells which were there. */
  delete(id: string): Promise<boolean>;
  delete(ids: readonly string[]): Promise<boolean[]>;
  async delete(ids: string | readonly string[]): Promise<boolean | boolean[]> {
    const there = await this.#take<boolean[]>({ delete: { ids: list(ids) } });
    return each(ids, there, (was) => was);
  }

  /**
   * Lets jobs that have ended wait again, with all their attempts. Rejects if one job
   * cannot; of many, gives each one's error or `null`.
   */
  retry(id: string): Promise<void>;
  retry(ids: readonly string[]): Promise<(CredentialRotationError | null)[]>;
  async retry(ids: string | readonly string[]): Promise<unknown> {
    const refusals = await this.#take<(WireError | null)[]>({ revive: { ids: list(ids) } });
    const errors = refusals.map((wire) => (wire === null ? null : errorFromWire(wire)));
    if (typeof ids !== 'string') {
      return errors;
    }
    const [error] = errors;
    if (error) {
      throw error;
    }
    return undefined;
  }

  /** Waits for a job's end, whichever it is. */
  async wait(id: string, options: WaitOptions = {}): Promise<Job> {
    const { signal } = options;
    const timeoutMs = Math.min(options.timeoutMs ?? AN_HOUR_MS, CENTURY_MS);
    return new Job(await this.#take<Wire>({ wait: exactSnakeKeys({ id, timeoutMs }) }, signal));
  }

  /** The last lines of a job's log, oldest first. */
  log(id: string): Promise<LogLine[]> {
    return this.#take({ log: { id } });
  }

  /** Stops claims of a queue. Running jobs go on. */
  async pause(queue: string): Promise<void> {
    await this.#take({ set_paused: { queue, paused: true } });
  }

  /** Allows claims of a queue again. */
  async resume(queue: string): Promise<void> {
    await this.#take({ set_paused: { queue, paused: false } });
  }

  /** Sets a queue's limits, for all workers. Those left out have their defaults. */
  async setLimits(queue: string, limits: QueueLimits): Promise<void> {
    await this.#take({ set_limits: { queue, limits: exactSnakeKeys(limits) } });
  }

  /** A queue's limits. */
  async limits(queue: string): Promise<Required<QueueLimits>> {
    return camelKeys(await this.#take({ limits: { queue } }));
  }

  /** Drops jobs that have ended. Gives how many. */
  purge(queue: string, options: PurgeOptions = {}): Promise<number> {
    const { states = ENDED, olderThanMs = 0 } = options;
    return this.#take({ purge: exactSnakeKeys({ queue, states, olderThanMs }) });
  }

  /**
   * Promotes what is due, takes back what stalled and drops what was kept long enough,
   * in bounded steps. Gives how many jobs it moved: with 0 there is no more. For queues
   * without workers: those do it themselves.
   */
  sweep(): Promise<number> {
    return this.#take('sweep');
  }

  /** Sets, or replaces, a schedule. Workers fire it. */
  async putSchedule(schedule: ScheduleOptions): Promise<void> {
    const { job, ...others } = schedule;
    const [spec, payloadJson] = specToWire(job);
    const wire = { ...exactSnakeKeys(others), job: spec };
    await this.#take({ put_schedule: { schedule: wire, payload_json: payloadJson ?? null } });
  }

  /** Removes a schedule. Tells whether it was there. */
  deleteSchedule(name: string): Promise<boolean> {
    return this.#take({ delete_schedule: { name } });
  }

  /** All schedules, by name. */
  async schedules(): Promise<Schedule[]> {
    const schedules = await this.#take<(Wire & { job: Wire })[]>('schedules');
    return schedules.map(({ job, ...others }) => {
      const { payload = 'null', retry, ...spec } = job;
      const payloadJson = payload as string;
      return {
        ...camelTopKeys<Omit<Schedule, 'job'>>(others),
        job: {
          ...camelTopKeys<JobSpec>(spec),
          ...(retry !== undefined && { retry: camelKeys<NonNullable<JobSpec['retry']>>(retry) }),
          payload: JSON.parse(payloadJson) as unknown,
          payloadJson,
        },
      };
    });
  }

  /** The workers that were there lately. */
  async workers(): Promise<WorkerPresence[]> {
    return camelKeys(await this.#take('workers'));
  }

  /** What is counted, in Prometheus' text form; the names are in `docs/jobs.md`. */
  async metrics(): Promise<string> {
    return this.#take<string>('metrics');
  }

  /**
   * Follows what happens from now on, in this and other processes. It begins at once;
   * `await jobs.events().opened()` tells when it has. Aborting the signal rejects with
   * its reason.
   */
  events(options: { signal?: AbortSignal } = {}): JobEvents {
    return new JobEvents(typed(() => this.#native.events()), options.signal);
  }

  /** Ends waits and events, and refuses what comes after. What was taken in stays. */
  async close(): Promise<void> {
    await submit((number) => { this.#native.close(desk, number); });
  }

  /** Closes it at the end of an `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #take<T>(step: string | Wire, signal?: AbortSignal): Promise<T> {
    const wire = JSON.stringify(step);
    return submit<T>((number) => { this.#native.take(desk, number, wire); }, signal);
  }
}

function list(ids: string | readonly string[]): readonly string[] {
  return typeof ids === 'string' ? [ids] : ids;
}

/** An answer for each, or for the one that was asked for. */
function each<T, U>(ids: string | readonly string[], answers: T[], turn: (answer: T) => U): U | U[] {
  const turned = answers.map(turn);
  return typeof ids === 'string' ? (turned[0] as U) : turned;
}

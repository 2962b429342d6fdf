/** Workers: they claim jobs, run handlers and record what came of them. */
import { JobWorker as NativeWorker } from '../native/index.js';

import { ClaimedJob, failureJson, JobContext, JsonText, type Told } from './attempt.js';
import { Conversations } from './conversation.js';
import { desk, submit } from './desk.js';
import { typed } from './errors.js';
import { JobManager } from './jobs.js';
import { exactSnakeKeys } from './wire.js';

/** Queues that share a number of slots. */
export interface Lane {
  queues: readonly string[];
  /** How many jobs at once. */
  concurrency: number;
  /** Ask each as often as its weight says, in place of in strict order. */
  weights?: readonly number[];
}

/** How a worker tells of the ends of jobs that have a webhook. */
export interface WebhookOptions {
  /**
   * What deliveries are signed with: `whsec_` and base64; two with a space between while one
   * takes the other's place. Default: `CREDENTIAL_ROTATION_WEBHOOK_SECRET`.
   */
  secret?: string;
  /**
   * Whether they go to addresses that only this network can reach, too. Whoever adds jobs can
   * then have requests made to all that the worker can reach.
   */
  allowPrivate?: boolean;
}

/** How a worker is set up. */
export interface WorkerOptions {
  /**
   * As on a command line: `text_processing:2` is two at once; `payments,webhooks:1` is one
   * at once, of `webhooks` only if there is none of `payments`.
   */
  queues: readonly (string | Lane)[];
  /** Its id, unique among all workers. Default: made of host, process and chance. */
  id?: string;
  /** After so long without a sign of life its jobs are given to others. Default: 30 s. */
  leaseMs?: number;
  /** How long an attempt may take, unless its job says otherwise. Default: no limit. */
  timeoutMs?: number;
  /** How long running jobs may go on when the worker is stopped. Default: 30 s. */
  graceMs?: number;
  /** How it tells of the ends of jobs that have a webhook. */
  webhooks?: WebhookOptions;
  /** Does their training and generation, without a handler. */
  conversations?: Conversations;
}

/** What a worker has done, as it was recorded. */
export interface WorkerReport {
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Attempts that failed, with another one to come. */
  readonly retried: number;
  readonly snoozed: number;
  /** Jobs given back unfinished. */
  readonly released: number;
  /** Attempts that were no longer the worker's: their ends were dropped. */
  readonly lost: number;
  /** Ends that could not be recorded before the worker had to go: those jobs run again. */
  readonly unrecorded: number;
}

/** Does one kind of job. What it gives is the job's result: JSON, or a `JsonText`. */
export type JobHandler = (job: ClaimedJob, context: JobContext) => unknown;

type Line =
  | readonly [number: number]
  | readonly [number: number, job: Told, payloadJson: string];

/** Runs jobs until it is told to stop. */
export class Worker {
  readonly #jobs: JobManager;
  readonly #options: WorkerOptions;
  readonly #handlers = new Map<string, JobHandler>();
  readonly #running = new Map<number, JobContext>();
  #otherwise: JobHandler | undefined;
  #native: NativeWorker | undefined;
  #ends: string[] = [];

  /** A worker for these jobs, which does nothing yet. */
  constructor(jobs: JobManager, options: WorkerOptions) {
    this.#jobs = jobs;
    this.#options = options;
  }

  /** Its id, once it runs. */
  get id(): string | undefined {
    return this.#native?.id;
  }

  /** Does that kind of job so. A second handler takes the first one's place. */
  handler(kind: string, handler: JobHandler): this {
    this.#handlers.set(kind, callable(handler));
    return this;
  }

  /** Does all other kinds of jobs so. Without, they fail as `unknown_kind`. */
  defaultHandler(handler: JobHandler): this {
    this.#otherwise = callable(handler);
    return this;
  }

  /**
   * Runs jobs until it is stopped or the signal aborts; then waits for those that run, at
   * most the grace, and gives back the rest. A backend in trouble does not end it.
   */
  async run(options: { signal?: AbortSignal } = {}): Promise<WorkerReport> {
    if (this.#native !== undefined) {
      throw new TypeError('this worker runs, or has run: make another one');
    }
    const { conversations, ...others } = this.#options;
    const talk = conversations && Conversations.nativeOf(conversations);
    const setUp = JSON.stringify({
      ...exactSnakeKeys(others),
      kinds: [...this.#handlers.keys()],
      otherwise: this.#otherwise !== undefined,
    });
    const native = typed(() =>
      NativeWorker.build(JobManager.nativeOf(this.#jobs), setUp, (lines) => {
        for (const line of JSON.parse(lines) as Line[]) {
          this.#take(native, line);
        }
      }, talk ?? null),
    );
    this.#native = native;
    const { signal } = options;
    const stop = () => { this.stop(); };
    if (signal?.aborted === true) {
      stop();
    }
    signal?.addEventListener('abort', stop, { once: true });
    try {
      return await submit<WorkerReport>((number) => { native.run(desk, number); });
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  /** The same until SIGTERM or SIGINT; a second signal gives back at once what runs. */
  async runUntilSignalled(options: { signal?: AbortSignal } = {}): Promise<WorkerReport> {
    let signals = 0;
    const stop = () => {
      signals += 1;
      this.stop({ now: signals > 1 });
    };
    process.on('SIGTERM', stop).on('SIGINT', stop);
    try {
      return await this.run(options);
    } finally {
      process.off('SIGTERM', stop).off('SIGINT', stop);
    }
  }

  /** Takes no more jobs and ends those that run; with `now` gives those back at once. */
  stop(options: { now?: boolean } = {}): void {
    this.#native?.stop(options.now ?? false);
  }

  /** Sets how many jobs a lane, named by its queues with commas between, has at once. */
  setConcurrency(lane: string, concurrency: number): void {
    typed(() => { this.#native?.setConcurrency(lane, concurrency); });
  }

  #take(native: NativeWorker, [number, told, payloadJson]: Line): void {
    if (told === undefined || payloadJson === undefined) {
      const context = this.#running.get(number);
      if (context !== undefined) {
        JobContext.abort(context);
      }
      return;
    }
    const context = new JobContext(native, number, told);
    this.#running.set(number, context);
    // Async, so that a handler that throws, or that gives no promise, has its end too.
    void this.#attempt(new ClaimedJob(told, payloadJson), context).then((end) => {
      this.#running.delete(number);
      this.#ends.push(`{"number":${String(number)},${end}}`);
      if (this.#ends.length === 1) {
        // All that end in this turn of the loop go over together.
        setImmediate(() => { this.#flush(native); });
      }
    });
  }

  /** Members of an end as JSON. Never rejects. */
  async #attempt(job: ClaimedJob, context: JobContext): Promise<string> {
    try {
      const handler = this.#handlers.get(job.kind) ?? this.#otherwise;
      const result = await handler?.(job, context);
      const text =
        result instanceof JsonText
          ? result.text
          : ((JSON.stringify(result) as string | undefined) ?? 'null');
      return `"result":${text}`;
    } catch (error) {
      return `"error":${failureJson(error)}`;
    }
  }

  #flush(native: NativeWorker): void {
    const ends = this.#ends;
    this.#ends = [];
    typed(() => { native.end(`[${ends.join(',')}]`); });
  }
}

function callable(handler: JobHandler): JobHandler {
  if (typeof handler !== 'function') {
    throw new TypeError('a handler is a function');
  }
  return handler;
}

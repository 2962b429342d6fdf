/** Workers: they claim jobs, run handlers and record what came of them. */
import { JobWorker as NativeWorker } from '../native/index.js';

import { Attempts } from './attempts.js';
import { Conversations } from './conversation.js';
import { desk, submit } from './desk.js';
import { typed } from './errors.js';
import { Handlers, tableOf, type HandlerTable } from './handlers.js';
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
  /** Handlers that are made already; more can be added to the worker. */
  handlers?: Handlers;
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
  /** Ends that could not be recorded before the worker had to go, as far as it knows: those jobs may run again. */
  readonly unrecorded: number;
}

/** Runs jobs until it is told to stop. */
export class Worker extends Handlers {
  readonly #jobs: JobManager;
  readonly #options: Omit<WorkerOptions, 'handlers'>;
  #native: NativeWorker | undefined;
  /** What it was told before it runs. */
  readonly #orders: ((native: NativeWorker) => void)[] = [];

  /** A worker for these jobs, which does nothing yet. */
  constructor(jobs: JobManager, options: WorkerOptions) {
    super();
    const { handlers, ...others } = options;
    this.#jobs = jobs;
    this.#options = others;
    if (handlers !== undefined) {
      this.#adopt(handlers);
    }
  }

  /** Its id, once it runs. */
  get id(): string | undefined {
    return this.#native?.id;
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
    const table = tableOf(this) as HandlerTable;
    const setUp = JSON.stringify({
      ...exactSnakeKeys(others),
      kinds: [...table.kinds.keys()],
      otherwise: table.otherwise !== undefined,
    });
    const attempts = new Attempts(table);
    const native = typed(() =>
      NativeWorker.build(JobManager.nativeOf(this.#jobs), setUp, (lines) => {
        attempts.take(native, lines);
      }, talk ?? null),
    );
    for (const order of this.#orders) {
      typed(() => { order(native); });
    }
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

  /**
   * The same until SIGTERM or SIGINT; a second signal gives back at once what runs. Says so
   * on standard error.
   */
  async runUntilSignalled(options: { signal?: AbortSignal } = {}): Promise<WorkerReport> {
    let signals = 0;
    const stop = () => {
      signals += 1;
      const words =
        signals > 1
          ? 'giving back the jobs that run'
          : 'waiting for the jobs that run; once more gives them back now';
      process.stderr.write(`stopping: ${words}\n`);
      this.stop({ now: signals > 1 });
    };
    process.on('SIGTERM', stop).on('SIGINT', stop);
    try {
      return await this.run(options);
    } finally {
      process.off('SIGTERM', stop).off('SIGINT', stop);
    }
  }

  /**
   * Takes no more jobs and ends those that run; with `now` gives those back at once. One that
   * does not run yet ends as soon as it does.
   */
  stop(options: { now?: boolean } = {}): void {
    this.#tell((native) => { native.stop(options.now ?? false); });
  }

  /**
   * Sets how many jobs a lane, named by its queues with commas between, has at once. What is
   * wrong is told at once, or when it is to run.
   */
  setConcurrency(lane: string, concurrency: number): void {
    this.#tell((native) => { native.setConcurrency(lane, concurrency); });
  }

  #tell(order: (native: NativeWorker) => void): void {
    const native = this.#native;
    if (native === undefined) {
      this.#orders.push(order);
    } else {
      typed(() => { order(native); });
    }
  }

  #adopt(handlers: Handlers): void {
    const table = tableOf(handlers);
    if (table === undefined) {
      throw new TypeError('`handlers` are made by `new Handlers()`');
    }
    for (const [kind, handler] of table.kinds) {
      this.handler(kind, handler);
    }
    if (table.otherwise !== undefined) {
      this.defaultHandler(table.otherwise);
    }
  }
}

/**
 * For tests: a simulated LLM endpoint that needs no network, jobs that go by a clock set by
 * hand, and handlers run until there is nothing left to do.
 */
import {
  JobWorker as NativeWorker,
  ManualClock as NativeClock,
  SimulatedEndpoint as NativeEndpoint,
} from '../native/index.js';

import { Attempts } from './attempts.js';
import { Conversations } from './conversation.js';
import { desk, submit } from './desk.js';
import { typed } from './errors.js';
import { tableOf, type Handlers } from './handlers.js';
import { JobManager } from './jobs.js';
import { snakeTopKeys, type Wire } from './wire.js';
import type { WorkerReport } from './worker.js';

/** A step of a key's script. All its members are in the guide to testing. */
export interface Step {
  /** What goes wrong, such as `rate_limited`; none: an answer. */
  fault?: string;
  /** Requests that this step serves. */
  times?: number;
  /** The answer; `{prompt}`, `{model}` and `{hit}` are filled in. */
  text?: string;
  [member: string]: unknown;
}

/** What an endpoint does, key by key. */
export interface Scenario {
  /** The script of each key. */
  keys?: Record<string, readonly Step[]>;
  /** The script of keys that are not listed. */
  default?: readonly Step[];
  /** `"401"`: keys that are not listed are refused. */
  unknown?: string;
  /** Whether requests are kept. Default: yes. */
  record?: boolean;
  [member: string]: unknown;
}

/** A request that the endpoint has seen. */
export interface SeenRequest {
  readonly path: string;
  readonly body: unknown;
  /** When it had arrived, in milliseconds since the epoch. */
  readonly at: number;
}

// Users keep an endpoint's URL and forget the object; it runs until it is closed.
const open = new Set<NativeEndpoint>();

/** An LLM endpoint on loopback that does what its scenario says, until it is closed. */
export class SimulatedEndpoint implements Disposable {
  readonly #native: NativeEndpoint;

  /** Starts one. */
  constructor(scenario: Scenario = {}) {
    this.#native = typed(() => NativeEndpoint.start(JSON.stringify(scenario)));
    open.add(this.#native);
  }

  /** The base URL of Anthropic clients. */
  get url(): string {
    return this.#native.url;
  }

  /** The base URL of OpenAI clients. */
  get openaiUrl(): string {
    return this.#native.openaiUrl;
  }

  /** Requests being answered now. */
  get inFlight(): number {
    return this.#native.inFlight;
  }

  /** Connections open now. */
  get openConnections(): number {
    return this.#native.openConnections;
  }

  /** Gives a key another script, from its start. */
  script(key: string, steps: readonly Step[]): void {
    typed(() => {
      this.#native.script(key, JSON.stringify(steps.map((step): Wire => snakeTopKeys(step))));
    });
  }

  /** Requests that came with this key, or in all. */
  hits(key?: string): number {
    return this.#native.hits(key);
  }

  /** Answers of this key that the client did not read to the end. */
  closedEarly(key: string): number {
    return this.#native.closedEarly(key);
  }

  /** The latest requests, oldest first. */
  requests(): SeenRequest[] {
    return JSON.parse(this.#native.requests()) as SeenRequest[];
  }

  /** Closes the port and every connection. */
  close(): void {
    open.delete(this.#native);
    this.#native.close();
  }

  /** Closes it at the end of a `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** A clock that stands still until it is moved. */
export class ManualClock {
  readonly #native: NativeClock;

  /** Shows this time: a date or milliseconds since the epoch. Default: 2026 begins, UTC. */
  constructor(now?: Date | number) {
    this.#native = NativeClock.at(now === undefined ? undefined : span(now.valueOf(), 'now'));
  }

  /** What it shows, in milliseconds since the epoch. */
  get now(): number {
    return this.#native.now;
  }

  /** Moves it forward. */
  advance(ms: number): void {
    this.#native.advance(span(ms, 'ms'));
  }

  /** Sets it. An earlier time than it shows is ignored: it never goes back. */
  set(now: Date | number): void {
    this.#native.set(span(now.valueOf(), 'now'));
  }

  /** New jobs in memory that go by it. */
  jobs(): JobManager {
    return JobManager.ofNative(this.#native.jobs(), 'memory');
  }
}

/**
 * Does jobs of all queues, one after the other, until none is ready or due; also those that
 * come about meanwhile. Gives how many attempts were made.
 *
 * Nothing is waited for: jobs whose time is to come, and paused queues, are left. Move the
 * clock on and call again to see what follows. `handlers` may be a worker's that never runs.
 * With `conversations` their training and generation is done too.
 */
export async function drainUntilIdle(
  jobs: JobManager,
  handlers: Handlers,
  options: { conversations?: Conversations } = {},
): Promise<number> {
  const table = tableOf(handlers);
  if (table === undefined) {
    throw new TypeError('`handlers` are made by `new Handlers()`');
  }
  const attempts = new Attempts(table);
  const native = typed(() =>
    NativeWorker.withoutQueues((lines) => {
      attempts.take(native, lines);
    }),
  );
  const [kinds, otherwise] = [[...table.kinds.keys()], table.otherwise !== undefined];
  const { conversations } = options;
  const talk = conversations && Conversations.nativeOf(conversations);
  const report = await submit<WorkerReport>((number) => {
    native.drain(desk, number, JobManager.nativeOf(jobs), kinds, otherwise, talk ?? null);
  });
  const counts = Object.values(report) as number[];
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Milliseconds as they can be. */
function span(ms: number, name: string): number {
  if (!(Number.isSafeInteger(ms) && ms >= 0)) {
    throw new RangeError(`\`${name}\` is a whole number of milliseconds from 0, not ${String(ms)}`);
  }
  return ms;
}

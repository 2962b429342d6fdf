/** What happens to jobs: `for await`, and `break` follows no more. */
import type { JobEvents as NativeEvents } from '../native/index.js';

import { desk, submit } from './desk.js';

/** Something that happened. */
export interface JobEvent {
  /** What. After `gap` look again: events were lost. */
  readonly event:
    | 'waiting'
    | 'delayed'
    | 'running'
    | 'progress'
    | 'log'
    | 'completed'
    | 'failed'
    | 'cancelled'
    | 'cancel_requested'
    | 'stalled'
    | 'deleted'
    | 'drained'
    | 'gap';
  /** When, in milliseconds since the epoch. */
  readonly at: number;
  readonly queue: string;
  /** To which job; `null` if to the queue. */
  readonly id: string | null;
  /** How far it is, with `progress`: 0 to 100. */
  readonly percent?: number;
  /** In words, with `progress`. */
  readonly message?: string;
  /** The line, with `log`. */
  readonly text?: string;
}

interface Batch {
  readonly events: readonly JobEvent[];
  readonly done: boolean;
}

/** Events as they come. It ends when the manager is closed. */
export class JobEvents implements AsyncIterableIterator<JobEvent, undefined> {
  readonly #native: NativeEvents;
  readonly #closed = new AbortController();
  readonly #signal: AbortSignal;
  #events: readonly JobEvent[] = [];
  #taken = 0;
  #ended = false;
  #turn: Promise<unknown> = Promise.resolve();

  /** Made by `jobs.events`. */
  constructor(native: NativeEvents, signal: AbortSignal | undefined) {
    this.#native = native;
    const closed = this.#closed.signal;
    this.#signal = signal === undefined ? closed : AbortSignal.any([closed, signal]);
  }

  /** Resolves once events are followed: nothing that happens from then on is missed. */
  async opened(): Promise<this> {
    await submit((number) => { this.#native.open(desk, number); }, this.#signal);
    return this;
  }

  /** The next event. */
  next(): Promise<IteratorResult<JobEvent, undefined>> {
    // One read at a time, in the order asked.
    const read = this.#turn.then(() => this.#read());
    this.#turn = read.catch(() => undefined);
    return read;
  }

  /** Follows no more; `break` in a `for await` calls it. */
  return(): Promise<IteratorResult<JobEvent, undefined>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Follows no more. */
  close(): void {
    this.#ended = true;
    this.#events = [];
    this.#taken = 0;
    this.#closed.abort();
    this.#native.close();
  }

  /** Itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Follows no more at the end of an `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  async #read(): Promise<IteratorResult<JobEvent, undefined>> {
    for (;;) {
      const event = this.#events[this.#taken];
      if (event !== undefined) {
        this.#taken += 1;
        return { done: false, value: event };
      }
      if (this.#ended) {
        return { done: true, value: undefined };
      }
      await this.#fetch();
    }
  }

  async #fetch(): Promise<void> {
    try {
      const batch = await submit<Batch>((number) => { this.#native.next(desk, number); }, this.#signal);
      this.#events = batch.events;
      this.#taken = 0;
      this.#ended = batch.done;
    } catch (error) {
      const left = this.#closed.signal.aborted;
      this.close();
      if (!left) {
        throw error;
      }
    }
  }
}

/** A streamed answer: `for await`, and `break` stops the work upstream. */
import type { AnswerStream as NativeStream } from '../native/index.js';

import { desk, submit } from './desk.js';
import { errorFromWire, type WireError } from './errors.js';
import type { Attempt, Usage } from './outcome.js';
import { camelKeys, type Wire } from './wire.js';

/** A piece of a streamed answer. */
export type Chunk =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'tool_call'; readonly delta: unknown }
  | {
      readonly type: 'done';
      readonly model?: string;
      readonly usage?: Usage;
      readonly finishReason?: string;
    };

interface Batch {
  readonly chunks: readonly (Wire & { readonly type: string })[];
  readonly trail?: readonly Wire[];
  readonly error?: WireError;
  readonly done: boolean;
}

/** An answer as it comes. It can be read once. */
export class AnswerStream implements AsyncIterableIterator<Chunk, undefined> {
  readonly #native: NativeStream;
  readonly #closed = new AbortController();
  readonly #signal: AbortSignal;
  #chunks: Chunk[] = [];
  #taken = 0;
  #error: Error | undefined;
  #ended = false;
  #trail: readonly Attempt[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  /** Made by `wrapper.stream`. */
  constructor(native: NativeStream, signal: AbortSignal | undefined) {
    this.#native = native;
    const closed = this.#closed.signal;
    this.#signal = signal === undefined ? closed : AbortSignal.any([closed, signal]);
  }

  /** Each attempt so far. */
  get trail(): readonly Attempt[] {
    return this.#trail;
  }

  /** The texts of the answer alone. */
  async *text(): AsyncGenerator<string, void, undefined> {
    for await (const chunk of this) {
      if (chunk.type === 'text') {
        yield chunk.text;
      }
    }
  }

  /** The next piece. */
  next(): Promise<IteratorResult<Chunk, undefined>> {
    const chunk = this.#chunks[this.#taken];
    if (chunk !== undefined) {
      this.#taken += 1;
      return Promise.resolve({ done: false, value: chunk });
    }
    // One read at a time, in the order asked.
    const read = this.#turn.then(() => this.#read());
    this.#turn = read.catch(() => undefined);
    return read;
  }

  /** Stops the work upstream; `break` in a `for await` calls it. */
  return(): Promise<IteratorResult<Chunk, undefined>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Stops the work upstream. */
  close(): void {
    this.#ended = true;
    this.#chunks = [];
    this.#taken = 0;
    this.#error = undefined;
    this.#closed.abort();
    this.#native.close();
  }

  /** Itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Stops the work upstream at the end of an `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  async #read(): Promise<IteratorResult<Chunk, undefined>> {
    for (;;) {
      const chunk = this.#chunks[this.#taken];
      if (chunk !== undefined) {
        this.#taken += 1;
        return { done: false, value: chunk };
      }
      if (this.#error !== undefined) {
        const error = this.#error;
        this.#error = undefined;
        throw error;
      }
      if (this.#ended) {
        return { done: true, value: undefined };
      }
      await this.#fetch();
    }
  }

  async #fetch(): Promise<void> {
    let batch: Batch;
    try {
      batch = await submit<Batch>((number) => { this.#native.next(desk, number); }, this.#signal);
    } catch (error) {
      const left = this.#closed.signal.aborted;
      this.close();
      if (left) {
        return;
      }
      throw error;
    }
    this.#chunks = batch.chunks.map(chunkFromWire);
    this.#taken = 0;
    this.#ended = batch.done;
    if (batch.trail !== undefined) {
      this.#trail = camelKeys(batch.trail);
    }
    if (batch.error !== undefined) {
      this.#error = errorFromWire(batch.error);
    }
  }
}

function chunkFromWire(wire: Wire & { readonly type: string }): Chunk {
  // A delta is the endpoint's own and stays as it came.
  return wire.type === 'done' ? camelKeys(wire) : (wire as Chunk);
}

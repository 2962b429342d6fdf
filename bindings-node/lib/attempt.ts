/** An attempt at a job, in the hands of its handler: what it gets, says and gives. */
import type { JobWorker as NativeWorker } from '../native/index.js';

/** An attempt as the core tells of it, but for the payload. */
export interface Told {
  readonly id: string;
  readonly queue: string;
  readonly kind: string;
  readonly attempt: number;
  readonly max_attempts: number;
  readonly session: string | null;
  readonly group: string | null;
  readonly tags: readonly string[];
  readonly priority: number;
  readonly deadline: number | null;
}

/** A job in the hands of its handler. */
export class ClaimedJob {
  readonly id: string;
  readonly queue: string;
  readonly kind: string;
  readonly session: string | null;
  readonly group: string | null;
  readonly tags: readonly string[];
  readonly priority: number;
  /** The payload's exact JSON text. */
  readonly payloadJson: string;
  #payload: unknown;

  /** Made by a worker. */
  constructor(told: Told, payloadJson: string) {
    this.id = told.id;
    this.queue = told.queue;
    this.kind = told.kind;
    this.session = told.session;
    this.group = told.group;
    this.tags = told.tags;
    this.priority = told.priority;
    this.payloadJson = payloadJson;
  }

  /** What it is to be done with. Integers over 2^53 are exact in `payloadJson` alone. */
  get payload(): unknown {
    // Parsed when it is asked for: some handlers hand on the text.
    this.#payload ??= JSON.parse(this.payloadJson);
    return this.#payload;
  }
}

/** What a handler knows of its attempt, and what it can say about it. */
export class JobContext {
  /** Which attempt this is, from 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** When it times out, in milliseconds since the epoch. */
  readonly deadline: number | null;
  readonly #native: NativeWorker;
  readonly #number: number;
  #controller: AbortController | undefined;
  #aborted = false;

  /** Made by a worker. */
  constructor(native: NativeWorker, number: number, told: Told) {
    this.#native = native;
    this.#number = number;
    this.attempt = told.attempt;
    this.maxAttempts = told.max_attempts;
    this.deadline = told.deadline;
  }

  /** Ends an attempt's work. */
  static abort(context: JobContext): void {
    context.#aborted = true;
    context.#controller?.abort();
  }

  /**
   * Aborted when the attempt is to end: called off, timed out, its lease lost, or its
   * worker stopping. What the handler gives then is not its job's end; until it settles
   * it keeps its slot.
   */
  get signal(): AbortSignal {
    // Made for who asks: most handlers never do.
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) {
        this.#controller.abort();
      }
    }
    return this.#controller.signal;
  }

  /** Says how far it is, 0 to 100. Of many in a short time the last one is recorded. */
  progress(percent: number, message = ''): void {
    this.#native.progress(this.#number, percent, message);
  }

  /** Adds a line to the job's log. */
  log(text: string): void {
    this.#native.log(this.#number, text);
  }
}

/** A result as its exact JSON text: large integers survive. */
export class JsonText {
  readonly #text: string;

  /** Throws a `SyntaxError` for what is no JSON. */
  constructor(text: string) {
    JSON.parse(text);
    this.#text = text;
  }

  /** The text. */
  get text(): string {
    return this.#text;
  }
}

/** Thrown by a handler: not now but after so long. It costs no attempt. */
export class Snooze extends Error {
  readonly afterMs: number;

  /** Puts the job off for so many milliseconds. Throws a `TypeError` for what is no number. */
  constructor(afterMs: number) {
    if (!Number.isFinite(afterMs)) {
      throw new TypeError(`\`afterMs\` is a finite number, not ${String(afterMs)}`);
    }
    super(`not before ${String(afterMs)} ms`);
    this.name = 'Snooze';
    this.afterMs = afterMs;
  }
}

/** Thrown by a handler: it would fail again, so there is no other attempt. */
export class Unrecoverable extends Error {
  override readonly name = 'Unrecoverable';
}

/** Thrown by a handler: it calls its job off. There is no other attempt. */
export class Cancelled extends Error {
  override readonly name = 'Cancelled';
}

/** What a handler threw, for the core. It may be anything, even what throws when looked at. */
export function failureJson(error: unknown): string {
  try {
    if (error instanceof Snooze) {
      return JSON.stringify({ is: 'snooze', after_ms: error.afterMs });
    }
    if (error instanceof Cancelled) {
      return '{"is":"cancelled"}';
    }
    const unrecoverable = error instanceof Unrecoverable;
    const told = unrecoverable && error.cause instanceof Error ? error.cause : error;
    if (!(told instanceof Error)) {
      return JSON.stringify({ is: 'failed', kind: 'error', message: String(told).toWellFormed() });
    }
    const named = told.name !== 'Error' && told.name !== 'Unrecoverable';
    return JSON.stringify({
      is: unrecoverable ? 'unrecoverable' : 'failed',
      kind: named ? told.name.toWellFormed() : 'error',
      message: (error instanceof Error ? error.message : told.message).toWellFormed(),
      ...(told.stack !== undefined && { trace: told.stack.toWellFormed() }),
    });
  } catch {
    return '{"is":"failed","kind":"error","message":"an error that cannot be read"}';
  }
}

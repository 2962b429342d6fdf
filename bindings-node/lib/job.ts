/** A job: as it is asked for, and as it is at one moment. */
import { errorFromWire, type CredentialRotationError, type WireError } from './errors.js';
import { camelTopKeys, exactSnakeKeys, type Wire } from './wire.js';

/** Where a job is in its life. */
export type JobState = 'waiting' | 'delayed' | 'running' | 'completed' | 'failed' | 'cancelled';

/** How long a job rests between attempts. `jitter` is the part left to chance, 0 to 1. */
export type RetryPolicy =
  | { kind: 'fixed'; delayMs: number; jitter?: number }
  | { kind: 'exponential'; baseMs: number; factor?: number; maxMs?: number; jitter?: number }
  | { kind: 'list'; delaysMs: readonly number[]; jitter?: number };

/** A job as it is asked for. */
export interface JobSpec {
  /** The queue: 1 to 200 bytes without braces, spaces and control characters. */
  queue: string;
  /** What is to be done: chooses the handler. Default: the queue's name. */
  kind?: string;
  /** What it is to be done with: anything that JSON has a form for. */
  payload?: unknown;
  /** The same as the exact JSON text, in place of `payload`: large integers survive. */
  payloadJson?: string;
  /** Its id, unique within the queue. Default: one is made. */
  id?: string;
  /** Not before so many milliseconds. */
  delayMs?: number;
  /** Not before that time, as a date or in milliseconds since the epoch. */
  runAt?: Date | number;
  /** Higher goes first, −500 to 500. Default: 0. */
  priority?: number;
  /** Attempts, the first one included. Default: 3. */
  maxAttempts?: number;
  /** How often its lease may run out before it is given up. Default: 3. */
  maxStalls?: number;
  /** The rests between attempts. Default: 1 s, 2 s, 4 s… up to 10 minutes. */
  retry?: RetryPolicy;
  /** How long an attempt may take, in milliseconds. Default: as the worker says. */
  timeoutMs?: number;
  /** When it is too late to begin, as a date or in milliseconds since the epoch. */
  deadline?: Date | number;
  /** While a job with this key is unfinished, no second one is taken. */
  uniqueKey?: string;
  /** The key is held for so many milliseconds from the start, even if the job ends before. */
  uniqueForMs?: number;
  /** The tenant or session it belongs to: groups take turns, and can have a limit. */
  group?: string;
  /** The session it works on. */
  session?: string;
  /** Told of its end. */
  webhook?: string;
  /** To find it by. */
  tags?: readonly string[];
  /** How long it is kept once it has ended, in milliseconds. Default: an hour; 0: not at all. */
  resultTtlMs?: number;
}

/** What became of a job that was to be enqueued. */
export interface Enqueued {
  /** The id of the job that is there now. */
  readonly id: string;
  /** Whether it was taken in; if not, one of its id or unique key was there. */
  readonly added: boolean;
  /** Whether it was there before, by its id or unique key. Then nothing was changed. */
  readonly duplicate: boolean;
  readonly error?: undefined;
}

/** A job of a batch that was refused. The others were not. */
export interface Refused {
  readonly id?: undefined;
  readonly added?: undefined;
  readonly duplicate?: undefined;
  /** Why. */
  readonly error: CredentialRotationError;
}

/** How far an attempt says it is. */
export interface JobProgress {
  /** 0 to 100. */
  readonly percent: number;
  readonly message: string;
}

/** Why an attempt failed. */
export interface JobFailure {
  /** Such as `timeout`, or the name of the error that the handler threw. */
  readonly kind: string;
  readonly message: string;
  /** Where, if the handler's language tells. */
  readonly trace?: string;
}

/** A job as it is at one moment. Times are in milliseconds since the epoch. */
export class Job {
  declare readonly id: string;
  declare readonly queue: string;
  declare readonly kind: string;
  declare readonly state: JobState;
  /** What it is to be done with. Integers over 2^53 are exact in `payloadJson` alone. */
  readonly payload: unknown;
  /** What came of it; `null` before. */
  readonly result: unknown;
  /** Why the last attempt failed. */
  declare readonly error: JobFailure | null;
  /** How far the last attempt says it is. */
  declare readonly progress: JobProgress | null;
  /** Attempts begun, but for those that cost nothing. */
  declare readonly attempt: number;
  declare readonly maxAttempts: number;
  /** How often its lease ran out. */
  declare readonly stalls: number;
  /** Counts claims. */
  declare readonly epoch: number;
  declare readonly priority: number;
  declare readonly group: string | null;
  declare readonly session: string | null;
  declare readonly tags: readonly string[];
  declare readonly uniqueKey: string | null;
  declare readonly webhook: string | null;
  /** Who has it, or had it last. */
  declare readonly worker: string | null;
  /** Whether a running job is to be called off. */
  declare readonly cancelRequested: boolean;
  declare readonly createdAt: number;
  declare readonly runAt: number;
  declare readonly startedAt: number | null;
  declare readonly finishedAt: number | null;
  declare readonly deadline: number | null;
  declare readonly timeoutMs: number | null;
  declare readonly resultTtlMs: number;

  readonly #payloadJson: string;
  readonly #resultJson: string | null;

  /** From what the core says. */
  constructor(wire: Wire) {
    this.#payloadJson = wire['payload'] as string;
    this.#resultJson = wire['result'] as string | null;
    Object.assign(this, camelTopKeys(wire));
    this.payload = JSON.parse(this.#payloadJson);
    this.result = this.#resultJson === null ? null : JSON.parse(this.#resultJson);
  }

  /** The payload's exact JSON text. */
  get payloadJson(): string {
    return this.#payloadJson;
  }

  /** The result's exact JSON text; `null` before there is one. */
  get resultJson(): string | null {
    return this.#resultJson;
  }
}

/** A job as the core reads it, and its payload's text if that is what was given. */
export function specToWire(spec: JobSpec): [spec: Wire, payloadJson: string | undefined] {
  const { payloadJson, payload, ...others } = spec;
  const wire = exactSnakeKeys(others);
  if (payload !== undefined && payloadJson === undefined) {
    wire['payload'] = payload;
  }
  return [wire, payloadJson];
}

/** What became of a job, as the core writes it: its id, `[id]`, or the error. */
export function enqueuedFromWire(wire: unknown): Enqueued | Refused {
  if (typeof wire === 'string') {
    return { id: wire, added: true, duplicate: false };
  }
  if (Array.isArray(wire)) {
    return { id: wire[0] as string, added: false, duplicate: true };
  }
  return { error: errorFromWire(wire as WireError) };
}

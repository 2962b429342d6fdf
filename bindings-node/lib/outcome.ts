/** What a call came to: the answer or the error, and how it got there. */
import { CredentialRotationError, errorFromWire, type Fault, type WireError } from './errors.js';
import { camelKeys, type Wire } from './wire.js';

/** Tokens, as the endpoint counts them. */
export interface Usage {
  /** Tokens read, those from a prompt cache included. */
  readonly inputTokens: number;
  /** Tokens written. */
  readonly outputTokens: number;
  /** Tokens read from a prompt cache, part of `inputTokens`. */
  readonly cachedTokens: number;
}

/** One attempt of a call. */
export interface Attempt {
  /** The credential's id. */
  readonly credential: string;
  /** The provider's name. */
  readonly provider: string;
  /** The model asked for, when one was named. */
  readonly model?: string;
  /** What went wrong; absent for success. */
  readonly fault?: Fault;
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
}

/** An outcome as the core writes it. */
export interface WireOutcome extends Wire {
  readonly success: boolean;
  readonly output: string | null;
  readonly error: WireError | null;
  readonly attempts: number;
  readonly trail: readonly Wire[];
  readonly duration_ms: number;
  readonly cached: boolean;
  readonly usage: Wire | null;
  readonly model: string | null;
  readonly finish_reason?: string | null;
  readonly tool_calls?: readonly unknown[];
}

/** The result of one call. Never silent about what was tried. */
export class Outcome {
  readonly #wire: WireOutcome;
  /** Whether there is an answer. */
  readonly success: boolean;
  /** The text of the answer. */
  readonly output: string | null;
  /** Why there is no answer. */
  readonly error: CredentialRotationError | null;
  /** Requests made upstream. */
  readonly attempts: number;
  /** Each attempt, in order. */
  readonly trail: readonly Attempt[];
  /** What the answer cost, where the endpoint said so. */
  readonly usage: Usage | null;
  /** The model that answered. */
  readonly model: string | null;
  /** From the call to its end, waiting included, in milliseconds. */
  readonly durationMs: number;
  /** Whether the answer came from the cache or from an identical call in flight. */
  readonly cached: boolean;
  /** Why the answer ended, as the endpoint says it. */
  readonly finishReason: string | null;
  /** Tool calls in the endpoint's own format. */
  readonly toolCalls: readonly unknown[];

  /** From what the core says. */
  constructor(wire: WireOutcome) {
    this.#wire = wire;
    this.success = wire.success;
    this.output = wire.output;
    this.error = wire.error === null ? null : errorFromWire(wire.error);
    this.attempts = wire.attempts;
    this.trail = camelKeys(wire.trail);
    this.usage = camelKeys(wire.usage);
    this.model = wire.model;
    this.durationMs = wire.duration_ms;
    this.cached = wire.cached;
    this.finishReason = wire.finish_reason ?? null;
    this.toolCalls = wire.tool_calls ?? [];
  }

  /** The text of the answer; throws the error when there is none. */
  unwrap(): string {
    if (this.error !== null) {
      throw this.error;
    }
    return this.output ?? '';
  }

  /** The same JSON as in every language. */
  toJSON(): Wire {
    return this.#wire;
  }
}

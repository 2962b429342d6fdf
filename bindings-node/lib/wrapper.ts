/** The wrapper: one prompt in, one answer out, whichever credential gives it. */
import { Wrapper as NativeWrapper } from '../native/index.js';

import type { Credential, CredentialOptions } from './credential.js';
import { desk, submit } from './desk.js';
import { typed } from './errors.js';
import { Outcome, type WireOutcome } from './outcome.js';
import { CredentialPool, credentialsWire, type CredentialSource, type PoolOptions } from './pool.js';
import { hostProvider, type Provider } from './provider.js';
import { promptText, requestJson, type Request } from './request.js';
import { run, type RunOptions, type Work } from './run.js';
import { AnswerStream } from './stream.js';
import { snakeKeys, type Wire } from './wire.js';

/** A place in the fallback chain: whom to ask, with which credentials, for which model. */
export interface TargetOptions {
  /** `openai` (default), `anthropic`, `qwen`, `gemini`, `codex`, `claude`. */
  provider?: string;
  /** The endpoint, for credentials that name none of their own. */
  baseUrl?: string;
  /** The program of a CLI provider, when it is not on PATH. */
  program?: string;
  /** The model, unless the call or the credential names one. */
  model?: string;
  /** Credentials given here. */
  credentials?: readonly (Credential | CredentialOptions)[];
  /** Where further ones come from. With neither, the provider's usual place. */
  sources?: readonly CredentialSource[];
  /** How credentials are chosen and where their state is shared. */
  pool?: PoolOptions;
}

/** The numbers that retry and rotation go by. Times are in milliseconds. */
export interface Policy {
  /** How long a throttled credential rests when the endpoint does not say. Default: 30,000. */
  cooldownMs?: number;
  /** The shortest rest, so that `Retry-After: 0` does not hammer. Default: 1,000. */
  minCooldownMs?: number;
  /** The longest rest before it is tried again. Default: 3,600,000. */
  maxCooldownMs?: number;
  /** How long a refused credential, or one out of quota, rests. Default: 3,600,000. */
  parkMs?: number;
  /** How long a model that a credential lacks is not asked of it. Default: 600,000. */
  modelCooldownMs?: number;
  /** The first back-off after an endpoint's own failure; it doubles. Default: 250. */
  backoffMs?: number;
  /** The longest back-off. Default: 8,000. */
  maxBackoffMs?: number;
  /** Failures of one endpoint in one call before the next in the chain. Default: 2. */
  fallbackAfter?: number;
}

/** How answers are cached. */
export interface CacheOptions {
  /** How long an answer is kept, in milliseconds. Default: 300,000. */
  ttlMs?: number;
  /** How much text is kept, in bytes. Default: 64 MiB. */
  maxBytes?: number;
}

/** How a wrapper is set up. Times are in milliseconds. */
export interface WrapperOptions extends Omit<TargetOptions, 'provider' | 'pool'> {
  /** A provider's name, or one of your own. */
  provider?: string | Provider;
  /** How credentials are chosen, or a pool that is there already. */
  pool?: PoolOptions | CredentialPool;
  /** Whom to ask next, when the first has no answer. */
  fallbacks?: readonly TargetOptions[];
  /** Retries after the first attempt. Default: 5. */
  maxRetries?: number;
  /** Whether to wait, within the deadline, when all credentials rest. Default: no. */
  waitWhenCooling?: boolean;
  /** The further numbers of retry and rotation. */
  policy?: Policy;
  /** How long a call may take, waiting and retries included. Default: 300,000. */
  deadlineMs?: number;
  /** How long an attempt may take. Default: 120,000. */
  attemptTimeoutMs?: number;
  /** The longest silence in a stream. Default: 60,000. */
  idleTimeoutMs?: number;
  /** The longest prompt in bytes. Default: 8 MiB. */
  promptLimit?: number;
  /** The tokens of the retry budget. Default: 500. */
  retryBudget?: number;
  /** Keep answers for identical requests. Default: no. */
  cache?: CacheOptions;
}

/** What any call takes. */
export interface CallOptions {
  /** Ends the call upstream; it rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** What a call that comes to an outcome takes. */
export interface CompleteOptions extends CallOptions {
  /** A deadline of its own, within the wrapper's. */
  deadlineMs?: number;
}

/** Calls a model through a pool of credentials. */
export class Wrapper {
  readonly #native: NativeWrapper;

  /** From options. */
  constructor(options: WrapperOptions = {}) {
    this.#native =
      options instanceof NativeWrapper ? options : typed(() => nativeWrapper(options));
  }

  /** Over a native one. */
  static over(native: NativeWrapper): Wrapper {
    return new Wrapper(native as unknown as WrapperOptions);
  }

  /** The native half of a wrapper. */
  static nativeOf(wrapper: Wrapper): NativeWrapper {
    return wrapper.#native;
  }

  /** From the `[wrapper]` table of a configuration file, environment overrides applied. */
  static fromConfig(path: string): Wrapper {
    return Wrapper.over(typed(() => NativeWrapper.fromConfig(path)));
  }

  /** The pool of the first target. */
  get pool(): CredentialPool {
    return CredentialPool.over(this.#native.pool());
  }

  /** Asks with one user message. A failed call is an outcome, not a rejection. */
  async call(prompt: string, options: CompleteOptions = {}): Promise<Outcome> {
    const text = promptText(prompt);
    const wire = await submit<WireOutcome>((number) => {
      this.#native.call(desk, number, text, options.deadlineMs);
    }, options.signal);
    return new Outcome(wire);
  }

  /** Asks with one user message; the answer's text, or `message` when there is none. */
  async callWithFallback(
    prompt: string,
    message: string,
    options: CompleteOptions = {},
  ): Promise<string> {
    const outcome = await this.call(prompt, options);
    return outcome.output ?? message;
  }

  /** Asks with a whole request. A failed call is an outcome, not a rejection. */
  async complete(request: Request, options: CompleteOptions = {}): Promise<Outcome> {
    const json = requestJson(request);
    const wire = await submit<WireOutcome>((number) => {
      this.#native.complete(desk, number, json, options.deadlineMs);
    }, options.signal);
    return new Outcome(wire);
  }

  /** Asks and gives the answer as it comes. `break` stops the work upstream. */
  stream(request: Request | string, options: CallOptions = {}): AnswerStream {
    const json = requestJson(request);
    return new AnswerStream(typed(() => this.#native.stream(json)), options.signal);
  }

  /** Calls client code of your own with one credential after the other until it succeeds. */
  async run<T>(work: Work<T>, options: RunOptions = {}): Promise<T> {
    const { model, session, tokens, signal } = options;
    signal?.throwIfAborted();
    const rotation = typed(() => this.#native.rotation(JSON.stringify({ model, session, tokens })));
    return run(rotation, work, options);
  }

  /** Refuses further calls; those in flight end at their next step. */
  close(): void {
    this.#native.close();
  }
}

function nativeWrapper(options: WrapperOptions): NativeWrapper {
  const { provider, pool, credentials, fallbacks, ...others } = options;
  const wire: Wire = {
    ...snakeKeys(others),
    ...credentialsWire(credentials),
    ...(fallbacks !== undefined && { fallbacks: fallbacks.map(targetWire) }),
  };
  let host = null;
  if (typeof provider === 'object') {
    host = hostProvider(provider);
  } else if (provider !== undefined) {
    wire['provider'] = provider;
  }
  let own = null;
  if (pool instanceof CredentialPool) {
    own = CredentialPool.native(pool);
  } else if (pool !== undefined) {
    wire['pool'] = snakeKeys(pool);
  }
  return NativeWrapper.fromJson(JSON.stringify(wire), host, own);
}

function targetWire(target: TargetOptions): Wire {
  const { credentials, ...others } = target;
  return { ...snakeKeys(others), ...credentialsWire(credentials) };
}

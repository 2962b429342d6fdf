/** The qwen service under the names that its users know. */
import { QwenService as NativeService } from '../native/index.js';

import { AccountManager } from './accounts.js';
import { desk, submit } from './desk.js';
import { typed } from './errors.js';
import { Outcome, type WireOutcome } from './outcome.js';
import type { CredentialStatus } from './pool.js';
import { promptText } from './request.js';
import { snakeKeys } from './wire.js';
import { Wrapper, type CallOptions } from './wrapper.js';

/** How a service is set up. Times are in milliseconds. */
export interface QwenOptions {
  /** The folder that holds the accounts. Default: `$QWEN_DIR`, else `~/.qwen`. */
  qwenDir?: string;
  /** Who is asked: `qwen` (the program, default) or `openai` (its endpoint, directly). */
  provider?: string;
  /** The program, when it is not on PATH. */
  program?: string;
  /** The model, when the account or key names none. */
  model?: string;
  /** The endpoint, for keys that name none. */
  baseUrl?: string;
  /** Retries after the first attempt. Default: 5. */
  maxRetries?: number;
  /** How long a call may take. Default: 300,000. */
  deadlineMs?: number;
}

/** What a call takes. */
export interface QwenCallOptions extends CallOptions {
  /** How long each attempt may take, in seconds. Default: 45. */
  timeout?: number;
}

/** Seconds for each attempt. */
const TIMEOUT = 45;

const FALLBACK_MESSAGE = 'AI analysis unavailable';

/** One folder's accounts behind one call. */
export class QwenWrapper {
  readonly #service: NativeService;
  /** The wrapper under it: `stream`, `complete`, `run`, the pool. */
  readonly wrapper: Wrapper;
  /** The folder's accounts. */
  readonly accountManager: AccountManager;

  /** Opens the folder. */
  constructor(options: QwenOptions = {}) {
    this.#service = typed(() => NativeService.open(JSON.stringify(snakeKeys(options))));
    this.wrapper = Wrapper.over(this.#service.wrapper());
    this.accountManager = AccountManager.over(this.#service.accounts());
  }

  /**
   * Asks with one prompt. A failed call is an outcome, not a rejection. When the active
   * account is spent and another answered, that one becomes the active account.
   */
  async call(prompt: string, options: QwenCallOptions = {}): Promise<Outcome> {
    const { timeout = TIMEOUT, signal } = options;
    const text = promptText(prompt);
    const wire = await submit<WireOutcome>((number) => {
      this.#service.call(desk, number, text, timeout * 1000);
    }, signal);
    return new Outcome(wire);
  }

  /** Asks with one prompt; the answer's text, or `message` when there is none. */
  async callWithFallback(
    prompt: string,
    message = FALLBACK_MESSAGE,
    options: QwenCallOptions = {},
  ): Promise<string> {
    return (await this.call(prompt, options)).output ?? message;
  }

  /** Whether each account can be used now. */
  async checkQuotaStatus(): Promise<Record<string, boolean>> {
    const statuses = await this.statuses();
    return Object.fromEntries(
      statuses.map(({ id, state }) => [id, state === 'ready' || state === 'busy']),
    );
  }

  /** How each account stands, by what all processes of this host know. */
  statuses(): Promise<CredentialStatus[]> {
    return this.wrapper.pool.refreshedList();
  }

  /** Refuses further calls. */
  close(): void {
    this.wrapper.close();
  }
}

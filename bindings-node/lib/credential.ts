/** A key or account that an LLM can be called with. It does not print its secret. */
import { inspect } from 'node:util';

import { snakeKeys, type Wire } from './wire.js';

/** A credential as it is given. */
export interface CredentialOptions {
  /** Its name in trails, lists and logs: never the key itself. Default: `key-N`. */
  id?: string;
  /** The key or token. */
  secret: string;
  /** Where to send its calls, when it is not the provider's usual address. */
  baseUrl?: string;
  /** The model to ask for when the request names none. */
  model?: string;
  /** Its share of the calls under the weighted strategy. */
  weight?: number;
  /** The organisation or plan whose limits it shares with others. */
  quotaGroup?: string;
  /** Calls in flight at once. */
  concurrency?: number;
  /** Requests in any 60 seconds. */
  rpm?: number;
  /** Tokens in any 60 seconds. */
  tpm?: number;
}

/** What a credential shows of itself. */
type Shown = Omit<CredentialOptions, 'secret' | 'id'> & { id: string };

/** One key or account that an LLM can be called with. */
export class Credential {
  readonly #secret: string;
  readonly #shown: Shown;

  /** From its options, or from its id, its secret and further options. */
  constructor(options: CredentialOptions & { id: string });
  constructor(id: string, secret: string, options?: Omit<Shown, 'id'>);
  constructor(first: (CredentialOptions & { id: string }) | string, secret?: string, options: Omit<Shown, 'id'> = {}) {
    const all = typeof first === 'string' ? { ...options, id: first, secret } : first;
    const { secret: given, ...shown } = all;
    if (typeof given !== 'string' || typeof shown.id !== 'string') {
      throw new TypeError('a credential has an id and a secret, both strings');
    }
    this.#secret = given;
    this.#shown = shown;
  }

  /** Its name. */
  get id(): string {
    return this.#shown.id;
  }

  /** The bare key or token. Use it where it leaves the process, and nowhere else. */
  get secret(): string {
    return this.#secret;
  }

  /** Where to send its calls, when it is not the provider's usual address. */
  get baseUrl(): string | undefined {
    return this.#shown.baseUrl;
  }

  /** The model to ask for. */
  get model(): string | undefined {
    return this.#shown.model;
  }

  /** Everything but the secret. */
  toJSON(): Shown {
    return { ...this.#shown };
  }

  /** The same for `console.log`. */
  [inspect.custom](): string {
    return `Credential ${inspect(this.#shown)}`;
  }

  /** As the core reads it, secret included. */
  static wire(credential: Credential | CredentialOptions): Wire {
    return credential instanceof Credential
      ? snakeKeys({ ...credential.#shown, secret: credential.#secret })
      : snakeKeys(credential);
  }
}

/** The pool: who may be used now, and why the others may not. */
import { CredentialPool as NativePool } from '../native/index.js';

import { Credential, type CredentialOptions } from './credential.js';
import { desk, submit } from './desk.js';
import { typed } from './errors.js';
import { camelKeys, snakeKeys, type Wire } from './wire.js';

/** How a pool chooses among the credentials that can be used. */
export type Strategy = 'round_robin' | 'weighted' | 'least_busy' | 'fill_first' | 'sticky';

/** How a pool is set up. */
export interface PoolOptions {
  /** Default: `round_robin`. */
  strategy?: Strategy;
  /** How many calls may wait while all credentials are in use. */
  maxWaiting?: number;
  /** How long a credential not yet seen to work is kept to one call, in milliseconds. */
  probeMs?: number;
  /** A file where the processes of this host share cooldowns and budgets. */
  store?: string;
}

/**
 * A place that holds credentials: `X_API_KEY…` in the environment, a file of keys, or
 * an accounts folder.
 */
export type CredentialSource = { env: string } | { file: string } | { accounts: string };

/** A pool with its credentials. */
export interface CredentialPoolOptions extends PoolOptions {
  credentials?: readonly (Credential | CredentialOptions)[];
  sources?: readonly CredentialSource[];
}

/** A credential's state. */
export interface CredentialStatus {
  /** The credential's name. */
  readonly id: string;
  /** Whether it can be used now. */
  readonly state: 'ready' | 'busy' | 'cooling' | 'parked' | 'disabled';
  /** Why not. */
  readonly reason?: string;
  /** When it comes back, in milliseconds since the epoch. */
  readonly until?: number;
  /** Calls in flight in this process. */
  readonly inFlight: number;
}

/** Credentials that calls borrow. Wrappers may share one. */
export class CredentialPool {
  readonly #native: NativePool;

  /** From credentials, sources and options. */
  constructor(options: CredentialPoolOptions) {
    this.#native =
      options instanceof NativePool
        ? options
        : typed(() => NativePool.fromJson(JSON.stringify(poolWire(options))));
  }

  /** How many credentials there are. */
  get size(): number {
    return this.#native.size;
  }

  /** Every credential's state, as this process knows it. */
  list(): CredentialStatus[] {
    return camelKeys(JSON.parse(this.#native.list()));
  }

  /** The same after a look at what other processes did. */
  async refreshedList(): Promise<CredentialStatus[]> {
    return camelKeys(await submit((number) => { this.#native.refreshedList(desk, number); }));
  }

  /** Keeps a credential out for so many milliseconds. */
  async cool(id: string, waitMs: number, reason = 'by_hand'): Promise<void> {
    await submit((number) => { this.#native.cool(desk, number, id, waitMs, reason); });
  }

  /** Keeps a credential out until it is admitted, or for so many milliseconds. */
  async park(id: string, options: { waitMs?: number; reason?: string } = {}): Promise<void> {
    const { waitMs = null, reason = 'by_hand' } = options;
    await submit((number) => { this.#native.park(desk, number, id, waitMs, reason); });
  }

  /** Keeps a credential out until it is admitted. */
  async disable(id: string, reason = 'by_hand'): Promise<void> {
    await submit((number) => { this.#native.disable(desk, number, id, reason); });
  }

  /** Lets a credential be used again, whatever kept it out. */
  async admit(id: string): Promise<void> {
    await submit((number) => { this.#native.admit(desk, number, id); });
  }

  /** The native pool under one of ours. */
  static native(pool: CredentialPool): NativePool {
    return pool.#native;
  }

  /** One of ours over a native pool. */
  static over(native: NativePool): CredentialPool {
    return new CredentialPool(native as unknown as CredentialPoolOptions);
  }
}

/** Options as the core reads them, secrets included. */
export function poolWire(options: CredentialPoolOptions): Wire {
  const { credentials, ...others } = options;
  return { ...snakeKeys(others), ...credentialsWire(credentials) };
}

/** Credentials as the core reads them, secrets included. */
export function credentialsWire(credentials: unknown): Wire {
  if (credentials === undefined) {
    return {};
  }
  return {
    credentials: Array.isArray(credentials)
      ? credentials.map((one: Credential | CredentialOptions) => Credential.wire(one))
      : credentials,
  };
}

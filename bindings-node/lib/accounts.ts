/** The accounts folder: which account programs that read `~/.qwen` use. */
import { AccountManager as NativeManager } from '../native/index.js';

import { desk, submit } from './desk.js';
import { typed } from './errors.js';
import { camelKeys, snakeKeys, type Wire } from './wire.js';

/** Which folder, and how it is used. */
export interface AccountManagerOptions {
  /** Default: `~/.qwen`. */
  qwenDir?: string;
  /** How many accounts there may be. Default: what `state.yaml` says, else 5. */
  totalAccounts?: number;
  /** How long to wait for another process that changes the folder, in milliseconds. */
  lockWaitMs?: number;
}

/** Why an account was changed. */
export type SwitchReason = 'auto_quota' | 'manual' | 'test';

/** One account's part of the state. */
export interface AccountStats {
  /** How often it was switched to. */
  readonly switchesCount: number;
  /** When it was last switched to, as ISO 8601. */
  readonly lastUsed: string | null;
}

/** What `state.yaml` says. */
export interface RotationState {
  /** The account in use, from 1. */
  readonly currentIndex: number;
  readonly totalAccounts: number;
  /** When the account was last changed, as ISO 8601. */
  readonly lastSwitch: string | null;
  readonly switchesTotal: number;
  /** The accounts switched to so far, by name (`account1`…). */
  readonly accounts: Readonly<Record<string, AccountStats>>;
}

/** One account of the list. */
export interface AccountEntry extends AccountStats {
  /** Its number, from 1. */
  readonly index: number;
  /** Whether it is the one in use. */
  readonly active: boolean;
  /** Whether it has a token file. */
  readonly exists: boolean;
}

/** How often each account was switched to. */
export interface FolderStats {
  readonly accounts: Readonly<Record<string, number>>;
  readonly totalSwitches: number;
  readonly lastSwitch: string | null;
  readonly currentAccount: string;
  readonly mostUsedAccount: string;
  readonly mostUsedCount: number;
}

interface Places {
  readonly qwenDir: string;
  readonly stateFile: string;
  readonly lockFile: string;
  readonly accountsDir: string;
  readonly credsLink: string;
  readonly logFile: string;
}

/** A folder of accounts. */
export class AccountManager {
  readonly #native: NativeManager;
  /** The folder. */
  readonly qwenDir: string;
  /** `state.yaml`. */
  readonly stateFile: string;
  /** The file whose lock a change takes. */
  readonly lockFile: string;
  /** Where the accounts' token files are. */
  readonly accountsDir: string;
  /** The link to the token file in use. */
  readonly credsLink: string;
  /** `rotation.log`. */
  readonly logFile: string;

  /** Touches nothing: the folder need not exist yet. */
  constructor(options: AccountManagerOptions = {}) {
    this.#native =
      options instanceof NativeManager
        ? options
        : typed(() => NativeManager.open(JSON.stringify(snakeKeys(options))));
    const places = camelKeys<Places>(JSON.parse(this.#native.places()));
    this.qwenDir = places.qwenDir;
    this.stateFile = places.stateFile;
    this.lockFile = places.lockFile;
    this.accountsDir = places.accountsDir;
    this.credsLink = places.credsLink;
    this.logFile = places.logFile;
  }

  /** Over a native one. */
  static over(native: NativeManager): AccountManager {
    return new AccountManager(native as unknown as AccountManagerOptions);
  }

  /** What `state.yaml` says. */
  async getState(): Promise<RotationState> {
    return camelKeys(await this.#take('state'));
  }

  /** Each account by name (`account1`…). */
  async listAccounts(): Promise<Record<string, AccountEntry>> {
    return camelKeys(await this.#take('list'));
  }

  /** How often each account was switched to. */
  async getStats(): Promise<FolderStats> {
    return camelKeys(await this.#take('stats'));
  }

  /** Makes an account the one in use. */
  async switchTo(index: number, reason: SwitchReason = 'manual'): Promise<RotationState> {
    return camelKeys(await this.#take({ switch_to: { index, reason } }));
  }

  /** Makes the next account the one in use; `switched` is false when the round begins again. */
  async switchNext(
    reason: SwitchReason = 'auto_quota',
  ): Promise<{ switched: boolean; index: number }> {
    return camelKeys(await this.#take({ switch_next: { reason } }));
  }

  /** Makes the folder ready; doing it again changes nothing. */
  async setup(): Promise<Record<string, AccountEntry>> {
    return camelKeys(await this.#take('setup'));
  }

  /** Takes a token file in as a further account and gives its number. */
  async add(file: string | null = null): Promise<number> {
    return (await this.#take({ add: { file } })) as number;
  }

  /** Deletes an account's token file. The other numbers stay. */
  async remove(index: number): Promise<RotationState> {
    return camelKeys(await this.#take({ remove: { index } }));
  }

  #take(step: string | Wire): Promise<unknown> {
    return submit((number) => { this.#native.take(desk, number, JSON.stringify(step)); });
  }
}

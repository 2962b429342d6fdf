/** Sessions: conversations that are kept, shared by processes and isolated by owner. */
import { SessionManager as NativeManager } from '../native/index.js';

import { desk, submit } from './desk.js';
import type { Message } from './request.js';
import { camelTopKeys, type Wire } from './wire.js';

/** A session's id, or its id and owner. Without an owner it is `default`'s. */
export type SessionKey = string | { readonly id: string; readonly owner?: string };

/** A session without its messages. Times are in milliseconds since the epoch. */
export interface Session {
  readonly owner: string;
  readonly id: string;
  /** Tells it from others that had this id before it or will behind it. */
  readonly incarnation: number;
  /** What people call it. */
  readonly name?: string;
  readonly tags: readonly string[];
  /** What is kept with it: a conversation's system prompt, model and the like. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Grows by one with each change of messages, name, tags or settings. */
  readonly version: number;
  /** The version of the last removal of messages. */
  readonly removedAt: number;
  readonly messages: number;
  readonly bytes: number;
  readonly turns: number;
  /** The places of messages that trained it. */
  readonly training: readonly number[];
  /** The place of the last message that sums up those before it. */
  readonly summary?: number;
  readonly createdAt: number;
  readonly activeAt: number;
  /** Jobs that work on it. */
  readonly jobs: readonly { readonly id: string; readonly epoch: number; readonly until: number }[];
}

/** A message in its place. */
export interface SessionEntry {
  /** Its place, from 0. */
  readonly place: number;
  /** The place of its turn's first message. */
  readonly turn: number;
  readonly version: number;
  readonly at: number;
  readonly kind: 'talk' | 'training' | 'summary';
  readonly message: Message;
  /** The tokens that it takes, by the provider's count. */
  readonly tokens?: number;
  /** The name of its turn, on the turn's last message. */
  readonly key?: string;
}

/** Messages, with the session as it was when they were read. */
export interface Transcript {
  readonly session: Session;
  readonly entries: readonly SessionEntry[];
  /** Whether messages were removed behind the version asked from: forget what was read. */
  readonly reset: boolean;
}

/** A session as it is asked for. */
export interface NewSession {
  owner?: string;
  /** Its id; without one, one is made. */
  id?: string;
  name?: string;
  tags?: readonly string[];
  /** Kept as it is: its names are the core's (`max_tokens`) or yours. */
  settings?: Readonly<Record<string, unknown>>;
}

/** A message to be added. */
export type NewMessage = Message & {
  readonly kind?: 'talk' | 'training' | 'summary';
  readonly tokens?: number;
};

/** On what conditions something is written. */
export interface Guard {
  /** The version that the session must have. */
  version?: number;
  /** The incarnation that it must be, so that one made anew under its id is left alone. */
  incarnation?: number;
  /** The job's attempt that writes: an earlier one is refused. */
  fence?: { readonly job: string; readonly epoch: number };
}

/** Which sessions to list. */
export interface SessionFilter {
  owner?: string;
  tag?: string;
  /** At most so many: 1 to 1,000. Default: 100. */
  limit?: number;
  /** Behind this mark: the `next` of the page before. */
  after?: string | null;
}

/** A page of a list, sessions used last first. */
export interface SessionPage {
  readonly sessions: readonly Session[];
  /** What to give as `after` to have the next page; `null` at the end. */
  readonly next: string | null;
}

const connecting = Symbol();

/** Where sessions are kept. One of another owner's is one that is not there. */
export class SessionManager {
  readonly #native: NativeManager;
  #backend = '';

  /** Use `SessionManager.connect`. */
  constructor(native: NativeManager, key: typeof connecting) {
    if ((key as unknown) !== connecting) {
      throw new TypeError('use `await SessionManager.connect(url)`');
    }
    this.#native = native;
  }

  /** Opens the sessions at a URL: `memory:`, `sqlite:PATH`, `redis://…` and more. */
  static async connect(url: string): Promise<SessionManager> {
    const native = NativeManager.at(url);
    const manager = new SessionManager(native, connecting);
    manager.#backend = await submit<string>((number) => { native.connect(desk, number); });
    return manager;
  }

  /** The native half of a manager. */
  static nativeOf(manager: SessionManager): NativeManager {
    return manager.#native;
  }

  /** Where the sessions are, without user and password. */
  get backend(): string {
    return this.#backend;
  }

  /** Makes a session. */
  async create(session: NewSession = {}): Promise<Session> {
    return sessionFromWire(await this.#ask('create', { session }));
  }

  /** Looks a session up; one that is not there is an `UnknownSessionError`. */
  async get(key: SessionKey): Promise<Session> {
    return sessionFromWire(await this.#ask('get', { key: keyWire(key) }));
  }

  /** Lists sessions, a page at a time. */
  async list(filter: SessionFilter = {}): Promise<SessionPage> {
    const page = await this.#ask<{ sessions: Wire[]; next: string | null }>('list', { filter });
    return { sessions: page.sessions.map(sessionFromWire), next: page.next };
  }

  /** Counts an owner's sessions, or all. */
  count(owner?: string): Promise<number> {
    return this.#ask('count', { owner });
  }

  /** Adds messages as one turn. A second turn of the same `key` is not added again. */
  async append(
    key: SessionKey,
    messages: readonly NewMessage[],
    options: Guard & { key?: string } = {},
  ): Promise<Session> {
    const { key: name, ...guard } = options;
    return this.#write('append', key, guard, { turn: { messages, key: name } });
  }

  /** The last messages, oldest first. */
  async last(key: SessionKey, count: number): Promise<readonly SessionEntry[]> {
    return (await this.#read(key, { last: count })).entries;
  }

  /** The messages behind a version; all, with `reset`, if some were removed. */
  since(key: SessionKey, version: number): Promise<Transcript> {
    return this.#read(key, { since: version });
  }

  /** Messages from a place on. */
  read(key: SessionKey, place: number, limit: number): Promise<Transcript> {
    return this.#read(key, { from: { place, limit } });
  }

  /**
   * The turn that was added with that `key`, wherever it is, or no messages. A session knows
   * its last 32 turns that have one.
   */
  async findTurn(key: SessionKey, name: string): Promise<Transcript> {
    return transcript(await this.#ask<ReadWire>('find_turn', { key: keyWire(key), name }));
  }

  /** Removes the last turn, if there is one. */
  pop(key: SessionKey, guard: Guard = {}): Promise<Session> {
    return this.#write('pop', key, guard, {});
  }

  /** Removes all messages. */
  clear(key: SessionKey, guard: Guard = {}): Promise<Session> {
    return this.#write('clear', key, guard, {});
  }

  /** Sets the name (empty for none), the tags or the settings, each as a whole. */
  change(
    key: SessionKey,
    change: Pick<NewSession, 'name' | 'tags' | 'settings'>,
    guard: Guard = {},
  ): Promise<Session> {
    return this.#write('change', key, guard, { change });
  }

  /** Says that a job's attempt works on it: until then, or so long, it is not cleaned up. */
  attach(key: SessionKey, fence: NonNullable<Guard['fence']>, forMs = 3_600_000): Promise<Session> {
    return this.#write('attach', key, { fence }, { for_ms: forMs });
  }

  /** Says that the attempt works on it no more. */
  detach(key: SessionKey, fence: NonNullable<Guard['fence']>): Promise<Session> {
    return this.#write('detach', key, { fence }, {});
  }

  /** Says that it is in use. */
  touch(key: SessionKey, guard: Guard = {}): Promise<Session> {
    return this.#write('touch', key, guard, {});
  }

  /** Makes a session that begins with another's messages. */
  async fork(key: SessionKey, id?: string): Promise<Session> {
    return sessionFromWire(await this.#ask('fork', { key: keyWire(key), id }));
  }

  /** Removes a session with all that is kept with it. */
  async delete(key: SessionKey, guard: Guard = {}): Promise<void> {
    await this.#ask('delete', { key: keyWire(key), guard });
  }

  /** Removes sessions unused for so long, none with a job at work; tells how many. */
  cleanUp(idleMs: number): Promise<number> {
    return this.#ask('clean_up', { idle_ms: idleMs });
  }

  /** Writes a session as JSON lines. */
  export(key: SessionKey): Promise<string> {
    return this.#ask('export', { key: keyWire(key) });
  }

  /** Makes a session of an export. */
  async import(lines: string, as: { owner?: string; id?: string } = {}): Promise<Session> {
    const { owner = DEFAULT_OWNER, id } = as;
    return sessionFromWire(await this.#ask('import', { owner, id, lines }));
  }

  /** Keeps a file with a session: up to 64 MiB, at most 16. */
  async putFile(
    key: SessionKey,
    name: string,
    body: Uint8Array,
    guard: Guard = {},
  ): Promise<void> {
    const wish = JSON.stringify({ key: keyWire(key), guard, name });
    await submit((number) => { this.#native.putFile(desk, number, wish, Buffer.from(body)); });
  }

  /** Reads a file. */
  async file(key: SessionKey, name: string): Promise<Buffer> {
    const { owner, id } = keyWire(key);
    const number = await submit<number>((number) => {
      this.#native.file(desk, number, owner, id, name);
    });
    return this.#native.takeFile(number) ?? Buffer.alloc(0);
  }

  /** The names of a session's files, sorted. */
  files(key: SessionKey): Promise<string[]> {
    return this.#ask('files', { key: keyWire(key) });
  }

  /** Drops a file; tells whether it was there. */
  dropFile(key: SessionKey, name: string, guard: Guard = {}): Promise<boolean> {
    return this.#ask('drop_file', { key: keyWire(key), guard, name });
  }

  async #read(key: SessionKey, range: object): Promise<Transcript> {
    return transcript(await this.#ask<ReadWire>('read', { key: keyWire(key), range }));
  }

  async #write(verb: string, key: SessionKey, guard: Guard, words: Wire): Promise<Session> {
    const wish = { key: keyWire(key), guard, ...words };
    return sessionFromWire((await this.#ask<{ session: Wire }>(verb, wish)).session);
  }

  #ask<T>(verb: string, words: Wire): Promise<T> {
    const wish = JSON.stringify({ verb, ...words });
    return submit<T>((number) => { this.#native.ask(desk, number, wish); });
  }
}

interface ReadWire {
  session: Wire;
  entries: Wire[];
  reset: boolean;
}

const DEFAULT_OWNER = 'default';

/** A key as the core has it. */
export function keyWire(key: SessionKey): { owner: string; id: string } {
  return typeof key === 'string'
    ? { owner: DEFAULT_OWNER, id: key }
    : { owner: key.owner ?? DEFAULT_OWNER, id: key.id };
}

/** A session as the core tells it. What is in its settings stays as it came. */
export function sessionFromWire(wire: Wire): Session {
  return camelTopKeys<Session>({ tags: [], settings: {}, training: [], jobs: [], ...wire });
}

function transcript(read: ReadWire): Transcript {
  return {
    session: sessionFromWire(read.session),
    entries: read.entries.map((entry) => ({ kind: 'talk', ...entry }) as unknown as SessionEntry),
    reset: read.reset,
  };
}

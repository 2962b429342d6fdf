/** Conversations: sessions that speak with a model, and learn from documents. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';

import {
  Conversations as NativeConversations,
  maxDocumentBytes,
  readDocument as nativeRead,
  sessionName as nativeName,
  stage as nativeStage,
  type TurnStream as NativeTurn,
} from '../native/index.js';

import { desk, submit } from './desk.js';
import { errorFromWire, typed, type WireError } from './errors.js';
import { specToWire, type JobSpec, type JobState } from './job.js';
import { JobManager } from './jobs.js';
import type { Attempt, Usage } from './outcome.js';
import { keyWire, sessionFromWire, SessionManager, type Session, type SessionKey } from './sessions.js';
import { camelKeys, camelTopKeys, exactSnakeKeys, type Wire } from './wire.js';
import { Wrapper, type CallOptions } from './wrapper.js';

/** How much of a conversation a model is sent. */
export interface Window {
  /** The last messages, beside those that train. Default: 40. */
  last?: number;
  /** Tokens of all that is sent. Default: no limit. */
  tokenBudget?: number;
  /** Have the model sum up what falls out of the window. Default: no. */
  summarise?: boolean;
}

/** What is set for all conversations of a host. */
export interface ConversationsOptions {
  /** The language of the shipped prompts: `en` (default) or `it`. */
  language?: string;
  /** Prompts in place of, or beside, those, by name. */
  templates?: Readonly<Record<string, string>>;
  window?: Window;
  /** How many turns wait for one of the same session at most. Default: 100. */
  maxWaiting?: number;
  /** How long each of them does, in milliseconds. Default: 10 minutes. */
  waitMs?: number;
  /** Wrappers that a session's settings may name as `provider`. */
  wrappers?: Readonly<Record<string, Wrapper>>;
}

/** What is to be learned from. */
export interface Material {
  title?: string;
  text: string;
}

/** What is to be written. */
export interface Brief {
  /** About what. */
  topic: string;
  /** About how many words. */
  words: number;
  /** For whom. */
  audience: string;
  /** Fields of templates of one's own. */
  [field: string]: unknown;
}

/** A document's bytes, or what gives them: a stream, a file that is open. */
export type Content = Uint8Array | AsyncIterable<Uint8Array>;

/** How a document is read. */
export interface ReadOptions extends CallOptions {
  /** Reads no more pages. */
  maxPages?: number;
}

/** A document: its path, its content with or without a name, or a text. */
export type DocumentSource =
  | string
  | Content
  | { readonly body: Content; readonly name?: string }
  | Material;

/** A document as text. */
export interface Document {
  readonly kind: 'pdf' | 'markdown' | 'text';
  readonly title: string | null;
  /** The pages of the file, those that were not read included. */
  readonly pageCount: number;
  readonly pages: readonly { readonly number: number; readonly text: string }[];
  /** What could not be read, in words. */
  readonly warnings: readonly string[];
  /** All of its text, an empty line between pages. */
  readonly text: string;
}

/** What a turn came to. */
export interface Reply {
  readonly text: string;
  /** The session behind it. */
  readonly session: Session;
  readonly model?: string;
  readonly usage?: Usage;
  /** Why the answer ended, as the endpoint says it. */
  readonly finishReason?: string;
  /** Whether it was cut at a limit of tokens: it lacks its end. */
  readonly truncated: boolean;
  /** Each attempt of the call. */
  readonly trail: readonly Attempt[];
  /** Whether the same job had taken the turn before, so that no call was made. */
  readonly repeated: boolean;
}

/** A piece of a turn. */
export type Piece =
  | { readonly type: 'text'; readonly text: string }
  | ({ readonly type: 'done' } & Reply);

/** A job as it is asked for, without what the conversation knows. */
export type TurnJob = Partial<Omit<JobSpec, 'payload' | 'kind' | 'group' | 'session'>>;

/** Sessions and those who answer in them. */
export class Conversations {
  readonly #native: NativeConversations;
  /** The sessions. */
  readonly sessions: SessionManager;

  /** Over sessions, answered through a wrapper. */
  constructor(sessions: SessionManager, wrapper: Wrapper, options: ConversationsOptions = {}) {
    const { wrappers = {}, templates, ...others } = options;
    const wire = JSON.stringify({ ...exactSnakeKeys(others), ...(templates && { templates }) });
    this.sessions = sessions;
    this.#native = typed(() => {
      const over = NativeConversations.over(
        SessionManager.nativeOf(sessions),
        Wrapper.nativeOf(wrapper),
        wire,
      );
      const add = (made: NativeConversations, [name, other]: [string, Wrapper]) =>
        made.withWrapper(name, Wrapper.nativeOf(other));
      return Object.entries(wrappers).reduce(add, over);
    });
  }

  /** The native half. */
  static nativeOf(conversations: Conversations): NativeConversations {
    return conversations.#native;
  }

  /** A session to speak in. Whether it is there shows at its first use. */
  open(key: SessionKey): Conversation {
    return new Conversation(this.#native, { key: keyWire(key) });
  }

  /** Asks for a session to be trained; gives the job's id. */
  async submitTraining(
    jobs: JobManager,
    key: SessionKey,
    source: DocumentSource,
    options: { maxPages?: number; job?: TurnJob } = {},
  ): Promise<string> {
    const work: Wire = { max_pages: options.maxPages };
    let body: Buffer | undefined;
    if (isMaterial(source)) {
      work['text'] = { title: source.title ?? '', text: source.text };
    } else {
      const document = await contentOf(source);
      work['name'] = document.name ?? '';
      body = document.body;
    }
    return this.#submit(jobs, key, { training: work }, options.job, body);
  }

  /** Asks for a text to be written; gives the job's id. */
  submitGeneration(
    jobs: JobManager,
    key: SessionKey,
    brief: Brief,
    options: { job?: TurnJob } = {},
  ): Promise<string> {
    return this.#submit(jobs, key, { generation: brief }, options.job, undefined);
  }

  #submit(
    jobs: JobManager,
    key: SessionKey,
    work: Wire,
    job: TurnJob = {},
    body: Buffer | undefined,
  ): Promise<string> {
    const [spec] = specToWire({ queue: '', ...job });
    const order = JSON.stringify({ key: keyWire(key), job: spec, ...work });
    const manager = JobManager.nativeOf(jobs);
    return submit<string>((number) => {
      this.#native.submit(desk, number, manager, order, body ?? null);
    });
  }
}

/** A session that can be spoken in. */
export class Conversation {
  readonly #native: NativeConversations;
  readonly #place: Wire;

  /** Use `conversations.open`. */
  constructor(native: NativeConversations, place: Wire) {
    this.#native = native;
    this.#place = place;
  }

  /** Speaks as an attempt of a job: late ones write nothing, and a job its turn once. */
  fenced(fence: { job: string; epoch: number }): Conversation {
    return new Conversation(this.#native, { ...this.#place, fence });
  }

  /** Learns from a document, and gives what the model says of it. */
  async train(source: DocumentSource, options: ReadOptions = {}): Promise<Reply> {
    return (await this.trainDocumentStream(source, options)).reply();
  }

  /** The same, as it comes, once the document is read. */
  async trainDocumentStream(
    source: DocumentSource,
    options: ReadOptions = {},
  ): Promise<TurnStream> {
    const material = isMaterial(source) ? source : await materialOf(source, options);
    return this.trainStream(material, options);
  }

  /** The same of a text. */
  trainStream(material: Material, options: CallOptions = {}): TurnStream {
    return this.#say({ train: { title: material.title ?? '', text: material.text } }, options);
  }

  /** Writes a text in the style of what it was trained on. */
  generate(brief: Brief, options: CallOptions = {}): Promise<Reply> {
    return this.generateStream(brief, options).reply();
  }

  /** The same, as it comes. */
  generateStream(brief: Brief, options: CallOptions = {}): TurnStream {
    return this.#say({ generate: brief }, options);
  }

  /** Says something, and gives the answer. */
  send(prompt: string, options: CallOptions = {}): Promise<Reply> {
    return this.sendStream(prompt, options).reply();
  }

  /** The same, as it comes. */
  sendStream(prompt: string, options: CallOptions = {}): TurnStream {
    return this.#say({ send: prompt }, options);
  }

  #say(say: object, options: CallOptions): TurnStream {
    const wish = JSON.stringify({ ...this.#place, say });
    return new TurnStream(this.#native.say(wish), options.signal);
  }
}

interface Batch {
  readonly pieces: readonly (Wire & { readonly type: string })[];
  readonly error?: WireError;
  readonly done: boolean;
}

/** A turn as it goes on. Left before its end, it leaves the session as it was. */
export class TurnStream implements AsyncIterableIterator<Piece, undefined> {
  readonly #native: NativeTurn;
  readonly #closed = new AbortController();
  readonly #signal: AbortSignal;
  readonly #pieces: Piece[] = [];
  #error: Error | undefined;
  #ended = false;

  /** Made by a conversation. */
  constructor(native: NativeTurn, signal: AbortSignal | undefined) {
    this.#native = native;
    const closed = this.#closed.signal;
    this.#signal = signal === undefined ? closed : AbortSignal.any([closed, signal]);
  }

  /** Goes on to its end. */
  async reply(): Promise<Reply> {
    for await (const piece of this) {
      if (piece.type === 'done') {
        const { text, session, model, usage, finishReason, truncated, trail, repeated } = piece;
        return {
          text,
          session,
          ...(model !== undefined && { model }),
          ...(usage !== undefined && { usage }),
          ...(finishReason !== undefined && { finishReason }),
          truncated,
          trail,
          repeated,
        };
      }
    }
    throw new TypeError('the turn was closed');
  }

  /** The pieces of text alone. */
  async *text(): AsyncGenerator<string, void, undefined> {
    for await (const piece of this) {
      if (piece.type === 'text') {
        yield piece.text;
      }
    }
  }

  /** The next piece. Ask for one at a time. */
  async next(): Promise<IteratorResult<Piece, undefined>> {
    while (this.#pieces.length === 0 && this.#error === undefined && !this.#ended) {
      await this.#fetch();
    }
    const piece = this.#pieces.shift();
    if (piece !== undefined) {
      return { done: false, value: piece };
    }
    if (this.#error !== undefined) {
      const error = this.#error;
      this.#error = undefined;
      throw error;
    }
    return { done: true, value: undefined };
  }

  /** Stops the turn; `break` in a `for await` calls it. */
  return(): Promise<IteratorResult<Piece, undefined>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Stops the turn: the session is as it was. */
  close(): void {
    this.#ended = true;
    this.#pieces.length = 0;
    this.#error = undefined;
    this.#closed.abort();
    this.#native.close();
  }

  /** Itself. */
  [Symbol.asyncIterator](): this {
    return this;
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
    this.#pieces.push(...batch.pieces.map(pieceFromWire));
    this.#ended = batch.done;
    if (batch.error !== undefined) {
      this.#error = errorFromWire(batch.error);
    }
  }
}

/** A job's state as people are shown it: `pending`, `training`, `generating`, `completed`… */
export function stage(kind: string, state: JobState): string {
  return nativeStage(kind, state) ?? state;
}

/** What a session is called among jobs, as their `session` and `group`. */
export function sessionName(session: SessionKey): string {
  const { owner, id } = keyWire(session);
  return typed(() => nativeName(owner, id));
}

/** Reads a PDF, Markdown or plain text document. */
export async function readDocument(
  source: Exclude<DocumentSource, Material>,
  options: ReadOptions = {},
): Promise<Document> {
  const { body, name } = await contentOf(source);
  const wire = JSON.stringify({ name, max_pages: options.maxPages });
  const read = await submit<Wire & Omit<Document, 'text'>>((number) => {
    nativeRead(desk, number, body, wire);
  }, options.signal);
  const document = camelTopKeys<Omit<Document, 'text'>>(read);
  const text = document.pages.map((page) => page.text).filter((page) => page !== '').join('\n\n');
  return { ...document, text };
}

async function materialOf(
  source: Exclude<DocumentSource, Material>,
  options: ReadOptions,
): Promise<Material> {
  const { body, name } = await contentOf(source);
  const document = await readDocument({ body, ...(name !== undefined && { name }) }, options);
  return { title: document.title ?? name ?? '', text: document.text };
}

async function contentOf(
  source: Exclude<DocumentSource, Material>,
): Promise<{ body: Buffer; name: string | undefined }> {
  if (typeof source === 'string') {
    return { body: await beginningOf(source), name: basename(source) };
  }
  if ('body' in source) {
    return { body: await gathered(source.body), name: source.name };
  }
  return { body: await gathered(source), name: undefined };
}

/** A file's content, or as much of it as shows that it is too large. */
async function beginningOf(path: string): Promise<Buffer> {
  if (!(await stat(path)).isFile()) {
    throw new Error(`${path} is no regular file`);
  }
  return gathered(createReadStream(path) as AsyncIterable<Uint8Array>);
}

async function gathered(content: Content): Promise<Buffer> {
  if (content instanceof Uint8Array) {
    return Buffer.from(content);
  }
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of content) {
    parts.push(part);
    bytes += part.length;
    if (bytes > maxDocumentBytes()) {
      break;
    }
  }
  return Buffer.concat(parts);
}

function isMaterial(source: DocumentSource): source is Material {
  return typeof source === 'object' && 'text' in source && typeof source.text === 'string';
}

function pieceFromWire(wire: Wire & { readonly type: string }): Piece {
  if (wire.type === 'text') {
    return wire as unknown as Piece;
  }
  const { session, ...others } = wire;
  return { ...camelKeys<object>(others), session: sessionFromWire(session as Wire) } as Piece;
}

/** Rotation around client code of the user's own. */
import type { Rotation } from '../native/index.js';

import { Credential } from './credential.js';
import { desk, submit } from './desk.js';
import { CredentialRotationError } from './errors.js';
import { reportOf, type Classifier } from './faults.js';

/** What a call of the user's needs. */
export interface RunOptions {
  /** Tells what an error means; the core's own rules when absent. */
  classify?: Classifier;
  /** The model it will ask for. */
  model?: string;
  /** The conversation it belongs to, for the sticky strategy. */
  session?: string;
  /** The tokens it is expected to cost, for token limits. */
  tokens?: number;
  /** Ends the run; it rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** What client code is told beside its credential. */
export interface RunContext {
  /** Aborted when the attempt takes too long or the run is aborted: hand it to the client. */
  readonly signal: AbortSignal;
  /** Which attempt of the run this is, from 1. */
  readonly attempt: number;
}

/** Client code of the user's: one attempt with one credential. */
export type Work<T> = (credential: Credential, context: RunContext) => T | Promise<T>;

interface Turn {
  readonly id: string;
  readonly base_url: string | null;
  readonly model: string | null;
  readonly number: number;
  readonly attempt_timeout_ms: number;
}

/** The longest time that a timer takes. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Calls `work` with a credential, and again with the next one while it fails in a
 * way that another credential or another try can mend.
 *
 * When it cannot go on, the last error of `work` comes out as it is. Ours comes when
 * no credential can be used or the time is up, with the last of `work` as its cause.
 */
export async function run<T>(rotation: Rotation, work: Work<T>, options: RunOptions): Promise<T> {
  const { classify, signal } = options;
  let theirs: { error: unknown } | undefined;
  try {
    for (;;) {
      const turn = await nextTurn(rotation, theirs, signal);
      const attempt = await attemptOf(turn, rotation.secret ?? '', work, signal);
      if ('value' in attempt) {
        await submit((number) => { rotation.succeed(desk, number); });
        return attempt.value;
      }
      signal?.throwIfAborted();
      if ('late' in attempt) {
        theirs = undefined;
        const after = turn.attempt_timeout_ms;
        await submit((number) => { rotation.timeOut(desk, number, after); }, signal);
        continue;
      }
      theirs = attempt;
      const report = reportOf(attempt.error, classify);
      const goesOn =
        report !== null &&
        (await submit<boolean>((number) => { rotation.fail(desk, number, report); }, signal));
      if (!goesOn) {
        throw attempt.error;
      }
    }
  } finally {
    rotation.close();
  }
}

async function nextTurn(
  rotation: Rotation,
  theirs: { error: unknown } | undefined,
  signal: AbortSignal | undefined,
): Promise<Turn> {
  try {
    return await submit<Turn>((number) => { rotation.next(desk, number); }, signal);
  } catch (error) {
    if (theirs !== undefined && error instanceof CredentialRotationError) {
      error.cause = theirs.error;
    }
    throw error;
  }
}

type Attempted<T> = { value: T } | { error: unknown } | { late: true };

async function attemptOf<T>(
  turn: Turn,
  secret: string,
  work: Work<T>,
  signal: AbortSignal | undefined,
): Promise<Attempted<T>> {
  const credential = new Credential(turn.id, secret, {
    ...(turn.base_url !== null && { baseUrl: turn.base_url }),
    ...(turn.model !== null && { model: turn.model }),
  });
  const own = new AbortController();
  const { promise: givenUp, resolve: giveUp } = withResolvers<Attempted<T>>();
  const aborted = (): void => {
    giveUp({ error: signal?.reason });
    own.abort(signal?.reason);
  };
  const timer = setTimeout(
    () => {
      giveUp({ late: true });
      own.abort(new DOMException('the attempt took too long', 'TimeoutError'));
    },
    Math.min(turn.attempt_timeout_ms, LONGEST_TIMER),
  );
  signal?.addEventListener('abort', aborted, { once: true });
  try {
    const tried = (async (): Promise<Attempted<T>> => {
      try {
        return { value: await work(credential, { signal: own.signal, attempt: turn.number }) };
      } catch (error) {
        return { error };
      }
    })();
    return await Promise.race([tried, givenUp]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', aborted);
  }
}

interface Resolvers<T> {
  promise: Promise<T>;
  resolve: (value: T) => void;
}

// Promise.withResolvers comes with Node 22.
function withResolvers<T>(): Resolvers<T> {
  const resolvers: Partial<Resolvers<T>> = {};
  resolvers.promise = new Promise<T>((resolve) => {
    resolvers.resolve = resolve;
  });
  return resolvers as Resolvers<T>;
}

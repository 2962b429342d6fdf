/**
 * Promises for work in the core.
 *
 * Work is handed in under a number; results come in batches (`src/desk.rs`). The
 * process stays alive while somebody waits for a result, and only then.
 */
import { Desk as NativeDesk } from '../native/index.js';

import { errorFromWire, type WireError } from './errors.js';

interface Waiting {
  resolve(value: unknown): void;
  reject(reason: unknown): void;
  signal: AbortSignal | undefined;
  abort: (() => void) | undefined;
}

type Line = readonly [number: number, succeeded: boolean, value: unknown];

const LAST_NUMBER = 0xffff_ffff;

const waiting = new Map<number, Waiting>();
let last = 0;

/** The desk of this environment. */
export const desk = new NativeDesk((lines) => {
  for (const [number, succeeded, value] of JSON.parse(lines) as Line[]) {
    const entry = take(number);
    if (entry === undefined) {
      continue;
    }
    if (succeeded) {
      entry.resolve(value);
    } else {
      entry.reject(errorFromWire(value as WireError | null));
    }
  }
});

// A child process of a call must not outlive `process.exit()`.
process.once('exit', () => {
  desk.close();
});

/**
 * A promise for the work that `start` hands in under a number.
 *
 * Aborting the signal ends the work and rejects with the signal's reason.
 */
export function submit<T>(start: (number: number) => void, signal?: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    signal?.throwIfAborted();
    const number = nextNumber();
    let abort: (() => void) | undefined;
    if (signal !== undefined) {
      abort = () => {
        take(number);
        desk.cancel(number);
        // Whatever the user gave as the reason, as fetch does.
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
        reject(signal.reason);
      };
      signal.addEventListener('abort', abort, { once: true });
    }
    waiting.set(number, { resolve: resolve, reject, signal, abort });
    if (waiting.size === 1) {
      desk.hold();
    }
    try {
      start(number);
    } catch (error) {
      take(number);
      throw error;
    }
  });
}

function take(number: number): Waiting | undefined {
  const entry = waiting.get(number);
  if (entry !== undefined) {
    waiting.delete(number);
    if (waiting.size === 0) {
      desk.release();
    }
    if (entry.abort !== undefined) {
      entry.signal?.removeEventListener('abort', entry.abort);
    }
  }
  return entry;
}

function nextNumber(): number {
  do {
    last = last === LAST_NUMBER ? 1 : last + 1;
  } while (waiting.has(last));
  return last;
}

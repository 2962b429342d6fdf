/** Attempts in hand: what the core begins is given to handlers, their ends go back to it. */
import type { JobWorker as NativeWorker } from '../native/index.js';

import { ClaimedJob, failureJson, JobContext, JsonText, type Told } from './attempt.js';
import type { HandlerTable } from './handlers.js';

type Line =
  | readonly [number: number]
  | readonly [number: number, job: Told, payloadJson: string];

/** Of an attempt, with what came of it as members of an object in JSON. */
type End = readonly [number: number, members: string];

/** Those of one worker. */
export class Attempts {
  readonly #handlers: HandlerTable;
  readonly #running = new Map<number, JobContext>();
  #ends: End[] = [];

  /** None yet. */
  constructor(handlers: HandlerTable) {
    this.#handlers = handlers;
  }

  /** Begins and aborts as the core's lines say. */
  take(native: NativeWorker, lines: string): void {
    for (const line of JSON.parse(lines) as Line[]) {
      this.#take(native, line);
    }
  }

  #take(native: NativeWorker, [number, told, payloadJson]: Line): void {
    if (told === undefined || payloadJson === undefined) {
      const context = this.#running.get(number);
      if (context !== undefined) {
        JobContext.abort(context);
      }
      return;
    }
    // Handlers of the same lines may have kept the loop busy until it was over.
    if (!native.begins(number)) {
      return;
    }
    const context = new JobContext(native, number, told);
    this.#running.set(number, context);
    // Async, so that a handler that throws, or that gives no promise, has its end too.
    void this.#attempt(new ClaimedJob(told, payloadJson), context).then((end) => {
      this.#running.delete(number);
      this.#ends.push([number, end]);
      if (this.#ends.length === 1) {
        // All that end in this turn of the loop go over together.
        setImmediate(() => { this.#flush(native); });
      }
    });
  }

  /** Members of an end as JSON. Never rejects. */
  async #attempt(job: ClaimedJob, context: JobContext): Promise<string> {
    try {
      const handler = this.#handlers.kinds.get(job.kind) ?? this.#handlers.otherwise;
      const result = await handler?.(job, context);
      const text =
        result instanceof JsonText
          ? result.text
          : ((JSON.stringify(result) as string | undefined) ?? 'null');
      return `"result":${text}`;
    } catch (error) {
      return `"error":${failureJson(error)}`;
    }
  }

  /** Never throws: nobody could catch it. */
  #flush(native: NativeWorker): void {
    const ends = this.#ends;
    this.#ends = [];
    try {
      native.end(written(ends));
    } catch {
      // The core takes all or none: one that it cannot read is the failure of its own job.
      for (const [number, members] of ends) {
        try {
          native.end(written([[number, members]]));
        } catch (error) {
          native.end(written([[number, `"error":${failureJson(unreadable(error))}`]]));
        }
      }
    }
  }
}

function written(ends: readonly End[]): string {
  return `[${ends.map(([number, members]) => `{"number":${String(number)},${members}}`).join(',')}]`;
}

/** Why the core refused an end. */
function unreadable(error: unknown): TypeError {
  return new TypeError('what the handler gave cannot be recorded', { cause: error });
}

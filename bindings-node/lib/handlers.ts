/** Which handler does which kind of job. */
import type { ClaimedJob, JobContext } from './attempt.js';

/** Does one kind of job. What it gives is the job's result: JSON, or a `JsonText`. */
export type JobHandler = (job: ClaimedJob, context: JobContext) => unknown;

/** The handlers as a worker looks them up. */
export interface HandlerTable {
  readonly kinds: ReadonlyMap<string, JobHandler>;
  readonly otherwise: JobHandler | undefined;
}

/**
 * Under this name a table is found. A program and the module it runs may each have a copy
 * of this package, so `instanceof` does not tell.
 */
const TABLE = Symbol.for('credential-rotation.handlers');

/** Handlers by kind; `worker --app MODULE` looks for one among the module's exports. */
export class Handlers {
  readonly #kinds = new Map<string, JobHandler>();
  #otherwise: JobHandler | undefined;

  /** Does that kind of job so. A second handler takes the first one's place. */
  handler(kind: string, handler: JobHandler): this {
    this.#kinds.set(kind, callable(handler));
    return this;
  }

  /** Does all other kinds of jobs so. Without, they fail as `unknown_kind`. */
  defaultHandler(handler: JobHandler): this {
    this.#otherwise = callable(handler);
    return this;
  }

  /** @internal */
  get [TABLE](): HandlerTable {
    return { kinds: this.#kinds, otherwise: this.#otherwise };
  }
}

/** The table of what may be handlers, of this or another copy of the package. */
export function tableOf(value: unknown): HandlerTable | undefined {
  if (typeof value !== 'object' || value === null) {
    return undefined;
  }
  return (value as { [TABLE]?: HandlerTable })[TABLE];
}

function callable(handler: JobHandler): JobHandler {
  if (typeof handler !== 'function') {
    throw new TypeError('a handler is a function');
  }
  return handler;
}

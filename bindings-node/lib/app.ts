/** `credential-rotation worker --app MODULE`: a module's handlers, for the core's program. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import { JobWorker as NativeWorker, type AppWorker } from '../native/index.js';

import { Attempts } from './attempts.js';
import { desk, submit } from './desk.js';
import { tableOf, type HandlerTable } from './handlers.js';

/** Loads the module and runs the worker with its handlers; gives the exit code. */
export async function runApp(worker: AppWorker): Promise<number> {
  let tables: HandlerTable[];
  try {
    tables = tablesOf(await loaded(worker.module), worker.name);
  } catch (error) {
    return worker.refuse(...told(error));
  }
  const [table, ...others] = tables;
  if (table === undefined || others.length > 0) {
    return worker.refuseCount(tables.length);
  }
  const attempts = new Attempts(table);
  const native = NativeWorker.withoutQueues((lines) => { attempts.take(native, lines); });
  const kinds = [...table.kinds.keys()];
  const otherwise = table.otherwise !== undefined;
  return submit<number>((number) => {
    // The core hears signals. With listeners of ours from before, it goes on doing so when
    // the module listens to some as well; and it hears them at once, for ours do nothing.
    process.on('SIGTERM', nothing).on('SIGINT', nothing);
    native.runApp(desk, number, worker, kinds, otherwise);
  });
}

function nothing(): void {
  // It is the core that does something.
}

/** A file, or a package of the working folder's. */
async function loaded(name: string): Promise<Record<string, unknown>> {
  const file = resolve(name);
  const path = existsSync(file) ? file : createRequire(resolve('x.js')).resolve(name);
  return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
}

/** Of what a module exports, the handlers that may be meant. */
function tablesOf(module: Record<string, unknown>, name: string | null): HandlerTable[] {
  // A module may export one under two names, `default` among them.
  const found = new Set(
    [...exported(module)]
      .filter(([key, value]) => (name ?? key) === key && tableOf(value) !== undefined)
      .map(([, value]) => value),
  );
  return [...found].map((handlers) => tableOf(handlers) as HandlerTable);
}

/** What a module exports; of one that is CommonJS, also what not all are told of by name. */
function* exported(module: Record<string, unknown>): Generator<[name: string, value: unknown]> {
  yield* Object.entries(module);
  const { default: whole } = module;
  if (typeof whole === 'object' && whole !== null) {
    yield* Object.entries(whole);
  }
}

/** The words for why a module is not loaded, and of what it threw itself the place. */
function told(error: unknown): [problem: string, trace?: string] {
  const { code, message, stack } = (error ?? {}) as Partial<NodeJS.ErrnoException>;
  const missing = code === 'MODULE_NOT_FOUND' || code === 'ERR_MODULE_NOT_FOUND';
  const [words = ''] = String(missing ? message : error).split('\n', 1);
  return missing || stack === undefined ? [words] : [words, stack];
}

/** `credential-rotation worker --app MODULE`: a worker whose handlers are a module's. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { CredentialRotationError } from './errors.js';
import { tableOf, type Handlers } from './handlers.js';
import { JobManager } from './jobs.js';
import { Worker, type WorkerOptions, type WorkerReport } from './worker.js';

const OK = 0;
const CALL_FAILED = 1;
const USAGE = 2;
const BAD_INPUT = 4;
const STATE = 5;

/** Ends the program with a code of its own. */
class Complaint extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

interface Wanted {
  readonly url: string;
  readonly app: string;
  readonly json: boolean;
  readonly worker: Omit<WorkerOptions, 'handlers'>;
}

/** Runs the worker that these words describe; gives the exit code. */
export async function runWorker(words: readonly string[]): Promise<number> {
  try {
    const { url, app, json, worker } = read(words);
    const handlers = await handlersOf(app);
    const jobs = await JobManager.connect(url);
    try {
      const report = await new Worker(jobs, { ...worker, handlers }).runUntilSignalled();
      console.log(json ? JSON.stringify({ success: true, report }) : summary(report));
    } finally {
      await jobs.close();
    }
    return OK;
  } catch (error) {
    const [message, code] = told(error);
    console.error(`error: ${message}`);
    return code;
  }
}

function summary({ completed, failed, released }: WorkerReport): string {
  return `stopped: ${String(completed)} completed, ${String(failed)} failed, ${String(released)} given back`;
}

function told(error: unknown): [message: string, code: number] {
  if (error instanceof Complaint) {
    return [error.message, error.exitCode];
  }
  if (error instanceof CredentialRotationError) {
    switch (error.code) {
      case 'backend_unavailable':
      case 'backend_unsuitable':
        return [error.message, STATE];
      case 'invalid_job':
        return [error.message, BAD_INPUT];
      default:
        return [error.message, CALL_FAILED];
    }
  }
  throw error;
}

function read(words: readonly string[]): Wanted {
  const { values, positionals } = parsed(words);
  const seconds = (option: 'lease' | 'timeout' | 'grace'): number | undefined => {
    const given = values[option];
    const ms = Number(given) * 1_000;
    if (given !== undefined && !(ms >= 0 && given.trim() !== '')) {
      throw new Complaint(`--${option} ${given}: give seconds`, USAGE);
    }
    return given === undefined ? undefined : ms;
  };
  if (positionals.length !== 1 || values.queues === undefined || !values.app) {
    throw new Complaint('use `worker --queues QUEUE[,QUEUE…][:N] --app MODULE`', USAGE);
  }
  const url = values.url ?? process.env['CREDENTIAL_ROTATION_URL'];
  if (url === undefined) {
    throw new Complaint('say where the jobs are by --url, or set CREDENTIAL_ROTATION_URL', BAD_INPUT);
  }
  const [leaseMs, timeoutMs, graceMs] = [seconds('lease'), seconds('timeout'), seconds('grace')];
  return {
    url,
    app: values.app,
    json: values.json ?? false,
    worker: {
      queues: values.queues,
      ...(values.id !== undefined && { id: values.id }),
      ...(leaseMs !== undefined && { leaseMs }),
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...(graceMs !== undefined && { graceMs }),
      webhooks: { allowPrivate: values['allow-private-webhooks'] ?? false },
    },
  };
}

function parsed(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        url: { type: 'string' },
        queues: { type: 'string', multiple: true },
        app: { type: 'string' },
        id: { type: 'string' },
        lease: { type: 'string' },
        timeout: { type: 'string' },
        grace: { type: 'string' },
        json: { type: 'boolean' },
        'allow-private-webhooks': { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new Complaint((error as Error).message, USAGE);
  }
}

/** The handlers of `MODULE` or `MODULE:NAME`: a file, or a package of the working folder's. */
async function handlersOf(app: string): Promise<Handlers> {
  const [, name = app, chosen] = /^(.+):([\w$]+)$/.exec(app) ?? [];
  const found = [...exported(await loaded(name, app))]
    .filter(([key, value]) => tableOf(value) !== undefined && (chosen ?? key) === key)
    .map(([, value]) => value as Handlers);
  // A module may export one under two names, `default` among them.
  const [handlers, ...others] = new Set(found);
  if (handlers === undefined || others.length > 0) {
    const count = String(handlers === undefined ? 0 : others.length + 1);
    throw new Complaint(
      `--app ${app}: it exports ${count} \`Handlers\`: export one, or name one as MODULE:NAME`,
      BAD_INPUT,
    );
  }
  return handlers;
}

async function loaded(name: string, app: string): Promise<Record<string, unknown>> {
  try {
    const file = resolve(name);
    const path = existsSync(file) ? file : createRequire(resolve('x.js')).resolve(name);
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    const { code, message, stack } = error as NodeJS.ErrnoException;
    const missing = code === 'MODULE_NOT_FOUND' || code === 'ERR_MODULE_NOT_FOUND';
    // Of what the module itself threw, the place matters.
    const words = missing ? message.split('\n', 1)[0] : (stack ?? String(error));
    throw new Complaint(`--app ${app}: ${String(words)}`, BAD_INPUT);
  }
}

/** What a module exports; of one that is CommonJS, also what not all are told of by name. */
function* exported(module: Record<string, unknown>): Generator<[name: string, value: unknown]> {
  yield* Object.entries(module);
  const { default: whole } = module;
  if (typeof whole === 'object' && whole !== null) {
    yield* Object.entries(whole);
  }
}

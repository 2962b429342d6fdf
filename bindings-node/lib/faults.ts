/**
 * What is known of an error of any client: neutral facts, which the core classifies.
 *
 * No rule is here, only where the usual packages keep things: openai,
 * `@anthropic-ai/sdk`, fetch and undici, axios and got, the AWS SDK.
 */
import { inspect } from 'node:util';

import { snakeKeys, type Wire } from './wire.js';

/** What is known of a failed call. */
export interface ErrorFacts {
  /** What happened below HTTP: `timeout`, or an errno-like code (`ECONNRESET`). */
  kind?: string;
  /** The HTTP status. */
  status?: number;
  /** The headers that speak of limits. */
  headers?: Record<string, string>;
  /** The body: text, or as the SDK parsed it. */
  body?: unknown;
  /** The error's name, best with its package: `openai.RateLimitError`. */
  typeName?: string;
  /** The error's message. */
  message?: string;
}

/** A fault by name, as a classifier of one's own gives it. */
export interface NamedFault {
  /** Such as `rate_limited`, `quota_exhausted`, `unauthorized`, `server_error`. */
  reason: string;
  message?: string;
  status?: number;
  /** How long the endpoint asked to be left alone. */
  retryAfterMs?: number;
  body?: string;
}

/**
 * Tells what an error means: a fault by name, facts for the core to judge, or
 * nothing for an error that is none of the pool's business.
 */
export type Classifier = (
  error: unknown,
) => NamedFault | NamedFault['reason'] | ErrorFacts | null | undefined;

const HEADERS = /^(retry-after|retry-after-ms|x-ratelimit-|anthropic-ratelimit-|x-should-retry)/i;

/** Causes are followed so far: fetch hides what happened one or two deep. */
const DEEPEST = 4;

/** The facts of any error. */
export function factsOf(error: unknown): ErrorFacts {
  if (!isObject(error)) {
    return { typeName: typeof error, message: String(error) };
  }
  const response = member(error, 'response') ?? member(error, '$response');
  const metadata = member(error, '$metadata');
  const status =
    numberOf(error, 'status') ??
    numberOf(error, 'statusCode') ??
    numberOf(response, 'status') ??
    numberOf(response, 'statusCode') ??
    numberOf(metadata, 'httpStatusCode');
  const headers =
    limitsIn(read(error, 'headers')) ??
    limitsIn(read(error, 'responseHeaders')) ??
    limitsIn(read(response, 'headers'));
  const body = bodyOf(error, response);
  const kind = kindOf(error);
  const typeName = typeNameOf(error, metadata !== undefined);
  const message = stringOf(error, 'message');
  return {
    ...(kind !== undefined && { kind }),
    ...(status !== undefined && { status }),
    ...(headers !== undefined && { headers }),
    ...(body !== undefined && { body }),
    ...(typeName !== undefined && { typeName }),
    ...(message !== undefined && { message }),
  };
}

/** What to report of an error: the classifier's word, or the facts. `null`: nothing. */
export function reportOf(error: unknown, classify: Classifier | undefined): string | null {
  if (classify === undefined) {
    return json({ facts: snakeFacts(factsOf(error)) });
  }
  const word = classify(error);
  if (word === null || word === undefined) {
    return null;
  }
  if (typeof word === 'string') {
    return json({ fault: { reason: word, message: messageOf(error) } });
  }
  if ('reason' in word) {
    return json({ fault: { message: messageOf(error), ...snakeKeys(word) } });
  }
  return json({ facts: snakeFacts(word) });
}

function messageOf(error: unknown): string {
  return (isObject(error) ? stringOf(error, 'message') : undefined) ?? String(error);
}

function snakeFacts(facts: ErrorFacts): Wire {
  const { typeName, ...others } = facts;
  return typeName === undefined ? others : { ...others, type_name: typeName };
}

// A body of the user's may hold anything; one that JSON cannot take is told in words.
function json(value: Wire): string {
  try {
    return JSON.stringify(value, (_key, item: unknown) =>
      typeof item === 'bigint' ? item.toString() : item,
    );
  } catch {
    const facts = value['facts'] as Wire | undefined;
    return JSON.stringify(facts === undefined ? value : { facts: { ...facts, body: inspect(facts['body']) } });
  }
}

function kindOf(error: object): string | undefined {
  let link: unknown = error;
  for (let depth = 0; depth < DEEPEST && isObject(link); depth += 1) {
    const code = stringOf(link, 'code');
    // HTTP SDKs use `code` for the endpoint's own words too; errno's are in capitals.
    if (code !== undefined && /^[A-Z][A-Z0-9_]+$/.test(code)) {
      return code;
    }
    if (stringOf(link, 'name') === 'TimeoutError') {
      return 'timeout';
    }
    link = read(link, 'cause');
  }
  return undefined;
}

function bodyOf(error: object, response: object | undefined): unknown {
  for (const [holder, name] of [
    [error, 'error'],
    [error, 'body'],
    [error, 'responseBody'],
    [response, 'data'],
    [response, 'body'],
  ] as const) {
    const body = read(holder, name);
    if (typeof body === 'string' && body !== '') {
      return body;
    }
    if (isObject(body) && isPlain(body)) {
      return body;
    }
  }
  // The SDKs of OpenAI's family lay the error object's members on the error itself.
  const code = stringOf(error, 'code');
  const type = stringOf(error, 'type');
  return numberOf(error, 'status') !== undefined && (code !== undefined || type !== undefined)
    ? { error: { code, type, message: stringOf(error, 'message') } }
    : undefined;
}

function typeNameOf(error: object, aws: boolean): string | undefined {
  const own = stringOf(error, 'name');
  if (aws) {
    return own === undefined ? undefined : `botocore.${own}`;
  }
  const Class: unknown = read(error, 'constructor');
  const name = typeof Class === 'function' && Class.name !== '' ? Class.name : own;
  const last = name === 'Error' && own !== undefined ? own : name;
  const home = packageOf(error);
  return last === undefined || home === undefined ? last : `${home}.${last}`;
}

// An error's class does not say whose it is; its ancestors do.
function packageOf(error: object): string | undefined {
  for (let link: unknown = error; isObject(link); link = Object.getPrototypeOf(link)) {
    const Class: unknown = Object.hasOwn(link, 'constructor') ? read(link, 'constructor') : undefined;
    if (typeof Class === 'function') {
      const home = HOMES[Class.name];
      if (home !== undefined) {
        return home;
      }
    }
  }
  return undefined;
}

/** Base classes that belong to one package. */
const HOMES: Readonly<Record<string, string>> = {
  OpenAIError: 'openai',
  AnthropicError: 'anthropic',
  AxiosError: 'axios',
  UndiciError: 'undici',
};

function limitsIn(headers: unknown): Record<string, string> | undefined {
  if (!isObject(headers)) {
    return undefined;
  }
  const pairs =
    headers instanceof Headers || headers instanceof Map
      ? [...(headers as Iterable<[string, unknown]>)]
      : Object.entries(headers);
  const limits = pairs
    .filter(([name]) => HEADERS.test(name))
    .map(([name, value]) => [name, String(value)] as const);
  return limits.length === 0 ? undefined : Object.fromEntries(limits);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null || Array.isArray(value);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

// A getter of the user's may throw; then there is nothing to know.
function read(holder: object | undefined, name: string): unknown {
  try {
    return holder === undefined ? undefined : (Reflect.get(holder, name) as unknown);
  } catch {
    return undefined;
  }
}

function member(holder: object | undefined, name: string): object | undefined {
  const value = read(holder, name);
  return isObject(value) ? value : undefined;
}

function numberOf(holder: object | undefined, name: string): number | undefined {
  const value = read(holder, name);
  return typeof value === 'number' && Number.isInteger(value) && value >= 100 && value <= 999
    ? value
    : undefined;
}

function stringOf(holder: object | undefined, name: string): string | undefined {
  const value = read(holder, name);
  return typeof value === 'string' ? value : undefined;
}

/** Providers written in JavaScript: anything with a `send`. */
import { HostProvider as NativeProvider } from '../native/index.js';

import { Credential } from './credential.js';
import { desk } from './desk.js';
import { reportOf, type Classifier } from './faults.js';
import type { Usage } from './outcome.js';
import type { Request } from './request.js';
import { camelTopKeys, snakeKeys, snakeTopKeys, type Wire } from './wire.js';

/** A whole answer. */
export interface Response {
  text: string;
  model?: string;
  usage?: Partial<Usage>;
  finishReason?: string;
  toolCalls?: readonly unknown[];
}

/** What a provider is told beside the request and the credential. */
export interface SendContext {
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** One way to ask a model. It knows nothing of retries. */
export interface Provider {
  /** Its name in trails and errors. */
  readonly name?: string;
  /** Sends one request once; throws what went wrong. */
  send(
    request: Request,
    credential: Credential,
    context: SendContext,
  ): string | Response | Promise<string | Response>;
  /** Tells what an error of `send` means; the core's own rules when absent. */
  classify?: Classifier;
}

interface Question {
  readonly request: Wire;
  readonly credential: { id: string; base_url: string | null; model: string | null };
}

/** The native provider that asks one of the host's. */
export function hostProvider(provider: Provider): NativeProvider {
  if (typeof provider.send !== 'function') {
    throw new TypeError('a provider is a name, or an object with a function `send`');
  }
  const asked = new Map<number, AbortController>();
  const name = provider.name ?? 'host';
  return new NativeProvider(desk, name, (number, question, secret) => {
    if (question === undefined || question === null) {
      asked.get(number)?.abort();
      return;
    }
    const controller = new AbortController();
    asked.set(number, controller);
    // Async, so that a callback that throws, or that gives no promise, is answered too.
    void answer(provider, JSON.parse(question) as Question, secret ?? '', controller.signal).then(
      ([succeeded, json]) => {
        asked.delete(number);
        desk.answer(number, succeeded, json);
      },
    );
  });
}

async function answer(
  provider: Provider,
  question: Question,
  secret: string,
  signal: AbortSignal,
): Promise<[succeeded: boolean, json: string]> {
  const { id, base_url: baseUrl, model } = question.credential;
  const credential = new Credential(id, secret, {
    ...(baseUrl !== null && { baseUrl }),
    ...(model !== null && { model }),
  });
  try {
    const request = camelTopKeys<Request>(question.request);
    return [true, responseJson(await provider.send(request, credential, { signal }))];
  } catch (error) {
    return [false, failure(error, provider.classify)];
  }
}

function responseJson(response: unknown): string {
  if (typeof response === 'string') {
    return JSON.stringify({ text: response });
  }
  if (response === null || typeof response !== 'object' || !('text' in response)) {
    throw new TypeError('`send` gives a string or an object with `text`');
  }
  const { usage, ...others } = response as Response;
  return JSON.stringify({
    ...snakeTopKeys(others),
    ...(usage !== undefined && { usage: snakeKeys(usage) }),
  });
}

// A classifier that throws is a fault of the provider's code like any other.
function failure(error: unknown, classify: Classifier | undefined): string {
  try {
    const word = classify === undefined ? null : reportOf(error, (it) => classify.call(undefined, it));
    return word ?? reportOf(error, undefined) ?? '{"facts":{}}';
  } catch (thrown) {
    return reportOf(thrown, undefined) ?? '{"facts":{}}';
  }
}

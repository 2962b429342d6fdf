/** What is asked of a model, in words that no provider owns. */
import { snakeTopKeys } from './wire.js';

/** One message of a conversation. Further members are passed through. */
export interface Message {
  role: string;
  /** Text, or parts in the endpoint's own format. */
  content?: unknown;
  [member: string]: unknown;
}

/** A request to a model. */
export interface Request {
  /** The model; else the credential's or the wrapper's. */
  model?: string;
  /** The system prompt. */
  system?: string;
  /** The conversation, oldest first. */
  messages: readonly Message[];
  /** The most tokens to generate. */
  maxTokens?: number;
  /** Sampling temperature. */
  temperature?: number;
  /** Where to stop. */
  stop?: readonly string[];
  /** Tools in the endpoint's own format. */
  tools?: unknown;
  /** Tool choice in the endpoint's own format. */
  toolChoice?: unknown;
  /** The conversation it belongs to, for the sticky strategy. */
  session?: string;
  /** The credential to be asked while it can be used, else the pool's strategy chooses. */
  credential?: string;
  /** So many of the first messages come again in later requests: endpoints cache them. */
  stableMessages?: number;
  /** Further members of the endpoint's body. */
  extra?: Record<string, unknown>;
}

/** A prompt that is one: not everyone who calls this checks types. */
export function promptText(prompt: string): string {
  if (typeof prompt !== 'string') {
    throw new TypeError('the prompt is a string; `complete` takes a request');
  }
  return prompt;
}

/** A request, or a prompt for one user message, as the core reads it. */
export function requestJson(request: Request | string): string {
  if (typeof request === 'string') {
    return JSON.stringify({ messages: [{ role: 'user', content: request.toWellFormed() }] });
  }
  if (!isObject(request)) {
    throw new TypeError('a request is an object with messages, or a string');
  }
  return JSON.stringify(snakeTopKeys(request), wellFormed);
}

// Half a character, as a cut string has it, is no JSON for anyone else.
function wellFormed(_key: string, value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed() : value;
}

// Not everyone who calls this checks types.
function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

/** For tests: a simulated LLM endpoint that needs no network. */
import { SimulatedEndpoint as NativeEndpoint } from '../native/index.js';

import { typed } from './errors.js';
import { snakeTopKeys, type Wire } from './wire.js';

/** A step of a key's script. All its members are in the guide to testing. */
export interface Step {
  /** What goes wrong, such as `rate_limited`; none: an answer. */
  fault?: string;
  /** Requests that this step serves. */
  times?: number;
  /** The answer; `{prompt}`, `{model}` and `{hit}` are filled in. */
  text?: string;
  [member: string]: unknown;
}

/** What an endpoint does, key by key. */
export interface Scenario {
  /** The script of each key. */
  keys?: Record<string, readonly Step[]>;
  /** The script of keys that are not listed. */
  default?: readonly Step[];
  /** `"401"`: keys that are not listed are refused. */
  unknown?: string;
  /** Whether requests are kept. Default: yes. */
  record?: boolean;
  [member: string]: unknown;
}

/** A request that the endpoint has seen. */
export interface SeenRequest {
  readonly path: string;
  readonly body: unknown;
  /** When it had arrived, in milliseconds since the epoch. */
  readonly at: number;
}

// Users keep an endpoint's URL and forget the object; it runs until it is closed.
const open = new Set<NativeEndpoint>();

/** An LLM endpoint on loopback that does what its scenario says, until it is closed. */
export class SimulatedEndpoint implements Disposable {
  readonly #native: NativeEndpoint;

  /** Starts one. */
  constructor(scenario: Scenario = {}) {
    this.#native = typed(() => NativeEndpoint.start(JSON.stringify(scenario)));
    open.add(this.#native);
  }

  /** The base URL of Anthropic clients. */
  get url(): string {
    return this.#native.url;
  }

  /** The base URL of OpenAI clients. */
  get openaiUrl(): string {
    return this.#native.openaiUrl;
  }

  /** Requests being answered now. */
  get inFlight(): number {
    return this.#native.inFlight;
  }

  /** Connections open now. */
  get openConnections(): number {
    return this.#native.openConnections;
  }

  /** Gives a key another script, from its start. */
  script(key: string, steps: readonly Step[]): void {
    typed(() => {
      this.#native.script(key, JSON.stringify(steps.map((step): Wire => snakeTopKeys(step))));
    });
  }

  /** Requests that came with this key, or in all. */
  hits(key?: string): number {
    return this.#native.hits(key);
  }

  /** Answers of this key that the client did not read to the end. */
  closedEarly(key: string): number {
    return this.#native.closedEarly(key);
  }

  /** The latest requests, oldest first. */
  requests(): SeenRequest[] {
    return JSON.parse(this.#native.requests()) as SeenRequest[];
  }

  /** Closes the port and every connection. */
  close(): void {
    open.delete(this.#native);
    this.#native.close();
  }

  /** Closes it at the end of a `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

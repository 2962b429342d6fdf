/** Names on the wire are snake_case in every language; here they become JavaScript's. */

/** An object as the core writes and reads it. */
export type Wire = Record<string, unknown>;

// The core has a few dozen names, and they come with every outcome and job.
const snaked = new Map<string, string>();
const camelled = new Map<string, string>();
/** Users' names are many: those beyond are turned anew each time. */
const MOST_NAMES = 1_000;

/** `baseUrl` as `base_url`. */
function snake(name: string): string {
  let turned = snaked.get(name);
  if (turned === undefined) {
    turned = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    if (snaked.size < MOST_NAMES) {
      snaked.set(name, turned);
    }
  }
  return turned;
}

/** `base_url` as `baseUrl`. */
function camel(name: string): string {
  let turned = camelled.get(name);
  if (turned === undefined) {
    turned = name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    camelled.set(name, turned);
  }
  return turned;
}

/** An own object or list with its members' names turned, all the way down. */
function turn(value: unknown, name: (name: string) => string): unknown {
  if (Array.isArray(value)) {
    return value.map((item) => turn(item, name));
  }
  if (value === null || typeof value !== 'object') {
    return value;
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [name(key), turn(item, name)]));
}

/** What the core wrote, under JavaScript's names. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- what the core writes is known by who asked
export function camelKeys<T>(value: unknown): T {
  return turn(value, camel) as T;
}

/** Options under the core's names. */
export function snakeKeys(value: object): Wire {
  return turn(value, snake) as Wire;
}

/**
 * The same with numbers that JSON has no form for as texts: it would make them `null`,
 * which is left out, and a wrong time would be none. So the core refuses them.
 */
export function exactSnakeKeys(value: object): Wire {
  const exact = (item: unknown): unknown => {
    if (Array.isArray(item)) {
      return item.map(exact);
    }
    if (item instanceof Date) {
      return exact(item.getTime());
    }
    if (item !== null && typeof item === 'object') {
      return exactSnakeKeys(item);
    }
    return typeof item === 'number' && !Number.isFinite(item) ? String(item) : item;
  };
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [snake(key), exact(item)]));
}

/** The same for the names of the object itself, not of what is in it. */
export function snakeTopKeys(value: object): Wire {
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [snake(key), item]));
}

/** What the core wrote, with the names of the object itself under JavaScript's. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- as above
export function camelTopKeys<T>(value: Wire): T {
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [camel(key), item])) as T;
}

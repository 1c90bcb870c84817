/**
 * Values by key: in memory until `persist`, then in the page's localStorage.
 *
 * Each value has an entry of its own, so that two tabs never overwrite each other's. Where the browser refuses to
 * store, such as in some private windows, values stay in memory.
 */
const PREFIX = "recommender.";
let values: Record<string, string> = {};

/** Keep values in localStorage from now on, those in memory included. */
export function persist(): void {
  try {
    if (values !== localStorage) values = Object.assign(localStorage, values);
  } catch {
    // they stay in memory
  }
}

/** Delete everything, and keep values in memory only. */
export function clear(): void {
  persist();
  keys("").forEach(remove);
  values = {};
}

export function read<T>(key: string): T | undefined {
  try {
    return JSON.parse(values[PREFIX + key]!) as T;
  } catch {
    return undefined;
  }
}

export function write(key: string, value: unknown): void {
  try {
    values[PREFIX + key] = JSON.stringify(value);
  } catch {
    // no space is left
  }
}

export function remove(key: string): void {
  delete values[PREFIX + key];
}

/** The keys that begin so, in order. */
export function keys(prefix: string): string[] {
  const found = Object.keys(values).filter((key) => key.startsWith(PREFIX + prefix));
  return found.map((key) => key.slice(PREFIX.length)).sort();
}

import { ProblemError } from "./http.js";
import { keys, read, remove, write } from "./storage.js";
import type { EventMessage } from "./types.js";

const ENTRY = "event.";
const MAX_EVENTS = 500;
const BATCH = 40; // well within the 64 KiB that a browser lets requests keep alive
const FIRST_RETRY_MS = 2000;
const LAST_RETRY_MS = 300_000;
const NEVER_ACCEPTED = [400, 413, 422];

export interface EventQueue {
  add(event: EventMessage): void;
  /** Send what waits. */
  flush(): Promise<void>;
}

/**
 * Events on their way to the service.
 *
 * An event stays in storage until the service has received it: one that fails, or whose page was left before the
 * answer came, is sent again, by the next page if need be. The service stores it once, by its `event_id`.
 *
 * @param send Sends events; rejects unless the service has received them.
 */
export function eventQueue(send: (events: EventMessage[]) => Promise<unknown>): EventQueue {
  const inFlight = new Set<string>();
  let retryMs = FIRST_RETRY_MS;
  let timer: ReturnType<typeof setTimeout>;

  function add(event: EventMessage): void {
    const waiting = keys(ENTRY);
    if (waiting.length >= MAX_EVENTS) remove(waiting[0]!);
    write(ENTRY + event.timestamp + Math.random(), event);
    schedule(0);
  }

  async function flush(): Promise<void> {
    const batch = keys(ENTRY).filter((key) => !inFlight.has(key)).slice(0, BATCH);
    if (!batch.length) return;
    batch.forEach((key) => inFlight.add(key));
    let received = true;
    try {
      await send(batch.map((key) => read<EventMessage>(key)!));
      retryMs = FIRST_RETRY_MS;
    } catch (error) {
      received = error instanceof ProblemError && NEVER_ACCEPTED.includes(error.status);
    }
    batch.forEach((key) => inFlight.delete(key));
    if (received) {
      batch.forEach(remove);
      return flush();
    }
    schedule(retryMs);
    retryMs = Math.min(2 * retryMs, LAST_RETRY_MS);
  }

  function schedule(ms: number): void {
    clearTimeout(timer);
    timer = setTimeout(flush, ms);
  }

  return { add, flush };
}

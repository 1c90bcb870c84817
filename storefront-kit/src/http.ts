import type { Problem } from "./types.js";

/** Where the service is, and the public key to call it with. */
export interface Service {
  url: string;
  key?: string | undefined;
}

export interface CallOptions {
  signal?: AbortSignal;
  /** Let the request outlive the page. */
  keepalive?: boolean;
}

/** The service refused a call; `problem` says why (RFC 9457). */
export class ProblemError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Partial<Problem>,
  ) {
    super(`${status}: ${problem.detail}`);
  }
}

const TIMEOUT_MS = 8000;

/** Call the service: a POST if there is a body, else a GET. */
export async function call<T>(service: Service, path: string, body?: unknown, options: CallOptions = {}): Promise<T> {
  const headers: Record<string, string> = body ? { "Content-Type": "application/json" } : {};
  if (service.key) headers.Authorization = `Bearer ${service.key}`;
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(service.url + path, {
    method: body ? "POST" : "GET",
    headers,
    body: body ? JSON.stringify(body) : null,
    credentials: "omit",
    keepalive: !!options.keepalive,
    signal: AbortSignal.any([timeout, options.signal ?? timeout]),
  });
  if (response.ok) return response.json() as Promise<T>;
  throw new ProblemError(response.status, await response.json().catch(() => ({})));
}

/** A query string of the values that are defined. */
export function query(values: object): string {
  return `?${new URLSearchParams(JSON.parse(JSON.stringify(values)))}`;
}

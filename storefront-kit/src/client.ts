import { call, query, type CallOptions, type Service } from "./http.js";
import { whenSeen } from "./impressions.js";
import { eventQueue } from "./queue.js";
import { clear, keys, persist, read, remove, write } from "./storage.js";
import type {
  Answer,
  Autocompletion,
  EventItem,
  EventName,
  PageParams,
  Pages,
  RecommendationParams,
  SearchAnswer,
  SearchParams,
} from "./types.js";

export interface ClientOptions {
  /** The service, such as `https://recs.shop.example`; by default the one that this file comes from. */
  url?: string | undefined;
  /** A key of scope `public`. */
  key?: string | undefined;
  /** `required`, the default: store and send nothing before `grantConsent()`. */
  consent?: string | undefined | "required" | "not-required";
}

/** Options of the calls for one product: members of the service's query string. */
export interface ListOptions {
  limit?: number;
  filter?: string;
  /** Attributes of the products to return, with commas between them. */
  fields?: string;
}

export interface EventDetails {
  /** Of the answer that showed the products; by default that of the last click on each product. */
  recommendation_id?: string;
  /** Of an order: a purchase counts once, however often its page is loaded. */
  transaction_id?: string;
  /** Stars of a `rate` event. */
  value?: number;
}

const DAY_MS = 86_400_000;
const SESSION_DAYS = 30; // without a visit
const ATTRIBUTION_DAYS = 7; // from a click
const IMPRESSIONS_MS = 500;
const MAX_ITEMS = 200;

/** Calls the recommendation service from a shop's pages, and reports what shoppers do. */
export class StorefrontClient {
  readonly service: Service;
  readonly #queue = eventQueue(async (events) => {
    const session_id = this.sessionId;
    if (!session_id) throw new Error("no consent");
    const body = { events: events.map((event) => ({ ...event, session_id })) };
    await call(this.service, "/v1/events:batch", body, { keepalive: true });
  });
  #seen: Record<string, string[]> = {}; // products by the recommendation that shows them
  #consent: boolean | undefined;

  constructor({ url, key, consent }: ClientOptions = {}) {
    this.service = { url: (url ?? new URL(import.meta.url).origin).replace(/\/$/, ""), key };
    if (consent === "not-required") this.grantConsent();
    window.addEventListener("online", () => this.flush());
    document.addEventListener("visibilitychange", () => document.hidden && this.flush()); // also when it is left
  }

  // Consent and session

  /** Store a session id and send events from now on; those of this page so far are sent, too. */
  grantConsent(): void {
    this.#consent = true;
    persist();
    this.flush();
  }

  /** Delete the session id and all that waits to be sent, and store and send nothing more. */
  revokeConsent(): void {
    this.#consent = false;
    clear();
  }

  /** The session's id, for the shop's server, which assigns it to a user at login; undefined without consent. */
  get sessionId(): string | undefined {
    if (!this.#consent) return undefined;
    const id = valid("session") ?? randomId();
    writeUntil("session", id, SESSION_DAYS);
    return id;
  }

  // Recommendations and search

  /**
   * Recommendations for a placement of the service's settings, or without one for seeds and a strategy.
   *
   * The session's events count: `recommend({strategy: "for_you"})` is for the session.
   */
  recommend(request: RecommendationParams & { placement?: string } = {}, options?: CallOptions): Promise<Answer> {
    const { placement, ...params } = request;
    const at = placement ? `/placements/${encodeURIComponent(placement)}` : "";
    return this.#post(`/v1${at}/recommendations`, params, options);
  }

  /** Recommendations for several placements of a page; no product comes twice. */
  page(request: PageParams, options?: CallOptions): Promise<Pages> {
    return this.#post("/v1/pages/recommendations", request, options);
  }

  /** The products most similar to one. */
  similar(itemId: string, params: ListOptions = {}, options?: CallOptions): Promise<Answer> {
    const values = { item_id: itemId, session_id: this.sessionId, ...params };
    return call(this.service, "/v1/similar" + query(values), null, options);
  }

  /** The products that match a text. */
  search(text: string, params: SearchParams = {}, options?: CallOptions): Promise<SearchAnswer> {
    return this.#post("/v1/search", { text, ...params }, options);
  }

  /** Queries and products for what is typed so far. */
  autocomplete(text: string, options?: CallOptions): Promise<Autocompletion> {
    return call(this.service, "/v1/autocomplete" + query({ q: text }), null, options);
  }

  // Events

  /** Report an event; each product is attributed to the recommendation by which it was last clicked. */
  track(name: EventName, items: readonly (string | EventItem)[], details: EventDetails = {}): void {
    if (this.#consent === false) return;
    const { recommendation_id, transaction_id, value = null } = details;
    const event_id = transaction_id ? `${name}:${transaction_id}` : randomId();
    const given = items.slice(0, MAX_ITEMS).map((item) => (typeof item === "string" ? { item_id: item } : item));
    const groups: Record<string, EventItem[]> = {}; // by recommendation
    for (const item of given) (groups[recommendation_id ?? valid(`click.${item.item_id}`) ?? ""] ??= []).push(item);
    const timestamp = new Date().toISOString();
    // one event_id for all: the service knows an event by its id and its products
    for (const [id, items] of Object.entries(groups))
      this.#queue.add({ event_id, event_name: name, timestamp, recommendation_id: id || null, value, items });
  }

  /** Report a click on a recommended product, and attribute later events of the product to the recommendation. */
  select(recommendation_id: string, itemId: string): void {
    for (const key of keys("click.")) valid(key); // deletes those that are too old
    writeUntil(`click.${itemId}`, recommendation_id, ATTRIBUTION_DAYS);
    this.track("select_item", [itemId], { recommendation_id });
  }

  /** Report when an element that shows a recommended product is seen, and clicks on it. */
  observe(element: HTMLElement, recommendationId: string, itemId: string, signal: AbortSignal): void {
    whenSeen(element, () => this.#impress(recommendationId, itemId), signal);
    const clicked = (event: MouseEvent) => event.button < 2 && this.select(recommendationId, itemId);
    for (const type of ["click", "auxclick"] as const) element.addEventListener(type, clicked, { signal });
  }

  /** Send what waits; done by itself when the page is left, and when the browser is online again. */
  flush(): void {
    for (const recommendation_id in this.#seen)
      this.track("view_item_list", this.#seen[recommendation_id]!, { recommendation_id });
    this.#seen = {};
    void this.#queue.flush();
  }

  #impress(recommendationId: string, itemId: string): void {
    (this.#seen[recommendationId] ??= []).push(itemId);
    setTimeout(() => this.flush(), IMPRESSIONS_MS); // together with others that are seen at the same time
  }

  #post<T>(path: string, params: object, options?: CallOptions): Promise<T> {
    return call(this.service, path, { session_id: this.sessionId, ...params }, options);
  }
}

/** The value of a key, unless it has expired. */
function valid(key: string): string | undefined {
  const [value, until] = read<[string, number]>(key) ?? [];
  if (until! > Date.now()) return value;
  remove(key);
  return undefined;
}

function writeUntil(key: string, value: string, days: number): void {
  write(key, [value, Date.now() + days * DAY_MS]);
}

/** A random id of 128 bits; also on pages without HTTPS, where there is no `crypto.randomUUID`. */
function randomId(): string {
  return crypto.getRandomValues(new BigUint64Array(2)).reduce((id, part) => id + part.toString(36), "");
}

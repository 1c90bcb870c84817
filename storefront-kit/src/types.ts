// Made by openapi_types.py from the service's OpenAPI document; do not change by hand.

export const EVENT_NAMES = [
  "view_item_list",
  "select_item",
  "view_item",
  "add_to_wishlist",
  "add_to_cart",
  "remove_from_cart",
  "purchase",
  "refund",
  "rate",
  "dismiss"
] as const;

export type EventName = (typeof EVENT_NAMES)[number];

/** Products beside a search that found nothing: they do not match it, but `text` if there is one. */
export interface AlternativeModel {
  reason: string;
  text: string | null;
  items: readonly Item[];
}

/** Recommendations, best first. */
export interface Answer {
  recommendation_id: string;
  placement: string | null;
  strategy: string;
  bundle: string;
  items: readonly Item[];
  retrieval: Retrieval;
  fallback_used: string | null;
  warnings: readonly string[];
}

/** Queries and products for what was typed. */
export interface Autocompletion {
  queries: readonly CompletedQuery[];
  items: readonly Item[];
}

/** The receipt of one event of a batch. */
export interface BatchReceipt {
  event_id: string | null;
  status: "stored" | "known" | "invalid";
  warnings: readonly string[];
  errors?: readonly (Record<string, string>)[];
}

/** A number added to the score of the products that match a filter. */
export interface BoostParams {
  when: Record<string, unknown> | string;
  add: number;
}

/** A query, and the number of products that have all of its words; variants count once. */
export interface CompletedQuery {
  text: string;
  count: number;
}

/** Re-ranking for variety. */
export interface Diversity {
  /** 0 is the order of the score, 1 variety alone. */
  mmr?: number | null;
  /** Maximum number of products that share a value of an attribute. */
  max_per?: Record<string, number> | null;
}

/** Events, with a receipt for each. */
export interface EventBatch {
  /** Their `items` are at most 2,000 in all. */
  events: readonly (Record<string, unknown>)[];
}

/** One product of an event. */
export interface EventItem {
  /** At most 1024 bytes in UTF-8. */
  item_id: string;
  quantity?: number | null;
  price?: number | null;
}

/** An event; it is stored once however often it is sent. */
export interface EventMessage {
  /** At most 1024 bytes in UTF-8. */
  event_id: string;
  event_name: EventName;
  timestamp: string;
  user_id?: string | null;
  session_id?: string | null;
  recommendation_id?: string | null;
  /** Stars of a `rate` event. */
  value?: number | null;
  /** Of the order of a purchase or refund. */
  transaction_id?: string | null;
  /** Of the prices, by ISO 4217. */
  currency?: string | null;
  items: readonly EventItem[];
}

/** Products that are not returned. */
export interface Exclude {
  item_ids?: readonly string[];
  /** Exclude products of the user's events. By default all, but what the user bought may be returned where the shop's data show that products are bought again. */
  seen?: boolean | null;
  /** Exclude products bought within so many days. */
  purchased_days?: number | null;
}

/** The terms, which sum to the score, and reasons. */
export interface Explanation {
  parts: Record<string, number>;
  reasons: readonly ReasonModel[];
  text: string | null;
}

/** A value of an attribute, and the number of matching products that have it; variants count once. */
export interface FacetValue {
  value: string;
  count: number;
}

/** A placement of a page that has no answer, and why. */
export interface FailedPlacement {
  placement: string;
  error: ProblemDetails;
}

/** One recommended product. */
export interface Item {
  item_id: string;
  rank: number;
  score: number;
  explanation?: Explanation | null;
  explored?: boolean | null;
  fields?: Record<string, unknown> | null;
}

/** One product. */
export interface ItemId {
  item_id: string;
}

/** Several placements of one page, in order of priority. */
export interface PageParams {
  seeds?: Seeds;
  /** Its stored events count as if they were sent along; it keeps its arm of an experiment. */
  session_id?: string | null;
  /** With at most 240 products in all. */
  placements: readonly PagePlacement[];
  /** Attributes of the user, over the stored ones, such as age; unknown ones say nothing. */
  user?: Record<string, boolean | number | string | readonly string[] | null> | null;
  /** Circumstances of the request; unknown ones say nothing. */
  context?: Record<string, boolean | number | string | readonly string[] | null> | null;
}

/** One placement of a page. */
export interface PagePlacement {
  placement: string;
  limit?: number | null;
}

/** Recommendations for each placement of a page, or its error, in the order of the request. */
export interface Pages {
  placements: readonly (Answer | FailedPlacement)[];
}

/** An error (RFC 9457). */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  errors?: readonly (Record<string, string>)[];
}

/** An error (RFC 9457). */
export interface ProblemDetails {
  type: string;
  title: string;
  status: number;
  detail: string;
  errors?: readonly (Record<string, string>)[];
}

/** A reason for a recommendation and its share of the score. */
export interface ReasonModel {
  code: string;
  seed: string | null;
  share: number;
}

/** The receipts of events, in the order of the request. */
export interface Receipts {
  events: readonly BatchReceipt[];
}

/** A request for recommendations. */
export interface RecommendationParams {
  /** Maximum number of products. */
  limit?: number;
  /** Parts of each score, and reasons. */
  explain?: "none" | "summary";
  seeds?: Seeds;
  /** Its stored events count as if they were sent along; it keeps its arm of an experiment. */
  session_id?: string | null;
  /** By default similar for one item, for_you for a history, popular for neither. */
  strategy?: "similar" | "visually_similar" | "complementary" | "for_you" | "session" | "cart" | "search" | "trending" | "popular" | "new" | "recently_viewed" | "buy_again" | null;
  /** A tree of conditions, or the text form. */
  filter?: Record<string, unknown> | string | null;
  exclude?: Exclude;
  weights?: Record<string, number> | null;
  diversity?: Diversity | null;
  boost?: readonly BoostParams[];
  /** Strategies to try if the strategy has nothing to go on. */
  fallback?: readonly ("popular_in_category" | "trending" | "popular" | "new")[];
  /** Attributes of the products to return. */
  fields?: readonly string[];
  /** Attributes of the user, over the stored ones, such as age; unknown ones say nothing. */
  user?: Record<string, boolean | number | string | readonly string[] | null> | null;
  /** Circumstances of the request; unknown ones say nothing. */
  context?: Record<string, boolean | number | string | readonly string[] | null> | null;
}

/** How the products were found. */
export interface Retrieval {
  plan: string;
  eligible: number;
  candidates: number;
}

/** Products that match, best first; `retrieval.eligible` is the number of all. `next_cursor` is null on the last page. Where nothing matches, `items` is empty and there are `alternatives`. */
export interface SearchAnswer {
  recommendation_id: string;
  placement: string | null;
  strategy: string;
  bundle: string;
  items: readonly Item[];
  retrieval: Retrieval;
  fallback_used: string | null;
  warnings: readonly string[];
  facets: Record<string, readonly FacetValue[]>;
  alternatives: readonly AlternativeModel[];
  next_cursor: string | null;
}

/** A text query, an image query or both. */
export interface SearchParams {
  /** Maximum number of products. */
  limit?: number;
  /** Parts of each score, and reasons. */
  explain?: "none" | "summary";
  text?: string | null;
  /** An image file. */
  image?: string | null;
  /** URL of an image, at a host that the service allows. */
  image_url?: string | null;
  /** A user whose history personalises the result. */
  user_id?: string | null;
  /** A session whose stored events do so, too. */
  session_id?: string | null;
  filter?: Record<string, unknown> | string | null;
  weights?: Record<string, number> | null;
  fields?: readonly string[];
  /** Attributes whose values are counted among all products that match; the filter's own conditions on the attribute do not reduce its counts. */
  facets?: readonly string[];
  /** Order of the products that match the text. */
  sort?: "relevance" | "price_ascending" | "price_descending" | "newest" | "popular";
  /** The `next_cursor` of the page before, of the same request. */
  cursor?: string | null;
  /** Attributes of the user, over the stored ones, such as age; unknown ones say nothing. */
  user?: Record<string, boolean | number | string | readonly string[] | null> | null;
  /** Circumstances of the request; unknown ones say nothing. */
  context?: Record<string, boolean | number | string | readonly string[] | null> | null;
}

/** A seed product and its weight. */
export interface SeedItem {
  item_id: string;
  weight?: number;
}

/** What to recommend from; without any, the popular products are returned. */
export interface Seeds {
  items?: readonly SeedItem[];
  /** Products that the user does not want. */
  negative_items?: readonly ItemId[];
  /** A user with events in the store. */
  user_id?: string | null;
  events?: readonly SessionEvent[];
  /** Searched by words alone without a query encoder. */
  text?: string | null;
  /** An image file; needs a query encoder. */
  image?: string | null;
}

/** An event of the session, which is not stored. If it is stored already, it counts once. */
export interface SessionEvent {
  event_name?: "view_item_list" | "select_item" | "view_item" | "add_to_wishlist" | "add_to_cart" | "remove_from_cart" | "purchase" | "refund" | "rate" | "dismiss";
  item_id: string;
  /** By default now. */
  timestamp?: string | null;
  /** Stars of a `rate` event. */
  value?: number | null;
  /** By which a stored event is known to be the same. */
  event_id?: string | null;
}

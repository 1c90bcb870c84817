/** A shop's pages and the recommendation service: recommendations, search, events and a carousel. */
import { ProductRecommendations, setClient } from "./carousel.js";
import { StorefrontClient, type ClientOptions } from "./client.js";
import { followDataLayer } from "./data-layer.js";

export { ProductRecommendations } from "./carousel.js";
export { StorefrontClient } from "./client.js";
export type { ClientOptions, EventDetails, ListOptions } from "./client.js";
export { followDataLayer } from "./data-layer.js";
export { ProblemError } from "./http.js";
export type { CallOptions, Service } from "./http.js";
export type * from "./types.js";

declare global {
  interface Window {
    /** The client of a page whose script element has a `data-consent`. */
    recommender?: StorefrontClient;
    dataLayer?: unknown[];
  }
}

/** Make the client of this page, which its `<product-recommendations>` elements use, too. */
export function connect(options: ClientOptions = {}): StorefrontClient {
  const client = new StorefrontClient(options);
  setClient(client);
  return client;
}

const NAME = "product-recommendations";
if (!customElements.get(NAME)) customElements.define(NAME, ProductRecommendations);

// <script type="module" src="…/kit.js" data-key="…" data-consent="required" data-layer="true"></script>
const tag = [...document.scripts].find((script) => script.src === import.meta.url && script.dataset.consent);
if (tag) {
  window.recommender = connect(tag.dataset);
  if (tag.dataset.layer) followDataLayer(window.recommender, (window.dataLayer ??= []));
}

import type { StorefrontClient } from "./client.js";
import { EVENT_NAMES, type EventItem, type EventName } from "./types.js";

type Entry = Record<string | number, any>; // whatever a page pushes

/**
 * Report the e-commerce events that a page pushes to a data layer of Google Tag Manager or gtag.
 *
 * Reads `{event: "add_to_cart", ecommerce: {items: [...]}}` and `gtag("event", "add_to_cart", {items: [...]})`, what was
 * pushed before included. `gtag("consent", "update", {analytics_storage: "granted"})` grants consent, "denied" revokes it.
 */
export function followDataLayer(client: StorefrontClient, layer: unknown[]): void {
  const push = layer.push;
  layer.push = (...entries) => {
    const length = push.apply(layer, entries);
    entries.forEach((entry) => read(client, entry as Entry));
    return length;
  };
  [...layer].forEach((entry) => read(client, entry as Entry));
}

function read(client: StorefrontClient, entry: Entry | null): void {
  const [command, name, params] = Array.from<any>((entry ?? []) as []); // gtag pushes its arguments
  if (command === "consent" && name === "update") {
    const storage = params?.analytics_storage;
    if (storage === "granted") client.grantConsent();
    if (storage === "denied") client.revokeConsent();
  } else if (command === "event") report(client, name, params);
  else report(client, entry?.event, entry?.ecommerce);
}

function report(client: StorefrontClient, name: EventName, params: Entry | undefined): void {
  const { items, transaction_id } = params ?? {};
  if (!EVENT_NAMES.includes(name) || !Array.isArray(items)) return;
  const known = items.filter((item) => item?.item_id).map(itemOf);
  if (known.length) client.track(name, known, { transaction_id });
}

/** What the service stores of an item; numbers may be pushed as texts. */
function itemOf({ item_id, quantity, price }: Entry): EventItem {
  return { item_id: String(item_id), quantity: Number(quantity) || null, price: Number(price) || null };
}

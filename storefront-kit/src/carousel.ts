import styles from "./carousel.css";
import type { StorefrontClient } from "./client.js";
import type { Item } from "./types.js";

type Values = Record<string, any>; // attributes of the element, or of a product

const sheet = new CSSStyleSheet(); // allowed by a Content-Security-Policy without 'unsafe-inline'
sheet.replaceSync(styles);

let resolve: (client: StorefrontClient) => void;
const connected = new Promise<StorefrontClient>((done) => (resolve = done));

/** Set the client of the elements of this page. */
export function setClient(client: StorefrontClient): void {
  resolve(client);
}

/**
 * `<product-recommendations placement="pdp-similar" item="SKU-1">`: a carousel of recommended products.
 *
 * Its own content is shown where there are no recommendations or the service does not answer. It fires
 * `recommendations` with the answer once that is shown.
 */
export class ProductRecommendations extends HTMLElement {
  readonly #root = this.attachShadow({ mode: "open" });
  #shown = new AbortController();

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [sheet];
    new MutationObserver(() => this.refresh()).observe(this, { attributes: true });
  }

  connectedCallback(): void {
    void this.refresh();
  }

  disconnectedCallback(): void {
    this.#shown.abort();
  }

  /** Ask for recommendations again, such as after another product was put into the cart. */
  async refresh(): Promise<void> {
    this.#shown.abort();
    const { signal } = (this.#shown = new AbortController());
    const values = Object.fromEntries([...this.attributes].map(({ name, value }) => [name, value]));
    const show = (content: Element) => this.#root.replaceChildren(content);
    if (!this.#root.querySelector("img")) show(carousel(values, [1, 2, 3, 4, 5, 6].map(placeholder)));
    try {
      const client = await connected;
      const answer = await client.recommend(params(values), { signal });
      const cards = answer.items.map((item) => {
        const link = card(client.service.url, values, item);
        client.observe(link, answer.recommendation_id, item.item_id, signal);
        return link;
      });
      show(cards.length ? carousel(values, cards) : create("slot"));
      this.dispatchEvent(new CustomEvent("recommendations", { detail: answer }));
    } catch (error) {
      if (signal.aborted) return;
      show(create("slot"));
      console.warn(error);
    }
  }
}

const PLACEHOLDER = /\{(\w+)\}/g;

/** The request that an element's attributes say. */
function params({ placement, strategy, filter, limit, item, fields = "title,price", ...urls }: Values): Values {
  const named = [...`${urls["product-url"]}${urls["image-url"]}`.matchAll(PLACEHOLDER)].map(([, name]) => name);
  return {
    ...{ placement, strategy, filter },
    limit: limit && Number(limit),
    seeds: item && { items: [{ item_id: item }] },
    fields: [...new Set([...fields.split(","), ...named])].filter((name) => name !== "item_id"),
  };
}

function carousel(values: Values, cards: Element[]): Element {
  const heading = values.heading ?? "Recommended products";
  const list = create("ul", { part: "list", role: "list" }, ...cards.map((card) => create("li", {}, card)));
  const header = create("header", { part: "header" }, create("h2", { part: "heading" }, heading), arrows(values, list));
  return create("section", { ariaLabel: heading }, header, list);
}

/** Buttons that scroll a list by what is visible of it; hidden where everything is. */
function arrows(values: Values, list: HTMLElement): Element {
  const button = (name: string, pages: number) => {
    const left = () => (list.matches(":dir(rtl)") ? -pages : pages) * list.clientWidth;
    const ariaLabel = values[`${name}-label`] ?? `${name} products`;
    return create("button", { part: `button ${name}`, ariaLabel, onclick: () => list.scrollBy({ left: left() }) });
  };
  const [previous, next] = [button("previous", -0.9), button("next", 0.9)];
  const buttons = create("div", { part: "buttons" }, previous, next);
  const update = () => {
    const [at, most] = [Math.abs(list.scrollLeft), list.scrollWidth - list.clientWidth];
    // aria-disabled rather than disabled: the button that was just used keeps the focus
    previous.ariaDisabled = String(at < 2);
    next.ariaDisabled = String(at > most - 2);
    buttons.hidden = most < 2;
  };
  list.onscroll = update;
  new ResizeObserver(update).observe(list);
  return buttons;
}

function card(service: string, values: Values, { item_id, fields }: Item): HTMLElement {
  const { currency } = values;
  const style = currency ? { style: "currency", currency } : { minimumFractionDigits: 2 };
  const product: Values = { title: item_id, ...fields, item_id };
  const thumbnail = `${service}/v1/thumbnails?item_id={item_id}`;
  const src = fill(values["image-url"] ?? thumbnail, product);
  const image = create("img", { alt: "", loading: "lazy", onerror: () => image.remove(), src });
  const href = fill(values["product-url"] ?? "?item_id={item_id}", product);
  const link = create("a", { part: "card", href }, create("div", { part: "image" }, image));
  product.price = product.price?.toLocaleString(document.documentElement.lang || undefined, style);
  for (const part of ["brand", "title", "price"]) if (product[part]) link.append(create("div", { part }, product[part]));
  return link;
}

/** A URL of a template and a product's attributes; empty unless it is one of the web. */
function fill(template: string, product: Values): string {
  const href = template.replace(PLACEHOLDER, (_, name, at) => {
    const value = product[name] ?? "";
    return at ? encodeURIComponent(value) : value; // at the beginning it is a URL itself
  });
  return /^http/.test((create("a", { href }) as HTMLAnchorElement).protocol) ? href : "";
}

function placeholder(): Element {
  return create("a", { part: "card" }, create("div", { part: "image" }), create("div", { part: "title" }, "\u00a0"));
}

function create(tag: string, properties: Values = {}, ...content: (Element | string)[]): HTMLElement {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...content);
  return element;
}

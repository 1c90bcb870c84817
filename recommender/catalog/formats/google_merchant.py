"""Google Merchant Center's product data, as XML (RSS 2.0 or Atom) or tab-separated text.

The attributes are the standard names. See https://support.google.com/merchants/answer/7052112.
"""

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.parsing import amounts, plain_text
from recommender.catalog.values.cells import strings

_PRICES = ("price", "sale_price")
# Page addresses, delivery and taxes: nothing to learn from or to filter on.
_IGNORED = ("link", "mobile_link", "additional_image_link", "shipping", "tax")


def google_merchant(table: Table) -> Table:
    """Return the products of a Merchant feed: prices as numbers, descriptions without markup.

    Names may have spaces ("image link"), as Google allows. The price is the sale price where there is one.
    """
    frame = table.frame.rename(columns=lambda name: "_".join(str(name).lower().split()))
    named = table.with_frame(frame.drop(columns=[name for name in _IGNORED if name in frame]))
    named.require("id", "of a Google Merchant feed")
    frame = named.frame.copy()
    for name in _PRICES:
        if name in frame:
            frame[name] = amounts(strings(frame[name]))
    if {"price", "sale_price"} <= set(frame):
        frame["price"] = frame["sale_price"].where(frame["sale_price"] != "", frame["price"])
        frame = frame.drop(columns="sale_price")
    if "availability" in frame:  # older feeds have "in stock"
        frame["availability"] = strings(frame["availability"]).str.replace(" ", "_")
    if "description" in frame:
        frame["description"] = plain_text(strings(frame["description"]))
    return named.with_frame(frame)

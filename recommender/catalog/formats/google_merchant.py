"""Google Merchant Center's product data, as XML (RSS 2.0 or Atom) or tab-separated text.

The attributes are the standard names. See https://support.google.com/merchants/answer/7052112.
"""

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.parsing import plain_text
from recommender.catalog.values.cells import strings

# Page addresses, delivery and taxes: nothing to learn from or to filter on.
_IGNORED = ("link", "mobile_link", "additional_image_link", "shipping", "tax")


def google_merchant(table: Table) -> Table:
    """Return the products of a Merchant feed, descriptions without markup.

    Names may have spaces ("image link"), as Google allows.
    """
    frame = table.frame.rename(columns=lambda name: "_".join(str(name).lower().split()))
    named = table.with_frame(frame.drop(columns=[name for name in _IGNORED if name in frame]))
    named.require("id", "of a Google Merchant feed")
    frame = named.frame.copy()
    if "description" in frame:
        frame["description"] = plain_text(strings(frame["description"]))
    return named.with_frame(frame)

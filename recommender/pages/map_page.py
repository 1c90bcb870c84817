"""The map of the products: a 2-D projection of their vectors as one HTML page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recommender.core.blocks import Float
from recommender.errors import RequestError
from recommender.pages.projection import positions
from recommender.pages.region_labels import region_labels
from recommender.pages.render import write_page
from recommender.pages.sprites import SIDE, sheets, tile_size
from recommender.progress import progress
from recommender.search.tokens import query_words

if TYPE_CHECKING:
    from recommender.items import Attributes
    from recommender.recommender import Recommender

_GRID = 65_535  # coordinates are integers up to this
_COLUMN_KINDS = ("category", "multi", "number", "date")
_MAX_COLUMNS = 12
_NEIGHBOURS = 10
_CHUNK = 1024  # products whose neighbours are computed at once
_EXCLUDED_COLUMNS = ("item_group_id",)


def write_map(
    recommender: "Recommender",
    out: Path,
    block: str | None = None,
    method: str | None = None,
    shop_url: str | None = None,
) -> int:
    """Write an interactive map of all products: photos, similar items, search, lasso, colour by column.

    Parameters
    ----------
    recommender
        Holds the products.
    out
        A self-contained HTML file.
    block, method
        See `positions`. With a block, a product's similar items are those by this block, too.
    shop_url
        Address of a product's page in the shop, with ``{id}`` where the id goes.

    Returns
    -------
    int
        Products on the map.

    Raises
    ------
    RequestError
        As `positions`, or if `shop_url` is no address with ``{id}``.
    """
    if shop_url is not None and not (shop_url.startswith(("http://", "https://")) and "{id}" in shop_url):
        raise RequestError(
            f"shop_url is {shop_url!r}; expected an address such as https://shop.example/products/{{id}}",
            "/shop_url",
        )
    coordinates = positions(recommender, block, method)
    attributes = recommender.attributes
    known = np.asarray(attributes.ids.in_order)
    order: list[int] = known[_morton_order(coordinates[known])].tolist()
    titled = "title" in attributes.names
    ids = [attributes.id_of(row) for row in order]
    has_image = [int(recommender.thumbnail(item_id) is not None) for item_id in ids]
    products = {
        "ids": ids,
        "titles": [str(attributes.value("title", row) or "") for row in order] if titled else None,
        "coordinates": np.rint(coordinates[order] * _GRID).astype(np.int32).ravel(),
        "has_image": has_image,
        "columns": [_column(attributes, name, order) for name in _columns(attributes)]
        + _popularity(recommender, order),
        "neighbours": _neighbours(recommender, order, ids, block).ravel(),
        "k": _NEIGHBOURS,
        "labels": region_labels(coordinates[order], [_words(attributes, row) for row in order]),
        "shop_url": shop_url,
        "tile": tile_size(len(order))[0],
        "side": SIDE,
        "grid": _GRID,
    }
    images = sheets(ids, recommender.thumbnail) if any(has_image) else []
    blocks = f"the block {block}" if block else "all blocks, weighted as for similar products"
    about = {"n": len(order), "generation": recommender.generation, "blocks": blocks}
    write_page(out, "map/page.html", products=products, sheets=images, about=about)
    return len(order)


def _neighbours(
    recommender: "Recommender", order: Sequence[int], ids: Sequence[str], block: str | None
) -> NDArray[np.int32]:
    """Return the similar items of each product as positions in `order`, shape (n, k), −1 where there are fewer."""
    place = np.full(max(order) + 2, -1, np.int32)  # its last entry is that of row −1
    place[order] = np.arange(len(order))
    weights = {name: float(name == block) for name in recommender.weights["item"]} if block else None
    starts = range(0, len(ids), _CHUNK)
    tables = [
        recommender.similar_many(ids[start : start + _CHUNK], _NEIGHBOURS, weights=weights).rows
        for start in progress(starts, "similar items", len(starts), "chunk")
    ]
    return place[np.concatenate(tables)]


def _words(attributes: "Attributes", row: int) -> list[str]:
    """Return the words that can name a product's region: of its title, and the last level of its category."""
    fields = attributes.fields(row, [name for name in ("title", "product_type") if name in attributes.names])
    words = [word for word in query_words(str(fields.get("title") or "")) if len(word) > 2 and word.isalpha()]
    category = str(fields.get("product_type") or "").split(" > ")[-1]
    return list(dict.fromkeys([*words, category] if category else words))


def _popularity(recommender: "Recommender", order: list[int]) -> list[dict[str, Any]]:
    """Return the column of popularity in [0, 1], or none where there were no events."""
    prior = recommender.segment.prior[order]
    numbers = [round(value, 3) for value in prior.tolist()]
    return [{"name": "popularity", "kind": "number", "numbers": numbers}] if prior.any() else []


def _morton_order(coordinates: Float) -> NDArray[np.intp]:
    """Return an order along the Z-order curve, so that close products share a sprite sheet."""
    cells = np.minimum(coordinates * 1024, 1023).astype(np.int64)
    code = np.zeros(len(coordinates), np.int64)
    for bit in range(10):
        for axis in range(2):
            code |= (cells[:, axis] >> bit & 1) << (2 * bit + axis)
    return np.argsort(code, kind="stable")


def _columns(attributes: "Attributes") -> list[str]:
    names = [name for name in attributes.names if attributes.kind(name) in _COLUMN_KINDS]
    return [name for name in names if name not in _EXCLUDED_COLUMNS][:_MAX_COLUMNS]


def _column(attributes: "Attributes", name: str, order: list[int]) -> dict[str, Any]:
    """Return a column for the page: numbers, or codes into values by descending frequency."""
    kind = attributes.kind(name)
    if kind in ("number", "date"):
        numbers = attributes.numbers(name)[order]
        return {"name": name, "kind": kind, "numbers": [None if v != v else round(v, 2) for v in numbers.tolist()]}
    codes = attributes.codes(name) if kind == "category" else _first_codes(*attributes.multi(name))
    counts = np.bincount(codes[codes >= 0], minlength=len(attributes.categories(name)))
    by_count = np.argsort(-counts, kind="stable")
    ranks = np.argsort(by_count)
    known = attributes.categories(name)
    return {
        "name": name,
        "kind": "category",
        "values": [known[code] for code in by_count],
        "counts": counts[by_count],
        "codes": np.where(codes >= 0, ranks[codes], -1)[order],
    }


def _first_codes(starts: np.ndarray, codes: np.ndarray) -> np.ndarray:
    first = np.full(len(starts) - 1, -1, np.int32)
    filled = starts[1:] > starts[:-1]
    first[filled] = codes[starts[:-1][filled]]
    return first

"""All products in the plane, as one page."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recommender.core.blocks import Float
from recommender.pages.projection import positions
from recommender.pages.render import write_page
from recommender.pages.sprites import SIDE, sheets, tile_size

if TYPE_CHECKING:
    from recommender.items import Attributes
    from recommender.recommender import Recommender

_GRID = 65_535  # places are whole numbers up to this
_COLOURED = ("category", "multi", "number", "date")
_MOST_COLUMNS = 12
_NOT_COLOURED = ("item_group_id",)


def write_map(recommender: "Recommender", out: Path, block: str | None = None, method: str | None = None) -> int:
    """Write a page with every product as a point: its picture on hover, search, colour by column.

    Parameters
    ----------
    recommender
        Whose products.
    out
        An HTML file; it asks the network for nothing.
    block, method
        See `positions`.

    Returns
    -------
    int
        Products on the map.
    """
    places = positions(recommender, block, method)
    attributes = recommender.attributes
    known = np.asarray(attributes.ids.in_order)
    order: list[int] = known[_along_a_curve(places[known])].tolist()
    titled = "title" in attributes.names
    ids = [attributes.id_of(row) for row in order]
    pictured = [int(recommender.thumbnail(item_id) is not None) for item_id in ids]
    products = {
        "ids": ids,
        "titles": [str(attributes.value("title", row) or "") for row in order] if titled else None,
        "places": np.rint(places[order] * _GRID).astype(np.int32).ravel(),
        "pictured": pictured,
        "columns": [_column(attributes, name, order) for name in _columns(attributes)],
        "tile": tile_size(len(order))[0],
        "side": SIDE,
        "grid": _GRID,
    }
    pictures = sheets(ids, recommender.thumbnail) if any(pictured) else []
    what = f"the block {block}" if block else "all blocks, as they count for similar products"
    about = {"n": len(order), "generation": recommender.generation, "what": what}
    write_page(out, "map.html", products=products, sheets=pictures, about=about)
    return len(order)


def _along_a_curve(places: Float) -> NDArray[np.intp]:
    """Return positions in Morton order, so that what lies near shares a sheet of thumbnails."""
    cells = np.minimum(places * 1024, 1023).astype(np.int64)
    code = np.zeros(len(places), np.int64)
    for bit in range(10):
        for axis in range(2):
            code |= (cells[:, axis] >> bit & 1) << (2 * bit + axis)
    return np.argsort(code, kind="stable")


def _columns(attributes: "Attributes") -> list[str]:
    names = [name for name in attributes.names if attributes.kind(name) in _COLOURED]
    return [name for name in names if name not in _NOT_COLOURED][:_MOST_COLUMNS]


def _column(attributes: "Attributes", name: str, order: list[int]) -> dict[str, Any]:
    """Return a column as the page has it: numbers, or codes into values by how many products have them."""
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
    some = starts[1:] > starts[:-1]
    first[some] = codes[starts[:-1][some]]
    return first

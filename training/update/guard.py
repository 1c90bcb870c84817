"""Refuses products that would empty the shop: a truncated export, another shop's file, a feed that is sold out."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recommender.bundle import open_bundle
from recommender.catalog import Catalog
from recommender.catalog.values.ids import EXACT, match_ids
from recommender.core.blocks import Rows
from recommender.errors import BundleError, DataError, RequestError
from recommender.items import Attributes
from recommender.items.availability import OUT_OF_STOCK
from recommender.items.overlay import OverlayState
from recommender.loading import open_attributes
from recommender.progress import notice

MAX_REMOVED = 0.2
# So few may be removed whatever the share, as long as half of the shop stays: one product of three is 33 %.
FEW = 3
EXAMPLES = 5


def checked_share(max_removed: float) -> float:
    """Return `max_removed`; raises `RequestError` unless it is a share."""
    if not 0 <= max_removed <= 1:
        message = f"max_removed is {max_removed}; expected a share from 0 to 1, such as {MAX_REMOVED}"
        raise RequestError(message, "/max_removed")
    return max_removed


def check_losses(
    source: str,
    current: Attributes,
    removed: Collection[str],
    unavailable: Collection[str],
    max_removed: float = MAX_REMOVED,
) -> None:
    """Refuse a file that removes more than a share of the current products, or makes as many unavailable.

    Parameters
    ----------
    source
        Name of the file, for the message.
    current
        Attributes of the products that are listed now, of which the share is taken.
    removed, unavailable
        Ids of the products that the file removes, and of those that are out of stock in it; others than the
        current products are ignored.
    max_removed
        The largest share, from 0 to 1. A small shop may lose up to `FEW` products as long as half of it stays,
        since one product of three is 33 % of them, and ordinary; with 0, none.

    Raises
    ------
    DataError
        Says how many of how many products, some of their ids, and the share that would allow it.
    """
    listed = np.asarray(current.ids.in_order)
    in_stock = OverlayState.read(None, current).in_stock
    sellable = listed if in_stock is None else np.flatnonzero(in_stock)
    losses = {
        "would remove": np.intersect1d(current.ids.rows_of(removed), listed),
        "would make unavailable": np.intersect1d(current.ids.rows_of(unavailable), sellable),
    }
    for effect, rows in losses.items():
        lost, n = len(rows), len(listed)
        few = lost <= FEW and lost <= n / 2 and max_removed > 0
        if lost > max_removed * n + 1e-9 and not few:
            raise DataError(f"{source} {effect} {_described(current, rows, n)}{_remedy(lost, n, max_removed)}")


def check_ids(source: str, ids: Sequence[str], current: Attributes, max_removed: float = MAX_REMOVED) -> None:
    """Refuse a file most of whose ids are those of current products in another form, such as 104 for 00104.

    Its products would be new ones beside those that they are.

    Parameters
    ----------
    source, current, max_removed
        See `check_losses`; with 1, nothing is refused.
    ids
        Of the products of the file.

    Raises
    ------
    DataError
        Says how many of how many ids, and an example.
    """
    listed = current.ids.ids_of(current.ids.in_order)
    rows, how = match_ids(pd.Series(ids, dtype=object), listed, {})
    rewritten = np.flatnonzero((rows >= 0) & (how != EXACT))
    if max_removed < 1 and len(rewritten) > max(1, len(ids) / 2):
        example = f'"{ids[rewritten[0]]}" for "{listed[rows[rewritten[0]]]}"'
        raise DataError(
            f"{source} has ids of current products in another form, {len(rewritten):,} of {len(ids):,}, such as "
            f"{example}; write them as before. If they are other products, allow it: --max-removed 1 "
            "(in Python, max_removed=1)"
        )


def check_fit(
    root: Path, catalog: Catalog, source: str, max_removed: float = MAX_REMOVED, added: Collection[str] = ()
) -> None:
    """Refuse a catalogue that has lost more than a share of the current generation's products.

    Nothing is compared where nothing was published, or where the current generation cannot be opened: then a fit
    is the remedy.

    Parameters
    ----------
    root
        The bundle's folder.
    catalog
        The products to train on.
    source, max_removed
        See `check_losses`.
    added
        Ids of products that only the API has: the catalogue need not have them.

    Raises
    ------
    DataError
        See `check_losses`.
    """
    if not (root / "CURRENT").exists():
        return
    try:
        bundle = open_bundle(root)
    except BundleError as error:
        notice(f"the number of products is not compared with the current generation's: {error}")
        return
    current = open_attributes(bundle)
    source = f"{source}, published in {root},"
    check_ids(source, catalog.ids, current, max_removed)
    known = catalog.row_of(current.ids.ids_of(current.ids.in_order))
    missing = current.ids.ids_of([*np.asarray(current.ids.in_order)[known < 0]])
    removed = [item_id for item_id in missing if item_id not in added]
    check_losses(source, current, removed, sold_out(catalog), max_removed)


def sold_out(catalog: Catalog) -> list[str]:
    """Return the ids of the products that are out of stock in a catalogue."""
    if "availability" not in catalog.frame:
        return []
    out: list[str] = catalog.frame["id"][catalog.frame["availability"] == OUT_OF_STOCK].tolist()
    return out


def _described(current: Attributes, rows: Rows, n: int) -> str:
    """Return such as "57 of 60 products, such as P003, P004, …"."""
    examples = ", ".join(current.ids.ids_of(rows[:EXAMPLES]))
    return f"{len(rows):,} of {n:,} products, such as {examples}{', …' if len(rows) > EXAMPLES else ''}"


def _remedy(lost: int, n: int, max_removed: float) -> str:
    share = math.ceil(lost / n * 100) / 100
    doubt = "no product is left: is it another shop's?" if lost == n else "is it complete?"
    return (
        f", where {max_removed * 100:g} % are allowed; {doubt} If it is right, allow it: --max-removed {share:g} "
        f"(in Python, max_removed={share:g})"
    )

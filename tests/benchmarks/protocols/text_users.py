"""P6: products with texts and brands, and users' next items; warm and cold."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from protocols.sequences import CUTOFFS, named
from protocols.shops import AFTER, aligned, content, fitted, provenance
from recommender.catalog import Catalog, Interactions
from recommender.config import Config
from recommender.evaluation.baselines import standard_baselines
from recommender.evaluation.evaluate import compare
from recommender.evaluation.queries import Queries


def measure(items: Path, train: Path, test: Path) -> dict[str, Any]:
    """Train on the histories of one file, and ask every line of another for its item.

    Parameters
    ----------
    items
        CSV of the products: item_id, and texts and brand by their standard names.
    train, test
        CSV of user_id, history_item_id (ids in order of time, parted by blanks) and item_id, the next one.
    """
    asked = pd.read_csv(test, dtype=str)
    with TemporaryDirectory() as folder:
        shop = _shop(Path(folder), items, training_histories(pd.read_csv(train, dtype=str), asked))
        catalog = Catalog.load(shop)
        known = Interactions.load(shop, catalog)
        baselines = [*standard_baselines(known, len(catalog)), *content(shop, catalog)]
        with fitted(shop, until=AFTER) as rec:
            reports = compare(rec, _queries(asked, catalog), known, baselines, CUTOFFS)
            return {
                "protocol": "p6",
                "seed": shop.train.seed,
                "measures": ["hit_rate", "ndcg"],
                "bundles": {"trained on the histories": provenance(rec)},
                "reports": named("next item", reports),
            }


def training_histories(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, list[str]]:
    """Join each user's histories, without the items that `test` asks this user for.

    Lines of one user follow each other, each history the one before and its item, its oldest items cut off.
    """
    asked = set(zip(test["user_id"], test["item_id"], strict=True))
    histories = {}
    for user, lines in train.groupby("user_id", sort=False):
        sequence = [*lines["history_item_id"].iloc[0].split(), *lines["item_id"].iloc[:-1]]
        histories[str(user)] = [item for item in sequence if (user, item) not in asked]
    return histories


def _shop(folder: Path, items: Path, histories: Mapping[str, Sequence[str]]) -> Config:
    aligned(histories).to_csv(folder / "events.csv", index=False)
    return Config.model_validate(
        {
            "catalog": {"path": items.resolve(), "id": "item_id", "attributes": []},
            "events": {"path": folder / "events.csv"},
        }
    )


def _queries(asked: pd.DataFrame, catalog: Catalog) -> Queries:
    """Ask each line by itself; lines of one user are alike, so the bootstrap draws users."""
    lines = [f"{line:09} {user}" for line, user in enumerate(asked["user_id"])]
    histories = dict(zip(lines, asked["history_item_id"].str.split(), strict=True))
    targets = dict(zip(lines, asked[["item_id"]].to_numpy().tolist(), strict=True))
    before, after = (Interactions.from_frame(aligned(part), catalog) for part in (histories, targets))
    queries = Queries.of(before, after, len(catalog))
    users = [line.split(" ", 1)[1] for line in queries.user_ids]
    return replace(queries, user_ids=np.array(users, dtype=object))

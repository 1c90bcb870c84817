"""P6: the next items of users, where products have texts and brands; warm and cold."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from recommender.catalog import Catalog, Interactions
from recommender.commands.benchmarks.protocols.sequences import CUTOFFS, named
from recommender.commands.benchmarks.protocols.shops import AFTER, aligned, content, fitted, provenance
from recommender.config import Config
from recommender.evaluation.evaluate import compare
from recommender.evaluation.queries import Queries
from recommender.evaluation.standard_baselines import standard_baselines


def measure(items: Path, train: Path, test: Path) -> dict[str, Any]:
    """Train on the histories of one file, and predict the item of every line of another.

    Parameters
    ----------
    items
        CSV of the products: item_id, and texts and brand by their standard names.
    train, test
        CSV of user_id, history_item_id (ids in order of time, separated by blanks) and item_id, the next one.
    """
    lines = pd.read_csv(test, dtype=str)
    with TemporaryDirectory() as folder:
        shop = _shop(Path(folder), items, training_histories(pd.read_csv(train, dtype=str), lines))
        catalog = Catalog.load(shop)
        events = Interactions.load(shop, catalog)
        baselines = [*standard_baselines(events, len(catalog)), *content(shop, catalog)]
        with fitted(shop, until=AFTER) as rec:
            reports = compare(rec, _queries(lines, catalog), events, baselines, CUTOFFS)
            return {
                "protocol": "next-item",
                "seed": shop.train.seed,
                "measures": ["hit_rate", "ndcg"],
                "bundles": {"trained on the histories": provenance(rec)},
                "reports": named("next item", reports),
            }


def training_histories(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, list[str]]:
    """Return each user's joined histories, without the items that `test` has for this user.

    Lines of one user follow each other, each history the one before and its item, its oldest items cut off.
    """
    targets = set(zip(test["user_id"], test["item_id"], strict=True))
    histories = {}
    for user, lines in train.groupby("user_id", sort=False):
        sequence = [*lines["history_item_id"].iloc[0].split(), *lines["item_id"].iloc[:-1]]
        histories[str(user)] = [item for item in sequence if (user, item) not in targets]
    return histories


def _shop(folder: Path, items: Path, histories: Mapping[str, Sequence[str]]) -> Config:
    aligned(histories).to_csv(folder / "events.csv", index=False)
    return Config.model_validate(
        {
            "catalog": {"path": items.resolve(), "id": "item_id", "attributes": []},
            "events": {"path": folder / "events.csv"},
        }
    )


def _queries(lines: pd.DataFrame, catalog: Catalog) -> Queries:
    """Return a query per line; lines of one user are correlated, so the bootstrap draws users."""
    names = [f"{line:09} {user}" for line, user in enumerate(lines["user_id"])]
    histories = dict(zip(names, lines["history_item_id"].str.split(), strict=True))
    targets = dict(zip(names, lines[["item_id"]].to_numpy().tolist(), strict=True))
    before, after = (Interactions.from_frame(aligned(part), catalog) for part in (histories, targets))
    queries = Queries.of(before, after, len(catalog))
    users = [name.split(" ", 1)[1] for name in queries.user_ids]
    return replace(queries, user_ids=np.array(users, dtype=object))

"""P1: leave-one-out on sequences. The last item of a user is predicted from all before it.

Training uses all but the last two items of a user; hyperparameters are tuned on the item before the last.
"""

import json
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from recommender.catalog import Catalog, Interactions
from recommender.commands.benchmarks.protocols.shops import LAST, aligned, fitted, provenance
from recommender.config import Config
from recommender.errors import DataError
from recommender.evaluation import EvaluationReport
from recommender.evaluation.evaluate import compare
from recommender.evaluation.queries import Queries
from recommender.evaluation.split import leave_last_out
from recommender.evaluation.standard_baselines import standard_baselines

CUTOFFS = (10, 20)
VALIDATION = LAST - timedelta(days=1)  # the day of every user's item before the last


def measure(sequences: Path, attributes: Path | None, items: Path | None = None) -> dict[str, Any]:
    """Measure the protocol."""
    with TemporaryDirectory() as folder:
        shop = write_shop(Path(folder), sequences, attributes, items)
        catalog = Catalog.load(shop)
        events = Interactions.load(shop, catalog)
        parts, train = leave_last_out(events), events.before(VALIDATION)
        queries = Queries.of(parts.train, parts.test, len(catalog))
        with fitted(shop, until=LAST, learn_until=VALIDATION) as rec:
            reports = compare(rec, queries, train, standard_baselines(train, len(catalog)), CUTOFFS)
            return {
                "protocol": "sequences",
                "seed": shop.train.seed,
                "measures": ["hit_rate", "ndcg"],
                "bundles": {"protocol": provenance(rec)},
                "reports": named("protocol", reports),
            }


def named(name: str, reports: list[EvaluationReport]) -> dict[str, Any]:
    """Return the reports of one comparison by their cutoffs."""
    return {f"{name}, @{report.k}": report.to_dict() for report in reports}


def write_shop(folder: Path, sequences: Path, attributes: Path | None, items: Path | None = None) -> Config:
    """Write sequences as a shop's files, a catalogue of ids and attributes and the events; return their config.

    Parameters
    ----------
    sequences
        One user a line: the user's id and the items' in order of time, separated by blanks.
    attributes
        JSON of item id to attribute ids.
    items
        CSV of item_id and words, which become the titles.
    """
    lines = [line.split() for line in sequences.read_text().splitlines()]
    histories = {user: items for user, *items in lines}
    values = {} if attributes is None else json.loads(attributes.read_text())
    ids = sorted({item for items in histories.values() for item in items})
    products = pd.DataFrame({"id": ids, "attribute": ["|".join(map(str, values.get(item, ()))) for item in ids]})
    if items is not None:
        products["title"] = _titles(items, ids)
    products.to_csv(folder / "items.csv", index=False)
    aligned(histories).to_csv(folder / "events.csv", index=False)
    columns = (
        {"learn": ["attribute"], "separators": {"attribute": "|"}} if values else {"attributes": [], "learn": []}
    )
    return Config.model_validate(
        {
            "catalog": {"path": folder / "items.csv", **columns},
            "events": {"path": folder / "events.csv"},
        }
    )


def _titles(items: Path, ids: list[str]) -> list[str]:
    """Return the words of each item, "" for an item without."""
    frame = pd.read_csv(items, dtype=str, keep_default_na=False)
    if missing := {"item_id", "words"} - {*frame.columns}:
        found, absent = ", ".join(map(str, frame.columns)), " and ".join(sorted(missing))
        raise DataError(f"{items}: no column {absent} among {found}; name the columns item_id and words")
    words = dict(zip(frame["item_id"], frame["words"], strict=True))
    return [words.get(item_id, "") for item_id in ids]

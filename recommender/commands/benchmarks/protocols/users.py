"""Users' attributes on a planted shop: how much of the gain that an oracle has is found.

Segments of users prefer some categories; age and country say nothing. The oracle knows how much more often each
segment chooses each category, and adds that to the same score as boosts, with the factor that is best for it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.catalog import Catalog, Interactions
from recommender.catalog.users import Users
from recommender.commands.benchmarks.protocols.shops import provenance
from recommender.config import Config
from recommender.core.blocks import Double, Rows
from recommender.evaluation.bootstrap import bootstrap
from recommender.evaluation.metrics import counts, hits, recall
from recommender.evaluation.queries import Queries
from recommender.recommender import Recommender, load

K = 12
CATEGORIES, SEGMENTS, PREFERRED = 12, 6, 3
PREFERENCE = 0.6  # share of a user's choices that are of the segment's preferred categories
START, DAYS, CUT = datetime(2026, 1, 1), 100, datetime(2026, 3, 22)
FACTORS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of the oracle's log-odds


@dataclass(frozen=True)
class PlantedShop:
    """A shop whose segments of users prefer categories.

    Parameters
    ----------
    products, users, events
        Frames as `recommender.fit` takes them.
    log_odds
        How much more often each segment chooses each category than users do on average, shape (S, C).
    """

    products: pd.DataFrame
    users: pd.DataFrame
    events: pd.DataFrame
    log_odds: Double

    @classmethod
    def draw(cls, products: int = 360, users: int = 3_000, seed: int = 0) -> "PlantedShop":
        """Draw a shop."""
        generator = np.random.default_rng(seed)
        category = np.arange(products, dtype=np.int32) % CATEGORIES
        popularity = (1.0 + generator.permutation(products)) ** -0.7
        chances = []
        for _ in range(SEGMENTS):
            preferred = np.isin(category, generator.choice(CATEGORIES, PREFERRED, replace=False))
            liked = popularity * preferred
            chances.append(PREFERENCE * liked / liked.sum() + (1 - PREFERENCE) * popularity / popularity.sum())
        segments = generator.integers(SEGMENTS, size=users, dtype=np.int32)
        rates = np.stack([np.bincount(category, chance, CATEGORIES) for chance in chances])
        return cls(
            _products(category, generator),
            _users(segments, generator),
            _events(np.stack(chances)[segments], generator),
            np.log(rates / rates.mean(axis=0)),
        )


def _products(category: NDArray[np.int32], generator: np.random.Generator) -> pd.DataFrame:
    words = generator.integers(40, size=len(category))
    return pd.DataFrame(
        {
            "id": [f"p{item:04}" for item in range(len(category))],
            "title": [f"kind{c} word{word}" for c, word in zip(category, words, strict=True)],
            "product_type": [f"category {c}" for c in category],
        }
    )


def _users(segments: NDArray[np.int32], generator: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "user_id": [f"u{user:05}" for user in range(len(segments))],
            "segment": [f"segment {segment}" for segment in segments],
            "age": generator.integers(18, 80, len(segments)),
            "country": generator.choice(["DE", "FR", "PL"], len(segments)),
        }
    )


def _events(chances: Double, generator: np.random.Generator) -> pd.DataFrame:
    """Draw the purchases of each user by the chance of each product, shape (users, n)."""
    lines = [
        (f"u{user:05}", f"p{item:04}", START + timedelta(days=DAYS * day))
        for user, chance in enumerate(chances)
        for size in [2 + generator.poisson(2)]
        for item, day in zip(
            generator.choice(len(chance), size, replace=False, p=chance),
            generator.random(size).tolist(),
            strict=True,
        )
    ]
    return pd.DataFrame(lines, columns=["user_id", "item_id", "timestamp"]).assign(event_name="purchase")


def measure(products: int = 360, users_of_shop: int = 3_000, seed: int = 0) -> dict[str, Any]:
    """Fit the planted shop, and measure the recall of later choices of known users, and as if they were new."""
    from training.fit import fit

    shop = PlantedShop.draw(products, users_of_shop, seed)
    config = Config.from_mapping({"catalog": {"path": "planted shop"}, "encoder": {"name": "tfidf"}})
    catalog = Catalog.from_frame(shop.products)
    events = Interactions.from_frame(shop.events, catalog).with_users(Users.from_frame(shop.users))
    with TemporaryDirectory() as folder:
        fit(config, Path(folder), catalog=catalog, interactions=events, until=CUT)
        rec = load(folder)
        queries = Queries.of(events.before(CUT), events.since(CUT), len(catalog))
        return {
            "protocol": "users",
            "seed": seed,
            "bundles": {"planted shop": provenance(rec)},
            "users": {
                "known users": _compared(rec, shop, queries, queries.events),
                "new users": _compared(rec, shop, queries, [[]] * len(queries)),
            },
        }


def _compared(
    rec: Recommender, shop: PlantedShop, queries: Queries, histories: Sequence[Sequence[Any]]
) -> dict[str, Any]:
    """Return the recall without attributes, with them and by the oracle, and the share of its gain found."""

    def recalls(rows: Rows) -> Double:
        return recall(hits(rows, queries.relevant), counts(queries.relevant))

    options: dict[str, Any] = {"plan": "exact", "variants": "all"}
    without = recalls(rec.recommend_many(histories, K, **options).rows)
    found = recalls(rec.recommend_many(histories, K, users=queries.attributes, **options).rows)
    oracles = [recalls(_oracle(rec, shop, queries, histories, factor)) for factor in FACTORS]
    oracle = max(oracles, key=lambda each: float(each.mean()))
    gain = float(oracle.mean() - without.mean())
    named = {"without attributes": without, "with attributes": found, "oracle": oracle}
    return {
        "queries": len(queries),
        "recall": {name: float(values.mean()) for name, values in named.items()},
        "gain": asdict(bootstrap((found - without)[:, None], queries.user_ids)[0]),
        "share": float(found.mean() - without.mean()) / gain,
    }


def _oracle(
    rec: Recommender, shop: PlantedShop, queries: Queries, histories: Sequence[Sequence[Any]], factor: float
) -> Rows:
    """Rank with the segment's log-odds as boosts of the categories."""
    segment_of = dict(zip(shop.users["user_id"], shop.users["segment"], strict=True))
    segments = np.array([segment_of[user] for user in queries.user_ids])
    rows = np.zeros((len(queries), K), dtype=np.int32)
    for segment, log_odds in enumerate(shop.log_odds):
        members = np.flatnonzero(segments == f"segment {segment}")
        boosts: Any = [
            {"when": f'product_type: ANY("category {c}")', "add": factor * float(odds)}
            for c, odds in enumerate(log_odds)
        ]
        some = [histories[position] for position in members.tolist()]
        rows[members] = rec.recommend_many(some, K, boost=boosts, plan="exact", variants="all").rows
    return rows

"""Encoders side by side: the protocols cold-start and neighbours for each, in one table."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from recommender.catalog import Catalog, Interactions
from recommender.commands.benchmarks.protocols.neighbours import QUERIES, labels_of
from recommender.commands.benchmarks.protocols.pairs import K, groups_of
from recommender.commands.benchmarks.protocols.shops import fitted, without
from recommender.config import Config, EncoderChoice
from recommender.core.blocks import Rows
from recommender.evaluation import evaluate, split
from recommender.evaluation.baskets import without_same_label
from recommender.evaluation.held_out_attribute import hold_out
from recommender.evaluation.known_pairs import read_known_pairs
from recommender.evaluation.similar_items import MAP_CUTOFF, label_precision, neighbours, pair_recall
from recommender.recommender import Recommender

TEXTS = ("tfidf", "word2vec", "lstm")  # need no download; "transformers" is the text half of "offline"
RANKERS = ("hybrid", "text alone", "image alone")


def shops(shop: Config, texts: Sequence[str], images: Sequence[str]) -> dict[str, Config]:
    """Return the shop with its own encoder, and with another text or image encoder each, by name."""
    named = [("text", name) for name in texts] + [("image", name) for name in images]
    others = {f"{name} ({half}s)": {half: EncoderChoice(name=name)} for half, name in named}
    changed = {name: shop.encoder.model_copy(update=choice) for name, choice in others.items()}
    return {"own": shop, **{name: shop.model_copy(update={"encoder": each}) for name, each in changed.items()}}


def measure(
    compared: Mapping[str, Config], labels: Sequence[str], pairs: Path | None, at: datetime | None
) -> dict[str, Any]:
    """Measure neighbours by held-out labels and known pairs, and the next purchases after `at`."""
    without_events = {name: shop.model_copy(update={"events": None}) for name, shop in compared.items()}
    shop = next(iter(compared.values()))
    catalog = Catalog.load(shop)
    figures: dict[str, Any] = {"protocol": "encoders", "seed": shop.train.seed, "neighbours": {}}
    figures |= {"measures": ["recall"], "reports": {}}
    for values in labels_of(catalog, labels):
        held = hold_out(catalog.frame, values, [column.name for column in catalog.columns if column.learn])
        rows = np.flatnonzero(held.labels != "")
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:QUERIES])
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            reduced = {name: without(each, catalog, held.frame, folder) for name, each in without_events.items()}
            lists = _lists(
                {name: stack.enter_context(fitted(each)) for name, each in reduced.items()}, rows, MAP_CUTOFF
            )
        figures["neighbours"][str(values.name)] = label_precision(lists, rows, held.labels, groups_of(catalog))
    if pairs is not None:
        figures["neighbours"] |= _pairs(without_events, catalog, pairs)
    if at is not None:
        figures["reports"] = {name: _next_purchases(each, catalog, at) for name, each in compared.items()}
    return figures


def _lists(recs: Mapping[str, Recommender], rows: np.ndarray, k: int) -> dict[str, Rows]:
    """Return the neighbours by each bundle and ranker, (q, k) rows of the same catalogue: all are paired."""
    return {
        f"{name}, {ranker}": lists
        for name, rec in recs.items()
        for ranker, lists in neighbours(rec, rows, k).items()
        if ranker in RANKERS
    }


def _pairs(shops: Mapping[str, Config], catalog: Catalog, path: Path) -> dict[str, Any]:
    figures = {}
    with ExitStack() as stack:
        recs = {name: stack.enter_context(fitted(shop)) for name, shop in shops.items()}
        for kind, relevant in read_known_pairs(path, catalog.frame["id"]).items():
            others = without_same_label(relevant, groups_of(catalog))
            rows = np.flatnonzero(np.diff(others.indptr))
            figures[f"pairs: {kind}, variants left out"] = pair_recall(_lists(recs, rows, K), others[rows])
    return figures


def _next_purchases(shop: Config, catalog: Catalog, at: datetime) -> dict[str, Any]:
    parts = split.at(Interactions.load(shop, catalog), at)
    with fitted(shop, until=at) as rec:
        return evaluate(rec, parts.train, parts.test, baselines=[]).to_dict()

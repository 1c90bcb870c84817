"""`evaluate` on a real bundle, and the steps of the benchmarks on the demo shop."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import recommender
from recommender.catalog import Catalog, Interactions
from recommender.commands.benchmarks.protocols import shops
from recommender.config import Config
from recommender.errors import DataError
from recommender.evaluation import evaluate, frames, split
from recommender.evaluation.held_out_attribute import hold_out
from recommender.evaluation.queries import Queries
from recommender.evaluation.rankers import Candidates, recommender_rankers


@pytest.fixture(scope="module")
def config(demo_shop):
    return Config.load(demo_shop.config)


@pytest.fixture(scope="module")
def catalog(config):
    return Catalog.load(config)


@pytest.fixture(scope="module")
def halves(config, catalog):
    events = Interactions.load(config, catalog)
    return split.at(events, events.frame["timestamp"].median().to_pydatetime())


@pytest.fixture(scope="module")
def product(demo_bundles):
    return recommender.load(demo_bundles)


def test_every_ranker_ranks_only_candidates(product, halves):
    queries = Queries.of(halves.train, halves.test, product.n, limit=10)
    half = np.arange(product.n) % 2 == 0
    rankers = recommender_rankers(product)
    assert {"hybrid", "hybrid, no prior", "image alone", "text alone", "category alone"} <= {
        c.name for c in rankers
    }
    for ranker in rankers:
        (rows,) = ranker.rank(queries, 50, [Candidates(half, np.arange(len(queries)))])
        for line, history in zip(rows, queries.histories, strict=True):
            eligible = set(np.flatnonzero(half)) - set(history["row"])
            assert set(line[line >= 0]) <= eligible
            assert (line >= 0).sum() == min(50, len(eligible)), ranker.name


def test_candidate_sets_ranked_together_are_those_ranked_alone(product, halves):
    queries = Queries.of(halves.train, halves.test, product.n, limit=10)
    half, few = np.arange(product.n) % 2 == 0, np.arange(product.n) % 9 == 0
    sets = [Candidates(mask, np.arange(len(queries))) for mask in (None, half, few)]
    for ranker in recommender_rankers(product):
        together = ranker.rank(queries, 6, sets)
        for each, rows in zip(sets, together, strict=True):
            np.testing.assert_array_equal(rows, ranker.rank(queries, 6, [each])[0], err_msg=ranker.name)


def test_a_model_trained_on_the_test_set_beats_popularity(product, halves):
    with pytest.raises(DataError, match=r"learned from events until .* test events are no later"):
        evaluate(product, halves.train, halves.test, k=5)
    report = evaluate(product, halves.train, halves.test, k=5, in_sample=True)
    assert report.to_table().startswith("IN-SAMPLE")
    assert report.to_dict()["in_sample"]
    for frame in (frames.rankers, frames.beyond_accuracy, frames.ablation, frames.slices):
        assert frame(report.to_dict())["in_sample"].all()
    assert "in-sample" in repr(report)
    day_after = pd.Timestamp(product.manifest.metrics["training"]["until"]) + pd.Timedelta(days=1)
    later = replace(halves.test, frame=halves.test.frame.assign(timestamp=day_after))
    assert not evaluate(product, halves.train, later, k=5, baselines=[]).in_sample
    figures = report.to_dict()
    assert figures["queries"] > 50
    assert figures["rankers"]["popularity"]["all"]["recall"]["hybrid_lead"]["low"] > 0
    assert len(report.to_table().splitlines()) == len(report.names) + 7


def test_a_catalogue_without_a_masked_column_is_valid(config, catalog, tmp_path):
    learned = [column.name for column in catalog.columns if column.learn]
    held = hold_out(catalog.frame, catalog.frame["color"], learned)
    left = Catalog.load(shops.without(config, catalog, held.frame, tmp_path))
    assert left.ids == catalog.ids
    assert "color" not in left.frame
    assert set(held.columns) & {column.name for column in left.columns} == set()
    assert {c.name for c in left.columns if c.learn} == set(learned) - set(held.columns)
    assert left.image_refs() == catalog.image_refs()
    assert [left.images.key(ref) for ref in left.image_refs()] == [
        catalog.images.key(r) for r in catalog.image_refs()
    ]

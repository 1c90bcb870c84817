"""What similar items are learned from: products compared in one session, and content where there are none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from segments import make_segment

from recommender.catalog import Catalog, Interactions
from recommender.core.blocks import Layout, unit
from recommender.core.segment import Segment
from recommender.towers.user import UserTower
from training.cooccurrence.pairs import Pairs
from training.cooccurrence.tables import CooccurrenceTables
from training.tuning.search import default_hyperparameters
from training.tuning.similar_items import content_weights, substitutes, tune_for_items

CONTENT, BEHAVIOUR = Layout({"image": 8, "text": 8, "behaviour": 4}), Layout({"behaviour": 4})
TYPES = ["lamp"] * 3 + ["rug"] * 2 + [""]
START = pd.Timestamp("2026-05-01 12:00")


def interactions(n: int, *events: tuple[str, int, str, float]) -> Interactions:
    """Events as user, row, name and minutes after the start."""
    catalog = Catalog.from_frame(pd.DataFrame({"id": [f"p{row:03}" for row in range(n)], "title": "t"}))
    users, rows, names, minutes = zip(*events, strict=True)
    times = START + pd.to_timedelta(minutes, unit="min")
    columns = {"user_id": users, "item_id": [f"p{row:03}" for row in rows], "event_name": names}
    return Interactions.from_frame(pd.DataFrame({**columns, "timestamp": times}), catalog)


def found(*events: tuple[str, int, str, float], layout: Layout = CONTENT) -> set[tuple[int, int]]:
    later = interactions(6, *events)
    pairs = substitutes(later, later, layout, TYPES)
    return {tuple(sorted(pair)) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}


def views(*rows_and_minutes: tuple[int, float], user: str = "ann") -> list[tuple[str, int, str, float]]:
    return [(user, row, "view_item", minutes) for row, minutes in rows_and_minutes]


def test_products_of_one_type_that_were_viewed_in_one_session_are_substitutes() -> None:
    assert found(*views((0, 0), (1, 20))) == {(0, 1)}
    assert found(*views((0, 0), (1, 45))) == set(), "another session"
    assert found(*views((0, 0)), *views((1, 5), user="bob")) == set(), "another user"
    assert found(*views((0, 0), (3, 5))) == set(), "another type"
    assert found(*views((0, 0), (5, 5))) == {(0, 5)}, "a product whose type is unknown may be of any"


def test_what_is_bought_together_is_no_substitute() -> None:
    bought = [("bob", 0, "purchase", 100.0), ("bob", 1, "purchase", 101.0)]
    assert found(*views((0, 0), (1, 5), (2, 9)), *bought) == {(0, 2), (1, 2)}
    assert found(*bought) == set(), "purchases alone tell nothing"


def test_where_products_have_no_content_whoever_chose_them_tells() -> None:
    bought = [("bob", 0, "purchase", 100.0), ("bob", 3, "purchase", 101.0)]
    assert found(*bought, layout=BEHAVIOUR) == {(0, 3)}
    weights = content_weights(BEHAVIOUR)
    assert weights["behaviour"] > 0 < weights["cooccurrence"]
    assert weights["prior"] == 0


def test_without_views_content_alone_decides() -> None:
    weights = content_weights(CONTENT, {"image": 0.7, "text": 0.3})
    assert weights == {"image": 0.7, "text": 0.3, "behaviour": 0.0, "cooccurrence": 0.0, "prior": 0.0}
    nothing = Pairs(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0), np.empty(0))
    tuned, categories = tune_for_items(make_segment(0, 6, CONTENT), nothing, weights, ["item"] * 6, 0)
    assert tuned["item"].weights == weights
    assert categories == ()
    segment = make_segment(0, 6, CONTENT)
    assert default_hyperparameters(segment, UserTower({}), weights).weights["user"].weights["cooccurrence"] > 0


class PlantedShop:
    """Products of 20 looks, of which image vectors tell, each bought with those of the next look."""

    def __init__(self, per_look: int = 8, looks: int = 20) -> None:
        generator = np.random.default_rng(0)
        n = per_look * looks
        self.look = np.arange(n) // per_look
        near = generator.normal(size=(looks, 8))[self.look] + 0.4 * generator.normal(size=(n, 8))
        vectors = [unit(near), unit(generator.normal(size=(n, 8))), unit(generator.normal(size=(n, 4)))]
        layout = CONTENT
        rows = [int(row) for row in generator.integers(0, n - per_look, 600)]
        bought = [(f"b{i}", row + step, "purchase", i) for i, row in enumerate(rows) for step in (0, per_look)]
        compared = [
            (f"v{i}", int(other), "view_item", i)
            for i, row in enumerate(rows)
            for other in generator.choice(np.flatnonzero(self.look == self.look[row]), 2, replace=False)
        ]
        self.events = interactions(n, *bought, *compared)
        purchases = replace(self.events, frame=self.events.frame.query("event_name == 'purchase'"))
        segment = replace(make_segment(0, n, layout), vectors=np.concatenate(vectors, axis=1).astype(np.float32))
        self.segment: Segment = replace(
            segment, cooccurrence=CooccurrenceTables.of(segment, purchases).smoothed(0.0)
        )


def test_views_move_the_weights_to_the_block_that_tells_substitutes() -> None:
    shop = PlantedShop()
    n = shop.segment.n
    pairs = substitutes(shop.events, shop.events, CONTENT, [""] * n)
    same = shop.look[pairs.first] == shop.look[pairs.second]
    assert len(pairs) > 200
    assert same.mean() > 0.95
    tuned, _ = tune_for_items(shop.segment, pairs, content_weights(CONTENT), ["item"] * n, 0)
    weights = tuned["item"].weights
    assert weights["image"] > 0.7
    assert weights["image"] + weights["text"] + weights["behaviour"] == pytest.approx(1.0)
    assert weights["cooccurrence"] < 1, "what is bought together does not replace a product"

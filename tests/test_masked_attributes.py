"""Block weights without events, where it is known which block tells what the products are."""

import numpy as np
import pandas as pd
import pytest

from recommender.catalog import Catalog
from recommender.core.blocks import Layout, unit
from recommender.encoders.pipeline import EncodedCatalog
from recommender.towers.item import ItemInputs
from training.items import TrainingItems, item_inputs, variant_groups
from training.tuning.masked_attributes import tune_by_masked_attributes

N, DIM = 240, 8
MATERIALS, SHAPES, COLORS = ["wool", "silk", "cord"], ["round", "square", "long", "wide"], ["red", "blue"]


class Blocks:
    """A tower whose blocks are what the encoder says; it remembers what it was shown."""

    layout = Layout({"image": DIM, "text": DIM})

    def __init__(self) -> None:
        self.seen: list[ItemInputs] = []

    def blocks(self, inputs: ItemInputs) -> tuple[np.ndarray, np.ndarray]:
        self.seen.append(inputs)
        return np.concatenate([inputs.image, inputs.text], axis=1), np.ones((inputs.b, 2), bool)


class Shop:
    """Products of a material, a shape and a color, which the `telling` encoder vectors tell."""

    def __init__(self, telling: set[str], variants: bool = False, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        material, shape, color = (generator.integers(0, kinds, N) for kinds in (3, 4, 2))
        frame = pd.DataFrame({"id": [f"p{row:03}" for row in range(N)]})
        frame["material"], frame["pattern"] = np.array(MATERIALS)[material], np.array(SHAPES)[shape]
        frame["color"] = np.array(COLORS)[color]
        frame["title"] = "a " + frame["material"] + " thing"
        frame["item_group_id"] = frame["material"] + frame["pattern"] + frame["color"] if variants else ""
        self.catalog = Catalog.from_frame(frame)
        kinds = unit(generator.normal(size=(24, DIM)))[material * 8 + shape * 2 + color]
        noise = {name: unit(generator.normal(size=(N, DIM))) for name in ("image", "text")}
        self.vectors = {n: unit(kinds + 0.5 * x) if n in telling else x for n, x in noise.items()}
        self.texts: list[list[str]] = []

    def encode(self, catalog: Catalog) -> EncodedCatalog:
        self.texts.append(catalog.texts())
        rows, has = self.catalog.row_of(catalog.ids), np.ones(len(catalog), bool)
        image, text = (self.vectors[name][rows].astype(np.float32) for name in ("image", "text"))
        return EncodedCatalog(image, has, text, has, "none", "none", False, {})

    def weights(self) -> tuple[dict[str, float], dict[str, float]]:
        return self.tuned()[:2]

    def tuned(self) -> tuple[dict[str, float], dict[str, float], dict[str, dict[str, float]]]:
        self.tower = Blocks()
        inputs = item_inputs(self.encode(self.catalog), {}, ())
        items = TrainingItems(self.catalog, inputs, False, variant_groups(self.catalog))
        return tune_by_masked_attributes(items, self.tower, self.encode, 0)


@pytest.mark.parametrize(("telling", "other"), [("image", "text"), ("text", "image")])
def test_the_block_that_predicts_attributes_gets_more_weight(telling: str, other: str) -> None:
    weights, gained = Shop({telling}).weights()
    assert weights[telling] == pytest.approx(4 * weights[other])
    assert sum(weights.values()) == pytest.approx(1.0)
    assert gained.keys() == {"material", "pattern", "color"}
    assert min(gained.values()) > 1.1


def test_equal_weights_stay_where_none_are_clearly_better() -> None:
    weights, gained = Shop(set()).weights()
    assert weights == {"image": 0.5, "text": 0.5}
    assert set(gained.values()) <= {1.0}


def test_masked_values_are_in_no_column_and_no_text() -> None:
    shop = Shop({"image"})
    shop.weights()
    named = [{"material", "pattern", "color"} - set(names(inputs)) for inputs in shop.tower.seen]
    assert sorted(map(sorted, named)) == [["color"], ["material"], ["pattern"]], "one is hidden each time"
    for hidden, texts in zip(named, shop.texts[1:], strict=True):
        assert (set(texts) == {"a thing"}) == (hidden == {"material"}), "which every title names"


def names(inputs: ItemInputs) -> list[str]:
    return [name for name, cells in inputs.columns.items() if any(cells)]


def test_variants_are_no_neighbours() -> None:
    weights, _ = Shop({"image"}, variants=True).weights()
    assert weights["image"] <= weights["text"], "images predict variants, and nothing of other products"


def test_few_columns_change_nothing() -> None:
    shop = Shop({"image"})
    shop.catalog = Catalog.from_frame(shop.catalog.frame.drop(columns="color"))
    assert shop.weights() == ({"image": 0.5, "text": 0.5}, {})


def test_precision_of_a_hidden_value_is_beside_chance_and_above_it_only_where_the_encoder_tells() -> None:
    for telling in ({"image"}, set()):
        shop = Shop(telling)
        found = shop.tuned()[2]
        assert found.keys() == {"material", "pattern", "color"}
        for name, row in found.items():
            values = shop.catalog.frame[name]
            others = [(values == value).sum() - 1 for value in values]
            assert row["chance"] == pytest.approx(np.mean(others) / (N - 1), abs=1e-4)
            assert row["queries"] == N
            assert (row["low"] > row["chance"] + 0.1) == bool(telling)


def test_precision_is_measured_with_few_columns_and_with_one_block() -> None:
    shop = Shop({"image"})
    shop.catalog = Catalog.from_frame(shop.catalog.frame.drop(columns="color"))
    assert shop.tuned()[2].keys() == {"material", "pattern"}

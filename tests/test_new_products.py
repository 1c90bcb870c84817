"""Products without events: predicted prior, factors, and what an update gives to products that it adds."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recommender
from recommender.catalog import Interactions
from recommender.config import Config
from recommender.core.blocks import Layout, unit
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.scoring import Scorer
from recommender.core.segment import Segment
from recommender.demo.shop import Shop
from recommender.encoders.registry import create_for
from recommender.towers.behaviour import BehaviourPredictor
from recommender.towers.item import ItemTower
from recommender.towers.predictor import BlockPredictor
from recommender.towers.prior import PriorPredictor
from recommender.towers.user import UserTower
from training.cooccurrence.tables import CooccurrenceTables, Mixture
from training.new_products.factors import NewProducts, with_events
from training.new_products.prior import fit_prior_predictor
from training.new_products.tune import tune_new_products
from training.prior import PriorShape
from training.tuning.held_out import HeldOutCase, user_cases
from training.tuning.search import Hyperparameters, TuningData, default_hyperparameters
from training.update.updater import Updater

KINDS, KNOWN, NEW = 6, 90, 60
LAYOUT = Layout({"category": KINDS, "behaviour": 4})
KIND = np.arange(KNOWN + NEW) % KINDS
OPENED, CUT = datetime(2026, 1, 1), datetime(2026, 3, 1)
WEIGHTS = {"category": 0.5, "behaviour": 0.5, "cooccurrence": 2.0, "prior": 1.0}


def segment(seed: int = 0) -> Segment:
    """Return products of six kinds; only the first `KNOWN` have events and a behaviour block of norm 1."""
    generator = np.random.default_rng(seed)
    n = KNOWN + NEW
    vectors = np.zeros((n, LAYOUT.d), dtype=np.float32)
    vectors[:, LAYOUT.slices["category"]] = unit(np.eye(KINDS)[KIND] + generator.normal(0, 0.1, (n, KINDS)))
    vectors[:, LAYOUT.slices["behaviour"]] = unit(generator.normal(size=(n, 4)))
    vectors[KNOWN:, LAYOUT.slices["behaviour"]] *= 0.2
    present = np.ones((n, 2), dtype=bool)
    present[KNOWN:, 1] = False
    none = Cooccurrence.empty(n)
    return Segment(
        vectors, present, np.zeros(n, np.float32), np.arange(n, dtype=np.int32), None, none, none, LAYOUT
    )


def tower() -> ItemTower:
    behaviour = BehaviourPredictor(np.zeros((0, 4), np.float32), np.zeros((1, 4), np.float32))
    return ItemTower(LAYOUT, {}, None, None, BlockPredictor({}, LAYOUT), behaviour)


def popularity(share_of_new: float, start: int) -> np.ndarray:
    """Return the probabilities of being chosen: products of kind 0 sell ten times as often as the others."""
    kind = np.where(KIND == 0, 10.0, 1.0)
    known = np.where(np.arange(len(KIND)) < KNOWN, kind, 0.0)
    new = np.where(np.arange(len(KIND)) >= KNOWN, kind if start else 1.0, 0.0)
    return (1 - share_of_new) * known / known.sum() + share_of_new * new / new.sum()


def events(users: range, chances: np.ndarray, since: datetime, each: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    rows = generator.choice(len(chances), len(users) * each, p=chances)
    times = since + np.arange(len(rows)) * timedelta(minutes=7)
    user_ids = np.repeat([f"u{user:04}" for user in users], each)
    return pd.DataFrame({"user_id": user_ids, "row": rows.astype(np.int32), "timestamp": times})


def interactions(frame: pd.DataFrame) -> Interactions:
    frame = frame.sort_values(["user_id", "timestamp"], kind="stable").reset_index(drop=True)
    frame = frame.assign(item_id=frame["row"].astype(str), event_name="purchase", value=np.nan)
    return Interactions(frame, {"purchase": 1.0})


class PlantedShop:
    """A shop with earlier events, held-out later ones, and those of a test; newcomers sell as told.

    Parameters
    ----------
    share
        Of the later choices that are of new products.
    by_kind
        Whether new products of the popular kind sell more; otherwise each is chosen by chance.
    """

    def __init__(self, share: float, by_kind: bool, users: int = 300) -> None:
        later = popularity(share, int(by_kind))
        self.earlier = interactions(events(range(users), popularity(0.0, 0), OPENED, 8, seed=1))
        self.later = interactions(events(range(users), later, CUT, 3, seed=2))
        test = interactions(events(range(users), later, CUT, 3, seed=3))
        self.cases, self.test = user_cases(self.earlier, self.later, 0), user_cases(self.earlier, test, 0)
        base = segment()
        self.data = TuningData(base, CooccurrenceTables.of(base, self.earlier), self.earlier, self.later)
        user_tower = UserTower({"purchase": 1.0})
        tuned = default_hyperparameters(base, user_tower, similar={})
        weights = tuned.weights | {"user": replace(tuned.weights["user"], weights=WEIGHTS)}
        self.tuned: Hyperparameters = replace(tuned, prior=PriorShape(30.0), weights=weights)

    def recalls(self, new_products: NewProducts, k: int = 12) -> tuple[np.ndarray, np.ndarray]:
        """Return recall@k of each test case, of all products and (NaN without) of those that were new."""
        n, data, tuned = len(KIND), self.data, self.tuned
        known = with_events(self.earlier, n)
        base = data.segment_with(tuned.prior, tuned.mixture)
        served = new_products.applied(tower(), base, known, 0)[1]
        scorer = Scorer(served.vectors, served.prior, served.layout, WEIGHTS)
        recalls = [self._recall(case, scorer, served, k) for case in self.test]
        return np.array([every for every, _ in recalls]), np.array([new for _, new in recalls])

    def _recall(self, case: HeldOutCase, scorer: Scorer, served: Segment, k: int) -> tuple[float, float]:
        scores = scorer.estimate([self.tuned.user_tower.query(case.steps, served)])[0]
        scores[case.excluded] = -np.inf
        found = np.isin(case.targets, np.argsort(-scores, kind="stable")[:k])
        new = case.targets >= KNOWN
        return float(found.mean()), float(found[new].mean()) if new.any() else np.nan


def standard_error(values: np.ndarray) -> float:
    return float(values.std() / np.sqrt(len(values)))


def test_new_products_of_a_popular_kind_appear() -> None:
    shop = PlantedShop(share=0.4, by_kind=True)
    chosen = tune_new_products(shop.data, shop.tuned, shop.cases, 0)
    before, new_before = shop.recalls(NewProducts(level=None))
    after, new_after = shop.recalls(chosen)
    assert np.nanmean(new_before) < 0.05
    assert np.nanmean(new_after) > 0.1
    assert after.mean() > before.mean()
    assert chosen.level is not None
    assert chosen.spread > 0  # which of the new products are of the popular kind matters


def test_where_newcomers_flop_the_whole_does_not_lose() -> None:
    shop = PlantedShop(share=0.05, by_kind=False)
    chosen = tune_new_products(shop.data, shop.tuned, shop.cases, 0)
    assert chosen.metrics["cases"] >= 20
    before, after = shop.recalls(NewProducts(level=None))[0], shop.recalls(chosen)[0]
    assert (after - before).mean() > -2 * standard_error(after - before) - 1e-9


def test_without_held_out_choices_of_new_products_the_defaults_stand() -> None:
    shop = PlantedShop(share=0.0, by_kind=False, users=60)
    chosen = tune_new_products(shop.data, shop.tuned, shop.cases, 0)
    assert chosen == NewProducts()
    assert chosen.metrics["chosen"] == "defaults"


def test_the_prior_of_a_new_product_is_that_of_its_kind() -> None:
    shop = PlantedShop(share=0.0, by_kind=False, users=60)
    base, known = (
        shop.data.segment_with(shop.tuned.prior, shop.tuned.mixture),
        with_events(shop.earlier, len(KIND)),
    )
    with_prior, served = NewProducts(level=0.5).applied(tower(), base, known, 0)
    new = ~known
    assert served.prior[new & (KIND == 0)].min() > served.prior[new & (KIND != 0)].max()
    np.testing.assert_array_equal(served.prior[known], base.prior[known])
    np.testing.assert_array_equal(with_prior.predicted_prior(served.vectors[new]), served.prior[new])


@pytest.mark.parametrize("known", [np.ones(KNOWN + NEW, bool), np.zeros(KNOWN + NEW, bool)])
def test_all_products_new_or_none(known: np.ndarray) -> None:
    base = replace(segment(), prior=np.where(known, 0.5, 0.0).astype(np.float32))
    learned, served = NewProducts(behaviour=2.0, cooccurrence=2.0).applied(tower(), base, known, 0)
    assert np.isfinite(served.prior).all()
    assert ((served.prior >= 0) & (served.prior <= 1)).all()
    assert np.isfinite(learned.predicted_prior(served.vectors)).all()


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 1_000),
    st.sampled_from([None, 0.5, 0.9]),
    st.floats(0, 4),
    st.floats(0.25, 4),
    st.floats(0.25, 4),
)
def test_factors_keep_the_bounds_of_the_score(
    seed: int, level: float | None, spread: float, behaviour: float, cooccurrence: float
) -> None:
    """Norms of blocks, prior and C stay at most 1, and nothing changes for products with events."""
    generator = np.random.default_rng(seed)
    base, known = segment(seed), generator.random(KNOWN + NEW) < 0.5
    shop = interactions(events(range(20), np.full(KNOWN + NEW, 1 / (KNOWN + NEW)), OPENED, 4, seed))
    table = CooccurrenceTables.of(base, shop).mixed(Mixture(0.5, 0.5))
    base = replace(base, prior=generator.random(KNOWN + NEW).astype(np.float32) * known, cooccurrence=table)
    served = NewProducts(level, spread, behaviour, cooccurrence).applied(tower(), base, known, 0)[1]
    assert LAYOUT.norms(served.vectors.astype(np.float64)).max() <= 1 + 1e-6
    assert 0 <= served.prior.min() <= served.prior.max() <= 1
    assert served.cooccurrence.values.max(initial=0.0) <= 1
    np.testing.assert_array_equal(served.vectors[known], base.vectors[known])
    columns = known[base.cooccurrence.indices]
    np.testing.assert_array_equal(served.cooccurrence.values[columns], base.cooccurrence.values[columns])


def test_without_events_of_enough_products_all_have_the_mean() -> None:
    base = replace(segment(), prior=np.linspace(0, 1, KNOWN + NEW).astype(np.float32))
    known = np.arange(KNOWN + NEW) < 5
    predicted = fit_prior_predictor(base, known, 0).predict(base.vectors, LAYOUT)
    np.testing.assert_allclose(predicted, base.prior[:5].mean(), rtol=1e-5)


def test_a_tower_of_an_older_bundle_predicts_no_prior(tmp_path: Path) -> None:
    prior = PriorPredictor(np.ones(KINDS, np.float32), np.array([0.5], np.float32), np.ones(1, np.float32))
    for folder, saved in (("old", tower()), ("new", replace(tower(), prior=prior))):
        (tmp_path / folder).mkdir()
        saved.save(tmp_path / folder)
        files = [path.name for path in (tmp_path / folder).iterdir()]
        opened = ItemTower.open(lambda name, folder=folder: tmp_path / folder / name, files, LAYOUT)
        np.testing.assert_array_equal(
            opened.predicted_prior(segment().vectors), saved.predicted_prior(segment().vectors)
        )


def test_an_update_gives_added_products_what_a_fit_gives(bundles: Path, demo_shop: Shop, tmp_path: Path) -> None:
    """The copy of a product without events has its prior and behaviour block; one that comes again has its own."""
    rec = recommender.load(bundles)
    segment, ids = rec.segment, rec.attributes.ids
    block = rec.layout.index("behaviour")
    new = np.flatnonzero(~segment.present[:, block])
    assert len(new)
    sold, twin = ids.id_of(int(segment.popular[0])), ids.id_of(int(new[0]))
    table = pd.read_csv(demo_shop.config.parent / "products.csv", dtype=str, keep_default_na=False)
    copy = table[table["id"] == twin].assign(id="zz-copy", item_group_id="")
    updater = Updater(
        bundles,
        Config.load(demo_shop.config),
        tmp_path / "changed.csv",
        complete=True,
        cache_dir=demo_shop.config.parent / "cache",
        encoder=create_for(rec.bundle),
    )
    pd.concat([table[table["id"] != sold], copy]).to_csv(updater.changed, index=False)
    updater.update()
    now = recommender.load(bundles)
    of_twin, of_copy = (now.attributes.row_of(item_id) for item_id in (twin, "zz-copy"))
    assert now.segment.prior[of_twin] > 0
    np.testing.assert_allclose(now.segment.prior[of_copy], now.segment.prior[of_twin], atol=1e-4)
    np.testing.assert_allclose(now.segment.vectors[of_copy], now.segment.vectors[of_twin], atol=1e-4)
    assert sold not in now
    table.to_csv(tmp_path / "again.csv", index=False)
    replace(updater, changed=tmp_path / "again.csv", complete=False).update()
    again = recommender.load(bundles)
    assert again.segment.prior[again.attributes.row_of(sold)] == segment.prior.max()

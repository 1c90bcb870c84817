"""`recommender fit --from`: a training that starts from the last generation and learns what is new."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import recommender
from recommender.catalog import Catalog, Interactions
from recommender.config import Config
from recommender.demo.shop import Shop
from recommender.errors import BundleError, DataError, RecommenderError
from recommender.recommender import Recommender
from training import warm_start
from training.behaviour.ensemble import EnsembleMember
from training.behaviour.export import continue_from, export_behaviour
from training.behaviour.sequence_model import ItemContent
from training.behaviour.sequences import Sequences
from training.behaviour.train import MEMBERS, Start, schedule, train_sequence_models
from training.profile.fit import ProfileShape
from training.warm_start import WarmStart

COLUMNS = ["id", "title", "product_type", "color", "price"]
ENCODER = {"name": "offline"}
DAY = pd.Timedelta(days=1)
START = pd.Timestamp("2026-01-01")


@pytest.fixture(autouse=True, scope="module")
def _few_epochs() -> Any:
    """Train little: what is fitted here need not be good."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.behaviour.train.EPOCHS", 2)
        patch.setattr("training.behaviour.train.MIN_STEPS", 40)
        yield


@pytest.fixture(scope="module")
def files(demo_shop: Shop) -> tuple[pd.DataFrame, pd.DataFrame]:
    home = demo_shop.config.parent
    products = pd.read_csv(home / "products.csv", dtype=str)[COLUMNS].head(80)
    events = pd.read_csv(home / "events.csv", dtype=str).sort_values("timestamp", kind="stable")
    return products, events[events["item_id"].isin(products["id"])].tail(2_000).reset_index(drop=True)


@pytest.fixture(scope="module")
def last(files: tuple[pd.DataFrame, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """The last generation: of all products but five, and of all events but those of the last days."""
    folder = tmp_path_factory.mktemp("warm")
    products, events = files
    options: dict[str, Any] = {"encoder": ENCODER, "cache": folder / "cache"}
    return recommender.fit(products.iloc[5:], events.head(1_700), out=folder / "bundles", **options)


def fit_from(last: Recommender, products: pd.DataFrame, events: Any, out: Path, **options: Any) -> Recommender:
    root = last.bundle.root
    options = {"encoder": ENCODER, "cache": root.parent / "cache", "warm_start": root, **options}
    return recommender.fit(products, events, out=out, **options)


def test_a_warm_start_learns_new_events_and_new_products(
    last: Recommender, files: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    products, events = files
    rec = fit_from(last, products, events, tmp_path / "bundles")
    assert rec.n == last.n + 5
    assert rec.manifest.weights == last.manifest.weights, "hyperparameters are those of the full fit"
    assert rec.layout.dims == last.layout.dims
    new = [item for item in products["id"][:5] if item in set(events["item_id"])]
    rows, block = rec.attributes.rows_of(new), rec.layout.index("behaviour")
    assert rec.segment.present[rows, block].all(), "products with events have a behaviour of their own"
    content = slice(0, rec.layout.slices["behaviour"].start)
    kept = rec.attributes.rows_of(last.ids)
    np.testing.assert_allclose(rec.segment.vectors[kept][:, content], last.segment.vectors[:, content], atol=1e-5)
    own, others = _cosines(last, rec, kept)
    assert np.median(own) > 0.8 > np.quantile(others, 0.9), "the behaviour goes on from where it was"
    assert len(rec.recommend(rec.ids[:2], 5)) == 5
    found = rec.manifest.metrics["warm_start"]
    assert found["from"] == last.generation
    assert found["full_fit_until"] == last.manifest.metrics["training"]["until"]
    assert found["new_products"] == 5
    assert [start["soft_recall"] > 0 for start in found["starts"]] == [True]


def _cosines(last: Recommender, rec: Recommender, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cosines of the behaviour of each product before and now, and of one product before and another now."""
    columns, block = rec.layout.slices["behaviour"], rec.layout.index("behaviour")
    known = last.segment.present[:, block]
    before, now = last.segment.vectors[known][:, columns], rec.segment.vectors[kept[known]][:, columns]
    cosines = (before @ now.T) / np.linalg.norm(before, axis=1)[:, None] / np.linalg.norm(now, axis=1)
    return np.diag(cosines), cosines[~np.eye(len(cosines), dtype=bool)]


def test_without_new_events_new_products_have_a_predicted_behaviour(
    last: Recommender, files: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    products, events = files
    rec = fit_from(last, products, events.head(1_700), tmp_path / "bundles")
    columns, block = rec.layout.slices["behaviour"], rec.layout.index("behaviour")
    unknown = ~rec.segment.present[:, block]
    assert unknown.any()
    assert rec.segment.vectors[unknown][:, columns].any(axis=1).all()
    own, _ = _cosines(last, rec, rec.attributes.rows_of(last.ids))
    assert own.min() > 0.999, "nothing was learned"
    assert rec.manifest.metrics["warm_start"]["starts"] == []


def test_each_night_starts_from_the_one_before(
    last: Recommender, files: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    products, events = files
    first = fit_from(last, products, events.head(1_850), tmp_path / "bundles")
    second = fit_from(first, products, events, tmp_path / "bundles", cache=last.bundle.root.parent / "cache")
    found = second.manifest.metrics["warm_start"]
    assert found["from"] == first.generation
    assert found["full_fit_until"] == last.manifest.metrics["training"]["until"]
    assert len(found["starts"]) == 2
    assert found["new_products"] == 5


def test_without_steps_a_continued_training_is_what_it_was(
    last: Recommender, files: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    """What a bundle has of the training is all of it: towers, vectors and transformers."""
    products, events = files
    catalog = Catalog.from_frame(products.iloc[5:])
    sequences = Sequences.of(Interactions.from_frame(events.head(1_700), catalog))
    start = WarmStart.open(last.bundle.root).behaviour(catalog).behaviour
    table = start.predictor.table
    content = ItemContent.of(last.segment.vectors[:, : len(start.predictor.matrix)], None, len(table))
    members = [EnsembleMember(sequences, content, seed, 10) for seed in range(MEMBERS)]
    continue_from(members, start)
    again = export_behaviour(members, sequences, 1.0)
    np.testing.assert_allclose(
        again.vectors[start.known] * again.scale / start.scale, start.vectors[start.known], atol=1e-5
    )
    np.testing.assert_allclose(again.predictor.table * again.scale / start.scale, table, atol=1e-5)
    rows, times = np.flatnonzero(start.known)[:4], np.arange(4) * 86_400.0
    query = [
        b.tower.query(start.vectors[rows], ["view_item"] * 4, times) for b in (start, replace(again, scale=0.0))
    ]
    cosine = query[0] @ query[1] / np.linalg.norm(query[0]) / np.linalg.norm(query[1])
    assert cosine == pytest.approx(1.0, abs=1e-3)


def test_what_refreshes_and_updates_changed_since_is_learned_and_counted(
    last: Recommender, files: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    products, events = files
    cache = last.bundle.root.parent / "cache"
    for name, part in (("fitted", events.head(1_700)), ("refreshed", events.iloc[1_700:1_850])):
        part.to_csv(tmp_path / f"{name}.csv", index=False)
    root = tmp_path / "bundles"
    fitted = recommender.fit(products.iloc[5:], tmp_path / "fitted.csv", out=root, encoder=ENCODER, cache=cache)
    assert recommender.refresh(root, tmp_path / "refreshed.csv").generation
    assert recommender.update(root, products.iloc[3:], cache=cache).generation
    rec = fit_from(recommender.load(root), products, events, root, cache=cache)
    found = rec.manifest.metrics["warm_start"]
    assert found["new_products"] == 5, "those that an update added are new to the towers, too"
    assert found["full_fit_until"] == fitted.manifest.metrics["training"]["until"]
    assert len(found["starts"]) == 1
    assert rec.manifest.metrics["training"]["behaviour"]["loss"], "the refreshed events were trained on"


def test_the_encoder_that_auto_chose_may_be_named(
    last: Recommender, files: tuple[pd.DataFrame, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = WarmStart.open(last.bundle.root)
    config = start.recommender.manifest.config
    monkeypatch.setitem(config, "encoder", config["encoder"] | {"name": "auto"})
    for name in ("auto", "offline"):
        assert start.encoder(config_of(name)).encoder.name.startswith("offline")
    with pytest.raises(DataError, match="was fitted with 'offline'"):
        start.encoder(config_of("tfidf"))


def config_of(encoder: str) -> Config:
    return Config.model_validate({"catalog": {"path": "products.csv"}, "encoder": {"name": encoder}})


def planted(successor: int, users: range) -> Interactions:
    """Everybody who chooses row 0 chooses the successor next; all else is chance."""
    shop = Catalog.from_frame(pd.DataFrame({"id": [f"p{row:02}" for row in range(12)], "title": "t"}))
    generator = np.random.default_rng(users.start)
    lines = []
    for user in users:
        chosen = [*generator.permutation(np.arange(1, 10))[:3].tolist(), 0, successor]
        lines += [
            (f"u{user}", f"p{row:02}", "purchase", START + (user + place) * DAY)
            for place, row in enumerate(chosen)
        ]
    frame = pd.DataFrame(lines, columns=["user_id", "item_id", "event_name", "timestamp"])
    return Interactions.from_frame(frame, shop)


def test_what_follows_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.behaviour.train.MIN_STEPS", 200)
    monkeypatch.setattr("training.behaviour.train.CONTINUED_EPOCHS", 40)
    content = ItemContent.of(np.zeros((12, 0), np.float32), None, 0)
    before = planted(10, range(150))
    trained = train_sequence_models(Sequences.of(before), content, seed=0)
    assert trained is not None
    joined = before.joined(planted(11, range(200, 350)))
    found = train_sequence_models(Sequences.of(joined), content, seed=1, start=Start.after(trained, before))
    assert found is not None
    best = []
    for behaviour in (trained, found):
        query = behaviour.tower.query(behaviour.vectors[[3, 0]], ["purchase"] * 2, np.array([0.0, 86_400.0]))
        best.append(np.argsort(-(behaviour.vectors @ query))[:2].tolist())
    assert best[0][0] == 10
    assert not trained.known[11]
    assert set(best[1]) == {10, 11}, "half of what it was trained on still says 10"


def test_only_windows_with_new_events_and_as_many_others_are_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    events = planted(10, range(40))
    monkeypatch.setattr("training.behaviour.sequences.MIN_REPLAYED", 8)
    sequences = Sequences.of(events)
    moment = float(np.sort(sequences.times)[-7])
    assert sequences.count(moment) == 6 + 8
    monkeypatch.setattr("training.behaviour.sequences.MIN_REPLAYED", 0)
    assert sequences.count(moment) == 2 * 6
    start = Start(None, moment)  # type: ignore[arg-type]
    assert schedule(sequences, start) < schedule(sequences)
    windows = np.concatenate(sequences.batches(5, np.random.default_rng(0), moment))
    assert len(windows) == len(set(windows)) == 12
    assert (sequences.times[windows] > moment).sum() == 6
    everything = np.concatenate(sequences.batches(5, np.random.default_rng(0)))
    assert sorted(everything) == list(range(40))
    assert sequences.count(sequences.times.max()) == 0
    nothing = Start(None, sequences.times.max())  # type: ignore[arg-type]
    assert schedule(sequences, nothing) == 0


def test_event_names_that_are_new_have_a_class_of_their_own() -> None:
    content = ItemContent.of(np.zeros((12, 0), np.float32), None, 0)
    events = planted(10, range(30))
    trained = train_sequence_models(Sequences.of(events), content, seed=0)
    assert trained is not None
    others = events.frame.assign(event_name="add_to_cart", user_id="x" + events.frame["user_id"].astype(str))
    renamed = replace(events, frame=others)
    members = [EnsembleMember(Sequences.of(events.joined(renamed)), content, seed, 5) for seed in range(MEMBERS)]
    continue_from(members, trained)
    for member, transformer in zip(members, trained.transformers, strict=True):
        names = dict(zip(member.sequences.names, member.model.kind.weight.detach()[1:], strict=True))
        torch.testing.assert_close(names["purchase"], transformer["kind.weight"][1])
        assert not names["add_to_cart"].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"events": None}, "learns from new events"),
        ({"products": lambda frame: frame.drop(columns="color")}, "differ in the learned columns color"),
        ({"products": lambda frame: frame.assign(material=["wool", "oak"] * 40)}, "learned columns material"),
        ({"encoder": {"name": "tfidf"}}, "the encoder is 'tfidf', and generation"),
        (
            {"events": lambda frame: frame.head(1_000)},
            "events until .* are left: is the file whole",
        ),
        ({"events": lambda frame: frame.tail(300)}, "needs all events, not the new ones alone"),
        ({"encoder": {"name": "auto"}}, ""),
    ],
)
def test_what_cannot_be_continued_is_refused(
    last: Recommender,
    files: tuple[pd.DataFrame, pd.DataFrame],
    tmp_path: Path,
    change: dict[str, Any],
    message: str,
) -> None:
    products, events = files
    changed: Callable[[pd.DataFrame], pd.DataFrame] = change.pop("products", lambda frame: frame)
    given = change.pop("events", events)
    events = given(events) if callable(given) else given
    if not message:
        assert fit_from(last, changed(products), events, tmp_path, **change).n == 80
        return
    with pytest.raises(DataError, match=message):
        fit_from(last, changed(products), events, last.bundle.root, **change)
    assert recommender.load(last.bundle.root).generation == last.generation, "the last one serves on"


def test_a_generation_without_events_cannot_be_continued(
    files: tuple[pd.DataFrame, pd.DataFrame], last: Recommender, tmp_path: Path
) -> None:
    products, events = files
    options: dict[str, Any] = {"encoder": ENCODER, "cache": last.bundle.root.parent / "cache"}
    alone = recommender.fit(products, out=tmp_path / "alone", **options)
    with pytest.raises(BundleError, match="without events"):
        fit_from(alone, products, events, tmp_path / "alone")
    with pytest.raises(RecommenderError, match="no bundle"):
        recommender.fit(products, events, out=tmp_path / "new", warm_start=tmp_path / "none", **options)


def test_a_full_fit_is_due_when_new_events_are_predicted_worse(
    last: Recommender, files: tuple[pd.DataFrame, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    products, events = files
    catalog = Catalog.from_frame(products.iloc[5:])
    interactions = Interactions.from_frame(events, catalog)
    start = WarmStart.open(last.bundle.root)
    first = start.drift(catalog, interactions, 0)
    assert first["due"] == ""
    metrics = last.manifest.metrics

    def after(before: dict[str, Any], recall: float) -> str:
        known = copy(last)
        monkeypatch.setattr(known, "manifest", replace(last.manifest, metrics=metrics | {"warm_start": before}))
        now = replace(start, recommender=known)
        monkeypatch.setattr(WarmStart, "_soft_recalls", lambda *_: np.full(50, recall))
        due: str = now.drift(catalog, interactions, 0)["due"]
        return due

    reached = first["starts"][0] | {"soft_recall": 0.4, "error": 0.01}
    assert not after(first | {"starts": [reached]}, 0.37)
    assert "0.3500, after the last full fit it was 0.4000" in after(first | {"starts": [reached]}, 0.35)
    assert not after(first | {"starts": [reached | {"error": 0.1}]}, 0.35), "may be chance"
    assert "25% of the products are newer" in after(first | {"new_products": len(catalog) // 4 + 1}, 0.4)


def test_drift_is_the_recall_of_the_last_generation(
    last: Recommender, files: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    """Users who go on as before are predicted; users whose ids are shuffled are not."""
    products, events = files
    catalog = Catalog.from_frame(products.iloc[5:])
    start = WarmStart.open(last.bundle.root)

    def recall(frame: pd.DataFrame) -> float:
        found = start.drift(catalog, Interactions.from_frame(frame, catalog), 0)
        return float(found["starts"][-1]["soft_recall"])

    new = events.index >= 1_700
    shuffled = events.copy()
    shuffled.loc[new, "item_id"] = np.random.default_rng(0).permutation(catalog.ids * 5)[: int(new.sum())]
    assert recall(events) > 1.2 * recall(shuffled)


def test_the_shape_of_a_profile_survives_its_json() -> None:
    for shape in (ProfileShape(0.3, float("inf")), ProfileShape(3.0, 10.0)):
        assert ProfileShape.from_dict(shape.to_dict()) == shape
    assert warm_start.MAX_NEW_PRODUCTS < 1

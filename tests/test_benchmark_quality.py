"""The quality benchmark end to end, as its command line runs it, on tiny data with a planted answer."""

import json
import random
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tiny_clip import tiny_clip
from typer.testing import CliRunner

import recommender
from recommender.catalog import Catalog
from recommender.cli import app
from recommender.commands.benchmarks.protocols import missing_modalities, next_item, sequences, users
from recommender.commands.benchmarks.protocols.text_to_image import text_to_image
from recommender.config import Config
from recommender.core.blocks import Layout, unit
from recommender.errors import DataError
from training.item_tower.train import fit_content

pytestmark = pytest.mark.slow
CIRCLES, ITEMS = 4, 10  # users walk around one of four circles of ten items


def run(*args):
    ran = CliRunner().invoke(app, ["benchmark", "quality", *map(str, args), "--json"], catch_exceptions=False)
    return json.loads(ran.stdout)


def mean(figures, report, ranker, measure="hit_rate", kind="all"):
    return figures["reports"][report]["rankers"][ranker][kind][measure]["mean"]


def walks(users=120, steps=6):
    """Each user's steps along a circle; item 10 c + i + 1 is position i of circle c."""
    draw = random.Random(0)
    for user in range(users):
        circle, start = user % CIRCLES, draw.randrange(ITEMS)
        yield str(user), [str(circle * ITEMS + (start + step) % ITEMS + 1) for step in range(steps)]


def test_sequences_are_predicted_from_the_training_part(tmp_path):
    lines = [" ".join([user, *items]) for user, items in walks()]
    (tmp_path / "walks.txt").write_text("\n".join(lines))
    attributes = {str(item + 1): [item // ITEMS] for item in range(CIRCLES * ITEMS)}
    (tmp_path / "attributes.json").write_text(json.dumps(attributes))
    words = [(str(item + 1), f"kind{item // ITEMS} of {item}") for item in range(CIRCLES * ITEMS)]
    pd.DataFrame(words, columns=["item_id", "words"]).to_csv(tmp_path / "words.csv", index=False)
    files = {"sequences": "walks.txt", "attributes": "attributes.json", "items": "words.csv"}
    figures = run("sequences", *(part for name, file in files.items() for part in (f"--{name}", tmp_path / file)))
    assert "text" in figures["bundles"]["protocol"]["weights"]["user"]
    assert figures["reports"]["protocol, @10"]["queries"] == 120
    for ranker in ("hybrid", "ItemKNN + recency", "EASE + recency"):
        # the ten of the circle, five of them in the history
        assert mean(figures, "protocol, @10", ranker) == 1.0
    assert mean(figures, "protocol, @10", "hybrid", "ndcg") > mean(figures, "protocol, @10", "popularity", "ndcg")
    assert figures["seconds"] > 0
    (tmp_path / "words.csv").write_text("id,words\n1,kind")
    with pytest.raises(DataError, match="no column item_id among id, words"):
        sequences.write_shop(tmp_path, *(tmp_path / file for file in files.values()))


def test_the_next_item_of_each_line_is_predicted(tmp_path):
    words = ["red ink pen", "paper ring binder", "steel desk lamp", "soft chair cushion"]
    items = [(str(i + 1), f"{words[i // ITEMS]} no {i}", f"brand {i // ITEMS}") for i in range(CIRCLES * ITEMS)]
    pd.DataFrame(items, columns=["item_id", "title", "brand"]).to_csv(tmp_path / "items.csv", index=False)
    rows = [(user, " ".join(walk[:k]), walk[k]) for user, walk in walks() for k in (4, 5)]
    lines = pd.DataFrame(rows, columns=["user_id", "history_item_id", "item_id"])
    lines[:160].to_csv(tmp_path / "train.csv", index=False)
    lines[160:].to_csv(tmp_path / "test.csv", index=False)
    files = [option for name in ("items", "train", "test") for option in (f"--{name}", tmp_path / f"{name}.csv")]
    figures = run("next-item", *files)
    report = figures["reports"]["next item, @10"]
    assert (report["queries"], report["users"]) == (80, 40)
    assert mean(figures, "next item, @10", "hybrid") == 1.0
    assert {"untrained text", "untrained category", "untrained fusion"} <= set(report["rankers"])


def test_planted_preferences_of_users_are_found():
    figures = users.measure(products=120, users_of_shop=1_200)
    assert figures["bundles"]["planted shop"]["weights"]["user"]["profile"] > 0
    for group in figures["users"].values():
        assert group["gain"]["low"] > 0
        assert group["share"] > 0.7  # of few users


def write_sets(folder, sets=20, size=5):
    """Products of twenty sets, one per set a lamp, and which scenes show three of a set together."""
    products = [(f"p{i:03}", f"set {i // size} piece", f"type {i % size}") for i in range(sets * size)]
    pd.DataFrame(products, columns=["id", "title", "product_type"]).to_csv(folder / "products.csv", index=False)
    (folder / "shop.toml").write_text('[catalog]\npath = "products.csv"\n')
    draw = random.Random(0)
    scenes = [(f"scene {s}", s % sets * size + i) for s in range(200) for i in draw.sample(range(size), 3)]
    lines = [(f"p{row:03}", scene, "room") for scene, row in scenes]
    pd.DataFrame(lines, columns=["sku", "scene", "kind of scene"]).to_csv(folder / "scenes.csv", index=False)


def test_complementary_products_are_predicted(tmp_path):
    write_sets(tmp_path)
    lines = pd.read_csv(tmp_path / "scenes.csv")
    few = lines[lines["scene"].isin([f"scene {s}" for s in range(40)])]
    few.to_csv(tmp_path / "few.csv", index=False)
    figures = run(
        "complementary", "--config", tmp_path / "shop.toml", "--pairs", tmp_path / "few.csv", "--other-type"
    )
    found = figures["neighbours"]["held-out pairs: all"]
    assert found["queries"] > 5
    assert found["other_type"] is True
    assert found["text alone"]["recall@10"]["mean"] > 3 * found["popular"]["recall@10"]["mean"]
    assert {"complementary", "similar", "similar, annoy", "cooccurrence alone"} <= set(found)


def test_the_item_of_a_test_line_is_not_trained_on():
    columns = ["user_id", "history_item_id", "item_id"]
    train = pd.DataFrame([("a", "1 2", "3"), ("a", "2 3", "4"), ("b", "1", "2")], columns=columns)
    test = pd.DataFrame([("a", "2 3 4", "1"), ("b", "1 2", "5")], columns=columns)
    assert next_item.training_histories(train, test) == {"a": ["2", "3"], "b": ["1"]}


def test_a_missing_block_is_imputed_from_the_others(demo_shop):
    figures = run("missing", "--config", demo_shop.config, "--split", "2026-06-01")
    chance = 10 / 80
    for block in ("image", "text", "category"):
        lists = figures["neighbours"][f"lists of products without {block}"]
        assert set(lists) == {"predicted", "left at 0"}
        assert chance < lists["predicted"]["overlap@10"]["mean"] <= 1
        assert all(0 <= each["share that also lacks it"]["mean"] < 1 for each in lists.values())
    users = figures["neighbours"]["recall@12 of next purchases"]
    assert {"complete", "without image", "without text", "without category"} <= set(users)
    assert "label color" in figures["neighbours"]


def test_a_removed_block_is_imputed_and_the_others_stay(demo_bundles):
    rec = recommender.load(demo_bundles)
    rows = missing_modalities.drawn(rec, "image", np.random.default_rng(0))
    assert len(rows) == round(0.1 * rec.segment.present[:, rec.layout.index("image")].sum())
    without = missing_modalities.without_block(rec, "image", rows)
    block = rec.layout.slices["image"]
    same = np.isclose(without.segment.vectors, rec.segment.vectors)
    assert not same[rows, block].all(axis=1).any()
    assert (np.linalg.norm(without.segment.vectors[rows, block], axis=1) <= 1 + 1e-5).all()
    assert same[np.setdiff1d(np.arange(rec.n), rows)].all()
    assert same[rows, rec.layout.slices["text"]].all()
    ids = [rec.ids[row] for row in rows]
    alone = {name: float(name == "text") for name in rec.weights["item"]}
    lists = [each.similar_many(ids, 10, weights=alone, plan="exact").item_ids for each in (rec, without)]
    assert (lists[0] == lists[1]).all()


def test_centring_closes_a_planted_gap_between_texts_and_photos():
    generator = np.random.default_rng(0)
    things, has = generator.normal(size=(300, 8)).astype(np.float32), np.ones(300, bool)
    cones = {name: unit(things + 3 * sign) for name, sign in (("image", 1), ("text", -1))}
    colors = {"image": generator.random((300, 5)).astype(np.float32)}  # only photos have some
    blocks = {name: fit_content(things, has, cone, 0, colors.get(name)) for name, cone in cones.items()}
    found = missing_modalities.gap(
        SimpleNamespace(
            item_tower=SimpleNamespace(content=blocks, projection=cones),
            layout=Layout({name: block.dim for name, block in blocks.items()}),
            segment=SimpleNamespace(
                vectors=np.hstack(
                    [blocks[name].vectors(things, cone, colors.get(name)) for name, cone in cones.items()]
                ),
                present=np.ones((300, 2), bool),
            ),
        )
    )
    assert found["before"] > 1.5
    assert found["after"] < 0.3


@pytest.fixture
def pairs(demo_shop, tmp_path):
    """Each product with the next of its kind; some are its variants."""
    kinds = {}
    for product in demo_shop.products:
        kinds.setdefault(product.kind, []).append(product.id)
    lines = [pair for ids in kinds.values() for pair in pairwise(ids)]
    pd.DataFrame(lines, columns=["id", "also"]).to_csv(tmp_path / "pairs.csv", index=False)
    return tmp_path / "pairs.csv"


def test_warm_starts_are_compared_with_a_full_fit(demo_shop):
    figures = run("warm-starts", "--config", demo_shop.config, "--split", "2026-06-18", "--nights", 2)
    assert [*figures["bundles"]] == ["full fit", "night 1", "night 2"]
    full, first, second = (bundle["metrics"] for bundle in figures["bundles"].values())
    assert first["training"]["until"] < second["training"]["until"] == full["training"]["until"]
    assert first["warm_start"]["full_fit_until"] == second["warm_start"]["full_fit_until"] < "2026-06-18"
    for report in figures["reports"].values():
        assert [*report["rankers"]] == ["hybrid", "full fit"]
        assert report["queries"] > 10
    assert mean(figures, "all later purchases", "hybrid", "recall") > 0


def test_cold_start_is_compared_with_baselines(demo_shop, pairs):
    figures = run(
        "cold-start", "--config", demo_shop.config, "--split", "2026-06-01", "--rolling", 1, "--pairs", pairs
    )
    assert {"single cut", "rolling cuts"} == set(figures["reports"])
    rankers = figures["reports"]["single cut"]["rankers"]
    assert {"hybrid", "hybrid, no prior", "EASE + recency", "untrained fusion"} <= set(rankers)
    assert rankers["popularity"]["all"]["recall"]["hybrid_lead"]["low"] is not None
    tasks = [name.split("; ") for name in figures["neighbours"]]
    assert [kind for kind, _ in tasks] == ["pairs: all", "pairs: all, variants left out"] * 2
    assert tasks[0][1] == "cut at 2026-06-01" != tasks[2][1], "the last rolling cut too"


def test_neighbours_by_labels_and_pairs(demo_shop, pairs):
    figures = run("neighbours", "--config", demo_shop.config, "--label", "color", "--pairs", pairs)["neighbours"]
    known = figures["pairs: all, variants left out"]
    assert known["hybrid"]["recall@10"]["mean"] > 0.3  # ten of some eighty products, and the pair is of one kind
    assert "untrained fusion" in known
    assert figures["color"]["hybrid"]["precision@10"]["mean"] > figures["color"]["chance"]


def test_text_finds_images_that_it_was_not_trained_with(demo_shop, tmp_path):
    shop = Config.load(demo_shop.config).model_copy(update={"events": None, "encoder": tiny_clip(tmp_path)})
    catalog = Catalog.load(shop)
    figures = text_to_image(shop, catalog)
    shown = catalog.frame[pd.Series(catalog.image_refs()) != ""]
    assert figures["candidates"] == shown["title"].nunique()
    assert figures["queries"] == round(0.1 * figures["candidates"])
    assert 0 <= figures["exact"]["recall@10"]["mean"] < 1  # its weights are random
    assert "annoy" in figures


def test_encoders_side_by_side(demo_shop, pairs):
    options = ["--config", demo_shop.config, "--pairs", pairs, "--label", "color", "--text", "tfidf"]
    figures = run("encoders", *options)["neighbours"]
    known = figures["pairs: all, variants left out"]
    for encoder in ("own", "tfidf (texts)"):
        assert known[f"{encoder}, hybrid"]["recall@10"]["mean"] > 0.3
        assert known[f"{encoder}, text alone"]["recall@10"]["mean"] > 0.3
        assert f"{encoder}, image alone" in figures["color"]

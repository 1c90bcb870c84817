"""Bundles of made-up products, published without training: vectors, variants, attributes and stock of any kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recommender.bundle import Staging, write_thumbnails
from recommender.core.blocks import unit
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from recommender.core.weights import item_kind, resolve
from recommender.items.attributes import write_columns
from recommender.retrieval.planner import Budget, Budgets
from recommender.towers.item import ItemTower
from recommender.towers.predictor import BlockPredictor
from recommender.towers.profile import ProfileTower
from recommender.towers.repeat import RepeatModel
from recommender.towers.user import UserTower
from tests.segments import LAYOUT, TERMS
from training.items import group_numbers
from training.retrieval.index import make_index
from training.retrieval.neighbours import with_neighbours

KINDS = {
    "brand": "category",
    "tags": "multi",
    "price": "number",
    "published_at": "date",
    "availability": "category",
    "item_group_id": "category",
    "product_type": "category",
}
WEIGHTS = resolve(dict.fromkeys(TERMS, 0.5) | {"prior": 0.1}, {"image": 0.5})
OWN = resolve(WEIGHTS, {"text": 0.9, "image": 0.1, "cooccurrence": 0.2})  # of what is like a product of type A


@dataclass(frozen=True)
class DemoProduct:
    """One product; `prior` and `partners` (id to strength) are what events taught, and stay when it changes."""

    item_id: str
    vector: np.ndarray
    present: np.ndarray
    cells: dict[str, object]
    prior: float
    partners: dict[str, float]


def draw_product(generator: np.random.Generator, item_id: str, others: list[str]) -> DemoProduct:
    """Return a product that is often the copy of another in some block, to make ties."""
    vector = np.zeros(LAYOUT.d, dtype=np.float32)
    for place in LAYOUT.slices.values():
        shape = np.random.default_rng(generator.integers(4)).normal(size=place.stop - place.start)
        vector[place] = unit(shape) * generator.choice([1.0, 1.0, 0.4, 0.0])
    partners = generator.choice(others, min(3, len(others)), replace=False).tolist() if others else []
    return DemoProduct(
        item_id,
        vector,
        generator.random(len(LAYOUT.names)) < 0.8,
        {
            "brand": generator.choice(["Acme", "Best", ""]),
            "tags": generator.choice(["a", "b", "c"], generator.integers(3), replace=False).tolist(),
            "price": float(generator.choice([10.0, 20.0, 30.0, np.nan])),
            "published_at": generator.choice(["2026-01-01", "2026-02-01", "2026-03-01", ""]),
            "availability": generator.choice(["in_stock", "in_stock", "out_of_stock", ""]),
            "item_group_id": generator.choice(["g1", "g2", "", ""]),
            "product_type": generator.choice(["A", "A > One", "B > Two", ""]),
        },
        float(generator.choice([0.0, 0.25, 1.0])),
        {other: float(generator.choice([0.25, 0.5, 1.0])) for other in partners if other != item_id},
    )


def publish_products(
    root: Path,
    products: list[DemoProduct],
    budget: Budget | None = None,
    own: bool = True,
    kinds_of_cells: Mapping[str, str] = KINDS,
    profile: ProfileTower | None = None,
    repeat: RepeatModel | None = None,
) -> str:
    """Publish products, given in order of id, as a base.

    With `own`, those of type A have weights of their own; with `profile` or `repeat`, users' have that term.
    """
    weights = {"item": WEIGHTS, "user": WEIGHTS} | ({"item: A": OWN} if own else {})
    weights["user"] = WEIGHTS | ({} if repeat is None else {"repeat": 2.0})
    weights["user"] |= {} if profile is None else {"profile": 0.5}
    kinds = [item_kind(weights, str(product.cells["product_type"])) for product in products]
    ids = [product.item_id for product in products]
    tower = UserTower({"view_item": 1.0, "purchase": 5.0} if repeat else {"view_item": 1.0})
    segment = Segment(
        vectors=np.stack([product.vector for product in products]),
        present=np.stack([product.present for product in products]),
        prior=np.array([product.prior for product in products], dtype=np.float32),
        groups=group_numbers(ids, [product.cells["item_group_id"] for product in products]),
        neighbours=None,
        cooccurrence=_cooccurrence(products),
        complements=_cooccurrence(products),
        layout=LAYOUT,
    )
    with Staging(root) as staging:
        base = staging.part("base")
        make_index(base, segment, WEIGHTS, trees=3, seed=0)
        with_neighbours(segment, weights, kinds=kinds).save(base)
        (base / "attributes").mkdir()
        cells = {name: [product.cells[name] for product in products] for name in kinds_of_cells}
        write_columns(base / "attributes", ids, kinds_of_cells, cells)
        towers = staging.part("towers")
        ItemTower(LAYOUT, {}, None, None, BlockPredictor({}, LAYOUT)).save(towers)
        columns = {} if profile is None else {"profile": profile.save(towers)}
        write_thumbnails(staging.part("thumbnails"), [item_id.encode() for item_id in ids])
        return staging.publish(
            {
                "n": len(products),
                "blocks": dict(LAYOUT.dims),
                "weights": weights,
                "user_tower": tower.to_dict()
                | columns
                | {"repeat": None if repeat is None else repeat.save(base)},
                "index": {"budgets": {kind: budget and vars(budget) for kind in vars(Budgets())}},
            }
        )


def _cooccurrence(products: list[DemoProduct]) -> Cooccurrence:
    row = {product.item_id: place for place, product in enumerate(products)}
    known = [sorted((row[o], s) for o, s in each.partners.items() if o in row) for each in products]
    flat = [pair for pairs in known for pair in pairs]
    starts = np.cumsum([0, *map(len, known)], dtype=np.int64)
    columns, values = (np.array([pair[i] for pair in flat]) for i in (0, 1))
    return Cooccurrence(starts, columns.astype(np.int32), values.astype(np.float32))

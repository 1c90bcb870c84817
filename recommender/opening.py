"""From a bundle's files to the objects that answer."""

from recommender.blocks import Layout
from recommender.bundle import Bundle
from recommender.index.candidates import Index
from recommender.index.search import Budget, Budgets, Search
from recommender.segment import Segment
from recommender.towers.item import ItemTower
from recommender.towers.sequence import SequenceTower
from recommender.towers.user import UserTower


def open_search(bundle: Bundle, layout: Layout) -> Search:
    """Map the base segment and its index."""
    segment = Segment.open(
        lambda file: bundle.array("base", file), layout, neighbours=bundle.has("base", "neighbours.npy")
    )
    chosen = bundle.manifest.extra["index"]["budgets"]
    budgets = Budgets(**{kind: Budget(**budget) for kind, budget in chosen.items() if budget})
    # a shop that is small enough to be scanned need not load the graph, nor numba
    graph = budgets != Budgets() and bundle.has("base", "graph.npy")
    index = Index.open(bundle.path("base", "index.ann"), lambda file: bundle.array("base", file), layout, graph)
    return Search(segment, index, budgets, tuple(bundle.manifest.weights.values()))


def open_item_tower(bundle: Bundle, layout: Layout) -> ItemTower:
    """Read the exported item tower."""
    files = list(bundle.manifest.parts["towers"]["files"])
    return ItemTower.open(lambda file: bundle.path("towers", file), files, layout)


def open_user_tower(bundle: Bundle) -> UserTower:
    """Read the exported user tower, and load its sequence model where one was trained."""
    exported = bundle.manifest.extra["user_tower"]
    kinds = exported.get("sequence")
    path = bundle.path("towers", "sequence.onnx") if kinds is not None else None
    return UserTower.from_dict(exported, SequenceTower.open(path, kinds) if path is not None else None)

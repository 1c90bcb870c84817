"""From a bundle's files to the objects that answer."""

from recommender.blocks import Layout
from recommender.bundle import Bundle
from recommender.index.candidates import Index
from recommender.index.search import Budget, Search
from recommender.segment import Segment
from recommender.towers.item import ItemTower


def open_search(bundle: Bundle, layout: Layout) -> Search:
    """Map the base segment and its index."""
    segment = Segment.open(
        lambda file: bundle.array("base", file), layout, neighbours=bundle.has("base", "neighbours.npy")
    )
    index = Index.open(bundle.path("base", "index.ann"), lambda file: bundle.array("base", file), layout)
    chosen = bundle.manifest.extra["index"]["budget"]
    return Search(segment, index, Budget(**chosen) if chosen else None)


def open_item_tower(bundle: Bundle, layout: Layout) -> ItemTower:
    """Read the exported item tower."""
    files = list(bundle.manifest.parts["towers"]["files"])
    return ItemTower.open(lambda file: bundle.path("towers", file), files, layout)

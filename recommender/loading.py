"""Open the parts of a bundle: planner, attributes, thumbnails and towers."""

from collections.abc import Callable, Collection

import numpy as np

from recommender.bundle import Bundle, DeltaThumbnails, Thumbnails
from recommender.bundle.delta import DELTA, Delta, array_loader
from recommender.bundle.manifest import REMEDY
from recommender.core.blocks import NO_ROWS, Double, Layout
from recommender.core.segment import Segment
from recommender.errors import BundleError
from recommender.items import Attributes
from recommender.items.products import Products
from recommender.retrieval.candidates import Index
from recommender.retrieval.neighbour_codes import FILES
from recommender.retrieval.planner import Budget, Budgets, Planner
from recommender.search.current import CurrentIndex
from recommender.search.index import FILE, FOLDER, SearchIndex
from recommender.search.phrases import Phrases
from recommender.search.postings import language_of
from recommender.search.settings import SearchSettings
from recommender.towers.item import ItemTower
from recommender.towers.profile import FILE as PROFILE
from recommender.towers.profile import ProfileTower
from recommender.towers.repeat import PRODUCTS_FILE, RepeatModel
from recommender.towers.sequence import SequenceTower
from recommender.towers.user import UserTower

ROW_TIMES = "row_times.npy"


def open_planner(bundle: Bundle, layout: Layout, attributes: Attributes) -> Planner:
    """Map the base segment and its index, with the delta over them."""
    delta, load = Delta.of(bundle), array_loader(bundle)
    has_neighbours = bundle.has("base", "neighbours.npy")
    segment = Segment.open(load, layout, has_neighbours, attributes.ids)
    stored = bundle.manifest.extra["index"]["budgets"]
    budgets = Budgets(**{kind: Budget(**budget) for kind, budget in stored.items() if budget})
    # a catalogue that is small enough to be scanned needs neither the graph nor numba
    graph = budgets != Budgets() and bundle.has("base", "graph.npy")
    # neither an older bundle nor the delta of an older version has the one-bit codes
    one_bit = graph and all(bundle.has(part, FILES[0]) for part in ("base", *([] if delta is None else [DELTA])))
    index = _open_index(bundle, load, layout, graph, one_bit)
    learned = tuple(bundle.manifest.weights.values())
    return Planner(segment, index, budgets, learned, None if delta is None else delta.unindexed)


def _open_index(
    bundle: Bundle, load: Callable[[str], np.ndarray], layout: Layout, graph: bool, one_bit: bool
) -> Index | None:
    """Load the index; checked, since a forest of other dimensions or products would crash the process.

    A generation that was published to be evaluated has none.
    """
    if not bundle.has("base", "index.ann"):
        return None
    path, n = bundle.path("base", "index.ann"), bundle.manifest.base_n
    try:
        index = Index.open(path, load, layout, graph, one_bit)
    except OSError as error:
        raise BundleError(f"{path} cannot be loaded: {error}; {REMEDY}") from error
    if (items := index.forest.get_n_items()) != n:
        raise BundleError(f"{path} has {items} products of the dims that index_axes.npy has, not {n}; {REMEDY}")
    return index


def open_attributes(bundle: Bundle) -> Attributes:
    """Map the products' ids and columns; prices are those in force now."""
    attributes, delta = Attributes.open(bundle.folder("base") / "attributes"), Delta.of(bundle)
    if delta is not None:
        changed = Attributes.open(bundle.folder(DELTA) / "attributes")
        attributes = attributes.with_delta(changed, delta.rows, delta.removed)
    return attributes.with_current_prices()


def open_row_times(bundle: Bundle, n: int) -> Double:
    """Map the moments of the catalogue's rows, (n,), see `OverlayState`; 0 where a bundle does not have them."""
    load = array_loader(bundle)
    if bundle.has("base", ROW_TIMES) or (Delta.of(bundle) is not None and bundle.has(DELTA, ROW_TIMES)):
        times = load(ROW_TIMES)
        return np.append(times, np.full(n - len(times), np.nan)) if len(times) < n else times
    return np.zeros(n)


def open_thumbnails(bundle: Bundle) -> Thumbnails | DeltaThumbnails:
    """Map the products' thumbnails."""
    base, delta = Thumbnails(bundle.folder("thumbnails")), Delta.of(bundle)
    if delta is None:
        return base
    return DeltaThumbnails(base, Thumbnails(bundle.folder(DELTA) / "thumbnails"), delta.rows)


def open_item_tower(bundle: Bundle, layout: Layout) -> ItemTower:
    """Read the exported item tower."""
    files = list(bundle.manifest.parts["towers"]["files"])
    return ItemTower.open(lambda file: bundle.path("towers", file), files, layout)


def open_user_tower(bundle: Bundle) -> UserTower:
    """Read the exported user tower, with its sequence, repeat and profile models as far as they were trained."""
    exported = bundle.manifest.extra["user_tower"]
    kinds, repeat = exported.get("sequence"), exported.get("repeat")
    path = bundle.path("towers", "sequence.onnx") if kinds is not None else None
    columns = exported.get("profile")
    return UserTower.from_dict(
        exported,
        SequenceTower.open(path, kinds) if path is not None else None,
        None if repeat is None else RepeatModel.open(repeat, bundle.array("base", PRODUCTS_FILE)),
        None if columns is None else ProfileTower.open(bundle.array("towers", PROFILE), columns),
    )


def open_search(
    bundle: Bundle, products: Products, settings: SearchSettings, unsearched: Collection[str]
) -> CurrentIndex:
    """Return the index of the products' words; its files are opened, or made of the products, on first use.

    Those of the bundle have all columns; without some of them, the index is made.
    """
    delta = Delta.of(bundle)
    unsearched = {*unsearched}.intersection(products.attributes.names)

    def open_index() -> SearchIndex:
        if not unsearched and bundle.has("base", f"{FOLDER}/{FILE}"):
            return SearchIndex.open(bundle.folder("base") / FOLDER, bundle.manifest.base_n)
        attributes = Attributes.open(bundle.folder("base") / "attributes").without(unsearched)
        return SearchIndex.of(attributes, settings.language or language_of(attributes))

    return CurrentIndex(open_index, NO_ROWS if delta is None else np.sort(delta.rows), products, unsearched)


def open_phrases(bundle: Bundle, unsearched: Collection[str]) -> Phrases:
    """Map the phrases that complete what is typed; an older bundle's are made."""
    attributes = Attributes.open(bundle.folder("base") / "attributes")
    if bundle.has("base", f"{FOLDER}/{FILE}") and not {*unsearched}.intersection(attributes.names):
        return Phrases.open(bundle.folder("base") / FOLDER)
    return Phrases.of(attributes.without(unsearched))

"""Answers questions over one bundle. Thread-safe: nothing changes after it is opened."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from recommender.bundle import Bundle, open_bundle
from recommender.core.blocks import Double, Layout, Mask
from recommender.core.scoring import Query, Scorer
from recommender.core.weights import SPLIT, item_kind, resolve
from recommender.errors import UnknownItemError
from recommender.events import History
from recommender.items.products import Products
from recommender.loading import (
    open_attributes,
    open_item_tower,
    open_planner,
    open_thumbnails,
    open_user_tower,
)
from recommender.ranking.ordered import Ordered
from recommender.ranking.pipeline import Answering
from recommender.ranking.queries import FreeQueries
from recommender.ranking.request import Options, Questions, count
from recommender.ranking.results import Recommendations, RecommendationTable
from recommender.ranking.why_not import Placed, Placing
from recommender.retrieval.planner import Planner, RowQuery
from recommender.towers.item import ItemInputs

# Beside the strength of what goes together, the usual score counts so much: it fills up what C leaves empty.
FILL = 1e-3

if TYPE_CHECKING:
    from PIL.Image import Image

    from recommender.encoders.base import Encoder
    from recommender.stores.base import ItemOverlay


def load(
    bundles: str | Path,
    overlay: "ItemOverlay | None" = None,
    encoder: "Encoder | None" = None,
    generation: str | None = None,
) -> "Recommender":
    """Open a generation of a bundle.

    Parameters
    ----------
    bundles
        The folder that `recommender fit --out` wrote.
    overlay
        Attributes changed since the bundle.
    encoder
        Reads texts and pictures, see `Recommender`.
    generation
        By default the current one.

    Raises
    ------
    BundleError
        If there is none, or it is incomplete, damaged or of a newer format.
    """
    return Recommender(open_bundle(bundles, generation), overlay, encoder)


class Recommender:
    """Similar items and recommendations for a user, with exact scores and their explanation.

    Parameters
    ----------
    bundle
        An opened generation.
    overlay
        Attributes changed since the bundle, and products added since.
    encoder
        Reads the texts and pictures of `search`; by default the bundle's own, loaded (with torch) on first use.
    planner
        Over other arrays than the bundle's own.
    """

    def __init__(
        self,
        bundle: Bundle,
        overlay: "ItemOverlay | None" = None,
        encoder: "Encoder | None" = None,
        planner: Planner | None = None,
    ) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.generation = bundle.generation
        self.layout = Layout(bundle.manifest.blocks)
        self.weights = bundle.manifest.weights
        self.products = Products(open_attributes(bundle), open_thumbnails(bundle), overlay)
        self.attributes = self.products.attributes
        self.planner: Planner = planner or open_planner(bundle, self.layout, self.attributes)
        self.segment = self.planner.segment
        self.item_tower = open_item_tower(bundle, self.layout)
        self.user_tower = open_user_tower(bundle)
        self.n = self.segment.n
        self._answering = Answering(self.products, self.planner, self.generation)
        self._questions = Questions(self.attributes, self.segment, self.user_tower)
        self._ordered = Ordered(self._answering, self.weights["user"])
        self._free = FreeQueries(bundle, self.item_tower, encoder)

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the same generation in another process."""
        if self.products.overlay is not None:
            raise TypeError("a recommender whose products change cannot be pickled: open it where it is wanted")
        return load, (self.bundle.root.absolute(), None, None, self.generation)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self.products

    def __len__(self) -> int:
        return len(self.products)

    @property
    def ids(self) -> list[str]:
        """All ids, in plain string order."""
        return self.products.ids

    def product(self, item_id: str) -> dict[str, Any]:
        """Return what the catalogue says of a product, changes since the bundle included."""
        return self.products.of(item_id)

    def fields(self, item_id: str, names: Sequence[str]) -> dict[str, Any]:
        """Return some attributes of a product of the bundle, changes since included."""
        return self.products.fields(item_id, names)

    def thumbnail(self, item_id: str) -> bytes | None:
        """Return a product's small JPEG picture, if it has a photo."""
        return self.products.thumbnail(item_id)

    def kind_of(self, row: int) -> str:
        """Return which of the `weights` count for what is like a row."""
        if len(self.weights) == 2:  # of items and users alone
            return "item"
        return item_kind(self.weights, self.attributes.value(SPLIT, row))

    def similar(self, item_id: str, k: int = 10, **options: Unpack[Options]) -> Recommendations:
        """Return the products most like one; itself and its variants never among them.

        A product that was added since the bundle is answered by its category.

        Raises
        ------
        UnknownItemError
            If the id was never seen.
        RequestError
            If k, the filter or the weights cannot be used.
        """
        row = self.attributes.row_of(item_id)
        if row < 0:
            return self._similar_to_new(item_id, k, options)
        question = self._questions.of_item(row, k, options)
        return self._answer(question, self.kind_of(row), "similar", options, seed_row=row)

    def recommend(
        self,
        history: History,
        k: int = 10,
        *,
        exclude_history: bool = True,
        strengths: Sequence[float] | None = None,
        **options: Unpack[Options],
    ) -> Recommendations:
        """Return what to recommend to somebody with this history.

        Parameters
        ----------
        history
            Ids (oldest first), `Event` objects, mappings or a frame with item_id, event_name, timestamp, value.
            Unknown ids are ignored and named in the warnings; with nothing to go on the popular are answered.
        k
            How many, at least 1.
        exclude_history
            Whether products of the history may not appear.
        strengths
            What each event's weight is multiplied by, length t; by default 1.
        """
        asked = self._questions.of_history(history, k, exclude_history, options, strengths)
        return self._for_history(*asked, "for_you", options)

    def complementary(
        self, history: History, k: int = 10, *, exclude_history: bool = True, **options: Unpack[Options]
    ) -> Recommendations:
        """Return what is bought and viewed together with some products; filled up by what suits them otherwise."""
        question, unknown = self._questions.of_history(history, k, exclude_history, options)
        question = replace(question, query=question.query.over(self.segment.complements))
        learned = self.weights["user"]
        weights = {name: FILL * weight for name, weight in learned.items()} | {"cooccurrence": 1.0}
        said = resolve(learned, options["weights"]) if options.get("weights") else weights
        fallback = None if len(question.query.together_rows) else "for_you"
        return self._for_history(question, unknown, "complementary", options, said, fallback)

    def popular(self, k: int = 10, **options: Unpack[Options]) -> Recommendations:
        """Return the products chosen most lately."""
        return self._ordered.popular(k, self._questions.excluded(options), options)

    def newest(self, k: int = 10, **options: Unpack[Options]) -> Recommendations:
        """Return the products published last; where no dates are known, the popular."""
        return self._ordered.newest(k, self._questions.excluded(options), options)

    def ordered(
        self, order: Double, strategy: str, k: int = 10, *, only: Mask | None = None, **options: Unpack[Options]
    ) -> Recommendations:
        """Return the products of largest value in an order from elsewhere, which stands in for the prior.

        Parameters
        ----------
        order
            Shape (n,), in [0, 1].
        strategy
            What the answer calls it.
        only
            Rows beside which nothing may be answered, shape (n,).
        """
        return self._ordered.by(order, strategy, k, self._questions.excluded(options), options, only)

    def search(
        self,
        text: str | None = None,
        image: "Image | bytes | None" = None,
        k: int = 10,
        *,
        history: History = (),
        **options: Unpack[Options],
    ) -> Recommendations:
        """Return the products that fit words, a picture or both; loads the bundle's encoder on first use.

        Parameters
        ----------
        text, image
            At least one of them.
        history
            Bends the answer to somebody's taste: to the words' and the picture's blocks their own query is added.
        """
        query, warnings = self._free.query(text, image)
        personal, unknown = self._questions.of_history(history, k, False, options)
        bent = bool(personal.query.attention.any())
        if bent:
            query = personal.query.plus(query.vector)
        weights = {name: 0.0 for name in self.weights["item"] if name not in ("image", "text")}
        asked: Options = options if bent or options.get("weights") else {**options, "weights": weights}
        question = RowQuery(query, count(k), self._questions.excluded(options))
        return self._answer(question, "user" if bent else "item", "search", asked, (*warnings, *_ignored(unknown)))

    def explain(
        self,
        item_ids: Sequence[str],
        history: History,
        *,
        exclude_history: bool = True,
        **options: Unpack[Options],
    ) -> list[Placed]:
        """Say of products why they are recommended to somebody with this history, or why not.

        A history of one id asks as `similar` does, any other as `recommend`.
        """
        question, _ = self._questions.of_history(history, 1, exclude_history, options)
        seeds = question.query.rows
        kind = self.kind_of(int(seeds[0])) if len(seeds) == 1 else "user"
        scorer = self._scorer(kind, options)
        placing = Placing(self._answering, question, scorer, options)
        return [placing.of(item_id) for item_id in item_ids]

    def similar_many(
        self, item_ids: Sequence[str] | None = None, k: int = 10, **options: Unpack[Options]
    ) -> RecommendationTable:
        """Answer `similar` for many products (by default all) by matrix products."""
        known = self._questions.known_row
        rows = self.attributes.ids.in_order if item_ids is None else [known(item_id) for item_id in item_ids]
        questions = [self._questions.of_item(int(row), k, options) for row in rows]
        kinds = [self.kind_of(int(row)) for row in rows]
        scorers = {kind: self._scorer(kind, options) for kind in set(kinds)}
        asked = [scorers[kind] for kind in kinds]
        return self._answering.table(questions, asked, "similar", count(k), options)

    def recommend_many(
        self,
        histories: Sequence[History],
        k: int = 10,
        *,
        exclude_history: bool = True,
        **options: Unpack[Options],
    ) -> RecommendationTable:
        """Answer `recommend` for many histories by matrix products; histories that say nothing get the popular."""
        questions = [self._questions.of_history(history, k, exclude_history, options)[0] for history in histories]
        asked = [self._scorer("user", options)] * len(questions)
        table = self._answering.table(questions, asked, "for_you", count(k), options)
        quiet = [line for line, question in enumerate(questions) if not question.query.attention.any()]
        popular = self._ordered.popular_table([questions[line] for line in quiet], count(k), options)
        return table.put(quiet, popular)

    def _similar_to_new(self, item_id: str, k: int, options: Options) -> Recommendations:
        changed = self._answering.changes().by_id.get(item_id)
        if changed is None:
            raise UnknownItemError(item_id)
        nothing = np.zeros(1, dtype=bool)
        columns = {name: [value] for name, value in changed.items()}
        vectors, present = self.item_tower.blocks(ItemInputs(None, nothing, None, nothing, columns))
        if not present.any():
            return self._ordered.popular(k, self._questions.excluded(options), options, "popular")
        question = RowQuery(Query.free(vectors[0]), count(k), self._questions.excluded(options))
        return self._answer(question, "item", "similar_by_category", options, fallback="similar_by_category")

    def _for_history(
        self,
        question: RowQuery,
        unknown: Sequence[str],
        strategy: str,
        options: Options,
        weights: dict[str, float] | None = None,
        fallback: str | None = None,
    ) -> Recommendations:
        warnings = _ignored(unknown)
        if not question.query.attention.any():
            return self._ordered.popular(question.k, question.excluded, options, "popular", warnings)
        return self._answer(question, "user", strategy, options, warnings, None, fallback, weights)

    def _answer(
        self,
        question: RowQuery,
        kind: str,
        strategy: str,
        options: Options,
        warnings: tuple[str, ...] = (),
        seed_row: int | None = None,
        fallback: str | None = None,
        weights: dict[str, float] | None = None,
    ) -> Recommendations:
        scorer = self._scorer(kind, options, weights, seed_row)
        return self._answering.answer(question, scorer, strategy, options, warnings, seed_row, fallback)

    def _scorer(
        self, kind: str, options: Options, weights: dict[str, float] | None = None, seed_row: int | None = None
    ) -> Scorer:
        resolved = resolve(self.weights[kind], options.get("weights")) if weights is None else weights
        return self._answering.scorer(resolved, options, seed_row=seed_row)


def _ignored(unknown: Sequence[str]) -> tuple[str, ...]:
    return (f"unknown items ignored: {', '.join(unknown[:10])}",) if unknown else ()

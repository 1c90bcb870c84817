"""Answers questions over one bundle. Thread-safe: nothing changes after it is opened."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from recommender.attributes import Attributes
from recommender.blocks import Double, Layout, Mask, Rows
from recommender.bundle import Bundle, Thumbnails, open_bundle
from recommender.errors import RequestError, UnknownItemError
from recommender.explanation import in_words, reasons
from recommender.filters import MaskCache
from recommender.history import History
from recommender.index.rules import Rules
from recommender.index.search import Found, Question, Search
from recommender.opening import open_item_tower, open_search
from recommender.questions import Options, Questions, count
from recommender.results import Recommendation, Recommendations, RecommendationTable
from recommender.scoring import Query, Scorer
from recommender.towers.item import ItemInputs
from recommender.towers.user import UserTower
from recommender.weights import resolve

if TYPE_CHECKING:
    from PIL.Image import Image

    from recommender.stores.base import ItemOverlay


def load(bundles: str | Path, overlay: "ItemOverlay | None" = None) -> "Recommender":
    """Open the current generation of a bundle.

    Parameters
    ----------
    bundles
        The folder that `recommender fit --out` wrote.
    overlay
        Attributes changed since the bundle.

    Raises
    ------
    BundleError
        If there is none, or it is incomplete, damaged or of a newer format.
    """
    return Recommender(open_bundle(bundles), overlay)


class Recommender:
    """Similar items and recommendations for a user, with exact scores and their explanation.

    Parameters
    ----------
    bundle
        An opened generation.
    overlay
        Attributes changed since the bundle, and products added since.
    """

    def __init__(self, bundle: Bundle, overlay: "ItemOverlay | None" = None) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.generation = bundle.generation
        self.layout = Layout(bundle.manifest.blocks)
        self.weights = bundle.manifest.weights
        self.attributes = Attributes(bundle.folder("base") / "attributes")
        self._masks = MaskCache(self.attributes)
        self.search_space: Search = open_search(bundle, self.layout)
        self.segment = self.search_space.segment
        self.item_tower = open_item_tower(bundle, self.layout)
        self.user_tower = UserTower.from_dict(bundle.manifest.extra["user_tower"])
        self.n = self.segment.n
        self._thumbnails = Thumbnails(bundle.folder("thumbnails"))
        self._overlay = overlay
        self._questions = Questions(self.attributes, self.segment, self.user_tower)
        self._encoder: Any = None

    def __contains__(self, item_id: str) -> bool:
        return self.attributes.row_of(item_id) >= 0

    def __len__(self) -> int:
        return self.n

    @property
    def ids(self) -> list[str]:
        """All ids, in order of row."""
        return [self.attributes.id_of(row) for row in range(self.n)]

    def product(self, item_id: str) -> dict[str, Any]:
        """Return what the catalogue says of a product, changes since the bundle included."""
        row = self.attributes.row_of(item_id)
        changed = self._changes().get(item_id, {})
        if changed is None or (row < 0 and not changed):
            raise UnknownItemError(item_id)
        known = self.attributes.fields(row, self.attributes.names) if row >= 0 else {}
        return {"id": item_id, **known, **changed}

    def thumbnail(self, item_id: str) -> bytes | None:
        """Return a product's small JPEG picture, if it has a photo."""
        row = self.attributes.row_of(item_id)
        return self._thumbnails.get(row) if row >= 0 else None

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
        return self._answer(question, "item", "similar", options, seed_row=row)

    def recommend(
        self, history: History, k: int = 10, *, exclude_history: bool = True, **options: Unpack[Options]
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
        """
        question, unknown = self._questions.of_history(history, k, exclude_history, options)
        warnings = (f"unknown items ignored: {', '.join(unknown[:10])}",) if unknown else ()
        if not question.query.attention.any():
            return self._popular(k, options, question.excluded, "popular", warnings)
        return self._answer(question, "user", "for_you", options, warnings)

    def popular(self, k: int = 10, **options: Unpack[Options]) -> Recommendations:
        """Return the products chosen most lately."""
        return self._popular(k, options, self._questions.excluded(options), None, ())

    def search(
        self, text: str | None = None, image: "Image | None" = None, k: int = 10, **options: Unpack[Options]
    ) -> Recommendations:
        """Return the products that fit words or a picture; loads the bundle's encoder (torch) on first use."""
        if (text is None) == (image is None):
            raise RequestError("give either a text or an image", "/seeds")
        query, warnings = self._free_query(text, image)
        weights = {name: 0.0 for name in self.weights["item"] if name not in ("image", "text")}
        asked: Options = {**options, "weights": options.get("weights") or weights}
        question = Question(query, count(k), self._questions.excluded(options))
        return self._answer(question, "item", "search", asked, warnings)

    def similar_many(
        self, item_ids: Sequence[str] | None = None, k: int = 10, **options: Unpack[Options]
    ) -> RecommendationTable:
        """Answer `similar` for many products (by default all) by matrix products."""
        rows = range(self.n) if item_ids is None else [self._questions.known_row(item_id) for item_id in item_ids]
        questions = [self._questions.of_item(row, k, options) for row in rows]
        return self._table(questions, "item", "similar", k, options)

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
        table = self._table(questions, "user", "for_you", k, options)
        for line, question in enumerate(questions):
            if not question.query.attention.any():
                found, _ = self._by_popularity(question, options)
                table.rows[line], table.scores[line] = _padded(found, k)
                table.strategies[line] = "popular"
        return replace(table, item_ids=self._ids_of(table.rows))

    def _similar_to_new(self, item_id: str, k: int, options: Options) -> Recommendations:
        changed = self._changes().get(item_id)
        if changed is None:
            raise UnknownItemError(item_id)
        nothing = np.zeros(1, dtype=bool)
        columns = {name: [value] for name, value in changed.items()}
        vectors, present = self.item_tower.blocks(ItemInputs(None, nothing, None, nothing, columns))
        if not present.any():
            return self._popular(k, options, self._questions.excluded(options), "popular", ())
        query = Query.free(vectors[0])
        question = Question(query, count(k), self._questions.excluded(options))
        return self._answer(question, "item", "similar_by_category", options, (), fallback="similar_by_category")

    def _popular(
        self, k: int, options: Options, excluded: Rows, fallback: str | None, warnings: tuple[str, ...]
    ) -> Recommendations:
        if not self.segment.prior.any():
            warnings = (*warnings, "this bundle knows no popularity; products are in order of id")
        nothing = Query.free(np.zeros(self.layout.d, np.float32))
        found, scorer = self._by_popularity(Question(nothing, count(k), excluded), options)
        return self._present(found, scorer, nothing, "popular", options, warnings, fallback)

    def _by_popularity(self, question: Question, options: Options) -> tuple[Found, Scorer]:
        scorer = self._scorer(dict.fromkeys(self.weights["user"], 0.0) | {"prior": 1.0})
        return self.search_space.one(scorer, question, self._rules(options), "exact"), scorer

    def _free_query(self, text: str | None, image: "Image | None") -> tuple[Query, tuple[str, ...]]:
        if self._encoder is None:
            from recommender.encoders.base import create_for

            self._encoder = create_for(self.manifest)
        modality = "text" if text is not None else "image"
        encoded = self._encoder.encode_texts([text]) if text is not None else self._encoder.encode_images([image])
        vector = self.item_tower.query(modality, encoded, self._encoder.aligned)
        alone = not self._encoder.aligned and self.item_tower.projection is None
        warnings = (f"the encoder is not aligned: the {modality} block alone was asked",) if alone else ()
        return Query.free(vector), warnings

    def _answer(
        self,
        question: Question,
        kind: str,
        strategy: str,
        options: Options,
        warnings: tuple[str, ...] = (),
        seed_row: int | None = None,
        fallback: str | None = None,
    ) -> Recommendations:
        scorer = self._scorer(resolve(self.weights[kind], options.get("weights")))
        rules = self._rules(options, seed_row)
        found = self.search_space.one(scorer, question, rules, options.get("plan", "auto"))
        return self._present(found, scorer, question.query, strategy, options, warnings, fallback)

    def _table(
        self, questions: Sequence[Question], kind: str, strategy: str, k: int, options: Options
    ) -> RecommendationTable:
        scorer = self._scorer(resolve(self.weights[kind], options.get("weights")))
        plan = options.get("plan", "auto")
        rows = np.full((len(questions), count(k)), -1, dtype=np.int32)
        scores = np.full(rows.shape, np.nan)
        answers = self.search_space.many(scorer, questions, self._rules(options), plan)
        for line, found in enumerate(answers):
            rows[line], scores[line] = _padded(found, k)
        return RecommendationTable(rows, scores, self._ids_of(rows), [strategy] * len(questions))

    def _present(
        self,
        found: Found,
        scorer: Scorer,
        query: Query,
        strategy: str,
        options: Options,
        warnings: tuple[str, ...],
        fallback: str | None,
    ) -> Recommendations:
        explain = bool(options.get("explain"))
        items = [
            self._explained(found, place, scorer, query) if explain else self._plain(found, place)
            for place in range(len(found.selection.rows))
        ]
        return Recommendations(
            items=tuple(items),
            strategy=strategy,
            plan=found.plan,
            eligible=found.eligible,
            candidates=found.candidates,
            generation=self.generation,
            fallback_used=fallback,
            warnings=warnings,
            describe=self._describe,
        )

    def _plain(self, found: Found, place: int) -> Recommendation:
        item_id = self.attributes.id_of(int(found.selection.rows[place]))
        return Recommendation(item_id, place + 1, float(found.selection.scores[place]))

    def _explained(self, found: Found, place: int, scorer: Scorer, query: Query) -> Recommendation:
        plain = self._plain(found, place)
        parts = found.selection.parts[place]
        row = int(found.selection.rows[place])
        why = reasons(scorer, self.segment, query, row, parts, self.attributes.id_of)
        named = {name: float(value) for name, value in zip(scorer.terms, parts, strict=True)}
        return Recommendation(plain.item_id, plain.rank, plain.score, named, why, in_words(why, self._title))

    def _describe(self, item_id: str) -> tuple[dict[str, Any], bytes | None]:
        return self.product(item_id), self.thumbnail(item_id)

    def _title(self, item_id: str) -> str:
        row = self.attributes.row_of(item_id)
        named = row >= 0 and "title" in self.attributes.names
        return str((self.attributes.value("title", row) if named else None) or item_id)

    def _scorer(self, weights: Mapping[str, float]) -> Scorer:
        return Scorer(self.segment.vectors, self.segment.prior, self.layout, weights)

    def _rules(self, options: Options, seed_row: int | None = None) -> Rules:
        collapse = options.get("variants", "collapse") == "collapse"
        return Rules(self.segment, self._mask(options.get("filter"), seed_row), collapse)

    def _mask(self, filter: str | Mapping[str, Any] | None, seed_row: int | None) -> Mask | None:
        if filter is None:
            return None
        revision = self._overlay.revision() if self._overlay is not None else 0
        return self._masks.mask(filter, seed_row, self._changed_rows() or None, revision, trusted=True)

    def _changes(self) -> Mapping[str, Mapping[str, Any] | None]:
        return self._overlay.changes() if self._overlay is not None else {}

    def _changed_rows(self) -> dict[int, Mapping[str, Any]]:
        rows = ((self.attributes.row_of(item_id), change) for item_id, change in self._changes().items())
        return {row: change for row, change in rows if row >= 0 and change is not None}

    def _ids_of(self, rows: Rows) -> np.ndarray:
        id_of: Callable[[int], str] = self.attributes.id_of
        known = {int(row): id_of(int(row)) for row in np.unique(rows) if row >= 0}
        return np.array([[known.get(int(row)) for row in line] for line in rows], dtype=object).reshape(rows.shape)


def _padded(found: Found, k: int) -> tuple[Rows, Double]:
    """Return the rows and scores of an answer, each shape (k,), padded with −1 and NaN."""
    size = len(found.selection.rows)
    rows, scores = np.full(k, -1, dtype=np.int32), np.full(k, np.nan)
    rows[:size], scores[:size] = found.selection.rows, found.selection.scores
    return rows, scores

"""The recommender: opens a published bundle and answers requests over it. Thread-safe."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.bundle import Bundle, local_copy, open_bundle
from recommender.core.blocks import Layout
from recommender.errors import RequestError, UnknownItemError, nearest
from recommender.events import Event, History
from recommender.items import Attributes
from recommender.items.products import Products
from recommender.loading import (
    open_attributes,
    open_item_tower,
    open_phrases,
    open_planner,
    open_row_times,
    open_search,
    open_thumbnails,
    open_user_tower,
)
from recommender.ranking.completing import Completer, Completions
from recommender.ranking.pipeline import Pipeline
from recommender.ranking.queries import ContentQueries, HistoryQueries
from recommender.ranking.request import (
    Boost,
    BoostRule,
    Fallback,
    Filter,
    Plan,
    Request,
    Sort,
    Stock,
    Strategy,
    Variants,
    Weights,
    check_id,
)
from recommender.ranking.results import Recommendations, RecommendationTable
from recommender.ranking.searching import TextQueries
from recommender.ranking.strategies import ResolvedRequest, Strategies
from recommender.ranking.why_not import ItemStatus
from recommender.retrieval.planner import Planner
from recommender.search.settings import SearchSettings

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from recommender.core.scoring import Query
    from recommender.encoders.base import Encoder
    from recommender.evaluation.comparison import Comparison
    from recommender.evaluation.stored import StoredEvaluation
    from recommender.stores.base import ItemOverlay


def load(
    bundles: str | Path,
    overlay: "ItemOverlay | None" = None,
    encoder: "Encoder | None" = None,
    generation: str | None = None,
    unsearched: Collection[str] = (),
    catalogue_supersedes: bool = True,
) -> "Recommender":
    """Open a published bundle.

    Parameters
    ----------
    bundles
        The folder that `recommender fit --out` or `recommender.fit` wrote, or its URL, such as ``s3://shop/bundles``,
        of which a local copy is opened.
    overlay
        Live changes of attributes and availability, such as those of `open_store(url).overlay`.
    encoder
        Encodes text and image queries, see `Recommender`.
    generation
        The generation to open; by default the current one.
    unsearched
        Attributes whose words no search finds, see `Recommender`.
    catalogue_supersedes
        Whether newer rows of the catalogue go over live changes, see `Recommender`.

    Returns
    -------
    Recommender
        Ready to answer.

    Raises
    ------
    BundleError
        If there is no bundle, or it is incomplete, damaged or of a newer format.
    """
    root = local_copy(bundles, parts=generation is None)
    bundle = open_bundle(root, generation)
    return Recommender(bundle, overlay, encoder, unsearched=unsearched, catalogue_supersedes=catalogue_supersedes)


class Recommender:
    """Recommends products: similar items, recommendations for a user, search; with exact scores and explanations.

    Parameters
    ----------
    bundle
        An opened generation.
    overlay
        Live changes of attributes and availability, and products added since the bundle.
    encoder
        Encodes the text and image queries of `search`; by default the bundle's own, loaded (with torch) on first
        use.
    planner
        Retrieves over other arrays than the bundle's own.
    unsearched
        Attributes whose words no search finds, such as those that only the shop may see.
    catalogue_supersedes
        Whether newer rows of the catalogue go over live changes; not where these are prices of another market.
    """

    def __init__(
        self,
        bundle: Bundle,
        overlay: "ItemOverlay | None" = None,
        encoder: "Encoder | None" = None,
        planner: Planner | None = None,
        unsearched: Collection[str] = (),
        catalogue_supersedes: bool = True,
    ) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.generation = bundle.generation
        self.layout = Layout(bundle.manifest.blocks)
        self.weights = bundle.manifest.weights
        self.attributes = open_attributes(bundle)
        self.planner: Planner = planner or open_planner(bundle, self.layout, self.attributes)
        self.segment = self.planner.segment
        self.item_tower = open_item_tower(bundle, self.layout)
        self.user_tower = open_user_tower(bundle)
        self.n = self.segment.n
        times = open_row_times(bundle, self.n)
        self.row_times = times if catalogue_supersedes else np.broadcast_to(np.nan, times.shape)
        self._products = Products(self.attributes, open_thumbnails(bundle), overlay, self.row_times)
        histories = HistoryQueries(self.attributes, self.segment, self.user_tower)
        self._contents = contents = ContentQueries(bundle, self.item_tower, encoder)
        self.search_settings = SearchSettings.of(bundle.manifest.extra)
        self.search_index = open_search(bundle, self._products, self.search_settings, unsearched)
        texts = TextQueries(self.search_index, self.layout, self.search_settings)
        self._strategies = Strategies(self._products, self.segment, self.weights, histories, contents, texts)
        self._pipeline = Pipeline(self._products, self.planner, self._strategies, self.generation)
        phrases = partial(open_phrases, bundle, unsearched)
        self._completer = Completer(self._pipeline, self.search_index, self.search_settings, phrases)

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the same generation in another process."""
        if self._products.overlay is not None:
            raise TypeError("a recommender with an overlay cannot be pickled: open it in the other process")
        return load, (self.bundle.root.absolute(), None, None, self.generation)

    def __repr__(self) -> str:
        blocks = ", ".join(f"{name} {dim}" for name, dim in self.layout.dims.items())
        return f"<Recommender {self.generation}: {len(self):,} products; blocks {blocks}>"

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._products

    def __len__(self) -> int:
        """Return the number of products that can be recommended today: those of the bundle, less the removed."""
        return len(self._products)

    @property
    def ids(self) -> list[str]:
        """The ids of the products, in plain string order."""
        return self._products.ids

    def product(self, item_id: str) -> dict[str, Any]:
        """Return the attributes of a product, with live changes; raises `UnknownItemError` if there is none."""
        check_id(item_id)
        return self._products.of(item_id)

    def row_time(self, item_id: str) -> float:
        """Return the moment of the catalogue's row of a product in POSIX seconds; NaN if only the API has it."""
        row = self.attributes.row_of(item_id)
        return float(self.row_times[row]) if row >= 0 else float("nan")

    def fields(self, item_id: str, names: Sequence[str]) -> dict[str, Any]:
        """Return some attributes of a product of the bundle, with live changes."""
        return self._products.fields(item_id, names)

    @property
    def live_attributes(self) -> Attributes:
        """The attributes by row, with live changes and the prices in force."""
        return self._products.overlay_state().attributes

    def is_available(self, item_id: str) -> bool:
        """Return whether a product can be bought: it is known, was not removed and is not out of stock."""
        row, allowed = self.attributes.row_of(item_id), self._products.overlay_state().allowed(whole_range=False)
        return row >= 0 and (allowed is None or bool(allowed[row]))

    @property
    def revision(self) -> tuple[str, int, float]:
        """Differs after every change of a product: generation, live changes, next start or end of a sale."""
        return self.generation, *self._products.revision

    def thumbnail(self, item_id: str) -> bytes | None:
        """Return a product's thumbnail as JPEG, if it has a photo."""
        return self._products.thumbnail(item_id)

    def products(self) -> "pd.DataFrame":
        """Return the products as a frame, in order of id: id and every attribute, with live changes.

        It is indexed by id, too, so that a condition on it is a filter: ``filter=frame["price"] < 50``.
        """
        import pandas as pd

        names = list(self.attributes.names)
        ids = self.ids
        lines = [{"id": item_id, **self._products.fields(item_id, names)} for item_id in ids]
        return pd.DataFrame(lines, index=pd.Index(ids), columns=["id", *names])

    def vectors(self, block: str | None = None) -> "pd.DataFrame":
        """Return the item vectors as a frame, indexed by id.

        Parameters
        ----------
        block
            One block, such as "image", shape (n, d_m); by default the fused vectors, shape (n, d).

        Raises
        ------
        RequestError
            If this bundle has no such block.
        """
        import pandas as pd

        names = self.layout.names
        if block is not None and block not in names:
            raise RequestError(
                f"no block {block!r}; expected one of {', '.join(names)}", "", nearest(block, names)
            )
        columns = slice(None) if block is None else self.layout.slices[block]
        values = self.segment.vectors[self._products.rows, columns]
        return pd.DataFrame(values, index=pd.Index(self.ids, name="id"))

    def evaluation_queries(self) -> "StoredEvaluation | None":
        """Return the metrics of each query of the evaluation, to compare with those of another generation.

        Returns
        -------
        StoredEvaluation or None
            See `recommender.evaluation.paired`; None where the bundle was fitted without an evaluation, or before
            version 0.3.
        """
        from recommender.evaluation.stored import StoredEvaluation

        return StoredEvaluation.open(self.bundle)

    def compare(
        self, other: "Recommender", histories: Mapping[str, Sequence[Event]] | None = None
    ) -> "Comparison":
        """Compare this generation with a later one: metrics, answers, and what changed most.

        Parameters
        ----------
        other
            Another generation of the same shop.
        histories
            Of real users, by id, whose recommendations are compared; by default synthetic ones.

        Returns
        -------
        Comparison
            Metrics of the shoppers that both evaluations have, with intervals of the paired difference; overlap of
            the lists of up to 300 products and 300 users; a page in a notebook.

        Raises
        ------
        RequestError
            If the generations share no product.
        """
        from recommender.evaluation.comparison import compare_generations

        return compare_generations(self, other, histories)

    @property
    def profile_columns(self) -> dict[str, tuple[str, ...]]:
        """The names of the attributes ("user") and circumstances ("context") that the bundle learned from."""
        profile = self.user_tower.profile
        return {"user": (), "context": ()} if profile is None else profile.names

    def encode_text(self, text: str) -> "Query | None":
        """Return the query of a text by the encoder alone; None if it knows no word of it."""
        return self._contents.query(text, None)[0]

    def kind_of(self, row: int) -> str:
        """Return which of the learned `weights` rank items similar to a row."""
        return self._strategies.kind_of(row)

    def run(self, request: Request) -> Recommendations:
        """Answer a `Request`; `similar`, `recommend` and `search` make one and call this."""
        return self._pipeline.run(request)

    def run_many(self, requests: Sequence[Request]) -> RecommendationTable:
        """Answer many requests, each as `run` would; those that share their rules by matrix products."""
        return self._pipeline.run_many(requests)

    def resolve_many(self, requests: Sequence[Request]) -> list[ResolvedRequest]:
        """Resolve many requests, to answer them under several weights or filters by `run_resolved`."""
        return self._pipeline.resolve_many(requests)

    def run_resolved(self, resolved: Sequence[ResolvedRequest], rules: Request) -> RecommendationTable:
        """Answer resolved requests of histories under the weights, filter, plan and k of another request.

        As `run_many` answers the same requests with these rules, but their queries are made once.
        """
        return self._pipeline.run_resolved(resolved, rules)

    def similar(
        self,
        item_id: str,
        k: int = 10,
        *,
        filter: Filter | None = None,
        weights: Weights | None = None,
        exclude: Iterable[str] = (),
        explain: bool = False,
        variants: Variants = "collapse",
        plan: Plan = "auto",
        stock: Stock = "available",
        boost: Sequence[BoostRule | Boost] = (),
        diversity: Mapping[str, Any] | None = None,
        pin: Mapping[int, str] | None = None,
    ) -> Recommendations:
        """Return the k most similar products; the product itself and its variants are never among them.

        Parameters
        ----------
        item_id
            The shop's id of a product. One that was added since the bundle is answered by its category.
        k
            How many products to return, at least 1.
        filter
            ``price < 50 AND brand: ANY("Acme")``, or the tree form, or a boolean Series such as
            ``rec.products()["price"] < 50``; only products that match are returned.
        weights
            Weight of each term (image, text, category, behaviour, cooccurrence, prior, repeat), at least 0; terms
            left out retain their learned weight.
        exclude
            Ids that are not returned.
        explain
            Add the parts of each score, and the reasons.
        variants
            "collapse" returns the best variant of a product only, "all" every variant.
        plan
            "auto", "exact" (scan all eligible products) or "annoy".
        stock
            "available" leaves out products out of stock, unless the filter names ``availability``; "all" does not.
        boost
            Each adds to the score of the products that match a filter: ``[{"when": filter, "add": 0.05}]``.
        diversity
            Re-rankers and their parameters: ``{"mmr": 0.3, "max_per": {"brand": 3}}``.
        pin
            Position from 1 to the id of the product that is shown there, if it is eligible.

        Returns
        -------
        Recommendations
            Best first, with exact scores.

        Raises
        ------
        UnknownItemError
            If the id was never seen.
        RequestError
            If a value cannot be used: what was found, what was expected, and the nearest valid value.
        """
        return self.run(
            Request(
                strategy="similar",
                items=(item_id,),
                k=k,
                filter=filter,
                weights=weights,
                exclude=exclude,
                explain=explain,
                variants=variants,
                plan=plan,
                stock=stock,
                boost=boost,
                diversity=diversity,
                pin=pin,
            )
        )

    def recommend(
        self,
        history: History = (),
        k: int = 10,
        *,
        strategy: Strategy = "for_you",
        items: Sequence[str] = (),
        item_weights: Sequence[float] | None = None,
        negative_items: Sequence[str] = (),
        session: History = (),
        history_weights: Sequence[float] | None = None,
        trending: Sequence[tuple[str, float]] = (),
        exclude_history: bool | None = None,
        exclude_purchased_days: int | None = None,
        fallback: Sequence[Fallback] = ("popular",),
        user: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        filter: Filter | None = None,
        weights: Weights | None = None,
        exclude: Iterable[str] = (),
        explain: bool = False,
        variants: Variants = "collapse",
        plan: Plan = "auto",
        stock: Stock = "available",
        boost: Sequence[BoostRule | Boost] = (),
        diversity: Mapping[str, Any] | None = None,
        pin: Mapping[int, str] | None = None,
    ) -> Recommendations:
        """Return recommendations for a user with this history.

        Parameters
        ----------
        history
            The user's events, oldest first: ids, `Event` objects, mappings, or a frame with item_id and, as known,
            event_name, timestamp and value. Unknown ids are ignored and named in the warnings.
        k
            How many products to return, at least 1.
        strategy
            for_you, complementary (bought together), cart, session, similar and visually_similar (of one of
            `items`), popular, trending, new, recently_viewed or buy_again.
        items, item_weights
            Ids of seed items, and the weight of each, by default 1.
        negative_items
            Ids of items that the user does not want.
        session
            Events of the current session, in the forms of `history`.
        history_weights
            What the weight of each event is multiplied by, length t; by default 1.
        trending
            Item ids with the weight of recent events, see `EventStore.trending`.
        exclude_history
            Whether products of the history are not returned. By default they are not, but what the user bought is
            where the shop's data show that products are bought again.
        exclude_purchased_days
            Products purchased within so many days are not returned.
        fallback
            Strategies to try, in order, where the strategy has nothing to work with: popular_in_category,
            trending, popular, new.
        user
            Attributes of the user, such as ``{"age": 34, "segment": "trade"}``. Names and values that the bundle
            did not learn from say nothing.
        context
            Circumstances of the request, such as ``{"hour": 20}``, in the same form.
        filter
            ``price < 50 AND brand: ANY("Acme")``, or the tree form, or a boolean Series such as
            ``rec.products()["price"] < 50``; only products that match are returned.
        weights
            Weight of each term (image, text, category, behaviour, cooccurrence, prior, repeat), at least 0; terms
            left out retain their learned weight.
        exclude
            Ids that are not returned.
        explain
            Add the parts of each score, and the reasons.
        variants
            "collapse" returns the best variant of a product only, "all" every variant.
        plan
            "auto", "exact" (scan all eligible products) or "annoy".
        stock
            "available" leaves out products out of stock, unless the filter names ``availability``; "all" does not.
        boost
            Each adds to the score of the products that match a filter: ``[{"when": filter, "add": 0.05}]``.
        diversity
            Re-rankers and their parameters: ``{"mmr": 0.3, "max_per": {"brand": 3}}``.
        pin
            Position from 1 to the id of the product that is shown there, if it is eligible.

        Returns
        -------
        Recommendations
            Best first; `strategy` and `fallback_used` say which strategy answered.

        Raises
        ------
        UnknownItemError
            If the one item of `items` was never seen.
        RequestError
            If a value cannot be used: what was found, what was expected, and the nearest valid value.
        """
        if strategy == "session" and len(session) == 0:  # type: ignore[arg-type]
            history, session = (), history
        return self.run(
            Request(
                k=k,
                strategy=strategy,
                items=items,
                item_weights=item_weights,
                negative_items=negative_items,
                history=history,
                session=session,
                history_weights=history_weights,
                trending=trending,
                exclude_history=exclude_history,
                exclude_purchased_days=exclude_purchased_days,
                fallback=fallback,
                user=user,
                context=context,
                filter=filter,
                weights=weights,
                exclude=exclude,
                explain=explain,
                variants=variants,
                plan=plan,
                stock=stock,
                boost=boost,
                diversity=diversity,
                pin=pin,
            )
        )

    def popular(self, k: int = 10, *, filter: Filter | None = None) -> Recommendations:
        """Return the most popular products, as `recommend` does with ``strategy="popular"``.

        Parameters
        ----------
        k
            How many products to return, at least 1.
        filter
            Only products that match are returned, see `recommend`.
        """
        return self.recommend(k=k, strategy="popular", filter=filter)

    def search(
        self,
        text: str | None = None,
        image: "Image | bytes | None" = None,
        k: int = 10,
        *,
        history: History = (),
        user: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        filter: Filter | None = None,
        weights: Weights | None = None,
        exclude: Iterable[str] = (),
        explain: bool = False,
        variants: Variants = "collapse",
        plan: Plan = "auto",
        stock: Stock = "available",
        boost: Sequence[BoostRule | Boost] = (),
        diversity: Mapping[str, Any] | None = None,
        pin: Mapping[int, str] | None = None,
        sort: Sort = "relevance",
        facets: Sequence[str] = (),
        encode: bool = True,
    ) -> Recommendations:
        """Return the products that match a text, an image or both; loads the bundle's encoder on first use.

        A text is matched by its words, forgiving one typo in each, and by the similarity of vectors; the product
        whose id, SKU or barcode it is comes first. Products under the bundle's relevance floor do not match.

        Parameters
        ----------
        text, image
            At least one of them.
        k
            How many products to return, at least 1.
        history
            The user's events, which personalise the result; see `recommend`.
        user, context
            Attributes of the user and circumstances of the request, see `recommend`.
        filter
            ``price < 50 AND brand: ANY("Acme")``, or the tree form, or a boolean Series such as
            ``rec.products()["price"] < 50``; only products that match are returned.
        weights
            Weight of each term (image, text, category, behaviour, cooccurrence, prior, repeat), at least 0; terms
            left out retain their learned weight.
        exclude
            Ids that are not returned.
        explain
            Add the parts of each score, and the reasons.
        variants
            "collapse" returns the best variant of a product only, "all" every variant.
        plan
            "auto", "exact" (scan all eligible products) or "annoy".
        stock
            "available" leaves out products out of stock, unless the filter names ``availability``; "all" does not.
        boost
            Each adds to the score of the products that match a filter: ``[{"when": filter, "add": 0.05}]``.
        diversity
            Re-rankers and their parameters: ``{"mmr": 0.3, "max_per": {"brand": 3}}``.
        pin
            Position from 1 to the id of the product that is shown there, if it is eligible.
        sort
            Order of the products that match the text: "relevance", "price_ascending", "price_descending", "newest"
            or "popular".
        facets
            Attributes whose values are counted among all products that match the text, such as ``["brand"]``; the
            filter's conditions on the attribute itself do not reduce its counts.
        encode
            Whether the text is encoded, or searched by its words alone, for which no encoder is loaded.

        Returns
        -------
        Recommendations
            Best first. If nothing matches it is empty, and has `alternatives`.

        Raises
        ------
        EncoderError
            If the encoder of an image cannot be loaded; a text is then searched by its words.
        RequestError
            If a value cannot be used: what was found, what was expected, and the nearest valid value.
        """
        return self.run(
            Request(
                strategy="search",
                text=text,
                image=image,
                k=k,
                history=history,
                exclude_history=False,
                user=user,
                context=context,
                filter=filter,
                weights=weights,
                exclude=exclude,
                explain=explain,
                variants=variants,
                plan=plan,
                stock=stock,
                boost=boost,
                diversity=diversity,
                pin=pin,
                sort=sort,
                facets=facets,
                encode=encode,
            )
        )

    def autocomplete(
        self,
        text: str,
        k: int = 5,
        *,
        queries: int = 8,
        filter: Filter | None = None,
        variants: Variants = "collapse",
        stock: Stock = "available",
    ) -> Completions:
        """Return queries and products for what a user has typed so far, by words alone.

        Parameters
        ----------
        text
            The beginning of a query; its last word may be unfinished.
        k
            How many products to return, at least 1.
        queries
            How many queries to return at most.
        filter
            Only products that match are returned and counted, see `search`.
        variants
            "collapse" returns the best variant of a product only, "all" every variant.
        stock
            "available" leaves out products out of stock, unless the filter names ``availability``; "all" does not.

        Returns
        -------
        Completions
            Phrases of titles, categories and brands that products have; and products.

        Raises
        ------
        RequestError
            If a value cannot be used: what was found, what was expected, and the nearest valid value.
        """
        request = Request(strategy="search", text=text, k=k, filter=filter, variants=variants, stock=stock)
        return self._completer.complete(text, queries, request)

    def explain(
        self,
        item_ids: Sequence[str],
        history: History,
        *,
        exclude_history: bool | None = None,
        user: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        filter: Filter | None = None,
        weights: Weights | None = None,
        exclude: Iterable[str] = (),
        variants: Variants = "collapse",
        stock: Stock = "available",
        boost: Sequence[BoostRule | Boost] = (),
    ) -> list[ItemStatus]:
        """Return why products are recommended to a user with this history, or why not.

        Parameters
        ----------
        item_ids
            Products to explain.
        history
            As in `recommend`; a history of one id is a request for similar items.
        exclude_history
            Whether products of the history are not returned. By default they are not, but what the user bought is
            where the shop's data show that products are bought again.
        user, context
            Attributes of the user and circumstances of the request, see `recommend`.
        filter
            ``price < 50 AND brand: ANY("Acme")``, or the tree form, or a boolean Series such as
            ``rec.products()["price"] < 50``; only products that match are returned.
        weights
            Weight of each term (image, text, category, behaviour, cooccurrence, prior, repeat), at least 0; terms
            left out retain their learned weight.
        exclude
            Ids that are not returned.
        variants
            "collapse" returns the best variant of a product only, "all" every variant.
        stock
            "available" leaves out products out of stock, unless the filter names ``availability``; "all" does not.
        boost
            Each adds to the score of the products that match a filter: ``[{"when": filter, "add": 0.05}]``.

        Returns
        -------
        list of ItemStatus
            For each product its rank, score and reasons, or what leaves it out.

        Raises
        ------
        RequestError
            If a value cannot be used: what was found, what was expected, and the nearest valid value.
        """
        request = Request(
            k=1,
            history=history,
            exclude_history=exclude_history,
            user=user,
            context=context,
            filter=filter,
            weights=weights,
            exclude=exclude,
            variants=variants,
            stock=stock,
            boost=boost,
        )
        return self.why_not(request, item_ids)

    def similar_many(
        self,
        item_ids: Sequence[str] | None = None,
        k: int = 10,
        *,
        filter: Filter | None = None,
        weights: Weights | None = None,
        exclude: Iterable[str] = (),
        explain: bool = False,
        variants: Variants = "collapse",
        plan: Plan = "auto",
        stock: Stock = "available",
        boost: Sequence[BoostRule | Boost] = (),
        diversity: Mapping[str, Any] | None = None,
        pin: Mapping[int, str] | None = None,
    ) -> RecommendationTable:
        """Return the most similar products of many products: `similar` as one table, by matrix products.

        Parameters
        ----------
        item_ids
            By default all products.
        k
            How many products to return, at least 1.
        filter
            ``price < 50 AND brand: ANY("Acme")``, or the tree form, or a boolean Series such as
            ``rec.products()["price"] < 50``; only products that match are returned.
        weights
            Weight of each term (image, text, category, behaviour, cooccurrence, prior, repeat), at least 0; terms
            left out retain their learned weight.
        exclude
            Ids that are not returned.
        explain
            Add the parts of each score, and the reasons.
        variants
            "collapse" returns the best variant of a product only, "all" every variant.
        plan
            "auto", "exact" (scan all eligible products) or "annoy".
        stock
            "available" leaves out products out of stock, unless the filter names ``availability``; "all" does not.
        boost
            Each adds to the score of the products that match a filter: ``[{"when": filter, "add": 0.05}]``.
        diversity
            Re-rankers and their parameters: ``{"mmr": 0.3, "max_per": {"brand": 3}}``.
        pin
            Position from 1 to the id of the product that is shown there, if it is eligible.

        Returns
        -------
        RecommendationTable
            Shape (b, k).

        Raises
        ------
        UnknownItemError
            If an id is not in the bundle.
        RequestError
            If a value cannot be used: what was found, what was expected, and the nearest valid value.
        """
        seeds = self.ids if item_ids is None else list(item_ids)
        for item_id in seeds:
            check_id(item_id)
            if item_id not in self:
                raise UnknownItemError(item_id, self._products.other_form(item_id))
        template = Request(
            strategy="similar",
            k=k,
            filter=filter,
            weights=weights,
            exclude=exclude,
            explain=explain,
            variants=variants,
            plan=plan,
            stock=stock,
            boost=boost,
            diversity=diversity,
            pin=pin,
        )
        return self.run_many([template.for_item(item_id) for item_id in seeds])

    def recommend_many(
        self,
        histories: Sequence[History],
        k: int = 10,
        *,
        strategy: Strategy = "for_you",
        trending: Sequence[tuple[str, float]] = (),
        exclude_history: bool | None = None,
        exclude_purchased_days: int | None = None,
        fallback: Sequence[Fallback] = ("popular",),
        users: Sequence[Mapping[str, Any] | None] | None = None,
        context: Mapping[str, Any] | None = None,
        filter: Filter | None = None,
        weights: Weights | None = None,
        exclude: Iterable[str] = (),
        explain: bool = False,
        variants: Variants = "collapse",
        plan: Plan = "auto",
        stock: Stock = "available",
        boost: Sequence[BoostRule | Boost] = (),
        diversity: Mapping[str, Any] | None = None,
        pin: Mapping[int, str] | None = None,
    ) -> RecommendationTable:
        """Return recommendations for many users: `recommend` as one table, by matrix products.

        Parameters
        ----------
        histories
            One for each user, see `recommend`.
        k
            How many products to return, at least 1.
        strategy
            for_you, complementary (bought together), cart, session, popular, trending, new, recently_viewed or
            buy_again.
        trending
            Item ids with the weight of recent events, see `EventStore.trending`.
        exclude_history
            Whether products of the history are not returned. By default they are not, but what the user bought is
            where the shop's data show that products are bought again.
        exclude_purchased_days
            Products purchased within so many days are not returned.
        fallback
            Strategies to try, in order, where the strategy has nothing to work with: popular_in_category,
            trending, popular, new.
        users
            The attributes of each user, as `user` of `recommend`; None where they are not known.
        context
            See `recommend`.
        filter
            ``price < 50 AND brand: ANY("Acme")``, or the tree form, or a boolean Series such as
            ``rec.products()["price"] < 50``; only products that match are returned.
        weights
            Weight of each term (image, text, category, behaviour, cooccurrence, prior, repeat), at least 0; terms
            left out retain their learned weight.
        exclude
            Ids that are not returned.
        explain
            Add the parts of each score, and the reasons.
        variants
            "collapse" returns the best variant of a product only, "all" every variant.
        plan
            "auto", "exact" (scan all eligible products) or "annoy".
        stock
            "available" leaves out products out of stock, unless the filter names ``availability``; "all" does not.
        boost
            Each adds to the score of the products that match a filter: ``[{"when": filter, "add": 0.05}]``.
        diversity
            Re-rankers and their parameters: ``{"mmr": 0.3, "max_per": {"brand": 3}}``.
        pin
            Position from 1 to the id of the product that is shown there, if it is eligible.

        Returns
        -------
        RecommendationTable
            Shape (b, k).

        Raises
        ------
        RequestError
            If a value cannot be used: what was found, what was expected, and the nearest valid value.
        """
        template = Request(
            strategy=strategy,
            k=k,
            trending=trending,
            exclude_history=exclude_history,
            exclude_purchased_days=exclude_purchased_days,
            fallback=fallback,
            context=context,
            filter=filter,
            weights=weights,
            exclude=exclude,
            explain=explain,
            variants=variants,
            plan=plan,
            stock=stock,
            boost=boost,
            diversity=diversity,
            pin=pin,
        )
        attributes = [None] * len(histories) if users is None else users
        if len(attributes) != len(histories):
            raise RequestError(f"{len(attributes)} users for {len(histories)} histories", "/users")
        pairs = zip(histories, attributes, strict=True)
        return self.run_many([template.for_history(history, user) for history, user in pairs])

    def why_not(self, request: Request, item_ids: Sequence[str]) -> list[ItemStatus]:
        """Return the rank of products for a request with their explanation, or why they are not eligible."""
        for item_id in item_ids:
            check_id(item_id)
        return self._pipeline.why_not(request, item_ids)

"""Why a product is recommended, or why not: its rank among all eligible products, or what excludes it."""

from dataclasses import dataclass

import numpy as np

from recommender.core.scoring import Scorer
from recommender.filters import fields_of
from recommender.filters.compile import evaluate, resolve
from recommender.filters.conditions import And
from recommender.items.products import Products
from recommender.ranking.explanation import Explainer
from recommender.ranking.results import Recommendation
from recommender.ranking.strategies import ResolvedRequest
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.selection import OUT


@dataclass(frozen=True)
class ItemStatus:
    """Where one product ranks for a request, or why it is not eligible.

    Parameters
    ----------
    item_id
        The shop's id.
    recommendation
        Its score and reasons, with its rank among all eligible products; rank 0 if it is not eligible, None if it
        has no vectors.
    left_out
        Why it is not eligible: unknown, not_embedded_yet, removed, out_of_stock, filter, excluded (by the request,
        or as a product of the history or a variant of one); empty if it is.
    failed
        The fields of the filter's conditions that the product does not match.
    """

    item_id: str
    recommendation: Recommendation | None
    left_out: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class WhyNot:
    """Ranks products for one request; scans all of them once.

    Parameters
    ----------
    products, explainer
        Of the bundle.
    resolved, scorer, eligibility
        Of the request.
    """

    def __init__(
        self,
        products: Products,
        explainer: Explainer,
        resolved: ResolvedRequest,
        scorer: Scorer,
        eligibility: Eligibility,
    ) -> None:
        self._products, self._explainer, self._resolved = products, explainer, resolved
        self._scorer, self._eligibility = scorer, eligibility
        self._scores = scorer.estimate([resolved.query])[0]
        eligibility.mask_out(self._scores, None, resolved.excluded)

    def of(self, item_id: str) -> ItemStatus:
        """Return the status of one product."""
        row, overlay = self._products.attributes.row_of(item_id), self._products.overlay_state()
        if overlay.by_id.get(item_id, {}) is None:
            return ItemStatus(item_id, None, ("removed",))
        if row < 0:
            return ItemStatus(item_id, None, ("not_embedded_yet" if item_id in overlay.by_id else "unknown",))
        query, scores = self._resolved.query, self._scores
        parts = self._scorer.parts(query, np.array([row], dtype=np.int32))[0]
        rank = 0 if scores[row] == OUT else self._rank(row)
        recommendation = self._explainer.item(row, rank, parts, self._scorer, query, "")
        failed = self._failed(row)
        return ItemStatus(item_id, recommendation, () if rank else self._left_out(row, failed), failed)

    def _rank(self, row: int) -> int:
        """Return the rank of an eligible row; where variants are collapsed, products are counted, not variants."""
        better = np.flatnonzero(self._scores > self._scores[row])
        if (groups := self._eligibility.groups) is not None:
            better = np.setdiff1d(groups[better], groups[row])
        return 1 + len(better)

    def _left_out(self, row: int, failed: tuple[str, ...]) -> tuple[str, ...]:
        in_stock = self._products.overlay_state().in_stock
        out_of_stock = in_stock is not None and not in_stock[row]
        causes = {
            "out_of_stock": out_of_stock and not self._eligibility.allows(row) and not failed,
            "filter": bool(failed),
            "excluded": row in set(self._resolved.excluded.tolist()),
        }
        return tuple(code for code, holds in causes.items() if holds)

    def _failed(self, row: int) -> tuple[str, ...]:
        if self._resolved.request.node is None:
            return ()
        attributes = self._products.overlay_state().attributes
        node = resolve(self._resolved.request.node, attributes, self._resolved.seed_row)
        conditions = node.nodes if isinstance(node, And) else (node,)
        unmet = (each for each in conditions if not evaluate(each, attributes)[row])
        return tuple(sorted({name for condition in unmet for name in fields_of(condition)}))

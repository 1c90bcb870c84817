"""Why a product is recommended, or why not: its rank among all eligible products, or what excludes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommender.core.blocks import Float, Rows
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
        self._best: Float | None = None

    def of(self, item_ids: Sequence[str]) -> list[ItemStatus]:
        """Return the status of each of some products."""
        row_of = self._products.attributes.row_of
        known = {item_id: row for item_id in item_ids if (row := row_of(item_id)) >= 0}
        rows, ranks = np.array([*known.values()], dtype=np.int32), map(self._rank, known.values())
        explained = self._explainer.items(rows, ranks, self._scorer, self._resolved.query)
        statuses = {
            each.item_id: ItemStatus(each.item_id, each, () if each.rank else self._left_out(row, failed), failed)
            for row, each, failed in zip(rows.tolist(), explained, self._failed(rows), strict=True)
        }
        return [self._of_live(item_id) or statuses[item_id] for item_id in item_ids]

    def _of_live(self, item_id: str) -> ItemStatus | None:
        """Return the status of a product that has no vectors, None if it has."""
        live = self._products.overlay_state().by_id
        if live.get(item_id, {}) is None:
            return ItemStatus(item_id, None, ("removed",))
        if self._products.attributes.row_of(item_id) < 0:
            return ItemStatus(item_id, None, ("not_embedded_yet" if item_id in live else "unknown",))
        return None

    def _rank(self, row: int) -> int:
        """Return the rank of a row, 0 if it is not eligible; where variants collapse, products are counted."""
        score = self._scores[row]
        if score == OUT:
            return 0
        if (groups := self._eligibility.groups) is None:
            return 1 + int(np.count_nonzero(self._scores > score))
        best = self._best_of(groups)
        return 1 + int(np.count_nonzero(best > score)) - int(best[groups[row]] > score)

    def _best_of(self, groups: Rows) -> Float:
        """Return the score of the best variant of each group."""
        if self._best is None:
            self._best = np.full(len(self._scores), OUT)
            np.maximum.at(self._best, groups, self._scores)
        return self._best

    def _left_out(self, row: int, failed: tuple[str, ...]) -> tuple[str, ...]:
        in_stock = self._products.overlay_state().in_stock
        out_of_stock = in_stock is not None and not in_stock[row]
        causes = {
            "out_of_stock": out_of_stock and not self._eligibility.allows(row) and not failed,
            "filter": bool(failed),
            "excluded": bool((self._resolved.excluded == row).any()),
        }
        return tuple(code for code, holds in causes.items() if holds)

    def _failed(self, rows: Rows) -> list[tuple[str, ...]]:
        """Return of each row the fields of the filter's conditions that it does not match."""
        failed: list[set[str]] = [set() for _ in rows]
        if self._resolved.request.node is not None:
            attributes = self._products.overlay_state().attributes
            node = resolve(self._resolved.request.node, attributes, self._resolved.seed_row)
            for condition in node.nodes if isinstance(node, And) else (node,):
                for position in np.flatnonzero(~evaluate(condition, attributes)[rows]):
                    failed[position] |= fields_of(condition)
        return [tuple(sorted(names)) for names in failed]

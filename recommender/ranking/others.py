"""Products beside those of a list: new ones for its floor, and ones to explore."""

from dataclasses import dataclass, replace

import numpy as np

from recommender.core.blocks import Mask, Rows
from recommender.core.scoring import Scorer
from recommender.filters import Subset
from recommender.items.products import Products
from recommender.ranking.exploration import NEW_DAYS, POOL, Exploration, draw
from recommender.ranking.new_products import Freshness, new_rows, with_new_products
from recommender.ranking.rerank import Ranked
from recommender.ranking.strategies import ResolvedRequest
from recommender.retrieval.eligibility import Eligibility
from recommender.retrieval.planner import Planner, RowQuery
from recommender.retrieval.selection import Selection, ranked


@dataclass(frozen=True)
class Others:
    """Finds eligible products beside those of a list, for one resolved request.

    Parameters
    ----------
    products, planner
        Of the bundle.
    resolved, scorer, eligibility
        Of the request.
    """

    products: Products
    planner: Planner
    resolved: ResolvedRequest
    scorer: Scorer
    eligibility: Eligibility

    def with_floor(self, before: Ranked, freshness: Freshness) -> Ranked:
        """Return a list with its floor of new products."""
        best, is_new = before.result.selection, self._new(freshness.days)
        fresh = with_new_products(
            best, before.pinned, freshness, is_new, lambda k: self._best(k, self._shown(best.rows), is_new)
        )
        result = replace(before.result, selection=fresh.selection)
        return replace(before, result=result, new=fresh.new, warnings=(*before.warnings, *fresh.warnings))

    def explored(self, before: Ranked, exploration: Exploration) -> Ranked:
        """Return a list in which some positions show products that are drawn at random; it may be shuffled, too.

        Not those of pinned products nor of the floor of new ones. Drawn are the best products after the list, and
        the best new ones.
        """
        best = before.result.selection
        pool = self._pool(best.rows)
        fixed = before.pinned | before.new
        free = np.array([p for p, row in enumerate(best.rows.tolist()) if row not in fixed], dtype=np.int32)
        drawn = draw(pool.scores, free, exploration)
        rows, scores = best.rows.copy(), best.scores.copy()
        rows[free], scores[free] = best.rows[drawn.order], best.scores[drawn.order]
        propensities = np.ones(len(rows))
        propensities[free] = np.where(drawn.order == free, drawn.own, drawn.other)
        rows[drawn.positions], scores[drawn.positions] = pool.rows[drawn.chosen], pool.scores[drawn.chosen]
        propensities[drawn.positions] = drawn.propensities[drawn.chosen]
        return replace(
            before,
            result=replace(before.result, selection=Selection(rows, scores)),
            explored=frozenset(pool.rows[drawn.chosen].tolist()),
            propensities=tuple(propensities.tolist()),
        )

    def _pool(self, rows: Rows) -> Selection:
        """Return the products that may be drawn beside those of a list: the best, and the best new ones.

        None that the shop demotes by a boost, such as buried ones.
        """
        shown, is_new = self._shown(rows), self._new(NEW_DAYS)
        found = self._best(POOL, shown).rows
        if is_new is not None:
            found = np.union1d(found, self._best(POOL, shown, is_new).rows).astype(np.int32)
        if (boost := self.scorer.extra.get("boost")) is not None:
            found = found[boost[found] >= 0]
        pool = ranked(self.scorer, self.resolved.query, found, len(found))
        return pool.first(len(found), self.eligibility.groups)

    def _new(self, days: int) -> Mask | None:
        now = self.resolved.request.moment.timestamp()
        return new_rows(self.products.overlay_state().attributes, days, now)

    def _shown(self, rows: Rows) -> Rows:
        """Return the rows that are excluded, and those of a list with the variants that they stand for."""
        shown = [rows]
        if self.eligibility.collapse:
            shown = [self.planner.segment.variants(row) for row in rows.tolist()]
        return np.unique(np.concatenate([self.resolved.excluded, *shown])).astype(np.int32)

    def _best(self, k: int, excluded: Rows, within: Mask | None = None) -> Selection:
        """Return the best k eligible rows, of a mask alone where there is one."""
        eligibility = self.eligibility
        if within is not None:
            mask = within if eligibility.subset is None else within & eligibility.subset.mask
            eligibility = Eligibility(
                eligibility.segment, Subset(mask, eligibility.segment.groups), eligibility.collapse
            )
        query = RowQuery(self.resolved.query, k, excluded)
        return self.planner.search(self.scorer, query, eligibility, self.resolved.plan).selection

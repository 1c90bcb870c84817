"""What a fit publishes for a refresh: the tables of C that are not counted, and how events are counted."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from recommender.bundle import Bundle
from recommender.bundle.delta import REFRESH
from recommender.catalog import Interactions
from recommender.core.blocks import NO_ROWS
from recommender.core.cooccurrence import Cooccurrence
from recommender.core.segment import Segment
from recommender.errors import BundleError
from recommender.evaluation.ranking_task import MapFunction
from training.cooccurrence.complements import complements
from training.cooccurrence.pairs import count_pairs, normalize_counts
from training.cooccurrence.sparse import Table
from training.cooccurrence.tables import CooccurrenceTables, Mixture
from training.new_products.factors import NewProducts
from training.prior import PriorShape

STATISTICS = "statistics"  # the part
TABLES = ("similarity", "autoencoder")


@dataclass(frozen=True)
class CountStatistics:
    """How a generation's events are counted, and what C has beside their counts.

    Parameters
    ----------
    tables
        Those of `TABLES` that C has a share of, shape (n, n): of the fit, since they are not counts.
    mixture, prior, new_products
        The hyperparameters of the fit.
    """

    tables: Mapping[str, Cooccurrence]
    mixture: Mixture
    prior: PriorShape
    new_products: NewProducts

    @classmethod
    def of(
        cls, tables: CooccurrenceTables, mixture: Mixture, prior: PriorShape, new_products: NewProducts
    ) -> "CountStatistics":
        """Take what a model was counted with."""
        used = {name: getattr(tables, name) for name in TABLES if getattr(mixture, name)}
        known = {name: _as_published(table) for name, table in used.items() if table is not None}
        return cls(known, mixture, prior, new_products)

    def count(self, interactions: Interactions, n: int) -> CooccurrenceTables:
        """Count the pairs of events; products after the end of the tables have nothing in them."""
        counts = count_pairs(interactions, n)
        tables = dict.fromkeys(TABLES, sparse.csr_array((n, n)))
        for name, table in self.extended(n).items():
            values = table.values.astype(np.float64)
            tables[name] = sparse.csr_array((values, table.indices, table.indptr), shape=(n, n))
        return CooccurrenceTables(counts, normalize_counts(counts, interactions), **tables)

    def extended(self, n: int) -> dict[str, Cooccurrence]:
        """Return the tables of n products, with empty rows for those that were added."""
        return {name: _extended(table, n) for name, table in self.tables.items()}

    def with_counts(
        self, segment: Segment, tables: CooccurrenceTables, interactions: Interactions, run: MapFunction = map
    ) -> tuple[Segment, dict[str, Any]]:
        """Return the products' arrays with prior, C and complements of events, and the prior for the manifest.

        Parameters
        ----------
        segment
            The products.
        tables
            Counts of `interactions`.
        interactions
            The events.
        run
            See `complements`.
        """
        prior, description = self.prior.fit(interactions, segment.n)
        counted = replace(
            segment,
            prior=prior,
            cooccurrence=tables.mixed(self.mixture),
            complements=complements(segment, tables.counts, tables.normalized, run),
        )
        return counted, description

    def save(self, folder: Path) -> None:
        """Write the tables into a part's folder; the rest is `to_dict`."""
        for name, table in self.tables.items():
            table.save(folder, name)

    def to_dict(self) -> dict[str, Any]:
        """Return the hyperparameters as JSON values."""
        factors = asdict(self.new_products)
        del factors["metrics"]
        return {"mixture": asdict(self.mixture), "prior": asdict(self.prior), "new_products": factors}

    @classmethod
    def open(cls, bundle: Bundle) -> "CountStatistics":
        """Read the statistics of a generation.

        Raises
        ------
        BundleError
            If it has none: it was fitted without events, or by a version that could not refresh.
        """
        exported = bundle.manifest.extra.get(REFRESH)
        if exported is None:
            reason = f"fitted by version {bundle.manifest.package_version}, before refreshes, or without events"
            raise BundleError(
                f"generation {bundle.generation} cannot be refreshed: it was {reason}. Fit again, with events"
            )
        tables = {name: _table_of(bundle, name) for name in TABLES if bundle.has(STATISTICS, f"{name}_indptr.npy")}
        mixture, prior = Mixture(**exported["mixture"]), PriorShape(**exported["prior"])
        return cls(tables, mixture, prior, NewProducts(**exported["new_products"]))


def _table_of(bundle: Bundle, name: str) -> Cooccurrence:
    return Cooccurrence.open(lambda file: bundle.array(STATISTICS, file), name, NO_ROWS)


def _as_published(table: Table) -> Cooccurrence:
    """Return a table as it is; `to_cooccurrence` would leave out cosines of 0, which have a similarity."""
    indptr, indices = table.indptr.astype(np.int64), table.indices.astype(np.int32)
    return Cooccurrence(indptr, indices, table.data.astype(np.float32))


def _extended(table: Cooccurrence, n: int) -> Cooccurrence:
    starts = table.indptr
    return replace(table, indptr=np.append(starts, np.repeat(starts[-1], n + 1 - len(starts))))

"""Annoy's trees open the search, a walk over the neighbour graph ends it: candidate rows. Rows, never scores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import local

import numpy as np
from annoy import AnnoyIndex

from recommender.core.blocks import Double, Float, Layout, Rows
from recommender.core.scoring import Query, Scorer
from recommender.filters.subset import Subset
from recommender.retrieval.codes import Codes
from recommender.retrieval.kernels import kernels
from recommender.retrieval.selection import nearest

# The trees need only tell where to begin: so many dimensions in all, shared by the blocks.
DIMS = 64
# Blocks enter the trees scaled by the root of their learned weight; none vanishes: a request may turn it up.
MIN_SCALE = 0.2
AXES_ROWS = 100_000  # enough items to find the axes by
ENTRIES = 8  # rows from which the graph is walked, usually
ENTRY_NODES = 8  # nodes of the trees that are looked at for each
AHEAD = 32  # rows that a walk among some of the products may have ahead of it, for each that it keeps
# A walk among some of the products is wider where the filter has to do with the query: where what it keeps of the
# rows seen is so many standard errors from its share of all; INSIDE times where it is more, OUTSIDE where less.
ERRORS, INSIDE, OUTSIDE = 4.0, 4, 24
SCANNED = 100  # to scan so many rows for each in such a view takes no longer, and misses none
MOST_ENTRIES = 8  # where it keeps little at all, so many times as many entries are looked at


@dataclass(frozen=True)
class Index:
    """An Annoy forest whose leaves are the entries to a graph of neighbours (EFANNA, Fu and Cai, 2016).

    For the trees each block is rotated to its principal axes (uncentred PCA, so that inner products survive) and
    cut; the prior is one more dimension; a last one brings every item to the same norm, which turns inner product
    into cosine (Bachrach et al., RecSys 2014).

    Parameters
    ----------
    forest
        The loaded Annoy index.
    axes
        Leading axes of each block, side by side on the diagonal, shape (d, q).
    scale
        Root of the weight that each block had at the build, per kept column, shape (q,).
    prior_scale
        The same for the prior.
    layout
        Where the blocks lie in a fused vector.
    codes, graph
        The vectors in 8 bits, and the neighbours to step to, shape (n, degree), padded with −1; None where the
        bundle was built without numba.
    """

    forest: AnnoyIndex
    axes: Float
    scale: Double
    prior_scale: float
    layout: Layout
    codes: Codes | None = None
    graph: Rows | None = None
    _marks: local = field(default_factory=local, repr=False, compare=False)

    @classmethod
    def build(
        cls,
        folder: Path,
        vectors: Float,
        prior: Float,
        layout: Layout,
        weights: Mapping[str, float],
        trees: int,
        seed: int,
    ) -> None:
        """Write `index.ann` and what is needed to ask it into a part's folder.

        Parameters
        ----------
        vectors
            Shape (n, d).
        prior
            Shape (n,).
        weights
            The learned weights; they shape the trees, not the answers.
        """
        axes, owner = _leading_axes(vectors, layout)
        scale = np.array([max(weights.get(name, 0.0) ** 0.5, MIN_SCALE) for name in owner], dtype=np.float32)
        prior_scale = max(weights.get("prior", 0.0) ** 0.5, MIN_SCALE)
        points = np.column_stack([(vectors @ axes) * scale, (prior * prior_scale).astype(np.float32)])
        norms = np.linalg.norm(points, axis=1)
        points = np.column_stack([points, np.sqrt(np.maximum(norms.max() ** 2 - norms**2, 0.0))])
        forest = AnnoyIndex(points.shape[1], "angular")
        forest.set_seed(seed)
        for row, point in enumerate(points):
            forest.add_item(row, point.tolist())
        forest.build(trees, n_jobs=1)  # one job: the same file from the same seed
        forest.save(str(folder / "index.ann"))
        np.save(folder / "index_axes.npy", axes.astype(np.float32))
        np.save(folder / "index_scale.npy", np.append(scale, prior_scale))

    @classmethod
    def open(cls, path: Path, load: Callable[[str], np.ndarray], layout: Layout, graph: bool = False) -> "Index":
        """Map the forest and the graph; the bundle has checked sizes, since Annoy itself crashes on a bad file."""
        axes, scale = load("index_axes.npy"), load("index_scale.npy")
        forest = AnnoyIndex(axes.shape[1] + 2, "angular")
        forest.load(str(path), prefault=True)
        walkable = graph and kernels() is not None
        return cls(
            forest=forest,
            axes=np.asarray(axes),
            scale=np.asarray(scale[:-1]),
            prior_scale=float(scale[-1]),
            layout=layout,
            codes=Codes.open(load, layout) if walkable else None,
            graph=load("graph.npy") if walkable else None,
        )

    def candidates(self, scorer: Scorer, query: Query, count: int, search_k: int) -> Rows:
        """Return up to `count` rows near the query by the trees alone, nearest first, shape (c,)."""
        block = scorer.weighted(query).astype(np.float32) @ self.axes / self.scale
        point = [*block.tolist(), scorer.weights.get("prior", 0.0) / self.prior_scale, 0.0]
        return np.array(self.forest.get_nns_by_vector(point, count, search_k), dtype=np.int32)

    def walk(
        self,
        scorer: Scorer,
        query: Query,
        width: int,
        subset: Subset | None = None,
        entries: int = ENTRIES,
    ) -> Rows:
        """Return rows near the query by a best-first walk over the graph, nearest first, shape (c,).

        Parameters
        ----------
        width
            How many rows the walk keeps in view. More where the filter has to do with the query: what it leaves of
            the nearest, and all of it where it leaves little, lies in many places.
        subset
            Rows that may be found; None allows all.
        entries
            Rows that the trees give to begin from; more where a filter keeps few of them.
        """
        if subset is not None:
            return self._walk_among(scorer, query, width, subset, entries)
        loops = kernels()
        assert loops is not None
        assert self.codes is not None
        seeds, kept = self.candidates(scorer, query, entries, ENTRY_NODES * entries), _room(width)
        asked, marks = self.codes.query(scorer, query), self.fresh_marks(len(self.codes.codes))
        size = loops.beam(self.codes.codes, self.graph, asked, seeds, *marks, *kept)
        return kept[0][:size]

    def _walk_among(self, scorer: Scorer, query: Query, width: int, subset: Subset, entries: int) -> Rows:
        assert self.codes is not None
        asked = self.codes.query(scorer, query)
        entries = int(entries / max(subset.share, 1 / MOST_ENTRIES))
        seeds = self.candidates(scorer, query, entries, ENTRY_NODES * entries)
        wider = OUTSIDE
        if subset.mask[seeds].mean() >= subset.share / 4:  # seeds are few: chance alone seldom keeps fewer
            found, lead = self._beam_among(asked, seeds, width, subset)
            if abs(lead) <= ERRORS:
                return found
            wider = INSIDE if lead > 0 else OUTSIDE
        width *= wider
        if len(subset.rows) <= SCANNED * width:
            return self._best(asked, subset.rows, width)
        seeds = np.concatenate([seeds, self._best(asked, subset.entries, ENTRIES)])
        return self._beam_among(asked, seeds, width, subset)[0]

    def _beam_among(self, asked: Float, seeds: Rows, width: int, subset: Subset) -> tuple[Rows, float]:
        """Return the rows found, and by how many standard errors more of those seen are allowed than of all."""
        loops = kernels()
        assert loops is not None
        assert self.codes is not None
        marks, kept, ahead = self.fresh_marks(len(self.codes.codes)), _room(width), _room(AHEAD * width)
        size, seen, allowed = loops.beam_among(
            self.codes.codes, self.graph, asked, seeds, subset.mask, *marks, *kept, *ahead
        )
        # of a binomial share; by one row at least
        error = (max(subset.share * (1 - subset.share), 1 / seen) / seen) ** 0.5
        return kept[0][:size], (allowed / seen - subset.share) / error

    def _best(self, asked: Float, rows: Rows, count: int) -> Rows:
        """Return the `count` rows with the highest estimated scores, highest first."""
        assert self.codes is not None
        line = self.codes.estimate(asked, rows)
        best = nearest(line, min(count, len(rows)), 0.0)
        return rows[best[np.argsort(-line[best], kind="stable")]][:count]

    def fresh_marks(self, n: int) -> tuple[np.ndarray, np.uint32]:
        """Return this thread's marks of n rows, and a number that none of them holds."""
        mine = self._marks
        if getattr(mine, "last", 2**32 - 1) == 2**32 - 1:
            mine.marks, mine.last = np.zeros(n, dtype=np.uint32), 0
        mine.last += 1
        return mine.marks, np.uint32(mine.last)


def _room(size: int) -> tuple[Rows, Float]:
    """Return room for rows and their scores."""
    return np.empty(size, dtype=np.int32), np.empty(size, dtype=np.float32)


def _leading_axes(vectors: Float, layout: Layout) -> tuple[Float, list[str]]:
    """Principal axes of each block as one (d, q) matrix, and the block that owns each column."""
    columns, owner = [], []
    most = DIMS // len(layout.names)
    step = -(-len(vectors) // AXES_ROWS)
    for name, place in layout.slices.items():
        block = np.asarray(vectors[::step, place], dtype=np.float32)
        axes = np.linalg.eigh((block.T @ block).astype(np.float64))[1]
        kept = min(most, axes.shape[1])
        wide = np.zeros((layout.d, kept))
        wide[place] = axes[:, ::-1][:, :kept]
        columns.append(wide)
        owner += [name] * kept
    return np.concatenate(columns, axis=1).astype(np.float32), owner

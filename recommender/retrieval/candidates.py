"""The approximate index: Annoy gives entry points, a beam search over the neighbour graph candidate rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import local

import numpy as np
from annoy import AnnoyIndex

from recommender.core.blocks import Double, Float, Layout, Rows
from recommender.core.scoring import Query, Scorer
from recommender.filters.subset import Subset
from recommender.retrieval.codes import Codes
from recommender.retrieval.kernels import kernels, walk_kernels
from recommender.retrieval.neighbour_codes import MIN_SCALE, NeighbourCodes
from recommender.retrieval.selection import nearest

# Dimensions of the trees, shared by the blocks: the trees only find entry points.
TREE_DIMS = 64
AXES_ROWS = 100_000  # items sampled for the principal axes
ENTRIES = 8  # default number of entry points of a walk
MAX_HISTORY = 16  # products of a history that are entry points, too
ENTRY_NODES = 8  # tree nodes inspected per entry point
FRONTIER_FACTOR = 32  # size of the frontier of a filtered walk, per row of the beam
# A filtered walk is wider where the filter is correlated with the query: where the share of visited rows that
# match is MAX_ERRORS standard errors from the filter's share of all rows; by POSITIVE_FACTOR where it is larger,
# else by NEGATIVE_FACTOR.
MAX_ERRORS, POSITIVE_FACTOR, NEGATIVE_FACTOR = 4.0, 4, 24
SCAN_FACTOR = 100  # scanning so many rows per row of such a beam takes no longer, and is exact
MAX_ENTRY_FACTOR = 8  # selective filters get up to so many times as many entry points


@dataclass(frozen=True)
class Index:
    """An Annoy forest that finds entry points to a neighbour graph (EFANNA, Fu and Cai, 2016).

    For the trees each block is reduced to its leading principal axes (uncentred PCA, which preserves inner
    products); the prior is one more dimension; a last one gives all items the same norm, which turns inner
    products into cosines (Bachrach et al., RecSys 2014).

    Parameters
    ----------
    forest
        The loaded Annoy index.
    axes
        Leading axes of each block, block-diagonal, shape (d, q).
    scale
        Root of the weight of each column's block at the build, shape (q,).
    prior_scale
        The same for the prior.
    layout
        The columns of each block in a fused vector.
    codes, graph
        The int8 vectors, and the edges of the graph, shape (n, degree), padded with −1; None if the bundle was
        built without numba.
    neighbour_codes, prior, trees
        The one-bit codes of the graph's edges, the prior of the items, shape (n,), and the nodes and roots of the
        forest, see `map_trees`, for a faster walk; None if the bundle was built before there were such codes, or
        the processor lacks AVX2.
    """

    forest: AnnoyIndex
    axes: Float
    scale: Double
    prior_scale: float
    layout: Layout
    codes: Codes | None = None
    graph: Rows | None = None
    neighbour_codes: NeighbourCodes | None = None
    prior: Float | None = None
    trees: tuple[np.ndarray, Rows] | None = None
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
        """Build the forest and write `index.ann` and its projection into a part's folder.

        Parameters
        ----------
        vectors
            Shape (n, d).
        prior
            Shape (n,).
        weights
            The learned weights; they shape the trees, not the scores.
        """
        axes, blocks = _leading_axes(vectors, layout)
        scale = np.array([max(weights.get(name, 0.0) ** 0.5, MIN_SCALE) for name in blocks], dtype=np.float32)
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
    def open(
        cls,
        path: Path,
        load: Callable[[str], np.ndarray],
        layout: Layout,
        graph: bool = False,
        one_bit: bool = False,
    ) -> "Index":
        """Map the forest and the graph; the bundle checked the file sizes, since Annoy crashes on a bad file."""
        axes, scale = load("index_axes.npy"), load("index_scale.npy")
        forest = AnnoyIndex(axes.shape[1] + 2, "angular")
        forest.load(str(path), prefault=True)
        walkable = graph and kernels() is not None
        one_bit = one_bit and walkable and walk_kernels() is not None
        return cls(
            forest=forest,
            axes=np.asarray(axes),
            scale=np.asarray(scale[:-1]),
            prior_scale=float(scale[-1]),
            layout=layout,
            codes=Codes.open(load, layout) if walkable else None,
            graph=load("graph.npy") if walkable else None,
            neighbour_codes=NeighbourCodes.open(load) if one_bit else None,
            prior=load("prior.npy") if one_bit else None,
            trees=map_trees(path, axes.shape[1] + 2, forest.get_n_trees()) if one_bit else None,
        )

    def candidates(self, scorer: Scorer, query: Query, count: int, search_k: int) -> Rows:
        """Return up to `count` rows near the query from the trees alone, nearest first, shape (c,)."""
        return self._entries(scorer.weighted(query), scorer.weights.get("prior", 0.0), count, search_k)

    @cached_property
    def _projection(self) -> Float:
        """From a weighted query to the trees, shape (d, q + 2); the last two columns are 0."""
        return np.pad(self.axes / self.scale, ((0, 0), (0, 2))).astype(np.float32)

    def _point(self, weighted: Double, prior_weight: float) -> Float:
        """Return the query as a point of the trees, shape (q + 2,)."""
        point: Float = weighted.astype(np.float32) @ self._projection
        point[-2] = prior_weight / self.prior_scale
        return point

    def _entries(self, weighted: Double, prior_weight: float, count: int, search_k: int) -> Rows:
        point = self._point(weighted, prior_weight).tolist()
        return np.array(self.forest.get_nns_by_vector(point, count, search_k), dtype=np.int32)

    def walk(
        self,
        scorer: Scorer,
        query: Query,
        width: int,
        subset: Subset | None = None,
        entries: int = ENTRIES,
    ) -> Rows:
        """Return rows near the query by a beam search over the graph, nearest first, shape (c,).

        Parameters
        ----------
        width
            Beam width; increased where the filter is correlated with the query, since the matching rows are then
            scattered.
        subset
            Rows that match the filter; None for all rows.
        entries
            Number of entry points; increased for a selective filter.
        """
        if subset is not None:
            return self._filtered_walk(scorer, query, width, subset, entries)
        if self.neighbour_codes is not None:
            return self._fast_walk(scorer, query, width, entries)
        loops = kernels()
        assert loops is not None
        assert self.codes is not None
        seeds, beam = self.candidates(scorer, query, entries, ENTRY_NODES * entries), _buffers(width)
        seeds = np.concatenate([self._of_history(query), seeds])
        coded, marks = self.codes.query(scorer, query), self.fresh_marks(len(self.codes.codes))
        size = loops.beam(self.codes.codes, self.graph, coded, seeds, *marks, *beam)
        return beam[0][:size]

    def _fast_walk(self, scorer: Scorer, query: Query, width: int, entries: int) -> Rows:
        """Return rows by a walk that estimates the scores of neighbours by their one-bit codes."""
        loops, near, codes = walk_kernels(), self.neighbour_codes, self.codes
        assert loops is not None
        assert near is not None
        assert codes is not None
        weighted, prior_weight = scorer.weighted(query), scorer.weights.get("prior", 0.0)
        edges = (self.graph, near.codes, near.factors, near.signs, near.scales)
        seeds = np.concatenate([self._of_history(query), self._leaf_rows(weighted, prior_weight, entries)])
        rows, marks = np.empty(width, dtype=np.int32), self.fresh_marks(len(codes.codes))
        of_query = (weighted, self.prior, prior_weight, seeds)
        count = loops.walk(codes.codes, codes.scales, *edges, *of_query, *marks, rows)
        return rows[:count]

    def _of_history(self, query: Query) -> Rows:
        """Return the strongest products of a history: the mean of distant products is near nothing but them."""
        assert self.graph is not None
        rows, attention = query.rows, query.attention
        if len(rows) > MAX_HISTORY:
            strongest = np.argsort(-attention, kind="stable")[:MAX_HISTORY]
            rows, attention = rows[strongest], attention[strongest]
        return rows[(attention > 0) & (rows < len(self.graph))]

    def _leaf_rows(self, weighted: Double, prior_weight: float, entries: int) -> Rows:
        """Return entry points from the trees: of one leaf each, or by Annoy's search where they are too few."""
        loops = walk_kernels()
        assert loops is not None
        assert self.trees is not None
        nodes, roots = self.trees
        if entries > loops.LEAF_ROWS * len(roots):
            return self._entries(weighted, prior_weight, entries, ENTRY_NODES * entries)
        rows = np.empty(entries, dtype=np.int32)
        point = self._point(weighted, prior_weight)
        return rows[: loops.entry_rows(nodes, roots, point, self.forest.get_n_items(), rows)]

    def _filtered_walk(self, scorer: Scorer, query: Query, width: int, subset: Subset, entries: int) -> Rows:
        assert self.codes is not None
        coded = self.codes.query(scorer, query)
        entries = int(entries / max(subset.share, 1 / MAX_ENTRY_FACTOR))
        seeds = self.candidates(scorer, query, entries, ENTRY_NODES * entries)
        factor = NEGATIVE_FACTOR
        if subset.mask[seeds].mean() >= subset.share / 4:  # of few entry points, fewer seldom match by chance
            rows, errors = self._filtered_beam(coded, seeds, width, subset)
            if abs(errors) <= MAX_ERRORS:
                return rows
            factor = POSITIVE_FACTOR if errors > 0 else NEGATIVE_FACTOR
        width *= factor
        if len(subset.rows) <= SCAN_FACTOR * width:
            return self._best(coded, subset.rows, width)
        seeds = np.concatenate([seeds, self._best(coded, subset.entries, ENTRIES)])
        return self._filtered_beam(coded, seeds, width, subset)[0]

    def _filtered_beam(self, coded: Float, seeds: Rows, width: int, subset: Subset) -> tuple[Rows, float]:
        """Return rows, and by how many standard errors more of the visited rows match than expected."""
        loops = kernels()
        assert loops is not None
        assert self.codes is not None
        marks = self.fresh_marks(len(self.codes.codes))
        beam, frontier = _buffers(width), _buffers(FRONTIER_FACTOR * width)
        size, visited, matching = loops.filtered_beam(
            self.codes.codes, self.graph, coded, seeds, subset.mask, *marks, *beam, *frontier
        )
        # standard error of a binomial share, at least that of one row
        error = (max(subset.share * (1 - subset.share), 1 / visited) / visited) ** 0.5
        return beam[0][:size], (matching / visited - subset.share) / error

    def _best(self, coded: Float, rows: Rows, count: int) -> Rows:
        """Return the `count` rows with the highest estimated scores, highest first."""
        assert self.codes is not None
        line = self.codes.estimate(coded, rows)
        best = nearest(line, min(count, len(rows)), 0.0)
        return rows[best[np.argsort(-line[best], kind="stable")]][:count]

    def fresh_marks(self, n: int) -> tuple[np.ndarray, np.uint32]:
        """Return this thread's array of marks, shape (n,), and a number that is not in it."""
        marks = self._marks
        if getattr(marks, "last", 2**32 - 1) == 2**32 - 1:
            marks.marks, marks.last = np.zeros(n, dtype=np.uint32), 0
        marks.last += 1
        return marks.marks, np.uint32(marks.last)


def map_trees(path: Path, dims: int, trees: int) -> tuple[np.ndarray, Rows]:
    """Map the file of an Annoy forest of unit vectors: its nodes, shape (nodes, 3 + dims), int32, and its roots.

    The file ends with a copy of the roots.
    """
    nodes = np.memmap(path, np.int32, "r").reshape(-1, 3 + dims)
    return np.asarray(nodes), np.arange(len(nodes) - trees, len(nodes), dtype=np.int32)


def _buffers(size: int) -> tuple[Rows, Float]:
    """Return uninitialized arrays for rows and their scores."""
    return np.empty(size, dtype=np.int32), np.empty(size, dtype=np.float32)


def _leading_axes(vectors: Float, layout: Layout) -> tuple[Float, list[str]]:
    """Return the principal axes of each block as one (d, q) matrix, and the block of each column."""
    columns, blocks = [], []
    max_axes = TREE_DIMS // len(layout.names)
    step = -(-len(vectors) // AXES_ROWS)
    for name, block_columns in layout.slices.items():
        block = np.asarray(vectors[::step, block_columns], dtype=np.float32)
        axes = np.linalg.eigh((block.T @ block).astype(np.float64))[1]
        count = min(max_axes, axes.shape[1])
        padded = np.zeros((layout.d, count))
        padded[block_columns] = axes[:, ::-1][:, :count]
        columns.append(padded)
        blocks += [name] * count
    return np.concatenate(columns, axis=1).astype(np.float32), blocks

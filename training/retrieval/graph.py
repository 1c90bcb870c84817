"""The graph that a search walks: neighbour lists from Annoy, improved by their neighbours, thinned to edges."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path

import numpy as np
from annoy import AnnoyIndex

from recommender.core.blocks import Float, Rows
from recommender.progress import progress
from recommender.retrieval.codes import Codes
from recommender.retrieval.kernels import kernels

LISTED = 64  # neighbours per product before thinning
FOUND = 48  # of which so many are from Annoy
PASSES = 3
FOLLOWED = 40  # neighbours of whom the neighbours are looked at
DEGREE = 16  # edges out of a product; as many again may come to lead back
CHUNK = 4096


def build_graph(folder: Path, forest: AnnoyIndex, codes: Codes, weights: Mapping[str, float]) -> None:
    """Write `graph.npy`, shape (n, 2 DEGREE), padded with −1, into a part's folder.

    Annoy's neighbours, improved by looking at the neighbours of neighbours (EFANNA, Fu and Cai, 2016), then kept
    only where they lead in different directions.

    Parameters
    ----------
    weights
        The learned weights under which products are near.
    """
    loops = kernels()
    assert loops is not None
    n = len(codes.codes)
    between = codes.between(weights)
    lists = _listed_by_annoy(forest, n)
    for _ in range(PASSES):
        lists = _expanded(codes.codes, between, lists)
    graph = np.full((n, 2 * DEGREE), -1, dtype=np.int32)
    _in_chunks(
        lambda first, last: loops.prune(codes.codes, between, lists, DEGREE, first, last, graph), n, "edges"
    )
    loops.add_reverse(graph, DEGREE)
    np.save(folder / "graph.npy", graph)


def _expanded(codes: np.ndarray, between: Float, lists: Rows) -> Rows:
    loops = kernels()
    assert loops is not None
    better = np.full_like(lists, -1)
    _in_chunks(
        lambda first, last: loops.expand(codes, between, lists, FOLLOWED, first, last, better), len(lists), "graph"
    )
    return better


def _listed_by_annoy(forest: AnnoyIndex, n: int) -> Rows:
    lists = np.full((n, LISTED), -1, dtype=np.int32)

    def fill(first: int, last: int) -> None:
        for row in range(first, last):
            near = forest.get_nns_by_item(row, FOUND + 1, 4 * FOUND)
            lists[row, : len(near)] = near

    _in_chunks(fill, n, "trees")
    return lists


def _in_chunks(work: Callable[[int, int], None], n: int, label: str) -> None:
    """Call `work` for ranges of rows on all cores; it releases the GIL."""

    def ranges() -> Iterator[tuple[int, int]]:
        return ((first, min(first + CHUNK, n)) for first in range(0, n, CHUNK))

    with ThreadPoolExecutor(cpu_count()) as pool:
        done = pool.map(lambda bounds: work(*bounds), ranges())
        for _ in progress(done, label, -(-n // CHUNK), "chunk"):
            pass

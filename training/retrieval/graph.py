"""Builds the graph that a search walks: neighbour lists from Annoy, refined and pruned to diverse edges."""

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

LIST_LENGTH = 64  # neighbours of a product before pruning
ANNOY_NEIGHBOURS = 48  # of them, from Annoy
PASSES = 3  # of refinement
EXPANDED = 40  # neighbours whose own neighbours are compared in a pass
DEGREE = 16  # edges out of a product; as many reverse edges may be added
CHUNK = 4096


def build_graph(folder: Path, forest: AnnoyIndex, codes: Codes, weights: Mapping[str, float]) -> None:
    """Write `graph.npy`, shape (n, 2 DEGREE), padded with −1, into a part's folder.

    Annoy's neighbours are refined by comparing the neighbours of neighbours (EFANNA, Fu and Cai, 2016), then
    pruned to those that lead in different directions.

    Parameters
    ----------
    folder
        Of the part.
    forest, codes
        Annoy's index and the quantized vectors of the products.
    weights
        The learned weights under which neighbours are near.
    """
    loops = kernels()
    assert loops is not None
    n = len(codes.codes)
    between = codes.neighbour_query_factors(weights)
    lists = _annoy_lists(forest, n)
    for _ in range(PASSES):
        lists = _expand(codes.codes, between, lists)
    graph = np.full((n, 2 * DEGREE), -1, dtype=np.int32)
    _in_chunks(
        lambda first, last: loops.prune(codes.codes, between, lists, DEGREE, first, last, graph), n, "edges"
    )
    loops.add_reverse(graph, DEGREE)
    np.save(folder / "graph.npy", graph)


def _expand(codes: np.ndarray, between: Float, lists: Rows) -> Rows:
    loops = kernels()
    assert loops is not None
    better = np.full_like(lists, -1)
    _in_chunks(
        lambda first, last: loops.expand(codes, between, lists, EXPANDED, first, last, better), len(lists), "graph"
    )
    return better


def _annoy_lists(forest: AnnoyIndex, n: int) -> Rows:
    lists = np.full((n, LIST_LENGTH), -1, dtype=np.int32)

    def fill(first: int, last: int) -> None:
        for row in range(first, last):
            near = forest.get_nns_by_item(row, ANNOY_NEIGHBOURS + 1, 4 * ANNOY_NEIGHBOURS)
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

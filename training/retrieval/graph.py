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
from recommender.retrieval.kernels import kernels, walk_kernels
from recommender.retrieval.neighbour_codes import NeighbourCodes, random_rotation

LIST_LENGTH = 64  # neighbours of a product before pruning
ANNOY_NEIGHBOURS = 48  # of them, from Annoy
PASSES = 3  # of refinement
EXPANDED = 40  # neighbours whose own neighbours are compared in a pass
WALK_ENTRIES, WALK_WIDTH = 8, 64  # of the walks to each product, whose rows are candidates for edges, too
WALKED = 128  # candidates for edges
DEGREE = 16  # edges out of a product; as many reverse edges may be added
CHUNK = 4096


def build_graph(folder: Path, forest: AnnoyIndex, codes: Codes, weights: Mapping[str, float], seed: int) -> None:
    """Write `graph.npy`, shape (n, 2 DEGREE), padded with −1, and the codes of its edges into a part's folder.

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
    seed
        Of the rotation of the one-bit codes.
    """
    loops = kernels()
    assert loops is not None
    n = len(codes.codes)
    between = codes.neighbour_query_factors(weights)
    lists = _annoy_lists(forest, n)
    for _ in range(PASSES):
        lists = _expand(codes.codes, between, lists)
    graph = _pruned(codes.codes, between, lists)
    if walk_kernels() is not None:
        rotation = random_rotation(codes.layout, weights, seed)
        lists = _walked(codes, graph, _encoded(codes, graph, rotation), between, lists)
        graph = _pruned(codes.codes, between, lists)
        _encoded(codes, graph, rotation).save(folder)
    np.save(folder / "graph.npy", graph)


def _pruned(codes: np.ndarray, between: Float, lists: Rows) -> Rows:
    loops = kernels()
    assert loops is not None
    graph = np.full((len(codes), 2 * DEGREE), -1, dtype=np.int32)
    _in_chunks(
        lambda first, last: loops.prune(codes, between, lists, DEGREE, first, last, graph), len(codes), "edges"
    )
    loops.add_reverse(graph, DEGREE)
    return graph


def _encoded(codes: Codes, graph: Rows, rotation: Float) -> NeighbourCodes:
    near = NeighbourCodes.empty(rotation, *graph.shape)
    nodes = np.arange(len(graph), dtype=np.int32)
    _in_chunks(lambda first, last: near.encode(codes, nodes, graph, first, last), len(graph), "one-bit codes")
    return near


def _walked(codes: Codes, graph: Rows, near: NeighbourCodes, between: Float, lists: Rows) -> Rows:
    """Return the lists with what a walk from distant rows to each product meets: edges over long distances."""
    loops = walk_kernels()
    assert loops is not None
    n, d = len(graph), codes.layout.d
    entries = np.linspace(0, n - 1, min(WALK_ENTRIES, n)).astype(np.int32)
    steps = (between[:d] / codes.scales[:d].clip(1e-30) / near.scales[:d]).astype(np.float32)
    edges = (graph, near.codes, near.factors, near.signs)
    out = np.empty((n, WALKED), dtype=np.int32)
    _in_chunks(
        lambda first, last: loops.candidate_edges(
            codes.codes, edges, between, steps, entries, lists, WALK_WIDTH, first, last, out
        ),
        n,
        "walks",
    )
    return out


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

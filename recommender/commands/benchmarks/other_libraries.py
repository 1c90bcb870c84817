"""The libraries that the retrieval benchmark compares with: what builds an index, and what searches it."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from recommender.core.blocks import Float, Mask

K = 10
WIDTHS = (10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512)  # of the search: each step is slower and finds more
SearchOne = Callable[[Float], Any]  # from a query vector to k rows
Steps = Iterator[SearchOne]  # a way to search for each width
Library = tuple[Callable[[Float], Any], Callable[..., Steps]]


def hnswlib_index(vectors: Float) -> Any:
    """Build hnswlib's graph in one thread."""
    import hnswlib

    index = hnswlib.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), M=16, ef_construction=200)
    index.add_items(vectors, num_threads=1)
    index.set_num_threads(1)
    return index


def hnswlib(index: Any, mask: Mask | None = None) -> Steps:
    """Search hnswlib's graph, with its filter where there is a mask."""
    allowed = None if mask is None else mask.tolist().__getitem__

    def search(ef: int, vector: Float) -> Any:
        index.set_ef(ef)
        return index.knn_query(vector, K, num_threads=1, filter=allowed)[0][0]

    return (partial(search, ef) for ef in WIDTHS)


def faiss_index(vectors: Float) -> Any:
    """Build Faiss's HNSW graph in one thread."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 200
    index.add(vectors)
    return index


def faiss(index: Any, mask: Mask | None = None) -> Steps:
    """Search Faiss's graph, with a bitmap selector where there is a mask."""
    import faiss

    bits = None if mask is None else np.packbits(mask, bitorder="little")
    selector = None if mask is None else faiss.IDSelectorBitmap(bits)

    def search(ef: int, vector: Float) -> Any:
        return index.search(vector[None], K, params=faiss.SearchParametersHNSW(efSearch=ef, sel=selector))[1][0]

    yield from (partial(search, ef) for ef in WIDTHS)


def usearch_index(vectors: Float) -> Any:
    """Build USearch's graph in one thread."""
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="ip", dtype="bf16", connectivity=16, expansion_add=200)
    index.add(np.arange(len(vectors)), vectors, threads=1)
    return index


def usearch(index: Any) -> Steps:
    """Search USearch's graph."""

    def search(ef: int, vector: Float) -> Any:
        index.expansion_search = ef
        return index.search(vector, K, threads=1).keys

    return (partial(search, ef) for ef in WIDTHS)


def voyager_index(vectors: Float) -> Any:
    """Build Voyager's graph in one thread."""
    from voyager import Index, Space

    index = Index(Space.InnerProduct, vectors.shape[1], M=16, ef_construction=200)
    index.add_items(vectors, num_threads=1)
    return index


def voyager(index: Any) -> Steps:
    """Search Voyager's graph."""

    def search(ef: int, vector: Float) -> Any:
        return index.query(vector, K, query_ef=ef)[0]

    return (partial(search, ef) for ef in WIDTHS)


def symphony_index(vectors: Float) -> Any:
    """Build SymphonyQG's graph in one thread."""
    from rabitqlib import SymqgIndex

    index = SymqgIndex(vectors.shape[1], 32, "ip")
    index.build(vectors, 200, 1)
    return index


def symphony(index: Any) -> Steps:
    """Search SymphonyQG's graph."""

    def search(ef: int, vector: Float) -> Any:
        return index.search(vector[None], K, ef)[0][0]

    return (partial(search, ef) for ef in WIDTHS)


def vsag_index(vectors: Float) -> Any:
    """Build VSAG's graph of int8 codes with full vectors for the order, in one thread."""
    from pyvsag import Index

    n, dim = vectors.shape
    graph = {"base_quantization_type": "sq8", "max_degree": 32, "ef_construction": 200, "build_thread_count": 1}
    precise = {"use_reorder": True, "precise_quantization_type": "fp32"}
    parameters = {"dtype": "float32", "metric_type": "ip", "dim": dim, "index_param": graph | precise}
    index = Index("hgraph", json.dumps(parameters))
    index.build(vectors.ravel(), np.arange(n), n, dim)
    return index


def vsag(index: Any) -> Steps:
    """Search VSAG's graph."""

    def search(parameters: str, vector: Float) -> Any:
        return index.knn_search(vector, K, parameters)[0]

    return (partial(search, json.dumps({"hgraph": {"ef_search": ef}})) for ef in WIDTHS)


LIBRARIES: dict[str, Library] = {
    "hnswlib": (hnswlib_index, hnswlib),
    "faiss HNSW": (faiss_index, faiss),
    "usearch": (usearch_index, usearch),
    "voyager": (voyager_index, voyager),
    "SymphonyQG": (symphony_index, symphony),
    "VSAG": (vsag_index, vsag),
}

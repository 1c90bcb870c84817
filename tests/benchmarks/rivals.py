"""The libraries that `retrieval.py` is compared with: an index of each, and a way of asking per step."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec

import numpy as np

K = 10
LADDER = (10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512)
Ask = Callable[[np.ndarray], np.ndarray]


def hnswlib_index(vectors: np.ndarray) -> "object":
    import hnswlib

    index = hnswlib.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), M=16, ef_construction=200)
    index.add_items(vectors, num_threads=1)
    index.set_num_threads(1)
    return index


def hnswlib(index: object, mask: np.ndarray | None = None) -> Iterator[Ask]:
    allowed = None if mask is None else mask.tolist().__getitem__

    def ask(ef: int, vector: np.ndarray) -> np.ndarray:
        index.set_ef(ef)
        return index.knn_query(vector, K, num_threads=1, filter=allowed)[0][0]

    return (partial(ask, ef) for ef in LADDER)


def faiss_index(vectors: np.ndarray) -> "object":
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 200
    index.add(vectors)
    return index


def faiss(index: object, mask: np.ndarray | None = None) -> Iterator[Ask]:
    import faiss

    bits = None if mask is None else np.packbits(mask, bitorder="little")
    selector = None if mask is None else faiss.IDSelectorBitmap(bits)

    def ask(ef: int, vector: np.ndarray) -> np.ndarray:
        return index.search(vector[None], K, params=faiss.SearchParametersHNSW(efSearch=ef, sel=selector))[1][0]

    yield from (partial(ask, ef) for ef in LADDER)


def usearch_index(vectors: np.ndarray) -> "object":
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="ip", dtype="bf16", connectivity=16, expansion_add=200)
    index.add(np.arange(len(vectors)), vectors, threads=1)
    return index


def usearch(index: "object") -> Iterator[Ask]:
    def ask(ef: int, vector: np.ndarray) -> np.ndarray:
        index.expansion_search = ef
        return index.search(vector, K, threads=1).keys

    return (partial(ask, ef) for ef in LADDER)


def voyager_index(vectors: np.ndarray) -> "object":
    from voyager import Index, Space

    index = Index(Space.InnerProduct, vectors.shape[1], M=16, ef_construction=200)
    index.add_items(vectors, num_threads=1)
    return index


def voyager(index: "object") -> Iterator[Ask]:
    return (partial(lambda ef, vector: index.query(vector, K, query_ef=ef)[0], ef) for ef in LADDER)


def installed() -> dict[str, tuple[Callable[[np.ndarray], "object"], Callable[["object"], Iterator[Ask]]]]:
    """Return by name, of those that are installed, what makes an index of vectors and the ways of asking it."""
    known = {
        "hnswlib": (hnswlib_index, hnswlib),
        "faiss HNSW": (faiss_index, faiss),
        "usearch": (usearch_index, usearch),
        "voyager": (voyager_index, voyager),
    }
    return {name: pair for name, pair in known.items() if find_spec(name.split()[0])}

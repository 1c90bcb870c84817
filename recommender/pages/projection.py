"""2-D projection of the product vectors by PaCMAP, UMAP or PCA: similar products are close."""

import logging
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from recommender.bundle.delta import DELTA
from recommender.core.blocks import Float
from recommender.errors import RequestError, nearest
from recommender.progress import notice

if TYPE_CHECKING:
    from recommender.recommender import Recommender

METHODS = ("pacmap", "umap", "pca")
_INSTALLS = {"pacmap": "hybrid-recommender[map]", "umap": "umap-learn"}  # the extra has PaCMAP alone
_MIN_PRODUCTS = 50  # of a neighbour-based projection; fewer are projected by PCA
_COMPONENTS = 50  # principal components that are projected: further ones are noise and cost time
_CHUNK = 8192


def positions(recommender: "Recommender", block: str | None = None, method: str | None = None) -> Float:
    """Return the 2-D coordinates of each row, shape (n, 2), in [0, 1] with both axes on one scale.

    They are cached beside the bundle in ``maps/``.

    Parameters
    ----------
    recommender
        Holds the products.
    block
        Project one block of the vectors; by default all, weighted as for similar products.
    method
        "pacmap" (Wang et al., JMLR 2021), "umap" (McInnes et al., 2018) or "pca"; by default the first that is
        installed.

    Raises
    ------
    RequestError
        If the bundle has no such block, or the method is unknown or not installed.
    """
    method = _method(method)
    if block is not None and block not in recommender.layout.names:
        known = recommender.layout.names
        raise RequestError(
            f"there is no block {block!r} to map; expected one of {', '.join(known)}",
            "/block",
            nearest(block, known),
        )
    folder = recommender.bundle.root / "maps"
    parts = recommender.manifest.parts
    part = parts.get(DELTA, parts["base"])["path"]  # a delta has all that differs from its base
    cached = folder / f"{part}-{block or 'all'}-{method}.npy"
    if cached.exists():
        return np.asarray(np.load(cached, allow_pickle=False), np.float32)
    notice(f"projecting {len(recommender):,} products by {method}")
    coordinates = _scaled(_PROJECTIONS[method](_principal_components(_vectors(recommender, block))))
    try:
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.npy"):  # of generations that were pruned
            if not (recommender.bundle.root / "parts" / old.name.partition("-")[0]).exists():
                old.unlink()
        np.save(cached, coordinates)
    except OSError as error:
        notice(f"the coordinates of the map are not cached: {error}")
    return coordinates


def _method(method: str | None) -> str:
    if method is None:
        return next(name for name in METHODS if name == "pca" or find_spec(name))
    if method not in METHODS:
        raise RequestError(
            f"unknown method {method!r}; expected one of {', '.join(METHODS)}", "/method", nearest(method, METHODS)
        )
    if method != "pca" and not find_spec(method):
        raise RequestError(
            f"{method} is not installed; `pip install {_INSTALLS[method]}`, or choose pca", "/method"
        )
    return method


def _vectors(recommender: "Recommender", block: str | None) -> Float:
    """Return vectors (n, d) whose inner products are the weighted sum of the blocks'."""
    layout, vectors = recommender.layout, recommender.segment.vectors
    if block is not None:
        return np.asarray(vectors[:, layout.slices[block]], np.float32)
    roots = np.sqrt(layout.spread(recommender.weights["item"])).astype(np.float32)
    return np.asarray(vectors[:, roots > 0] * roots[roots > 0], np.float32)


def _principal_components(vectors: Float) -> Float:
    """Return the principal components of the vectors (n, up to 50), in chunks to bound memory."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    chunks = [vectors[start : start + _CHUNK] - mean for start in range(0, len(vectors), _CHUNK)]
    _, directions = np.linalg.eigh(sum(chunk.T @ chunk for chunk in chunks))
    axes = directions[:, ::-1][:, :_COMPONENTS]
    largest = axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])]
    axes = axes * np.where(largest < 0, -1, 1)  # signs are arbitrary
    return np.concatenate([chunk @ axes for chunk in chunks]).astype(np.float32)


def _pca(components: Float) -> Float:
    return np.pad(components[:, :2], ((0, 0), (0, max(0, 2 - components.shape[1]))))


def _pacmap(components: Float) -> Float:
    if len(components) < _MIN_PRODUCTS:
        return _pca(components)
    logging.getLogger("pacmap").setLevel(logging.ERROR)  # it warns about the seed and about 50 dimensions
    projected: Float = (
        import_module("pacmap").PaCMAP(random_state=0, apply_pca=False).fit_transform(components, init="pca")
    )
    return projected


def _umap(components: Float) -> Float:
    if len(components) < _MIN_PRODUCTS:
        return _pca(components)
    projected: Float = import_module("umap").UMAP(random_state=0, n_jobs=1).fit_transform(components)
    return projected


_PROJECTIONS: dict[str, Callable[[Float], Float]] = {"pacmap": _pacmap, "umap": _umap, "pca": _pca}


def _scaled(coordinates: Float) -> Float:
    low = coordinates.min(axis=0)
    size = float((coordinates.max(axis=0) - low).max())
    return np.asarray((coordinates - low) / (size or 1.0), np.float32)

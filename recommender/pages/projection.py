"""Where products lie in the plane, so that what the score finds alike lies near."""

import logging
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from recommender.bundle.delta import PART as DELTA
from recommender.core.blocks import Float
from recommender.errors import RequestError, nearest
from recommender.progress import notice

if TYPE_CHECKING:
    from recommender.recommender import Recommender

METHODS = ("pacmap", "umap", "pca")
# Nearest-neighbour layouts need some neighbours; fewer products than this lie well enough by their main axes.
_FEW = 50
_AXES = 50  # main axes that a layout is made from: what lies beyond is noise, and costs time
_CHUNK = 8192


def positions(recommender: "Recommender", block: str | None = None, method: str | None = None) -> Float:
    """Return the place of each row, shape (n, 2), in [0, 1] with both axes on one scale.

    Kept beside the bundle in ``maps/``, so that a layout is made once for the same products.

    Parameters
    ----------
    recommender
        Whose products.
    block
        One block of the vectors alone; by default all, weighted as for similar products.
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
    part = parts.get(DELTA, parts["base"])["path"]  # an update's part says all that differs from its base
    kept = folder / f"{part}-{block or 'all'}-{method}.npy"
    if kept.exists():
        return np.asarray(np.load(kept, allow_pickle=False), np.float32)
    notice(f"laying out {recommender.n:,} products by {method}")
    places = _scaled(_LAYOUTS[method](_axes(_vectors(recommender, block))))
    try:
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.npy"):  # of generations that were pruned
            if not (recommender.bundle.root / "parts" / old.name.partition("-")[0]).exists():
                old.unlink()
        np.save(kept, places)
    except OSError as error:
        notice(f"the map's positions are not kept: {error}")
    return places


def _method(method: str | None) -> str:
    if method is None:
        return next(name for name in METHODS if name == "pca" or find_spec(name))
    if method not in METHODS:
        raise RequestError(
            f"unknown method {method!r}; expected one of {', '.join(METHODS)}", "/method", nearest(method, METHODS)
        )
    if method != "pca" and not find_spec(method):
        raise RequestError(
            f"{method} is not installed; `pip install hybrid-recommender[map]`, or choose pca", "/method"
        )
    return method


def _vectors(recommender: "Recommender", block: str | None) -> Float:
    """Return vectors (n, d) whose inner products are the weighted sum of the blocks'."""
    layout, vectors = recommender.layout, recommender.segment.vectors
    if block is not None:
        return np.asarray(vectors[:, layout.slices[block]], np.float32)
    roots = np.sqrt(layout.spread(recommender.weights["item"])).astype(np.float32)
    return np.asarray(vectors[:, roots > 0] * roots[roots > 0], np.float32)


def _axes(vectors: Float) -> Float:
    """Return centred vectors along their main axes (n, up to 50), in chunks: vectors may be many."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    chunks = [vectors[start : start + _CHUNK] - mean for start in range(0, len(vectors), _CHUNK)]
    _, directions = np.linalg.eigh(sum(chunk.T @ chunk for chunk in chunks))
    main = directions[:, ::-1][:, :_AXES]
    main = main * np.where(
        main[np.abs(main).argmax(axis=0), range(main.shape[1])] < 0, -1, 1
    )  # signs are arbitrary
    return np.concatenate([chunk @ main for chunk in chunks]).astype(np.float32)


def _pca(axes: Float) -> Float:
    return np.pad(axes[:, :2], ((0, 0), (0, max(0, 2 - axes.shape[1]))))


def _pacmap(axes: Float) -> Float:
    if len(axes) < _FEW:
        return _pca(axes)
    logging.getLogger("pacmap").setLevel(logging.ERROR)  # it warns that a seed was set, and of 50 dimensions
    layout: Float = import_module("pacmap").PaCMAP(random_state=0, apply_pca=False).fit_transform(axes, init="pca")
    return layout


def _umap(axes: Float) -> Float:
    if len(axes) < _FEW:
        return _pca(axes)
    layout: Float = import_module("umap").UMAP(random_state=0, n_jobs=1).fit_transform(axes)
    return layout


_LAYOUTS: dict[str, Callable[[Float], Float]] = {"pacmap": _pacmap, "umap": _umap, "pca": _pca}


def _scaled(places: Float) -> Float:
    low = places.min(axis=0)
    size = float((places.max(axis=0) - low).max())
    return np.asarray((places - low) / (size or 1.0), np.float32)

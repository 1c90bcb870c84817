"""Publishes counts as a small part over the same base."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from recommender.bundle import Staging
from recommender.bundle.delta import DELTA, REFRESH, Delta
from recommender.core.blocks import Float, Mask
from recommender.core.segment import Segment
from recommender.recommender import Recommender
from recommender.retrieval.codes import Codes
from recommender.towers.item import ItemTower
from training.refresh.neighbours import refreshed_neighbours
from training.refresh.sources import CountedEvents
from training.update.delta import COUNTED, SHARED_PARTS


def publish_refresh(
    recommender: Recommender,
    tower: ItemTower,
    segment: Segment,
    counted: Mask,
    events: CountedEvents,
    prior: Mapping[str, Any],
) -> str:
    """Publish the arrays that depend on events as a generation over the base of the current one.

    Parameters
    ----------
    recommender
        The current generation.
    tower
        With the predictor of the prior.
    segment
        The products with new counts, without a neighbour table.
    counted
        Which products have events, shape (n,).
    events
        What was counted.
    prior
        Description of the prior.

    Returns
    -------
    str
        The new generation's name.

    Raises
    ------
    BundleError
        If another generation was published meanwhile, or the folder cannot be written.
    """
    bundle, manifest = recommender.bundle, recommender.manifest
    before, kinds = recommender.segment, [recommender.kind_of(row) for row in range(segment.n)]
    if before.neighbours is not None:
        segment = refreshed_neighbours(before, segment, manifest.weights, kinds)
    with Staging(bundle.root) as staging:
        _write_arrays(staging.part(REFRESH), recommender, segment, counted)
        if Delta.of(bundle) is not None:
            shutil.copytree(bundle.folder(DELTA), staging.part(DELTA), dirs_exist_ok=True)
            _rewrite_delta(staging.part(DELTA), staging.part(REFRESH), recommender, segment)
        if tower is not recommender.item_tower:
            shutil.copytree(bundle.folder("towers"), staging.part("towers"), dirs_exist_ok=True)
            tower.save(staging.part("towers"))
        fields = manifest.to_dict()
        training = manifest.metrics.get("training", {}) | {"prior": dict(prior)}
        fields["metrics"] = manifest.metrics | {"training": training}
        fields[REFRESH] = manifest.extra[REFRESH] | {"rows": segment.n, "events": asdict(events)}
        return staging.publish(fields, parent=bundle, reuse=SHARED_PARTS)


def _write_arrays(folder: Path, recommender: Recommender, segment: Segment, counted: Mask) -> None:
    """Write what is read in the place of the base's arrays; C and `counted` are of added products, too."""
    bundle, n = recommender.bundle, recommender.manifest.base_n
    np.save(folder / COUNTED, counted)
    segment.cooccurrence.save(folder, "cooccurrence")
    segment.complements.save(folder, "complements")
    np.save(folder / "prior.npy", segment.prior[:n])
    if segment.neighbours is not None and segment.neighbours is not recommender.segment.neighbours:
        assert segment.neighbour_scores is not None
        np.save(folder / "neighbours.npy", segment.neighbours[:n])
        np.save(folder / "neighbour_scores.npy", segment.neighbour_scores[:n])
    if bundle.has("base", "codes.npy"):
        codes, error = _base_codes(recommender, segment.prior[:n])
        np.save(folder / "codes.npy", codes)
        np.save(folder / "codes_scales.npy", np.append(bundle.array("base", "codes_scales.npy")[:-1], error))


def _base_codes(recommender: Recommender, prior: Float) -> tuple[np.ndarray, float]:
    """Return the int8 vectors of the base with another prior, and a bound of their error.

    That of the base is one of the vectors alone, too: with the rounding of the prior it bounds both.
    """
    bundle, d = recommender.bundle, recommender.layout.d
    codes, scales = np.array(bundle.array("base", "codes.npy")), bundle.array("base", "codes_scales.npy")
    codes[:, d] = np.clip(np.rint(prior / (scales[d] or 1.0)), -127, 127)
    residual = np.abs(codes[:, d] * scales[d] - prior).max(initial=0.0)
    return codes, math.hypot(scales[-1], residual)


def _rewrite_delta(folder: Path, refreshed: Path, recommender: Recommender, segment: Segment) -> None:
    """Write the delta's rows of the arrays that depend on events.

    Parameters
    ----------
    folder
        Of the delta part, with the arrays of the current generation.
    refreshed
        Of the refreshed arrays of the base.
    """
    bundle = recommender.bundle
    rows, neighbour_rows = (bundle.array(DELTA, f"{name}.npy") for name in ("rows", "neighbour_rows"))
    np.save(folder / "prior.npy", segment.prior[rows])
    if segment.neighbours is not None and segment.neighbour_scores is not None:
        np.save(folder / "neighbours.npy", segment.neighbours[neighbour_rows])
        np.save(folder / "neighbour_scores.npy", segment.neighbour_scores[neighbour_rows])
    if (refreshed / "codes.npy").exists():
        codes = Codes.open(lambda file: np.asarray(np.load(refreshed / file, mmap_mode="r")), segment.layout)
        rounded, error = codes.quantize(segment.vectors[rows], segment.prior[rows])
        np.save(folder / "codes.npy", rounded)
        np.save(folder / "codes_scales.npy", np.append(codes.scales, max(codes.error, error)))

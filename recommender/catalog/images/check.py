"""Check that the images of a catalogue can be read and decoded, as a fit does."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.catalog.images.files import ImageSource
from recommender.catalog.images.sources import CatalogImages
from recommender.catalog.losses import Loss
from recommender.catalog.report import DataReport
from recommender.encoders.images import DecodableCheck, quiet, why_undecodable
from recommender.encoders.photos import ahead, batched
from recommender.errors import RecommenderError, reason_of
from recommender.progress import progress

if TYPE_CHECKING:
    from recommender.catalog.catalog import Catalog

_BATCH = 64
_MIN_THREADS = 8  # most of the time for hosts is waiting


class _State(NamedTuple):
    """What was found of an image: its kind of problem, "" for none, and the reason."""

    problem: str = ""
    reason: str = ""


_GOOD = _State()


def check_images(catalog: "Catalog", file: str, report: DataReport) -> None:
    """Read every image of a catalogue, and report those that a fit would take as missing.

    Parameters
    ----------
    catalog
        Has the images.
    file
        Name of its file.
    report
        Gets the problems, and the number of products with a photo.
    """
    refs = np.array(catalog.image_refs(), dtype=object)
    distinct = [ref for ref in dict.fromkeys(refs.tolist()) if ref]
    states = dict(zip(distinct, _states(catalog.images, distinct), strict=True))
    found = [states.get(ref) for ref in refs.tolist()]
    problems = np.array([state.problem if state else "" for state in found], dtype=object)
    for kind in ("missing", "broken"):
        rows = np.flatnonzero(problems == kind)
        messages = [f"the photo {ref!r} {states[ref].reason}; taken as without a photo" for ref in refs[rows]]
        ids = [catalog.ids[row] for row in rows]
        report.add(f"{kind} photo", file, rows * 0, ids, messages.__getitem__, "warning")
    _report_failures(catalog, file, refs, found, report)
    _report_matches(catalog, file, refs, report)
    good = report.facts["products with a photo"] = sum(state is _GOOD for state in found)
    lost = {kind: report.counts[kind] for kind in ("missing photo", "broken photo") if report.counts[kind]}
    report.losses.append(Loss("photos", file, good + sum(lost.values()), good, lost))


def _report_failures(
    catalog: "Catalog", file: str, refs: NDArray[np.object_], found: Sequence[_State | None], report: DataReport
) -> None:
    """Report images that could not be read, those of one reason in one line."""
    rows: dict[str, list[int]] = {}
    for row, state in enumerate(found):
        if state and state.problem == "unread":
            rows.setdefault(state.reason, []).append(row)
    for reason, group in rows.items():
        photos = "the photo" if len(group) == 1 else f"each of {len(group):,} photos, the first"
        message = f"{photos} {refs[group[0]]!r}, {reason}; taken as without a photo"
        report.add_group("broken photo", file, catalog.ids[group[0]], len(group), message, "warning")


def _report_matches(catalog: "Catalog", file: str, refs: NDArray[np.object_], report: DataReport) -> None:
    """Report files that were taken for links that are spelled otherwise."""
    images = catalog.images
    matched = images.matched if isinstance(images, CatalogImages) else {}
    if not matched:
        return
    rows = np.array([row for row, ref in enumerate(refs) if ref in matched], dtype=np.int64)
    messages = [f"there is no photo {refs[row]!r}; {matched[refs[row]]!r} is taken" for row in rows]
    ids = [catalog.ids[row] for row in rows]
    report.add("photo of another spelling", file, rows * 0, ids, messages.__getitem__, "warning")


def _states(images: ImageSource, refs: Sequence[str]) -> Iterator[_State]:
    """Yield the state of the image of each reference; batches are read by threads."""
    decodable = DecodableCheck()

    def states(batch: list[str]) -> list[_State]:
        return [_state(images, ref, decodable) for ref in batch]

    threads = max(_MIN_THREADS, len(os.sched_getaffinity(0)))
    with quiet(), ThreadPoolExecutor(threads) as pool:
        batches = ahead(pool, states, batched(refs, _BATCH), 2 * threads)
        yield from progress((state for batch in batches for state in batch), "images", len(refs), "image")


def _state(images: ImageSource, ref: str, decodable: DecodableCheck) -> _State:
    if not images.key(ref):
        return _State("missing", "is not there")
    try:
        data = images.read(ref)
    except (OSError, RecommenderError) as error:
        return _State("unread", reason_of(error))
    return _GOOD if decodable(data) else _State("broken", why_undecodable(data))

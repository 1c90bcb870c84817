"""Report what a metered encoder costs, before and after."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from recommender.encoders.base import Encoder, Metered


@contextmanager
def billing(encoder: Encoder, texts: Sequence[str] = (), images: int = 0) -> Iterator[dict[str, float]]:
    """Print the estimated cost of what is encoded inside; the yielded dict is filled with the usage at the end."""
    usage: dict[str, float] = {}
    if not isinstance(encoder, Metered) or not (texts or images):
        yield usage
        return
    encoder.report_estimate(texts, images)
    try:
        yield usage
    finally:  # a failed run is billed, too
        usage |= encoder.report_usage()

"""What an encoder costs, said before and after."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from recommender.encoders.base import Encoder, Metered


@contextmanager
def billing(encoder: Encoder, texts: Sequence[str] = (), images: int = 0) -> Iterator[dict[str, float]]:
    """Quote the price of what is encoded inside, if it has one; the yielded bill is filled in at the end."""
    bill: dict[str, float] = {}
    if not isinstance(encoder, Metered) or not (texts or images):
        yield bill
        return
    encoder.report_estimate(texts, images)
    try:
        yield bill
    finally:  # a run that fails has paid for what it got
        bill |= encoder.report_usage()

"""Query vectors: of an item, of a history, of a text or an image."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b
from operator import itemgetter
from typing import TYPE_CHECKING
from unicodedata import category

import numpy as np

from recommender.bundle import Bundle
from recommender.core.blocks import Float, Rows
from recommender.core.scoring import Query, Repeats
from recommender.core.segment import Segment
from recommender.errors import RequestError
from recommender.events import Event, Steps, as_steps
from recommender.items import Attributes
from recommender.ranking.cache import SizedCache
from recommender.ranking.request import Request
from recommender.towers.item import ItemInputs, ItemTower
from recommender.towers.repeat import RepeatModel
from recommender.towers.user import DAY, UserTower, weighted_query

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from PIL.Image import Image

    from recommender.encoders.base import Encoder
    from recommender.encoders.support.colors import ColorHistograms

MAX_NAMED_WORDS = 10
MAX_SHOWN = 40  # characters of a word
CACHED_NUMBERS = 4_000_000  # in the cached queries of one bundle, about 32 MB; what they found comes to it


class HistoryQueries:
    """Makes the query of a history by the user tower.

    Parameters
    ----------
    attributes
        Knows ids and rows.
    segment
        The items.
    users
        The user tower.
    """

    def __init__(self, attributes: Attributes, segment: Segment, users: UserTower) -> None:
        self._attributes, self._segment, self._users = attributes, segment, users
        self._cache: SizedCache[Query] = SizedCache(CACHED_NUMBERS, _numbers)

    def query(self, request: Request) -> tuple[Query, list[int], list[str]]:
        """Return the query of a request's events, the row of each event (−1 if unknown) and the unknown ids."""
        events, weights = request.events, request.event_weights
        rows = [self._attributes.row_of(event.item_id) for event in events]
        unknown = [event.item_id for event, row in zip(events, rows, strict=True) if row < 0]
        query = self._of_events(request, events, rows)
        profile = self._profile(request, len(query.rows))
        if weights is not None:  # a sequence model knows no weights: every block is the weighted sum of the items
            known = [(event.timestamp, w) for event, row, w in zip(events, rows, weights, strict=True) if row >= 0]
            in_order = [weight for _, weight in sorted(known, key=itemgetter(0))]
            attention = query.attention * np.array(in_order, dtype=np.float64)
            weighted = weighted_query(self._segment, query.rows, attention / max(np.abs(attention).sum(), 1e-12))
            query = replace(weighted, repeats=query.repeats)
        return query if profile is None else replace(query, profile=profile), rows, unknown

    def _of_events(self, request: Request, events: Sequence[Event], rows: Sequence[int]) -> Query:
        """Return the query of the events alone; a shopper who asks again without new events has it cached."""
        now, steps = request.moment.timestamp(), as_steps(events, rows)
        # a query changes with the day, see `RepeatModel.repeats`
        key = None if request.items or request.negative_items else (_digest(steps), now // DAY)
        query = None if key is None else self._cache.get(key)
        if query is None:
            query = self._users.query(steps, self._segment, now)
            if key is not None:
                self._cache.put(key, query)
        return query

    def of_profile(self, request: Request) -> Query | None:
        """Return the query of a user without events, of attributes and context alone; None if none is known."""
        profile = self._profile(request, 0)
        return None if profile is None else replace(Query.free(np.zeros_like(profile)), profile=profile)

    def _profile(self, request: Request, events: int) -> Float | None:
        if self._users.profile is None or not (request.user or request.context):
            return None
        return self._users.profile.vector(request.user, request.context, events)

    def unused(self, request: Request) -> tuple[str, ...]:
        """Return the warnings that name attributes from which the bundle did not learn."""
        if not (request.user or request.context):
            return ()
        known = {} if self._users.profile is None else self._users.profile.names
        given = {"user": request.user or {}, "context": request.context or {}}
        pairs = [(kind, name) for kind, values in given.items() for name in values]
        names = [f"{kind}.{name}" for kind, name in pairs if name not in known.get(kind, ())]
        if not names:
            return ()
        return (f"attributes that this bundle did not learn from: {', '.join(names[:MAX_NAMED_WORDS])}",)

    def repeats(self, request: Request) -> Repeats:
        """Return what a request's events bought, valued by the repeat model or, without one, by decayed counts."""
        events = request.events
        steps = as_steps(events, [self._attributes.row_of(event.item_id) for event in events])
        return (self._users.repeat or RepeatModel()).repeats(steps, request.moment.timestamp())


def _digest(steps: Steps) -> bytes:
    """Return what tells histories apart; the events themselves would take far more memory than their query."""
    arrays = [each.tobytes() for each in (steps.rows, steps.times, steps.values)]
    names = "\0".join([str(len(steps.rows)), *steps.names])
    return blake2b(b"".join([names.encode(), *arrays]), digest_size=16).digest()


def _numbers(query: Query) -> int:
    repeats = 3 * len(query.repeats.rows)
    return len(query.vector) + 2 * (len(query.rows) + len(query.cooccurrence_rows)) + repeats


class ContentQueries:
    """Makes queries of texts and images with the encoder of the bundle's vectors.

    Parameters
    ----------
    bundle
        Names its encoder, or carries it.
    tower
        Makes blocks of the encoder's vectors.
    encoder
        By default the bundle's own, loaded (with torch) on first use.
    """

    def __init__(self, bundle: Bundle, tower: ItemTower, encoder: "Encoder | None" = None) -> None:
        if encoder is not None and hasattr(encoder, "fingerprint"):  # a remote encoder was checked by its process
            from recommender.encoders.registry import check_fingerprint

            check_fingerprint(bundle.manifest.encoders["fingerprint"], encoder)
        self._bundle, self._tower, self._encoder = bundle, tower, encoder

    def query(self, text: str | None, image: "Image | bytes | None") -> tuple[Query | None, tuple[str, ...]]:
        """Return the query of a text, an image or both, and warnings; None for a text without a known word.

        Parameters
        ----------
        text, image
            At least one of them; an image may be the bytes of its file.

        Raises
        ------
        RequestError
            If both are missing, or the bytes are no image.
        """
        if text is None and image is None:
            raise RequestError("give a text, an image or both", "/text")
        encoder = self._loaded()
        vector = np.zeros(self._tower.layout.d, np.float32)
        warnings: tuple[str, ...] = ()
        if text is not None:
            text, warnings = readable(encoder, text)
        if text is None and image is None:
            return None, warnings
        if text is not None:
            vector += self._tower.query("text", encoder.encode_texts([text]), encoder.aligned)
        if image is not None:
            images = [_decoded(image) if hasattr(encoder, "fingerprint") else image]  # a remote encoder decodes
            encoded = encoder.encode_images(images)  # type: ignore[arg-type]
            vector += self._tower.query("image", encoded, encoder.aligned, self._colors(image))
        if encoder.aligned or self._tower.projection is not None:
            return Query.free(vector), warnings
        given = " and ".join(name for name, value in (("text", text), ("image", image)) if value is not None)
        return Query.free(vector), (*warnings, f"the encoder is not aligned: the {given} block alone was asked")

    def _colors(self, image: "Image | bytes") -> Float | None:
        if not self._tower.sees_colors:
            return None
        return self._histograms.encode_images([_decoded(image)])

    @cached_property
    def _histograms(self) -> "ColorHistograms":
        from recommender.encoders.support.colors import ColorHistograms

        return ColorHistograms()

    def of_columns(self, values: "Mapping[str, Any]") -> Query | None:
        """Return the query of an item that has attributes but no vectors yet; None if they say nothing."""
        absent = np.zeros(1, dtype=bool)
        columns = {name: [value] for name, value in values.items()}
        vectors, present = self._tower.blocks(ItemInputs(None, absent, None, absent, columns))
        return Query.free(vectors[0]) if present.any() else None

    def _loaded(self) -> "Encoder":
        if self._encoder is None:
            from recommender.encoders.registry import create_for

            self._encoder = create_for(self._bundle)
        return self._encoder


def readable(encoder: "Encoder", text: str) -> tuple[str | None, tuple[str, ...]]:
    """Return a text query, None if the encoder knows no word of it, and warnings that name unknown words."""
    if not any(category(character)[0] in "LN" or category(character) == "So" for character in text):
        return None, (f"the text {text[:MAX_SHOWN]!r} has no word",)
    split = getattr(encoder, "known_words", None)
    known, unknown = split(text) if split else ([text], [])
    if not unknown:
        return text, ()
    named = ", ".join(dict.fromkeys(word[:MAX_SHOWN] for word in unknown[:MAX_NAMED_WORDS]))
    if known:
        return text, (f"unknown words ignored: {named}",)
    return None, (f"no word of the text is known: {named}",)


def _decoded(image: "Image | bytes") -> "Image":
    if not isinstance(image, bytes):
        return image
    from recommender.encoders.images import decode

    decoded = decode(image)
    if decoded is None:
        raise RequestError(f"{len(image)} bytes are no image; expected a JPEG, PNG or WebP file", "/image")
    return decoded


def with_variants(segment: Segment, rows: Iterable[int], variants: str) -> set[int]:
    """Return rows and, where variants are collapsed, the variants of the same products."""
    known = {row for row in rows if row >= 0}
    if variants == "all" or segment.products == segment.n:
        return known
    return {variant for row in known for variant in segment.variants(row).tolist()}


def ascending(rows: set[int]) -> Rows:
    """Return rows in ascending order."""
    return np.array(sorted(rows), dtype=np.int32)

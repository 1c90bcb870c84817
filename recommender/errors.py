"""Errors for users; any other exception is a bug.

They are raised at four doors only: reading the config, reading a catalogue or events, opening a bundle, and
parsing a request. Each message says what was found, what was expected and what to do.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

MAX_NAME_LENGTH = 200  # of a name that may have been mistyped


class RecommenderError(Exception):
    """An expected error: the command line prints it as one line and exits with 1."""


class ConfigError(RecommenderError):
    """The configuration cannot be read or contradicts itself."""


class DataError(RecommenderError):
    """The shop's own files cannot be read as a catalogue or as events."""


class PhotoError(DataError):
    """A photo cannot be read.

    Parameters
    ----------
    ref
        Of the photo.
    reason
        The rest of a sentence about the photo, the same for all that fail for one reason: "answers HTTP 404".
    """

    def __init__(self, ref: str, reason: str) -> None:
        super().__init__(f"photo {ref!r} {reason}")
        self.ref, self.reason = ref, reason

    def __reduce__(self) -> tuple[type["PhotoError"], tuple[str, str]]:
        """Pickle both parts."""
        return PhotoError, (self.ref, self.reason)


class EncoderError(RecommenderError):
    """An encoder cannot be loaded: a missing package extra, weights or checkpoint."""


class MissingPackageError(RecommenderError):
    """A library of the full installation is missing, as it is where requirements-serve.txt was installed."""


class BundleError(RecommenderError):
    """A bundle cannot be opened or published."""


class StoreError(RecommenderError):
    """The event store cannot be reached or refuses the data."""


class StoreUnavailableError(StoreError):
    """The event store does not answer, or not in time; it may answer later."""


class RevisionConflictError(RecommenderError):
    """A definition was changed by somebody else meanwhile.

    Parameters
    ----------
    kind, name
        Of the definition.
    expected, found
        The revision that was edited, and the latest one.
    """

    def __init__(self, kind: str, name: str, expected: int, found: int) -> None:
        super().__init__(f"the {kind} {name} is at revision {found}; expected {expected}: read it again")
        self.kind, self.name, self.expected, self.found = kind, name, expected, found


class RequestError(RecommenderError):
    """A request with a wrong value.

    Parameters
    ----------
    message
        What was found and what was expected.
    pointer
        Where in the request, as a JSON pointer such as ``/filter/must/0/field``.
    suggestion
        The nearest valid value, if there is one.
    """

    def __init__(self, message: str, pointer: str = "", suggestion: str | None = None) -> None:
        hint = f"; did you mean {suggestion!r}?" if suggestion else ""
        super().__init__(message + hint)
        self.pointer = pointer
        self.suggestion = suggestion


class UnknownItemError(RequestError):
    """A request is about one product, whose id no bundle and no overlay has ever seen."""

    def __init__(self, item_id: str, suggestion: str | None = None, pointer: str = "/item_id") -> None:
        super().__init__(f"unknown item {item_id!r}", pointer, suggestion)
        self.item_id = item_id


def reason_of(error: Exception) -> str:
    """Return why a photo could not be read."""
    return error.reason if isinstance(error, PhotoError) else str(error)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most similar to `name`, or None if none is close, or it is too long to be one."""
    if len(name) > MAX_NAME_LENGTH:
        return None
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.6)), None)


@contextmanager
def full_installation(needed_by: str) -> Iterator[None]:
    """Report a library that cannot be imported within the block as a `MissingPackageError`.

    Parameters
    ----------
    needed_by
        What cannot be done without it; the subject of the message.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", "recommender", "training", "serving"):
            raise  # a bug, not a missing library
        raise MissingPackageError(
            f"{needed_by} needs {library}, which is not installed; run: pip install hybrid-recommender"
        ) from error

"""Find the file that a reference means where the two differ as names do between file systems and shops."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from unicodedata import normalize
from urllib.parse import unquote

# Extensions of one format, and those of other formats that a shop may have converted its photos to.
_SAME = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tif": "tiff"}
_EXTENSIONS = {"jpg", "png", "webp", "gif", "avif", "tiff", "bmp", "jp2"}
_QUERY = re.compile(r"[?#].*", re.DOTALL)
_STRAY = re.compile(r"__MACOSX|\._.*|\.DS_Store|Thumbs\.db|desktop\.ini", re.IGNORECASE)

Listing = Callable[[str], Iterable[str]]


def inside(ref: str) -> str:
    """Return a reference as a path inside its folder, "" if it leads out of it.

    >>> inside("/m/h/mh01.jpg"), inside("../../etc/passwd")
    ('m/h/mh01.jpg', '')
    """
    path = posixpath.normpath(ref.replace("\\", "/").lstrip("/"))
    return "" if path.split("/")[0] in (".", "..") else path


def is_stray(path: str) -> bool:
    """Tell whether an operating system left a file beside the photos.

    >>> is_stray("__MACOSX/a/._b.jpg"), is_stray("a/.DS_Store"), is_stray("a/b.jpg")
    (True, True, False)
    """
    return any(_STRAY.fullmatch(part) for part in path.split("/"))


def shared_folder(refs: Sequence[str]) -> str:
    """Return the folder that all references begin with, "" for none.

    >>> shared_folder(["pub/media/a/1.jpg", "pub/media/b/2.jpg"])
    'pub/media/'
    """
    start = posixpath.commonprefix([min(refs), max(refs)]) if refs else ""
    return start[: start.rfind("/") + 1]


class Names:
    """Finds files by names that differ in case, Unicode form, escapes, query, extension or leading folders.

    Only what is unambiguous is found: of several files that a reference may mean, none.

    Parameters
    ----------
    listing
        From the path of a folder, "" for the top, to the names in it; none if there is no such folder.
    prefixes
        Leading folders that references may have and files need not, such as ``"pub/media/"``.
    """

    def __init__(self, listing: Listing, prefixes: Iterable[str] = ()) -> None:
        self._listing, self._prefixes = listing, tuple(filter(None, prefixes))
        self._folders: dict[str, list[dict[str, set[str]]]] = {}

    def find(self, ref: str) -> str:
        """Return the path of the file that a reference means, "" if there is none or more than one."""
        if not inside(ref):
            return ""
        paths = (path for spelling in _spellings(ref) for path in self._without_prefixes(inside(spelling)))
        for path in dict.fromkeys(filter(None, paths)):
            for top in self._tops:
                if found := self._walk(top, path):
                    return found
        return ""

    def _without_prefixes(self, path: str) -> Iterator[str]:
        """Yield a path, and what is left of it as its leading folders are dropped one by one."""
        yield path
        for prefix in self._prefixes:
            if path.startswith(prefix):
                parts = path.split("/")
                yield from ("/".join(parts[dropped:]) for dropped in range(1, prefix.count("/") + 1))

    @cached_property
    def _tops(self) -> list[str]:
        """The top folder, and those that are all that is in the one before."""
        tops = [""]
        while len(names := set().union(*self._index(tops[-1])[0].values())) == 1:
            tops.append(posixpath.join(tops[-1], *names))
        return tops

    def _walk(self, top: str, path: str) -> str:
        for part in path.split("/"):
            name = self._match(top, part)
            if not name:
                return ""
            top = posixpath.join(top, name)
        return top

    def _match(self, folder: str, name: str) -> str:
        """Return the name in a folder that is most like this one, "" for none or several."""
        index = self._index(folder)
        if name in index[0].get(_keys(name)[0], ()):
            return name
        for names, key in zip(index, _keys(name), strict=True):
            if key in names:
                return next(iter(names[key])) if len(names[key]) == 1 else ""
        return ""

    def _index(self, folder: str) -> list[dict[str, set[str]]]:
        """Return the names in a folder by each of their keys."""
        if folder not in self._folders:
            index: list[dict[str, set[str]]] = [defaultdict(set), defaultdict(set), defaultdict(set)]
            for name in self._listing(folder):
                if not is_stray(name):
                    for names, key in zip(index, _keys(name), strict=True):
                        names[key].add(name)
            self._folders[folder] = [dict(names) for names in index]
        return self._folders[folder]


def _spellings(ref: str) -> Iterator[str]:
    """Yield a reference as it is, without its query, and without percent escapes."""
    bare = _QUERY.sub("", ref)
    yield from (ref, bare, unquote(ref), unquote(bare))


def _keys(name: str) -> tuple[str, str, str]:
    """Return keys of a name, each shared by more spellings of it than the one before."""
    folded = normalize("NFC", normalize("NFC", unquote(name)).casefold())
    stem, _, extension = _QUERY.sub("", folded).rpartition(".")
    extension = _SAME.get(extension, extension)
    if not stem or extension not in _EXTENSIONS:
        return folded, folded, folded
    return folded, f"{stem}.{extension}", stem

"""Decode image files to upright RGB images of a bounded size."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from PIL import Image, ImageOps

MAX_SIDE = 512  # pixels; more than encoders use, and little memory for a batch
_MAX_PIXELS = 60_000_000  # to decode; JPEG files are decoded at a fraction of their size and may be larger
# Formats that shops use. Pillow knows others, of which some start programs (EPS) or accept almost any bytes (TGA).
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "JPEG2000", "ICO", "PPM")
_JPEG_END = b"\xff\xd9"
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # FF00 and restarts belong to the compressed data
_MAX_PROVEN = 1000  # headers in memory
_EXPECTED = "expected JPEG, PNG, WebP, GIF, AVIF, TIFF or BMP"


def decode(data: bytes) -> Image.Image | None:
    """Return the image in a file's bytes, or None if it is broken or has too many pixels.

    It is rotated as EXIF says, composed on white where it is transparent, reduced to its first frame, and scaled
    to at most `MAX_SIDE` pixels on its longer side. A truncated file is broken: grey halves would all be similar.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            image.draft("RGB", (MAX_SIDE, MAX_SIDE))
            if image.width * image.height > _MAX_PIXELS:
                return None
            return _upright_rgb(image)
    except Exception:  # Pillow's readers raise almost anything on damaged files
        return None


def is_image(data: bytes) -> bool:
    """Return whether a file's bytes begin as those of an image do."""
    try:
        Image.open(io.BytesIO(data), formats=_FORMATS).close()
    except Exception:  # as in `decode`
        return False
    return True


def why_undecodable(data: bytes) -> str:
    """Return in words why `decode` returned None for a file's bytes.

    >>> why_undecodable(b"<!doctype html><title>Not found</title>")
    'is an HTML page; expected JPEG, PNG, WebP, GIF, AVIF, TIFF or BMP'
    """
    start = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not data:
        return "is empty"
    if b"<svg" in start:
        return f"is an SVG drawing; {_EXPECTED}"
    if start.startswith(b"<"):
        return f"is {'an HTML page' if b'html' in start else 'XML'}; {_EXPECTED}"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1"):
        return f"is HEIC; {_EXPECTED}"
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            pixels = image.width * image.height
    except Exception:  # as in `decode`
        return f"is no image, or is damaged; {_EXPECTED}"
    return f"has {pixels:,} pixels; at most {_MAX_PIXELS:,}" if pixels > _MAX_PIXELS else "is cut off or damaged"


class DecodableCheck:
    """Tells whether `decode` can read files, in less time than it takes.

    All that can fail in a whole JPEG file of one scan is in front of its compressed data: sizes and tables, which
    are the same in many files of one shop. One of the files with such a header is decoded. Thread-safe.
    """

    def __init__(self) -> None:
        self._proven: set[bytes] = set()

    def __call__(self, data: bytes) -> bool:
        """Return whether `decode` returns an image of a file's bytes."""
        header = _header_of_whole_jpeg(data)
        if header in self._proven:
            return True
        decodable = _decodes(data)
        if decodable and header and len(self._proven) < _MAX_PROVEN:
            self._proven.add(header)
        return decodable


def _decodes(data: bytes) -> bool:
    """Return whether `decode` returns an image; JPEG files are decoded in grey at an eighth of their size."""
    with suppress(Exception), Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        if image.width * image.height <= _MAX_PIXELS:
            image.draft("L", (1, 1))
            image.load()
            return True
    return decode(data) is not None


def _header_of_whole_jpeg(data: bytes) -> bytes:
    """Return what is in front of the compressed data of a JPEG file of one scan, b"" if it is not whole."""
    if not (data.startswith(b"\xff\xd8") and data.endswith(_JPEG_END)):
        return b""
    scan = data.find(b"\xff\xda")
    start = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4])
    marker = _JPEG_MARKER.search(data, start)
    return data[:start] if marker and marker.start() == len(data) - len(_JPEG_END) else b""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings about metadata; to be used around all threads that decode: filters are global."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _upright_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _eight_bit(image)
    image.load()
    with suppress(Exception):  # as above; the pixels are whole, whatever the metadata are
        image = ImageOps.exif_transpose(image)
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Convert a 16-bit or float image to 8 bits per channel; Pillow's own `convert` clips it to white."""
    values = np.asarray(image, np.float32)
    depth = 65535.0 if values.max() > 255 else 255.0
    return Image.fromarray(np.clip(values * (255.0 / depth), 0, 255).astype(np.uint8))

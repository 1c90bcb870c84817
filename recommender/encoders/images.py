"""Decode image files to upright RGB images of a bounded size."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps

MAX_SIDE = 512  # pixels; more than encoders use, and little memory for a batch
_MAX_PIXELS = 60_000_000  # to decode; JPEG files are decoded at a fraction of their size and may be larger

_BROKEN = (OSError, ValueError, SyntaxError, TypeError, IndexError, Image.DecompressionBombError)


def decode(data: bytes) -> Image.Image | None:
    """Return the image in a file's bytes, or None if it is broken or has too many pixels.

    It is rotated as EXIF says, composed on white where it is transparent, reduced to its first frame, and scaled
    to at most `MAX_SIDE` pixels on its longer side. A truncated file is broken: grey halves would all be similar.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (MAX_SIDE, MAX_SIDE))
            if image.width * image.height > _MAX_PIXELS:
                return None
            return _upright_rgb(image)
    except _BROKEN:
        return None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings about metadata; to be used around all threads that decode: filters are global."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _upright_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _eight_bit(image)
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

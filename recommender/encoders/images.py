"""Photo files as shops have them, to upright RGB images of a bounded size."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps

MAX_SIDE = 512  # more than encoders look at, and little memory for a batch of photos from a camera
_MAX_PIXELS = 60_000_000  # to decode; JPEG files are decoded at a fraction of their size and may hold more

_BROKEN = (OSError, ValueError, SyntaxError, TypeError, IndexError, Image.DecompressionBombError)


def decode(data: bytes) -> Image.Image | None:
    """Return the photo in a file's bytes, or None if it is broken or gigantic.

    It is turned upright as EXIF says, put on white where it is transparent, its first frame if it moves, and
    at most `MAX_SIDE` on its longer side. A truncated file is broken: grey halves of photos look all alike.
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
    """Silence Pillow's remarks on odd metadata; around all threads that decode, since filters are global."""
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
    """Return a 16-bit or float image in 8 bits; Pillow's own `convert` clips it to white."""
    values = np.asarray(image, np.float32)
    depth = 65535.0 if values.max() > 255 else 255.0
    return Image.fromarray(np.clip(values * (255.0 / depth), 0, 255).astype(np.uint8))

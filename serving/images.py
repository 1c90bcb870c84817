"""Images of requests: checked by their header, before anything is decoded."""

from io import BytesIO

from serving.problems import Problem

# Pixels that a file may have: JPEG files are decoded at a fraction of their size, but for progressive ones.
MAX_PIXELS = {"JPEG": 25_000_000, "progressive JPEG": 12_500_000, "PNG": 4_000_000, "WEBP": 4_000_000}
# Passes of a progressive JPEG, each over the whole image; programs write about ten.
MAX_SCANS = 16
_FORMATS = ("JPEG", "PNG", "WEBP")
_SCAN = b"\xff\xda"


def check_image(file: bytes, pointer: str = "/image") -> None:
    """Raise a `Problem` (415) unless a file is a JPEG, PNG or WebP, not so large that decoding it takes long.

    Parameters
    ----------
    file
        What should be an image.
    pointer
        JSON pointer to it in the request.
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(file), formats=_FORMATS) as image:
            kind, pixels = image.format or "", image.width * image.height
            kind = f"progressive {kind}" if image.info.get("progressive") else kind
    except Exception:  # Pillow's readers raise almost anything on damaged files
        found = "it is empty" if not file else f"{len(file)} bytes are none"
        raise _refused(f"expected an image, JPEG, PNG or WebP; {found}", pointer) from None
    if pixels > (limit := MAX_PIXELS[kind]):
        raise _refused(f"the {kind} has {pixels:,} pixels; at most {limit:,} are allowed: scale it down", pointer)
    if "JPEG" in kind and file.count(_SCAN) > MAX_SCANS:
        raise _refused(f"the JPEG has more than {MAX_SCANS} scans; save it as a baseline JPEG", pointer)


def _refused(detail: str, pointer: str) -> Problem:
    return Problem(415, "unsupported-media-type", detail, [{"pointer": pointer, "detail": detail}])

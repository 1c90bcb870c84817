"""Draw product images: a silhouette per kind, filled with a pattern."""

import io
from collections.abc import Callable

from PIL import Image, ImageDraw

Color = tuple[int, int, int]

SIDE = 256
_SCALE = 2  # drawn larger and scaled down: smooth edges
_PAPER = (218, 225, 230)

COLORS: dict[str, Color] = {
    "black": (38, 38, 42),
    "white": (248, 245, 238),
    "red": (196, 44, 48),
    "orange": (232, 128, 40),
    "yellow": (240, 204, 64),
    "green": (62, 130, 78),
    "turquoise": (64, 176, 174),
    "blue": (48, 88, 168),
    "purple": (120, 74, 150),
    "pink": (232, 144, 172),
}

# Shapes in hundredths of the image's side: E ellipse, O ring, R rounded box, P polygon.
SILHOUETTES: dict[str, tuple[tuple[str, tuple[int, ...]], ...]] = {
    "mug": (("R", (26, 30, 66, 80)), ("O", (54, 40, 84, 70))),
    "teapot": (
        ("E", (24, 36, 74, 82)),
        ("O", (8, 42, 38, 74)),
        ("P", (66, 66, 94, 40, 86, 36, 64, 50)),
        ("E", (44, 26, 54, 38)),
    ),
    "plate": (("E", (10, 10, 90, 90)),),
    "vase": (("P", (40, 8, 60, 8, 56, 30, 76, 60, 64, 92, 36, 92, 24, 60, 44, 30)),),
    "lamp": (("P", (36, 12, 64, 12, 82, 52, 18, 52)), ("R", (46, 50, 54, 86)), ("E", (30, 80, 70, 92))),
    "cushion": (("R", (14, 14, 86, 86)),),
    "t-shirt": (("P", (36, 16, 64, 16, 92, 34, 82, 50, 70, 42, 70, 88, 30, 88, 30, 42, 18, 50, 8, 34)),),
    "dress": (("P", (38, 8, 46, 8, 50, 16, 54, 8, 62, 8, 60, 40, 84, 92, 16, 92, 40, 40)),),
    "socks": (("P", (36, 8, 60, 8, 60, 54, 84, 74, 80, 90, 62, 90, 36, 66)),),
    "bag": (("O", (32, 10, 68, 66)), ("R", (18, 40, 82, 90))),
    "hat": (("E", (28, 22, 72, 76)), ("E", (6, 58, 94, 80))),
    "trousers": (("P", (34, 8, 50, 14, 66, 8, 76, 92, 58, 92, 50, 32, 42, 80, 24, 80)),),
}


def _plain(draw: ImageDraw.ImageDraw, side: int, ink: Color) -> None:
    """Leave the background as it is."""


def _striped(draw: ImageDraw.ImageDraw, side: int, ink: Color) -> None:
    for y in range(0, side, side // 9):
        draw.rectangle((0, y, side, y + side // 24), fill=ink)


def _dotted(draw: ImageDraw.ImageDraw, side: int, ink: Color) -> None:
    step, radius = side // 10, side // 36
    for row, y in enumerate(range(step // 2, side, step)):
        for x in range(step // 2 + (row % 2) * step // 2, side, step):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)


def _checked(draw: ImageDraw.ImageDraw, side: int, ink: Color) -> None:
    step = side // 12
    for row, y in enumerate(range(0, side, step)):
        for x in range((row % 2) * step, side, 2 * step):
            draw.rectangle((x, y, x + step - 1, y + step - 1), fill=ink)


PATTERNS: dict[str, Callable[[ImageDraw.ImageDraw, int, Color], None]] = {
    "plain": _plain,
    "striped": _striped,
    "dotted": _dotted,
    "checked": _checked,
}


def _silhouette(kind: str, side: int) -> Image.Image:
    mask = Image.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    for shape, hundredths in SILHOUETTES[kind]:
        xy = [value * side / 100 for value in hundredths]
        if shape == "E":
            draw.ellipse(xy, fill=255)
        elif shape == "O":
            draw.ellipse(xy, outline=255, width=side // 16)
        elif shape == "R":
            draw.rounded_rectangle(xy, radius=side // 14, fill=255)
        else:
            draw.polygon(xy, fill=255)
    return mask


def draw_product(kind: str, color: str, pattern: str, tilt: float = 0.0) -> bytes:
    """Return the JPEG image of a product, `SIDE` pixels wide and high.

    Parameters
    ----------
    kind, color, pattern
        Names in `SILHOUETTES`, `COLORS` and `PATTERNS`.
    tilt
        Rotation in degrees, which distinguishes the images of two designs.
    """
    side = SIDE * _SCALE
    base = COLORS[color]
    toward = 0 if sum(base) > 384 else 255  # contrast on light and on dark colours
    red, green, blue = ((3 * channel + 2 * toward) // 5 for channel in base)
    cloth = Image.new("RGB", (side, side), base)
    PATTERNS[pattern](ImageDraw.Draw(cloth), side, (red, green, blue))
    photo = Image.new("RGB", (side, side), _PAPER)
    photo.paste(cloth, mask=_silhouette(kind, side))
    photo = photo.rotate(tilt, Image.Resampling.BILINEAR, fillcolor=_PAPER)
    out = io.BytesIO()
    photo.resize((SIDE, SIDE), Image.Resampling.BOX).save(out, "JPEG", quality=88)
    return out.getvalue()

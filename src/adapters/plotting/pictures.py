"""Pictures of pixels, and films of them, by Pillow.

Pillow draws without smoothing: a picture is drawn twice as large, and reduced at the end.
"""

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from adapters.plotting.panels import font_file

SMOOTHING = 2
COLOUR_COUNT = 64
"""Of a reduced picture."""
Number = int | float | np.floating
Point = tuple[Number, Number]


class Picture:
    """A white picture that can be drawn on; places and sizes are in pixels, from the upper left corner."""

    def __init__(self, width: int, height: int):
        self.size = width, height
        self._image = Image.new("RGB", (SMOOTHING * width, SMOOTHING * height), "white")
        self._draw = ImageDraw.Draw(self._image)

    def line(self, start: Point, end: Point, width: Number, colour: str) -> None:
        """A straight line."""
        self._draw.line([_scaled(start), _scaled(end)], fill=colour, width=max(1, round(SMOOTHING * width)))

    def capsule(self, start: Point, end: Point, radius: Number, colour: str) -> None:
        """A line with round ends."""
        self.line(start, end, 2 * radius, colour)
        for x, y in (_scaled(start), _scaled(end)):
            reach = float(SMOOTHING * radius)
            self._draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)

    def rectangle(self, corner: Point, opposite: Point, colour: str) -> None:
        """A filled rectangle."""
        self._draw.rectangle([_scaled(corner), _scaled(opposite)], fill=colour)

    def text(self, at: Point, words: str, size: int, colour: str) -> None:
        """Words below and to the right of a place."""
        font = ImageFont.truetype(font_file(), SMOOTHING * size)
        self._draw.text(_scaled(at), words, fill=colour, font=font)

    def reduced(self) -> Image.Image:
        """The picture in its own size, in few colours."""
        return self._image.resize(self.size, Image.Resampling.LANCZOS).quantize(COLOUR_COUNT)


def animated_gif(pictures: Iterable[Picture], interval: float) -> bytes:
    """Pictures of one size, one after another, again and again.

    Args:
        pictures: each is reduced as it comes.
        interval: seconds a picture; a GIF counts in hundredths of a second, and players want two at least.

    Raises:
        ValueError: there are no pictures.
    """
    first, *others = (picture.reduced() for picture in pictures)
    out = io.BytesIO()
    milliseconds = max(20, round(interval * 100) * 10)
    first.save(out, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0, optimize=True)
    return out.getvalue()


def _scaled(point: Point) -> tuple[float, float]:
    return float(SMOOTHING * point[0]), float(SMOOTHING * point[1])

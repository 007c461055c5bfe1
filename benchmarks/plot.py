"""Lines over the number of volumes, with a logarithmic scale, as small SVG files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 300, 60, 120, 36, 40
COLOURS = ("#0b6e4f", "#c1440e", "#3a5a9b")

#: x and y of a point: the number of volumes, and what was measured.
Points = Sequence[tuple[int, float]]


def text(x: float, y: float, words: str, anchor: str = "middle", colour: str = "#444") -> str:
    """Return a text element."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(words)}</text>"


def plot(title: str, unit: str, lines: Mapping[str, Points]) -> str:
    """Return a plot; each number of volumes has the same room, zero too.

    :param lines: by name; a value is above zero.
    """
    sizes = sorted({size for points in lines.values() for size, _ in points})
    values = [value for points in lines.values() for _, value in points]
    low = math.floor(math.log10(min(values)))
    high = max(math.ceil(math.log10(max(values))), low + 1)

    def across(size: int) -> float:
        room = WIDTH - LEFT - RIGHT
        return LEFT + room * sizes.index(size) / max(len(sizes) - 1, 1)

    def down(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (math.log10(value) - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        text(LEFT, 20, f"{title}, {unit}", "start", "#000"),
    ]
    for power in range(low, high + 1):
        y = down(10.0**power)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, y + 4, f"{10.0**power:g}", "end"))
    parts += [text(across(size), HEIGHT - BOTTOM + 18, f"{size:,}") for size in sizes]
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "volumes"))
    for (name, points), colour in zip(lines.items(), COLOURS, strict=False):
        places = [(across(size), down(value)) for size, value in points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        parts.append(text(places[-1][0] + 8, places[-1][1] + 4, name, "start", colour))
    return "\n".join([*parts, "</svg>", ""])

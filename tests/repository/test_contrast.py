"""Test that texts in pictures and pages have the contrast that WCAG asks for, in both modes."""

import re
import xml.etree.ElementTree as ET
from itertools import chain

import pytest

from support.repository import ROOT

LEAST = 4.5  # WCAG 2, level AA, for text of any size
SVG = "{http://www.w3.org/2000/svg}"
DRAWN = ROOT / "docs" / "_static"
PLOTTED = ROOT / "bench" / "results"
CSS = DRAWN / "custom.css"

if not CSS.exists():
    pytest.skip("the documentation is in the repository only", allow_module_level=True)


def channels(color):
    return [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]


def darkened(color):
    """Return a colour as the theme shows pictures in dark mode: brightness(.8) contrast(1.2)."""
    values = [min(1, max(0, (value * 0.8 - 0.5) * 1.2 + 0.5)) for value in channels(color)]
    return "#" + "".join(f"{round(value * 255):02x}" for value in values)


def luminance(color):
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in channels(color)]
    return sum(share * value for share, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first, second):
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def drawn_texts(root):
    """Yield the colours of each text and of the topmost rectangle below it."""
    boxes = [
        [float(box.get(name, 0)) for name in ("x", "y", "width", "height")] + [box.get("fill")]
        for box in root.iter(f"{SVG}rect")
    ]
    for text in root.iter(f"{SVG}text"):
        x, y = float(text.get("x")), float(text.get("y"))
        below = [
            fill
            for left, top, width, height, fill in boxes
            if left <= x <= left + width and top <= y <= top + height
        ]
        yield text.get("fill", root.get("fill")), below[-1]


def plotted_texts(root):
    """Yield the colours of each text that matplotlib has drawn as shapes, and white."""
    for group in root.iter(f"{SVG}g"):
        if group.get("id", "").startswith("text_"):
            styles = " ".join(part.get("style", "") for part in group.iter())
            for color in re.findall(r"fill: (#\w{6})", styles) or ["#000000"]:
                yield color, "#ffffff"


def test_the_measure():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert darkened("#ffffff") == "#dbdbdb"


@pytest.mark.parametrize(
    "path", sorted(chain(DRAWN.glob("*.svg"), PLOTTED.glob("*.svg"))), ids=lambda path: path.name
)
def test_texts_of_pictures(path):
    root = ET.parse(path).getroot()
    pairs = set(drawn_texts(root) if path.parent == DRAWN else plotted_texts(root))
    assert pairs
    for text, ground in pairs:
        assert contrast(text, ground) >= LEAST
        assert contrast(darkened(text), darkened(ground)) >= LEAST


def test_colours_of_pages_are_those_of_the_theme():
    """The theme's have enough contrast, but for plain links on the surface: 4.38 in light mode."""
    style = CSS.read_text()
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb|hsl", style)
    for rule in re.findall(r"\{[^{}]*\}", style):
        if "background: var(--pst-color-surface)" in rule:
            assert "color: var(--pst-color-link)" not in rule


def test_labels_of_training_curves():
    curve = pytest.importorskip("ebagx.sklearn.plot.training_curve")
    for style in (curve._LOSS_STYLE, curve._SCORE_STYLE):
        assert contrast(style["color"], "#ffffff") >= LEAST

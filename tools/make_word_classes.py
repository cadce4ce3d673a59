"""Print ``ebagx/text/word_classes.h``: the class of each Unicode character, for cutting words.

python tools/make_word_classes.py > ebagx/text/word_classes.h

Run it with the Python whose `unicodedata.unidata_version` the header shall have. Models know the
words that the table gives; another table needs another version of the rule, see
``ebagx/text/boundaries.pxi``.
"""

import sys
import unicodedata

# The order is that of the enum in boundaries.pxi.
CLASSES = (
    "separator",
    "letter",
    "digit",
    "extend",
    "joiner",
    "mid_both",
    "mid_letter",
    "mid_digit",
    "symbol",
    "pictograph",
    "regional",
    "ideograph",
)
BLOCK = 128

_OF_CHARACTER = {
    **dict.fromkeys("'\N{RIGHT SINGLE QUOTATION MARK}", "mid_both"),
    **dict.fromkeys("\N{MIDDLE DOT}\N{HEBREW PUNCTUATION GERSHAYIM}", "mid_letter"),
    **dict.fromkeys(".,\N{ARABIC DECIMAL SEPARATOR}\N{ARABIC THOUSANDS SEPARATOR}", "mid_digit"),
    **dict.fromkeys("#%&@", "symbol"),
    "\N{ZERO WIDTH JOINER}": "joiner",
}
_OF_CATEGORY = {
    **dict.fromkeys(("Lu", "Ll", "Lt", "Lm", "Lo", "Nl", "No", "Pc"), "letter"),
    "Cn": "letter",  # characters of later versions of Unicode are letters more often than not
    "Nd": "digit",
    **dict.fromkeys(("Mn", "Mc", "Me", "Cf"), "extend"),
    **dict.fromkeys(("Sm", "Sc", "Sk", "So", "Co"), "symbol"),
}
# Blocks of pictures, in which characters without a category become pictures one day.
_PICTURES = (0x2300, 0x23FF), (0x2600, 0x27BF), (0x2B00, 0x2BFF), (0x1F000, 0x1FAFF)
_SKIN_TONES = 0x1F3FB, 0x1F3FF
_REGIONAL = 0x1F1E6, 0x1F1FF
# Hiragana, and the ideographs of Chinese and Japanese.
_IDEOGRAPHS = (
    (0x3005, 0x3007),
    (0x3041, 0x309F),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFD),
)


def class_of(code: int) -> str:
    """Return the class of a character."""
    char = chr(code)
    category = unicodedata.category(char)
    if char in _OF_CHARACTER:
        return _OF_CHARACTER[char]
    if _is_within(code, _REGIONAL):
        return "regional"
    if _is_within(code, _SKIN_TONES):
        return "extend"
    if category in ("So", "Cn") and any(_is_within(code, block) for block in _PICTURES):
        return "pictograph"
    if category in ("Lo", "Lm", "Nl", "Cn") and any(
        _is_within(code, block) for block in _IDEOGRAPHS
    ):
        return "ideograph"
    return _OF_CATEGORY.get(category, "separator")


def _is_within(code: int, block: tuple[int, int]) -> bool:
    return block[0] <= code <= block[1]


def tables() -> tuple[list[int], list[tuple[int, ...]]]:
    """Return the number of the block of each 128 characters, and the classes in each block."""
    number = {name: i for i, name in enumerate(CLASSES)}
    classes = [number[class_of(code)] for code in range(0x110000)]
    blocks: dict[tuple[int, ...], int] = {}
    index = [
        blocks.setdefault(tuple(classes[start : start + BLOCK]), len(blocks))
        for start in range(0, len(classes), BLOCK)
    ]
    return index, list(blocks)


def _rows(numbers: list[int], width: int = 32) -> str:
    parts = [numbers[start : start + width] for start in range(0, len(numbers), width)]
    return "\n".join("    " + ",".join(map(str, part)) + "," for part in parts)


def header() -> str:
    """Return the text of the header."""
    index, blocks = tables()
    classes = ", ".join(f"{i} {name}" for i, name in enumerate(CLASSES))
    return f"""\
/* Class of each character of Unicode {unicodedata.unidata_version}, made by make_word_classes.py:
   {classes}. */
#ifndef EBAGX_WORD_CLASSES_H
#define EBAGX_WORD_CLASSES_H

#include <stdint.h>

static const uint8_t ebagx_block_of_code[{len(index)}] = {{
{_rows(index)}
}};

static const uint8_t ebagx_class_in_block[{len(blocks)}][{BLOCK}] = {{
{chr(10).join("    {" + ",".join(map(str, block)) + "}," for block in blocks)}
}};

#endif
"""


if __name__ == "__main__":
    sys.stdout.write(header())

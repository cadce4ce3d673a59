"""The text that the tokenizer of BERT cuts into words: without controls, accents and capitals.

Characters are replaced one by one, each by a string that is computed once. The rules are those of
``BertNormalizer`` and ``BertPreTokenizer`` of the package tokenizers; classes of characters are
those of Python's version of Unicode.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from unicodedata import category, normalize

from ebagx.text.lines import encoded

_CONTROLS = ("Cc", "Cf", "Co")
_BLANKS = "\t\n\r"
_IDEOGRAPHS = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)


@dataclass(frozen=True)
class BertNormalizer:
    """The options of the normaliser of that name.

    Parameters
    ----------
    cleans : bool
        Leave out control characters.
    separates_ideographs : bool
        Each Chinese character is a word.
    strips_accents : bool
        Leave out the accents of letters.
    lowercase : bool
        Convert to lower case.
    """

    cleans: bool = True
    separates_ideographs: bool = True
    strips_accents: bool = True
    lowercase: bool = True

    def prepare(self, texts: Sequence[str]) -> bytes:
        """Return texts as lines of UTF-8, whose words have spaces or punctuation of ASCII between.

        Raises
        ------
        ValueError
            If a text has a surrogate.
        """
        if all(map(str.isascii, texts)):
            return encoded(texts).translate(*self._bytes)
        table = self._characters
        return encoded([text.translate(table) for text in texts])

    @cached_property
    def _bytes(self) -> tuple[bytes, bytes]:
        """The bytes that replace those of ASCII, and those that are left out; newlines stay."""
        outcomes = [self._characters[code] for code in range(128)]
        outcomes[ord("\n")] = "\n"
        left_out = bytes(code for code in range(128) if not outcomes[code])
        table = bytes(ord(outcome or " ") for outcome in outcomes)
        return table + bytes(range(128, 256)), left_out

    @cached_property
    def _characters(self) -> "_Outcomes":
        return _Outcomes(self)

    def outcome(self, char: str) -> str:
        """Return the string that replaces a character."""
        is_blank = char in _BLANKS or char.isspace()
        if self.cleans and char not in _BLANKS and self._is_dropped(char):
            return ""
        if is_blank:
            return " "
        is_apart = self.separates_ideographs and _is_ideograph(ord(char))
        if self.strips_accents:
            parts = normalize("NFD", char)
            char = "".join(part for part in parts if category(part) != "Mn")
        if self.lowercase:
            char = "".join(part.lower() for part in char)
        # The punctuation of ASCII is cut off later.
        char = "".join(f" {part} " if _is_mark(part) else part for part in char)
        return f" {char} " if is_apart else char

    def _is_dropped(self, char: str) -> bool:
        return char in "\0\ufffd" or category(char) in _CONTROLS


class _Outcomes(dict[int, str]):
    """The strings that replace characters, computed when they are first needed."""

    def __init__(self, normalizer: BertNormalizer) -> None:
        super().__init__()
        self._normalizer = normalizer

    def __missing__(self, code: int) -> str:
        outcome = self[code] = self._normalizer.outcome(chr(code))
        return outcome


def _is_ideograph(code: int) -> bool:
    return any(first <= code <= last for first, last in _IDEOGRAPHS)


def _is_mark(char: str) -> bool:
    return not char.isascii() and category(char).startswith("P")

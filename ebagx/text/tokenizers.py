r"""Rules that cut texts into words: one `Tokenizer` each.

============  ====================================================================================
words         the word boundaries of Unicode, simplified: see ``boundaries.pxi``
whitespace    what stands between blanks of ASCII (space, tab, line end, ...), as in fastText
fasttext      the same, and each text ends with the word ``</s>``: the rule of models of fastText
callable      what a function of Python returns for a text
words-1       what ``\w+`` matches: the rule of models that ebagx 0.1 has trained; it tears words
              at vowel signs and combining accents
============  ====================================================================================

A rule never changes: a model knows words that its rule has made. A better one gets a new name.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Self
from unicodedata import is_normalized, normalize


class Rule(IntEnum):
    """The ways in which `tokens.number_words` cuts a text."""

    WHOLE = 0
    BLANKS = 1
    BOUNDARIES = 2


CALLABLE = "callable"
RULES = {
    "words": Rule.BOUNDARIES,
    **dict.fromkeys(("whitespace", "fasttext", "words-1"), Rule.BLANKS),
}
NAMES = ("words", "whitespace", "fasttext")  # of tokenizers for new models


@dataclass(frozen=True)
class Tokenizer:
    """A rule that cuts texts into words.

    Parameters
    ----------
    name : {"words", "whitespace", "fasttext", "words-1", "callable"}
        The rule.
    lowercase : bool
        Convert texts to lower case first.
    function : callable, optional
        It returns a list of words for a text, if the rule is "callable".
    """

    name: str = "words"
    lowercase: bool = True
    function: Callable[[str], Any] | None = None

    @classmethod
    def calling(cls, function: Callable[[str], Any], lowercase: bool = False) -> Self:
        """Return the tokenizer that calls a function."""
        return cls(CALLABLE, lowercase, function)

    def cut(self, text: str, number: int) -> list[str]:
        """Return the words that the function makes of a text, which messages call `number`.

        Empty words are left out, and line ends in words become spaces, as they do in texts.
        """
        assert self.function is not None
        try:
            words = self.function(text.lower() if self.lowercase else text)
        except Exception as error:
            error.add_note(f"The tokenizer has raised this for text {number}.")
            raise
        if not isinstance(words, list | tuple):
            raise TypeError(
                f"tokenizer must return a list of str, got {type(words).__name__} for text {number}"
            )
        for word in words:
            if not isinstance(word, str):
                raise TypeError(
                    f"tokenizer must return a list of str, got {type(word).__name__} in the list "
                    f"for text {number}"
                )
        return [word.replace("\n", " ") for word in words if word]

    @property
    def rule(self) -> Rule:
        """The rule that cuts prepared text, which functions do not take."""
        return RULES[self.name]

    @property
    def ends_lines(self) -> bool:
        """Return whether each line gets one word more."""
        return self.name == "fasttext"

    def prepare(self, text: bytes) -> bytes:
        """Return lines of UTF-8 as the compiled code takes them.

        The rule "words" takes them in Normal Form C; it converts letters of ASCII itself. The form
        comes last: J with a caron is two characters, but in lower case one.
        """
        if self.name == "words-1":
            return _between_spaces(text, self.lowercase)
        if self.ends_lines:
            text = text.replace(b"\n", b" </s>\n")
        if self.name != "words":
            return text.decode().lower().encode() if self.lowercase else text
        if text.isascii():
            return text
        chars = text.decode().lower() if self.lowercase else text.decode()
        return "\n".join(map(_composed, chars.split("\n"))).encode()

    def prepare_each(self, texts: Sequence[str]) -> list[bytes | str]:
        """Return texts one by one as the compiled code takes them, those of ASCII perhaps as str.

        They have the words that `prepare` makes of them as lines.

        Raises
        ------
        UnicodeEncodeError
            If a text has a surrogate.
        """
        if self.name != "words":
            return [*self.prepare(joined(texts)).split(b"\n")[: len(texts)]]
        if self.lowercase:
            return [text if text.isascii() else _composed(text.lower()).encode() for text in texts]
        return [text if text.isascii() else _composed(text).encode() for text in texts]

    def prepare_ascii(self, text: bytes) -> bytes:
        """Return the same for the ASCII characters of a text; the others stay, and all places."""
        if self.name == "words":
            return text
        if self.name == "words-1":
            return text.translate(_BYTE_TABLES[self.lowercase])
        return text.lower() if self.lowercase else text


DEFAULT = Tokenizer()


def joined(texts: Sequence[str]) -> bytes:
    """Return texts as lines of UTF-8; raise UnicodeEncodeError if one has a surrogate."""
    return ("\n".join([text.replace("\n", " ") for text in texts]) + "\n").encode()


# All marks are among these characters.
_RUN_OF_MARKS = re.compile(r"[^\w\x00-\x7f]{64}")


def _composed(line: str) -> str:
    """Return a line in Normal Form C, which most are already, with runs of marks cut at 64.

    Python sorts the marks of a letter in the square of their number: 40,000, as no language has
    them, take 3 s, and 400,000 five minutes that Ctrl-C does not end.
    """
    if is_normalized("NFC", line):
        return line
    ends = [match.end() for match in _RUN_OF_MARKS.finditer(line)]
    parts = pairwise([0, *ends, len(line)])
    return "".join([normalize("NFC", line[start:end]) for start, end in parts])


def _byte_table(lowercase: bool) -> bytes:
    """Return a table that maps ASCII characters between words, except the newline, to a space."""
    table = bytearray(range(256))
    for byte in range(128):
        char = chr(byte)
        if char.isalnum() or char == "_":
            table[byte] = ord(char.lower() if lowercase else char)
        elif char != "\n":
            table[byte] = ord(" ")
    return bytes(table)


_BYTE_TABLES = {lowercase: _byte_table(lowercase) for lowercase in (False, True)}
_SEPARATORS = re.compile(r"[^\w\x00-\x7f]+")  # the other characters between words


def _between_spaces(text: bytes, lowercase: bool) -> bytes:
    """Return lines with nothing but words, spaces and newlines."""
    if not text.isascii():
        chars = text.decode()
        text = _SEPARATORS.sub(" ", chars.lower() if lowercase else chars).encode()
    return text.translate(_BYTE_TABLES[lowercase])

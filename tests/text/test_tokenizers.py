"""Test which words the tokenizers find; test_ngrams.py compares them with their definition."""

import sys
import unicodedata
from unicodedata import normalize

import numpy as np
import pytest

from ebagx.text import tokenizers, tokens
from ebagx.text.lines import Lines
from ebagx.text.tokenizers import Tokenizer
from support.word_definition import words_of

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
WORDS = {
    "Don't panic.": ["don't", "panic"],
    "l\u2019h\u00f4tel l\u00b7l": ["l\u2019h\u00f4tel", "l\u00b7l"],
    "'a' rock'n'roll": ["a", "rock'n'roll"],
    "1,000.5 3.x x.3 1'000": ["1,000.5", "3", "x", "x", "3", "1'000"],
    "e.g. U.S.": ["e", "g", "u", "s"],
    "C++ and C# foo_bar": ["c", "++", "and", "c", "#", "foo_bar"],
    "50% @user #tag a&b a/b": ["50", "%", "@", "user", "#", "tag", "a", "&", "b", "a", "b"],
    "\u0926\u093f\u0928 \u0926\u0940\u0928": ["\u0926\u093f\u0928", "\u0926\u0940\u0928"],
    normalize("NFD", "P\u00e2te c\u00f6te"): ["p\u00e2te", "c\u00f6te"],
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8": [
        "\u65e5", "\u672c", "\u8a9e", "\u306e", "\u30c6\u30b9\u30c8",
    ],
    "\u0e21\u0e31\u0e19 \u0e01\u0e34\u0e19": ["\u0e21\u0e31\u0e19", "\u0e01\u0e34\u0e19"],
    f"\U0001f44d\U0001f3fd\U0001f44d{FAMILY}": ["\U0001f44d\U0001f3fd", "\U0001f44d", FAMILY],
    "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7\U0001f1fa": [
        "\U0001f1e9\U0001f1ea", "\U0001f1eb\U0001f1f7", "\U0001f1fa",
    ],
    "1\ufe0f\u20e3 \u2764\ufe0f": ["1\ufe0f\u20e3", "\u2764\ufe0f"],
    " \u0301 -- \u2026 \u00a0\u2028": [],
    "": [],
}  # fmt: skip


def words(text, *tokenizer):
    store = Lines.of([text], tokenizer=Tokenizer(*tokenizer)).store
    names = store.words.names()
    return [names[word] for word in store.words_k]


@pytest.mark.parametrize("text", WORDS, ids=ascii)
def test_words(text):
    assert words(text) == WORDS[text] == words_of(text)


def test_every_character_known_to_this_python():
    """Each character alone, twice, and between letters and between digits."""
    for first in range(0, sys.maxunicode, 1 << 12):
        chars = [
            char
            for char in map(chr, range(first, first + (1 << 12)))
            if unicodedata.category(char) not in ("Cn", "Cs") and char != "\n"
        ]
        text = " ".join(f"{char} {char}{char} a{char}a 1{char}1" for char in chars)
        assert words(text) == words_of(text), f"between {first:#x} and {first + 4095:#x}"


def test_case_is_kept():
    assert words("CaF\u00c9 \u0130", "words", False) == ["CaF\u00c9", "\u0130"]
    assert words("CaF\u00c9 \u0130") == ["caf\u00e9", "i\u0307"]


@pytest.mark.parametrize("text", ["J\u030c", "\u01f0", "j\u030c"], ids=ascii)
def test_the_normal_form_is_that_of_lower_case(text):
    """No character is J with a caron, one is j with a caron."""
    assert words(text) == ["\u01f0"] == words_of(text)


def test_runs_of_marks_take_no_square_of_their_length(monkeypatch):
    lengths = []

    def noted(form, text):
        lengths.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(tokenizers, "normalize", noted)
    text = "e" + "\u0301\u0323" * 1000
    (word,) = words(text)
    assert normalize("NFD", word) == normalize("NFD", text)
    assert word[0] == "\u1eb9"
    assert max(lengths) == 65


def test_whitespace_is_that_of_fasttext():
    text = "C++, Don't\x1c\u00a0x\t\v\f\0y"
    assert words(text, "whitespace", False) == ["C++,", "Don't\x1c\u00a0x", "y"]
    assert words(text, "whitespace", True) == ["c++,", "don't\x1c\u00a0x", "y"]


def test_the_former_rule_tears_words():
    assert words("don't \u0926\u093f\u0928 C++", "words-1") == ["don", "t", "\u0926", "\u0928", "c"]


@pytest.mark.parametrize("text", [*WORDS, "a+b+c", "\u4e2d\u6587", "++a++", "a\u0301b"], ids=ascii)
def test_room_for_words(text):
    lines = normalize("NFC", text).encode()
    assert tokens.count_starts(lines) >= len(words_of(text))
    assert tokens.count_starts(b"one two, three") == 3


def test_lines_are_prepared_one_by_one():
    """A mark that begins a line does not join the line before."""
    store = Lines.of(["e", "\u0301a"]).store
    np.testing.assert_array_equal(store.offsets, [0, 1, 2])
    assert store.words.names() == ["e", "a"]

"""Test reading labelled files and streams of lines."""

import io
import re

import pytest

from ebagx.text.corpus import (
    Corpus,
    is_label,
    parse_corpus,
    read_line_blocks,
    text_of_labelled,
    without_labels,
)
from support.streams import Pieces


def read_corpus(path, *prefix):
    with path.open("rb") as stream:
        return parse_corpus(stream, str(path), *prefix)


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "train.tsv"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    "content",
    [
        b"cat\tsmall and striped\ndog\tbig\n",
        b"cat\tsmall and striped\ndog\tbig",
        b"cat\tsmall and striped\r\ndog\tbig\r\n",
        b"\xef\xbb\xbfcat\tsmall and striped\n\n \ndog\tbig\n\n",
        b"__label__cat small and striped\n__label__dog big\n",
        b"__label__cat\tsmall and striped\n__label__dog  big\n",
    ],
    ids=["tabs", "no-last-newline", "crlf", "bom-and-blanks", "fasttext", "fasttext-tab"],
)
def test_formats(write, content):
    texts, labels = read_corpus(write(content))
    assert texts == ["small and striped", "big"]
    assert labels == [("cat",), ("dog",)]


def test_several_labels(write):
    lines = b"__label__a __label__b\tx\n__label__b __label__b y\n__label__a\n"
    corpus = read_corpus(write(lines))
    assert corpus == (["x", "y", ""], [("a", "b"), ("b",), ("a",)])


def test_labels_may_stand_anywhere(write):
    lines = b"x __label__a y __label__b z\n__label__c w __label__c\n v\t__label__d u__label__e\n"
    corpus = read_corpus(write(lines))
    assert corpus == (["x y z", "w ", " v\tu__label__e"], [("a", "b"), ("c",), ("d",)])
    assert read_corpus(write(b"a\tx __label__b\n")) == (["x __label__b"], [("a",)])
    assert read_corpus(write(b"x __label__b\ty\n")) == (["x y"], [("b",)])


def test_another_prefix(write):
    """The characters of a prefix have no meaning in a pattern."""
    lines = b"x (.+) y (.+)a\n(.+)b __label__c\n"
    with pytest.raises(ValueError, match="line 1: the label is empty"):
        read_corpus(write(lines), "(.+)")
    corpus = read_corpus(write(lines.replace(b"(.+) ", b"")), "(.+)")
    assert corpus == (["x y ", "__label__c"], [("a",), ("b",)])
    with pytest.raises(ValueError, match=r"line 2: no word begins with \(\.\+\)"):
        read_corpus(write(b"(.+)a\nx\n"), "(.+)")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("__label__a x", "x"),
        ("x __label__a y", "x y"),
        ("x y\t__label__a", "x y\t__label__a"),
        ("a__label__ x", "a__label__ x"),
        ("", ""),
    ],
)
def test_lines_without_their_labels(line, text):
    assert without_labels(line) == text
    assert text_of_labelled(f"a\t{line}" if line == text else line) == text


def test_text_of_labelled_needs_a_label():
    assert text_of_labelled("  ") == ""
    assert text_of_labelled("b c\td\te") == "d\te"
    with pytest.raises(ValueError, match="^no tab between label and text$"):
        text_of_labelled("b c")


def test_a_corpus_is_shown_by_its_size():
    corpus = Corpus(["a cat", "a dog", "both"], [("cat",), ("dog",), ("cat", "dog")])
    assert repr(corpus) == "Corpus(3 texts, 2 labels)"
    texts, labels = corpus
    assert (corpus.texts, corpus.labels) == (texts, labels) == corpus


def test_only_newlines_end_lines_and_only_the_first_tab_ends_a_label(write):
    content = "gr\u00fcn\u2028\u00dc\tx\u2028y\x85z\tw\nb\t\n".encode()
    with pytest.raises(ValueError, match="line 1: .* is not a label"):
        read_corpus(write(b"a\x0bb\tx\n"))
    assert read_corpus(write(content)).texts == ["x\u2028y\x85z\tw", ""]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", ": no labelled lines"),
        (b"\n \n\r\n", ": no labelled lines"),
        (b"a\tx\n\nsmall\n", ", line 3: no tab between label and text"),
        (b"a\tx\n \ty\n", ", line 2: the label is empty"),
        (b"a\tx\nb\0\ty\n", ", line 2: 'b\\x00' is not a label"),
        (b"a\tx\nb\tsm\xe9ll\n", ", line 2: not utf-8 text, byte 0xe9 at position 4"),
        (
            "a\tx\n".encode("utf-16"),
            ", line 1: not utf-8 text, byte 0xff at position 0: it seems to be UTF-16, save it as "
            "UTF-8",
        ),
        (b"__label__a x\ny\n", ", line 2: no word begins with __label__"),
        (b"__label__ x\n", ", line 1: the label is empty"),
        (b"__label__a __label__ x\n", ", line 1: the label is empty"),
        (b"x\n__label__a x", ", line 1: no tab between label and text"),
    ],
)
def test_bad_files(write, content, problem):
    path = write(content)
    with pytest.raises(ValueError, match="^" + re.escape(f"{path}{problem}")):
        read_corpus(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", True), ("a b\u00a0c", True), ("", False), (" a", False), ("a\nb", False), (3, False)],
)
def test_is_label(text, expected):
    assert is_label(text) is expected


def test_lines_are_yielded_as_they_arrive():
    pipe = Pieces(b"one\ntwo\nthr", b"ee\xc3", b"\xa9\n", b"\n", b"last")
    blocks = read_line_blocks(io.BufferedReader(pipe), "stdin")
    assert next(blocks) == ["one", "two"]
    assert pipe.pieces[0] == b"ee\xc3"
    assert list(blocks) == [["three\u00e9"], [""], ["last"]]


def test_line_numbers_count_across_blocks():
    lines = [b"line %d" % i for i in range(200_000)]
    stream = io.BufferedReader(io.BytesIO(b"\n".join(lines) + b"\nbad \xff\n"))
    blocks = read_line_blocks(stream, "x")
    assert next(blocks)[:2] == ["line 0", "line 1"]
    with pytest.raises(ValueError, match=r"^x, line 200001: not utf-8 text, byte 0xff at"):
        list(blocks)

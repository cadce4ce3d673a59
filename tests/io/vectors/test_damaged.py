"""Test that damaged files of vectors raise one ValueError, and take no memory."""

import bz2
import gzip
import os
import pickle
import random
import re
import tracemalloc

import numpy as np
import pytest

from ebagx.text import load_vectors
from support.vector_files import GOLDEN, ROWS, VECTORS, WORDS, binary_of, raises, text_of

FLORET = (GOLDEN / "floret" / "sg_h1_words.floret").read_bytes()
ONE_FILE = {
    "text": text_of(WORDS, ROWS),
    "binary": binary_of(WORDS, ROWS),
    "binary without newlines": binary_of(WORDS, ROWS, b""),
    "gzip": gzip.compress(text_of(WORDS, ROWS)),
    "floret": FLORET,
}


def load(tmp_path, content, **options):
    path = tmp_path / "file"
    path.write_bytes(content)
    return load_vectors(path, **options)


@pytest.mark.parametrize("form", ONE_FILE)
def test_truncated(form, tmp_path):
    content = ONE_FILE[form]
    ends = (
        range(len(content)) if len(content) < 2000 else [*range(300), *range(300, len(content), 97)]
    )
    for end in ends:
        with pytest.raises(ValueError, match=re.escape(str(tmp_path))):
            load(tmp_path, content[:end])
        if form == "binary" and end == len(content) - 2:
            break  # the last newline is not needed


def test_truncated_without_header(tmp_path):
    """Whole lines of such a file are another such file."""
    content = text_of(WORDS, ROWS, header=False)
    for end in range(1, len(content)):
        if content[end - 1] == ord("\n"):
            assert len(load(tmp_path, content[:end])) == content[:end].count(b"\n")
        else:
            with pytest.raises(ValueError, match=re.escape(str(tmp_path))):
                load(tmp_path, content[:end])


@pytest.mark.parametrize("form", ["text", "binary", "gzip"])
@pytest.mark.filterwarnings("ignore:.*vectors are left out")
def test_flipped_bits(form, tmp_path):
    """Either the file is refused, or the vectors are finite."""
    rng = random.Random(0)
    for _ in range(300):
        content = bytearray(ONE_FILE[form])
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        try:
            vectors = load(tmp_path, bytes(content))
        except ValueError:
            continue
        assert np.isfinite(vectors.table).all()
        assert len(vectors.words) == len(vectors.table)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"\n", "this is no file of vectors"),
        (b"hello world\nthis is text\n", "this is no file of vectors"),
        (b"0 0\n", "the header says 0 words"),
        (b"3 0\na\nb\nc\n", "the header says 3 words of dimension 0"),
        (b"99999999999 300\nw 1\n", "the header says 99,999,999,999 words"),
        (b"5 999999999\nw 1\n", "the header says 5 words of dimension 999,999,999"),
        (b"2000000000 65536\nw 1\n", "damaged or incomplete"),
        (b"3 2\na 1 2\nb 1 2\n", "the header says 3 words, the file has 2"),
        (b"1 2\na 1 2\nb 1 2\n", "the header says 1 words, the file has 2"),
        (b"2 2\na 1 2\nb 1 x\n", "line 3: b'x' is not a number"),
        (b"2 2\na 1 2\nb 1 nan\n", "line 3: b'nan' is not a finite float32"),
        (b"2 2\na 1 2\nb 1 1e39\n", "line 3: b'1e39' is not a finite float32"),
        (b"2 2\na 1 2\nb 1\n", "line 3: there are fewer than 2 numbers: b'b 1'"),
        (b"2 2\na 1 2\nb 1 2 3\n", "line 3: there are more than 2 numbers: b'b 1 2 3'"),
        (b"a 1 2\nb 1 2\nc 1\n", "line 3: there are fewer than 2 numbers: b'c 1'"),
        (b"a 1 2\n\nb 1 2\n", "line 2: there are fewer than 2 numbers: b''"),
        (b"2 2\na 1 2\nb 1 2", "the last line has no end; if the file is complete, add a newline"),
        (binary_of(["", ""], np.ones((2, 2))), "the file has no vectors"),
        (binary_of("ab", [[1, 2], [3, np.inf]]), "the vector of word 2 is not finite"),
        (binary_of(["a", "b\nc"], np.ones((2, 2))), r"word 2 has a newline: b'b\nc'"),
        (binary_of("ab", np.ones((2, 2))) + b"more", "the file has more than the words that its"),
        (binary_of("ab", np.ones((2, 2)))[:-11] + b"b" * 99999, "word 2 has more than 65,536"),
        (pickle.dumps([1.0]), "this is a pickle, which could run any code; in gensim, save with"),
        (b"version https://git-lfs.github.com/spec/v1\n", "this is a pointer of Git LFS"),
        (b"<!DOCTYPE html>\n<html>", "this is a page of the web"),
        (b"300 6 3 5 2 2166136261 < >\n1 0 0 0 0 0 0\n", "line 2: the row is not numbered 0"),
        (b"300 6 3 5 9 2166136261 < >\n", "the header is damaged: hashCount must be at most 4"),
        (b"300 6 5 3 2 2166136261 < >\n", "the header is damaged: minn must be at most 3"),
        (b"300 6 3 99 2 2166136261 < >\n", "the header is damaged: maxn must be at most 32"),
        (b"300 0 3 5 2 2166136261 < >\n", "the header says dimension 0"),
        (b"2 1 3 5 2 1 < >\n0 1\n", "the header says 2 words, the file has 1"),
        (b"\xef\xbb\xbf2 1\na 1\nb 2\n", "there is a byte order mark before the first line"),
        ("a 1\nb 2\n".encode("utf-16"), "there is a byte order mark before the first line"),
        (b"a".ljust(257, b"\0") + b"ustar\0" + b"a 1\n" * 99, "this is a tar archive"),
        # The line below a header is text also when something is wrong with it.
        (b"2 2\na inf 1\nb 1 2\n", "line 2: b'inf' is not a finite float32"),
        (b"2 2\na 1,5 1\nb 1 2\n", "line 2: b'1,5' is not a number"),
        ("2 2\na \u22121 1\nb 1 2\n".encode(), r"line 2: b'\xe2\x88\x921' is not a number"),
        (b"2 3\na 1 2\nb 1 2\n", "line 2: there are fewer than 3 numbers"),
        (b"2 1\na 1 2\nb 1 2\n", "line 2: there are more than 1 numbers"),
    ],
)
def test_messages(content, problem, tmp_path):
    with raises(ValueError, problem) as caught:
        load(tmp_path, content)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'file'}: ")
    assert "\n" not in message


def test_mapped_formats_are_not_read_compressed(tmp_path):
    load_vectors(VECTORS / "gensim_text.txt").save(tmp_path / "a.safetensors")
    model = next((GOLDEN / "fasttext" / "models").glob("*.bin"))
    for path, kind in ((tmp_path / "a.safetensors", "safetensors"), (model, "fastText .bin")):
        with raises(ValueError, f"{kind} is not read compressed: decompress the file first"):
            load(tmp_path, gzip.compress(path.read_bytes()))


@pytest.mark.parametrize(
    "content", [b"2000000000 65536\nw 1\n", b"2000000000 65536\nw " + b"0" * 999, b"a " + b"1 " * 9]
)
def test_headers_take_no_memory(content, tmp_path):
    tracemalloc.start()
    with pytest.raises(ValueError, match=re.escape(str(tmp_path))):
        load(tmp_path, content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6_000_000  # a block


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
def test_files_that_expand_without_end(compress, tmp_path, monkeypatch):
    monkeypatch.setattr("ebagx.io.vectors.stream._ALWAYS_ALLOWED", 1 << 20)
    content = compress(b"a 0 0\n" * 500_000)
    with raises(ValueError, "expands to more than 100 times its size"):
        load(tmp_path, content)


def test_lines_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("ebagx.io.vectors.stream.LONGEST_RECORD", 1 << 10)
    monkeypatch.setattr("ebagx.io.vectors.stream.BLOCK_SIZE", 1 << 8)
    with raises(ValueError, "a line has more than 1,024 bytes"):
        load(tmp_path, text_of(WORDS, ROWS) + b"w" * 2000)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_no_regular_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("pipe", "link"):
        with raises(ValueError, f"{name}: this is not a regular file"):
            load_vectors(tmp_path / name)
    for name in ("loop", "missing"):
        with pytest.raises(OSError, match=name):
            load_vectors(tmp_path / name)


def test_links_are_followed(tmp_path):
    (tmp_path / "link.vec").symlink_to(VECTORS / "gensim_text.txt")
    assert load_vectors(tmp_path / "link.vec").words == WORDS


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"limit": 0}, "limit must be at least 1"),
        ({"bits": 3}, "bits must be 8, 4 or 2 or None, got 3"),
        ({"dtype": "float64"}, "dtype must be float32, float16 or bfloat16"),
        ({"dtype": "int8"}, "dtype must be float32, float16 or bfloat16"),
        (
            {"unicode_errors": "replace"},
            "unicode_errors must be one of 'strict', 'surrogateescape'",
        ),
    ],
)
def test_options(options, problem):
    with raises(ValueError, problem):
        load_vectors(VECTORS / "gensim_text.txt", **options)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"dtype": "nonsense"}, "dtype must be a dtype of NumPy, got 'nonsense'"),
        ({"progress": True}, "progress must be a callable or None, got True"),
        ({"bits": "4"}, "bits must be an integer or None, got '4'"),
    ],
)
def test_options_of_other_types(options, problem):
    with raises(TypeError, problem):
        load_vectors(VECTORS / "gensim_text.txt", **options)


def test_floret_has_no_limit():
    with raises(ValueError, "limit must be None for floret"):
        load_vectors(GOLDEN / "floret" / "sg_h2.floret", limit=3)

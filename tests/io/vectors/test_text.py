"""Test reading vectors as text: of the tools that made them, and with odd words."""

import bz2
import gzip
import io
import lzma
import zipfile

import numpy as np
import pytest

import ebagx
from ebagx.io.vectors import stream
from ebagx.text import load_vectors
from support.vector_files import ROWS, VECTORS, WORDS, binary_of, raises, text_of


def load(tmp_path, content, **options):
    path = tmp_path / "file"
    path.write_bytes(content)
    return load_vectors(path, **options)


@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("c_tool_text.txt", 5e-7),
        ("c_tool_binary.bin", 0),
        ("gensim_text.txt", 0),
        ("gensim_binary.bin", 0),
        ("glove_no_header.txt", 5e-7),
        ("glove_no_header.txt.gz", 5e-7),
    ],
)
def test_files_of_other_tools(name, difference):
    vectors = load_vectors(VECTORS / name)
    assert vectors.words == WORDS
    assert abs(vectors.table - ROWS).max() <= difference
    assert vectors.table.dtype == np.float32
    assert vectors.dim == 5


def test_words_with_spaces():
    vectors = load_vectors(VECTORS / "glove_space_in_word.txt")
    assert vectors.words == [". . .", "at name@domain.com", "plain"]
    np.testing.assert_allclose(vectors.table, ROWS[:3], atol=5e-7)


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vectors.txt", content)
    return file.getvalue()


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zipped])
@pytest.mark.parametrize("make", [text_of, binary_of])
def test_compressed(compress, make, tmp_path):
    vectors = load(tmp_path, compress(make(WORDS, ROWS)))
    assert vectors.words == WORDS
    np.testing.assert_array_equal(vectors.table, ROWS)


@pytest.mark.parametrize("block", [1, 7, 64])
@pytest.mark.parametrize("make", [text_of, binary_of])
def test_blocks_of_any_size(block, make, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BLOCK_SIZE", block)
    monkeypatch.setattr(stream, "HEAD_SIZE", 80)
    vectors = load(tmp_path, make(WORDS, ROWS))
    assert vectors.words == WORDS
    np.testing.assert_array_equal(vectors.table, ROWS)


def test_many_rows_in_several_chunks(tmp_path):
    rng = np.random.default_rng(0)
    words, rows = [f"w{i}" for i in range(9000)], rng.normal(size=(9000, 40)).astype("f")
    vectors = load(tmp_path, binary_of(words, rows))
    np.testing.assert_array_equal(vectors.table, rows)
    assert vectors.table.flags.c_contiguous
    assert (vectors.words[0], vectors.words[-1], len(vectors)) == ("w0", "w8999", 9000)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_dtypes(dtype, tmp_path):
    vectors = load(tmp_path, text_of(WORDS, ROWS), dtype=dtype)
    np.testing.assert_array_equal(vectors.table, ROWS.astype(dtype))


def test_numbers_too_large_for_float16(tmp_path):
    assert load(tmp_path, text_of("a", [[1e5]])).table[0, 0] == 1e5
    problem = "file: in rows 1 to 1 of the table: a number is too large for float16; use float32"
    with raises(ValueError, problem):
        load(tmp_path, text_of("a", [[1e5]]), dtype="float16")
    with raises(ValueError, "file: in rows 1 to 2 of the table: table[1, 0] = 3.0"):
        load(tmp_path, text_of("ab", [[1, 1], [3e38, -3e38]]), bits=8)


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("odd", [None, 0, 7, 11])
def test_quantised_while_they_are_read(bits, odd, tmp_path, monkeypatch):
    """A row of one number that float16 has not makes all rows wider."""
    monkeypatch.setattr(stream, "BLOCK_SIZE", 200)
    monkeypatch.setattr(stream, "HEAD_SIZE", 80)
    rows = ROWS.copy()
    if odd is not None:
        rows[odd] = 0.1
    vectors = load(tmp_path, text_of(WORDS, rows), bits=bits)
    assert vectors.table.bits == bits
    whole = ebagx.quantize(rows, bits)
    assert vectors.table.nbytes == whole.nbytes
    same = slice(None) if odd is None else odd
    np.testing.assert_array_equal(vectors.table.toarray()[same], whole.toarray()[same])
    np.testing.assert_allclose(vectors.table.toarray(), whole.toarray(), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("make", [text_of, binary_of])
@pytest.mark.parametrize("limit", [1, 3, 12, 99])
def test_limit(make, limit, tmp_path):
    vectors = load(tmp_path, make(WORDS, ROWS), limit=limit)
    assert vectors.words == WORDS[:limit]
    np.testing.assert_array_equal(vectors.table, ROWS[:limit])


@pytest.mark.parametrize("make", [text_of, binary_of])
def test_of_equal_words_the_first_counts(make, tmp_path):
    words = ["a", "b", "a", "", "c", "b"]
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    content = make(words, rows)
    with pytest.warns(UserWarning, match="3 of 6 vectors are left out"):
        vectors = load(tmp_path, content)
    assert vectors.words == ["a", "b", "c"]
    np.testing.assert_array_equal(vectors.table, rows[[0, 1, 4]])
    limited = load(tmp_path, content, limit=3)
    assert limited.words == vectors.words
    np.testing.assert_array_equal(limited.table, vectors.table)


@pytest.mark.parametrize("make", [text_of, binary_of])
def test_words_that_are_not_utf8(make, tmp_path):
    words = ["caf\udce9", "b", "ça"]
    content = make(words, np.eye(3))
    with pytest.raises(ValueError, match=r"word 1 is not UTF-8: b'caf\\xe9'; with unicode_errors="):
        load(tmp_path, content)
    vectors = load(tmp_path, content, unicode_errors="surrogateescape")
    assert vectors.words == words
    np.testing.assert_array_equal(vectors["caf\udce9"], [1, 0, 0])
    vectors.save(tmp_path / "again.vec")
    again = load_vectors(tmp_path / "again.vec", unicode_errors="surrogateescape")
    assert again.words == words


def test_progress(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BLOCK_SIZE", 100)
    monkeypatch.setattr(stream, "HEAD_SIZE", 100)
    calls = []
    content = text_of(WORDS, ROWS)
    load(tmp_path, content, progress=lambda *call: calls.append(call))
    assert len(calls) > 3
    assert calls == sorted(calls)
    assert calls[-1] == (len(content), len(content))


def test_words_that_are_numbers(tmp_path):
    vectors = load(tmp_path, text_of(["3.14", "-1", "7"], np.eye(3), header=False))
    assert vectors.words == ["3.14", "-1", "7"]


@pytest.mark.parametrize("end", [" \n", "\n", "\r\n", "  \n"])
def test_ends_of_lines(end, tmp_path):
    vectors = load(tmp_path, text_of(WORDS, ROWS, end=end))
    assert vectors.words == WORDS
    np.testing.assert_array_equal(vectors.table, ROWS)


@pytest.mark.parametrize("blanks", [" %s %s", "%s  %s", "%s\t%s", "%s %s \t ", "%s %s\r"])
@pytest.mark.parametrize("make", [text_of, binary_of])
def test_blanks_of_headers(blanks, make, tmp_path):
    rest = make(WORDS, ROWS).partition(b"\n")[2]
    header = blanks % (len(WORDS), len(ROWS[0]))
    vectors = load(tmp_path, header.encode() + b"\n" + rest)
    assert vectors.words == WORDS
    np.testing.assert_array_equal(vectors.table, ROWS)


def test_long_numbers_are_read_by_python(tmp_path):
    number = "0.1000000000000000055511151231257827021181583404541015625"
    vectors = load(tmp_path, f"1 2\nw {number} 1e-400\n".encode())
    np.testing.assert_array_equal(vectors.table, [[np.float32(0.1), 0]])


@pytest.mark.parametrize("header", [True, False])
def test_lines_longer_than_a_block(header, tmp_path):
    rows = np.arange(3 * 60_000, dtype=np.float32).reshape(3, -1) + 0.25
    lines = [
        f"{w} {' '.join(f'{x:075.2f}' for x in row)}\n" for w, row in zip("abc", rows, strict=True)
    ]
    assert len(lines[0]) > 1 << 22
    vectors = load(tmp_path, ("3 60000\n" * header + "".join(lines)).encode())
    assert vectors.words == list("abc")
    np.testing.assert_array_equal(vectors.table, rows)

"""Compare reading in blocks, and lines that become bags, with definitions in plain Python."""

import io
import itertools
import random
import unicodedata

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

from ebagx.text import features, sources, tokens
from ebagx.text.corpus import parse_corpus
from ebagx.text.features import Features, LineBags
from ebagx.text.lines import Lines, LineStore, read_lines
from ebagx.text.ngrams import Ngrams
from ebagx.text.tokenizers import Tokenizer
from support.ngram_definition import ordered_features_of, words_of
from support.record_definition import records_of

PIECES = [
    b"__label__",
    b"__label",
    b"a",
    b"B",
    b"1",
    b"\t",
    b"\n",
    b"\r",
    b" ",
    b"\0",
    b"\x1c",
    b"-",
]
PIECES += [char.encode() for char in "\xa0\x85\u2028\u3000\u1680\u200b\ufeff\xe9\u0130\u03a3\u4e2d"]
PIECES += ["\U0001f600".encode(), b"\xe9", b"\xff", b"\xc2", b"\xe2\x80", b"\xed\xa0\x80", b"\x80"]
NAME = "file"


def stream_of(content):
    return io.BufferedReader(io.BytesIO(content))


def read_in_blocks(content, size, read):
    """Return what a function reads in blocks of `size` bytes, or its error."""
    before, sources._BLOCK_SIZE = sources._BLOCK_SIZE, size
    try:
        return read(stream_of(content), NAME)
    except ValueError as error:
        return str(error)
    finally:
        sources._BLOCK_SIZE = before


def defined(content, size):
    try:
        blocks = read_in_blocks(content, size, lambda *args: list(sources.read_blocks(*args)))
        return blocks if isinstance(blocks, str) else records_of(blocks)
    except ValueError as error:
        return f"{NAME}, {error}" if "line " in str(error)[:5] else f"{NAME}: {error}"


def words_of_lines(store):
    names, ends = store.words.names(), store.offsets.tolist()
    words = [names[word] for word in store.words_k]
    return [words[a:b] for a, b in itertools.pairwise(ends)]


def labels_of_lines(lines):
    names = lines.store.label_names.names()
    numbers, offsets = lines.labels()
    labels = [names[i] for i in numbers]
    return [tuple(labels[a:b]) for a, b in itertools.pairwise(offsets)]


def assert_reads_as_defined(content, size):
    expected = defined(content, size)
    texts = read_in_blocks(content, size, parse_corpus)
    lines = read_in_blocks(content, size, read_lines)
    if isinstance(expected, str):
        assert texts == lines == expected
        return
    assert list(zip(texts.labels, texts.texts, strict=True)) == expected
    assert labels_of_lines(lines) == [labels for labels, _ in expected]
    assert words_of_lines(lines.store) == [words_of(text) for _, text in expected]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=25), st.integers(1, 7))
@example([b"\xef\xbb\xbf", b"a\tB\r\n\r\n", b"\xa0\n", b"c\t\xc3\xa9 x"], 1)
@example([b"__label__a __label__b __label__a x\n", b"__label__a", b"\xc2\xa0", b"__label__b"], 3)
@example([b"x __label__a y __label__b\xc2\xa0z\n", b"w\xe2\x80\xa8__label__a\n", b"u__label__a"], 2)
@example([b"__label__a x__label__b\tz\n", b"y\t__label__a \xc3\xa9\n", b"y\t__label__\n"], 3)
@example([b"a\tx\n" * 9, b"b x"], 2)
def test_reading_equals_its_definition(pieces, size):
    assert_reads_as_defined(b"".join(pieces), size)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=12), st.integers(1, 7), st.booleans())
def test_lines_with_labels_are_as_defined(pieces, size, has_tab):
    line = b"".join(pieces).replace(b"\n", b"")
    content = b"a\tfirst\n" if has_tab else b"__label__a first\n"
    content += (b"b \t" if has_tab else b"__label__b ") + line + b"\n"
    assert_reads_as_defined(content + line + content, size)


@given(st.binary(max_size=40), st.integers(1, 7))
def test_any_bytes_are_as_defined(content, size):
    assert_reads_as_defined(content, size)
    assert_reads_as_defined(b"a\t" + content, size)


def splits(line):
    """Return whether the compiled reader takes a line to be a record."""
    room = [np.empty((9, 2), np.intp), np.empty(9, np.intp), np.empty(9, np.uint8)]
    room += [np.empty((9, 2), np.intp), np.zeros(3, np.intp), bytearray()]
    return tokens.split_records(*room, line, b"__label__", 1) == len(line)


def is_utf8(line):
    try:
        return bool(line.decode())
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("tail", [b"", b"\x80", b"\x80\x80", b"\x80\xbf\x80", b"\xc0"])
def test_characters_are_those_of_python(tail):
    for first in range(0xBE, 256):
        for second in (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0):
            line = b"a\t" + bytes([first, second]) + tail + b"\n"
            assert splits(line) == is_utf8(line), line


def test_white_space_is_that_of_python():
    chars = [
        char
        for char in map(chr, [*range(32, 0x3100), 0xFEFF, 0x1F600])
        if not char.isalnum() and unicodedata.category(char) != "Cn"
    ]
    content = "".join(f"__label__a{char}b\n" for char in chars).encode()
    content += "".join(f"__label__{char}\n" for char in chars if not char.isspace()).encode()
    assert_reads_as_defined(content, 1 << 20)
    tabs = "".join(f"{char}{char}a{char}\t{char}\n" for char in chars).encode()
    assert_reads_as_defined(
        tabs + "".join(f"{char}\n" for char in chars if char.isspace()).encode(), 999
    )


ODD = "aAbZ_9 -.\u0130\u03a3\u03c3\xe9\u4e2d\U0001f600"
texts = st.lists(st.text(st.sampled_from(ODD), max_size=30), min_size=1, max_size=9)


@settings(max_examples=60)
@given(
    texts,
    st.sampled_from([(1, 0, 0), (2, 0, 0), (5, 1, 3)]),
    st.sampled_from([1, 7, 2**20]),
    st.data(),
)
def test_bags_equal_the_definition_with_any_threads(texts, lengths, n_buckets, data):
    ngrams, lines = Ngrams(*lengths, n_buckets), Lines.of(texts)
    rows = np.array(data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=20)), np.intp)
    learned = np.array(sorted(set(rows.tolist())), np.intp)
    try:
        learned_features = Features.learn(lines.select(learned), ngrams)
    except ValueError:  # no feature
        return
    columns = learned_features.columns | {
        int(bucket): learned_features.words.count + i
        for i, bucket in enumerate(learned_features.table.buckets())
    }
    expected = []
    for row in rows:
        counts = {}
        for name in ordered_features_of(
            texts[row], lengths[0], lengths[1:] if lengths[2] else None, n_buckets
        ):
            if name in columns:
                counts[columns[name]] = counts.get(columns[name], 0) + 1
        expected.append(list(counts.items()))
    for threads in (1, 2, 3):
        bags = taken(learned_features, lines, rows, threads)
        pairs = list(zip(bags.indices.tolist(), bags.weights.tolist(), strict=True))
        ends = bags.offsets.tolist()
        assert [pairs[a:b] for a, b in itertools.pairwise(ends)] == expected


def taken(learned, lines, rows, threads):
    before, features.thread_count = features.thread_count, lambda *_: threads
    try:
        return LineBags(learned, lines).take(rows)
    finally:
        features.thread_count = before


def test_many_rows_and_threads():
    chooser = random.Random(0)
    lines = Lines.of([" ".join(chooser.choices("abcdefgh", k=i % 40)) for i in range(999)])
    learned = Features.learn(lines, Ngrams(3, 0, 0, 50))
    rows = np.random.default_rng(0).integers(999, size=50_000)
    expected = taken(learned, lines, rows, 1)
    for threads in (2, 3, 8):
        for array, same in zip(taken(learned, lines, rows, threads), expected, strict=True):
            np.testing.assert_array_equal(array, same)
    most = LineBags(learned, lines).most_lookups()[rows]
    assert (np.diff(expected.offsets) <= most).all()


def test_more_lookups_than_int32_counts(monkeypatch):
    lines = Lines.of(["a b", "", "b c b"])
    learned = Features.learn(lines, Ngrams(2, 0, 0, 100))
    bags = LineBags(learned, lines).take(np.array([2, 0]))
    monkeypatch.setattr(features, "_INT32_MAX", len(bags.indices) - 1)
    larger = LineBags(learned, lines).take(np.array([2, 0]))
    assert bags.indices.dtype == bags.offsets.dtype == np.int32
    assert larger.indices.dtype == larger.offsets.dtype == np.int64
    for part, same in zip(bags, larger, strict=True):
        np.testing.assert_array_equal(part, same)


def test_lines_that_were_not_learned_have_the_features_that_were():
    store = LineStore(Tokenizer())
    store.add_texts(["a b a", "b c", "x a b"])
    learned = Features.learn(store.all().select([0, 1]), Ngrams(2, 0, 0, 2**20))
    assert list(learned.columns) == ["a", "b", "c"]
    of_store = LineBags(learned, store.all().select([2])).matrix().toarray()
    np.testing.assert_array_equal(of_store, learned.count(["x a b"]).toarray())
    assert of_store.sum() == 3


def test_only_learned_lines_give_columns():
    texts, ngrams = ["b a", "a c"], Ngrams(2, 2, 3, 2**20)
    store = LineStore(Tokenizer())
    store.add_texts(["other words", *texts, "more words"])
    learned = Features.learn(store.all().select([1, 2]), ngrams)
    expected = Features.learn(Lines.of(texts), ngrams)
    assert learned.columns == expected.columns
    assert learned.table.buckets().tolist() == expected.table.buckets().tolist()


def test_a_store_grows():
    parts = [f"w{i} same" for i in range(5000)]
    store = LineStore(Tokenizer())
    for part in parts:
        store.add_texts([part])
    assert words_of_lines(store) == [part.split() for part in parts]
    assert store.words.count == 5001
    assert repr(store) == "LineStore(5000 lines, 10000 words)"
    assert repr(store.all().select(slice(7))) == "Lines(7 of 5000 lines)"
    assert repr(store.words) == "Words(5001 words)"


def test_odd_lines_between_ascii_ones_are_in_their_places(monkeypatch):
    """Python's string methods see only lines that are not ASCII."""
    prepare, prepared = Tokenizer.prepare, []
    monkeypatch.setattr(
        Tokenizer, "prepare", lambda self, text: prepared.append(text) or prepare(self, text)
    )
    content = "a\tOne two\nb\tCaf\xe9 x\nc\tthree\nd\t\xc4pfel\n".encode()
    lines = read_lines(stream_of(content), NAME)
    assert words_of_lines(lines.store) == [
        ["one", "two"],
        ["caf\xe9", "x"],
        ["three"],
        ["\xe4pfel"],
    ]
    assert prepared == ["Caf\xe9 x\n\xc4pfel\n".encode()]


def test_offsets_that_need_more_than_32_bits(monkeypatch):
    """The numbers become wider as soon as one does not fit; results stay."""
    texts, labels = ["a b a", "b c", "", "x a b"], [["one"], ["two"], ["one"], ["two"]]
    ngrams = Ngrams(2, 0, 0, 1000)
    usual = Lines.of(texts, labels)
    assert usual.store.offsets.dtype == usual.store.label_offsets.dtype == usual.rows.dtype
    assert usual.rows.dtype == np.int32
    for module in ("lines", "rows"):
        monkeypatch.setattr(f"ebagx.text.{module}._INT32_MAX", 2)
    expected = LineBags(Features.learn(usual, ngrams), usual).most_lookups().tolist()
    monkeypatch.setattr(features, "_LINES_AT_ONCE", 3)
    assert LineBags(Features.learn(usual, ngrams), usual).most_lookups().tolist() == expected
    wide = Lines.of(texts, labels)
    assert wide.store.offsets.dtype == wide.rows.dtype == wide.store.label_offsets.dtype == np.int64
    for lines in (usual, wide):
        assert lines.store.offsets.tolist() == [0, 3, 5, 5, 8]
        assert lines.labels()[0].tolist() == [0, 1, 0, 1]
    learned = Features.learn(usual, ngrams)
    some = np.array([3, 0])
    for lines in (wide, wide.select(some)):
        same = usual if lines is wide else usual.select(some)
        found = LineBags(learned, lines).matrix().toarray()
        np.testing.assert_array_equal(found, LineBags(learned, same).matrix().toarray())
        assert LineBags(learned, lines).most_lookups().tolist() == (
            LineBags(learned, same).most_lookups().tolist()
        )

"""Test that saved vectors come back, mapped, and that damaged ones are refused."""

import json
import random
import re
import shutil

import numpy as np
import pytest

from ebagx.io.safetensors import read_safetensors, write_safetensors
from ebagx.text import WordVectors, load_vectors
from support.vector_files import GOLDEN, ROWS, SENTENCES, VECTORS, WORDS, raises

SOURCES = {
    "words": VECTORS / "gensim_text.txt",
    "floret": GOLDEN / "floret" / "sg_h2.floret",
    "plain": GOLDEN / "model2vec" / "plain",
    "mapped": GOLDEN / "model2vec" / "mapped",
    "float16": GOLDEN / "model2vec" / "float16",
}
every_kind = pytest.mark.parametrize("kind", SOURCES)


@every_kind
@pytest.mark.parametrize("name", ["folder", "file.safetensors"])
def test_all_comes_back(kind, name, tmp_path):
    vectors = load_vectors(SOURCES[kind])
    vectors.save(tmp_path / name)
    again = load_vectors(tmp_path / name)
    assert again.words == vectors.words
    assert again.table.dtype == vectors.table.dtype
    assert not again.table.flags.writeable  # it is mapped
    np.testing.assert_array_equal(again.table, vectors.table)
    texts = [*SENTENCES, *WORDS]
    assert again.embed(texts).tobytes() == vectors.embed(texts).tobytes()
    assert repr(again) == repr(vectors)


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("name", ["folder", "file.safetensors", "file.vec"])
def test_quantised_tables(bits, name, tmp_path):
    vectors = WordVectors.of(WORDS, ROWS).quantize(bits)
    vectors.save(tmp_path / name)
    again = load_vectors(tmp_path / name)
    found = again.table if name == "file.vec" else again.table.toarray()
    np.testing.assert_array_equal(found, vectors.table.toarray())
    assert again.embed(WORDS).tobytes() == vectors.embed(WORDS).tobytes()


def codes(name, value):
    return lambda text: json.dumps({**json.loads(text), name: value})


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("codes", "[]", "the layout of the table is damaged"),
        ("codes", codes("bits", 3), "the layout of the table is damaged"),
        ("codes", codes("dim", True), "the layout of the table is damaged"),
        ("codes", codes("dtype", "int8"), "the layout of the table is damaged"),
        ("codes", codes("dim", 6), "the rows of the table have another length than their layout"),
        ("codes", codes("dim", 2**40), "the rows of the table have another length"),
        ("table", lambda a: a.astype("f4"), "the layout of the table is damaged"),
        ("table", lambda a: a | np.uint8(255), "a scale or bias is not finite"),
    ],
)
def test_damaged_layouts_of_quantised_tables(name, value, problem, tmp_path):
    path = tmp_path / "a.safetensors"
    WordVectors.of(WORDS, ROWS).quantize().save(path)
    change(path, name, value)
    with raises(ValueError, problem) as caught:
        load_vectors(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_words_of_any_bytes_come_back(tmp_path):
    words = ["caf\udce9", "x y", "猫", "a\nb", "\0"]
    vectors = WordVectors.of(words, np.eye(5, dtype=np.float32))
    with raises(ValueError, "the word 'x y' has a blank; save a folder or .safetensors"):
        vectors.save(tmp_path / "a.vec")
    vectors.save(tmp_path / "a")
    again = load_vectors(tmp_path / "a")
    assert vectors.words == again.words == words
    for i, word in enumerate(words):
        np.testing.assert_array_equal(again[word], np.eye(5)[i])
    assert "caf" not in again


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_text(dtype, tmp_path):
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(50, 7)) * 10.0 ** rng.integers(-30, 30, (50, 7))).astype("f")
    rows = rows if dtype == "float32" else rng.normal(size=(50, 7)).astype("e")
    vectors = WordVectors.of([f"w{i}" for i in range(50)], rows)
    vectors.save(tmp_path / "a.vec")
    again = load_vectors(tmp_path / "a.vec")
    assert again.words == vectors.words
    np.testing.assert_array_equal(again.table, rows.astype("f"))


def test_text_of_pieces_has_their_vectors(tmp_path):
    vectors = load_vectors(SOURCES["mapped"])
    vectors.save(tmp_path / "a.vec")
    again = load_vectors(tmp_path / "a.vec")
    for word in vectors.words:
        np.testing.assert_allclose(again[word], vectors[word], rtol=1e-6)


@pytest.mark.parametrize(
    "word", ["a b", " a", "a ", "a\tb", "a\r", "a 1", " ", "\v", "\f", "a\nb", "\n"]
)
def test_text_has_no_words_with_blanks(word, tmp_path):
    path = tmp_path / "a.vec"
    path.write_text("old")
    with raises(ValueError, f"a.vec: the word {word!r} has a blank; save a folder or .safetensors"):
        WordVectors.of(["first", word], np.eye(2)).save(path)
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    "word", ["x\xa0y", "\u2028", "\x85", "\0", "1", "-1e5", "nan", "\x1c", "é"]
)
def test_all_other_words_come_back_from_text(word, tmp_path):
    for words in ([word, "other"], ["other", word]):
        vectors = WordVectors.of(words, [[1, 2], [3, -0.5]])
        vectors.save(tmp_path / "a.vec")
        again = load_vectors(tmp_path / "a.vec")
        assert again.words == words
        np.testing.assert_array_equal(again.table, vectors.table)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_text_has_no_numbers_that_are_not_finite(bad, tmp_path):
    rows = np.ones((1200, 2), np.float32)
    rows[1100, 1] = bad
    with raises(ValueError, "the vector of 'w1100' is not finite; save a folder or .safetensors"):
        WordVectors.of([f"w{i}" for i in range(1200)], rows).save(tmp_path / "a.vec")
    assert not any(tmp_path.iterdir())


def test_text_has_no_longer_rows_than_are_read(tmp_path):
    WordVectors.of(["a"], np.ones((1, 1 << 16))).save(tmp_path / "a.vec")
    assert load_vectors(tmp_path / "a.vec").dim == 1 << 16
    with raises(ValueError, "a line has at most 65,536 numbers; save a folder or .safetensors"):
        WordVectors.of(["a"], np.ones((1, (1 << 16) + 1))).save(tmp_path / "a.vec")


def test_floret_has_no_words_for_text(tmp_path):
    with raises(ValueError, "no words are listed; save a folder or .safetensors"):
        load_vectors(SOURCES["floret"]).save(tmp_path / "a.vec")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced(tmp_path):
    path = tmp_path / "folder"
    WordVectors.of(["a"], [[1, 2]]).save(path)
    mapped = load_vectors(path)
    WordVectors.of(["b"], [[3, 4]]).save(path)
    assert load_vectors(path).words == ["b"]
    np.testing.assert_array_equal(mapped["a"], [1, 2])
    assert len(list(path.iterdir())) == 2


def test_nothing_else_is_replaced(tmp_path):
    vectors = WordVectors.of(["a"], [[1, 2]])
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes").touch()
    (tmp_path / "file").touch()
    with raises(ValueError, "is not replaced: it holds notes"):
        vectors.save(tmp_path / "folder")
    with raises(ValueError, "is not replaced: it is a file"):
        vectors.save(tmp_path / "file")
    with raises(ValueError, "is a directory"):
        (tmp_path / "folder.vec").mkdir()
        vectors.save(tmp_path / "folder.vec")


def test_many_words_are_saved_without_the_room_for_more(tmp_path):
    words = [f"w{i}" for i in range(3000)]
    vectors = WordVectors.of(words, np.ones((3000, 1)))
    vectors._lookup.words._reserve(100_000, 0)
    vectors.save(tmp_path / "a.safetensors")
    assert read_safetensors(tmp_path / "a.safetensors").arrays["words.slots"].size == 8192
    assert "w2999" in load_vectors(tmp_path / "a.safetensors")


@every_kind
def test_flipped_bits(kind, tmp_path):
    """Whatever is damaged, look-ups stay inside the arrays, and end."""
    path = tmp_path / "a.safetensors"
    load_vectors(SOURCES[kind]).save(path)
    content, rng = path.read_bytes(), random.Random(0)
    for _ in range(150):
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 8])):
            changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            vectors = load_vectors(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            continue
        with np.errstate(all="ignore"):
            vectors.embed(SENTENCES)
        assert all(isinstance(word, str) for word in vectors.words)


@every_kind
def test_truncated(kind, tmp_path):
    path = tmp_path / "a.safetensors"
    load_vectors(SOURCES[kind]).save(path)
    content = path.read_bytes()
    for end in range(0, len(content), 61):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            load_vectors(path)


def change(path, name, value):
    arrays, metadata = read_safetensors(path)
    arrays = {key: np.array(array) for key, array in arrays.items()}
    if name in arrays:
        arrays[name] = value(arrays[name]) if callable(value) else value
    elif value is None:
        del metadata[name]
    else:
        metadata[name] = value(metadata[name]) if callable(value) else value
    write_safetensors(path, arrays, metadata)


def put(place, value):
    def changed(array):
        array[place] = value
        return array

    return changed


def option(name, value):
    return lambda text: json.dumps({**json.loads(text), name: value})


def rule(name, value):
    def changed(text):
        options = json.loads(text)
        options["rule"][name] = value
        return json.dumps(options)

    return changed


@pytest.mark.parametrize(
    ("kind", "name", "value", "problem"),
    [
        ("words", "format", "other", "the file has arrays, but no words"),
        ("words", "version", "2", "a newer ebagx wrote it"),
        ("words", "kind", "x", "the kind 'x' is not known"),
        ("words", "table", np.ones((11, 5), "f"), "12 words need as many rows, not 11"),
        ("words", "table", np.ones(12, "f"), "the table must be 2-D"),
        ("words", "table", np.ones((12, 5), "i4"), "the table must be float16"),
        ("words", "words.offsets", lambda a: a[:-1], "the words do not fill their text"),
        ("words", "words.offsets", put(0, 1), "the words do not fill their text"),
        ("words", "words.offsets", put(-1, 10**9), "the words do not fill their text"),
        ("words", "words.offsets", put(3, -5), "a word ends before it starts"),
        ("words", "words.offsets", put(3, 10**9), "a word ends before it starts"),
        ("words", "words.offsets", lambda a: a.astype("i4"), "words.offsets has the dtype int32"),
        ("words", "words.slots", lambda a: a[:-1], "the table of words is damaged"),
        ("words", "words.slots", lambda a: a[:16], "the table of words is damaged"),
        ("words", "words.slots", put(0, 2**32 - 1), "the table of words is damaged"),
        ("words", "words.slots", lambda a: np.maximum(a, 1), "the table of words has other words"),
        ("words", "words.slots", lambda a: a | np.uint64(1 << 40), "the table of words has other"),
        ("words", "words.hashes", lambda a: a[:-1], "the words do not fill their text"),
        ("floret", "n_buckets", "301", "301 buckets need as many rows, not 300"),
        ("floret", "max_chars", "99", "maxn must be at most 32"),
        ("floret", "rows_per_hash", "x", "invalid literal"),
        ("floret", "begin", None, "'begin'"),
        ("plain", "pieces.rows", put(3, 26), "a piece has a row outside the table"),
        ("plain", "pieces.rows", put(3, -1), "a piece has a row outside the table"),
        ("plain", "pieces.rows", lambda a: a[:-1], "more or fewer rows or weights than pieces"),
        ("plain", "pieces.rows", lambda a: a.astype("i8"), "have another dtype"),
        ("mapped", "pieces.weights", put(3, np.nan), "a weight is not finite"),
        ("plain", "options", "[]", "the options of pieces are damaged"),
        ("plain", "options", "{", "Expecting property name"),
        ("plain", "options", option("limits", [0, 1]), "the limits of pieces are damaged"),
        ("plain", "options", option("limits", [1]), "the limits of pieces are damaged"),
        ("plain", "options", option("rule", []), "the rule of pieces is damaged"),
        ("plain", "options", rule("max_chars", 0), "max_chars must be at least 1"),
        ("plain", "options", rule("prefix", "#" * 1000), "the rule of pieces is damaged"),
        ("plain", "options", rule("added", [7]), "the rule of pieces is damaged"),
        ("plain", "options", rule("normalizer", {}), "the normaliser of texts is damaged"),
    ],
)
def test_messages(kind, name, value, problem, tmp_path):
    path = tmp_path / "a.safetensors"
    load_vectors(SOURCES[kind]).save(path)
    change(path, name, value)
    with raises(ValueError, problem) as caught:
        load_vectors(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("about", "problem"),
    [
        ("{", "damaged or incomplete"),
        ("[]", "these are no word vectors; load_model reads text classifiers"),
        ('{"format": "ebagx text classifier"}', "these are no word vectors; load_model reads"),
        ('{"format": "ebagx word vectors", "folder": "../x"}', "the name of the folder is '../x'"),
    ],
)
def test_descriptions(about, problem, tmp_path):
    WordVectors.of(["a"], [[1, 2]]).save(tmp_path / "a")
    (tmp_path / "a" / "model.json").write_text(about, "utf-8")
    with raises(ValueError, problem):
        load_vectors(tmp_path / "a")


def test_missing_files(tmp_path):
    path = tmp_path / "a"
    WordVectors.of(WORDS, ROWS).save(path)
    (data,) = path.glob("data-*")
    shutil.rmtree(data)
    with pytest.raises(FileNotFoundError, match="safetensors"):
        load_vectors(path)
    (path / "model.json").unlink()
    with raises(ValueError, "is no folder of vectors: it has no config.json, model.safetensors"):
        load_vectors(path)


@pytest.mark.parametrize("kind", ["words", "plain"])
def test_options_of_other_formats_are_refused(kind, tmp_path):
    load_vectors(SOURCES[kind]).save(tmp_path / "file.safetensors")
    for path in (tmp_path / "file.safetensors", SOURCES["plain"]):
        for option in ({"limit": 2}, {"bits": 8}, {"dtype": np.float16}):
            with raises(ValueError, "limit, dtype and bits are for formats"):
                load_vectors(path, **option)


def test_files_that_change_under_their_map(tmp_path):
    """Words are found by copies of the arrays, which compiled code takes as they are."""
    words = [f"word{i:04}" for i in range(1000)]  # of eight bytes, so that all arrays are aligned
    rows = np.arange(4000, dtype=np.float32).reshape(1000, 4)
    WordVectors.of(words, rows).save(tmp_path / "a.safetensors")
    vectors = load_vectors(tmp_path / "a.safetensors")
    size = (tmp_path / "a.safetensors").stat().st_size
    with (tmp_path / "a.safetensors").open("r+b") as file:
        file.write(b"\xff" * size)
    assert vectors.words == words
    assert "word0999" in vectors
    assert vectors.embed(["word0001 word0002", "other"]).shape == (2, 4)


@pytest.mark.parametrize(
    ("codes", "kind"),
    [("[" * 100_000, "deep"), ("5", "number"), ("[]", "list"), ('{"bits": []}', "bits")],
)
def test_damaged_descriptions_of_codes(codes, kind, tmp_path):
    path = tmp_path / f"{kind}.safetensors"
    load_vectors(SOURCES["words"]).quantize(8).save(path)
    arrays, metadata = read_safetensors(path)
    arrays = {name: np.array(array) for name, array in arrays.items()}
    write_safetensors(path, arrays, {**metadata, "codes": codes})
    with raises(ValueError, "damaged"):
        load_vectors(path)

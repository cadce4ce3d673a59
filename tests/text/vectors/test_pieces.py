"""Test the tokenizer of BERT against its definition, and against the package tokenizers."""

import json
import random
import sys

import numpy as np
import pytest

from ebagx.io.safetensors import write_safetensors
from ebagx.text import load_vectors
from ebagx.text.vectors.normalizing import BertNormalizer
from support.vector_definition import pieces as pieces_of
from support.vector_files import GOLDEN, SENTENCES, raises, tokenizer_of

PIECES = [
    *("[PAD]", "[UNK]", "the", "cat", "##s", "##at", "c", ",", "!", "caf\xe9", "cafe", "##ca"),
    *("\u65e5", "\u732b", "##\u732b", "a", "##a", "12", "##3", "ab", "##ab", "##aba", "\uff0c"),
    *("[CLS]", "\xe6", "\u0301"),
]
STATIC = GOLDEN / "model2vec"


def make(folder, pieces=PIECES, rows=None, added=(), config=None, model=None, **normalizer):
    """Write a folder of static embeddings, by default the unit vector of each piece."""
    folder.mkdir(exist_ok=True)
    rows = np.eye(len(pieces), dtype=np.float32) if rows is None else rows
    tokenizer = tokenizer_of(pieces, added, **normalizer)
    tokenizer["model"].update(model or {})
    write_safetensors(folder / "model.safetensors", {"embeddings": rows}, {})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    (folder / "config.json").write_text(json.dumps(config or {"normalize": False}), "utf-8")
    return folder


def counted(vectors, text):
    """Return how often each piece is in a text, of a table of unit vectors."""
    (sums,) = vectors.embed([text], mode="sum")
    return {vectors.words[i]: int(sums[i]) for i in np.flatnonzero(sums)}


@pytest.mark.parametrize(
    ("name", "difference"), [("plain", 1e-6), ("int8", 1e-6), ("mapped", 1e-6), ("float16", 3e-4)]
)
def test_models_of_model2vec(name, difference):
    """model2vec averages float16 in float16, ebagx in float32."""
    vectors = load_vectors(STATIC / name)
    found = vectors.embed(SENTENCES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.load(STATIC / f"{name}.expected.npy"), atol=difference)
    assert len(vectors) == 26


def test_pieces_of_golden_sentences(tmp_path):
    names = load_vectors(STATIC / "plain").words
    vectors = load_vectors(make(tmp_path / "m", names))
    ids = json.loads((STATIC / "ids.json").read_text("utf-8"))
    for sentence, wanted in zip(SENTENCES, ids, strict=True):
        found = counted(vectors, sentence)
        assert found == {names[i]: wanted.count(i) for i in wanted}


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("The CATS", ["the", "cat", "##s"]),
        ("the,cat!", ["the", ",", "cat", "!"]),
        ("café CAFÉ cafe\u0301", ["cafe"] * 3),
        ("日猫a", ["日", "猫", "a"]),
        ("the\tcat\ncat\rcat\u2003cat", ["the", *["cat"] * 4]),
        ("c\0a\u200bt\x07s\ufffd", ["cat", "##s"]),
        ("a\uff0cb", ["a", "\uff0c"]),
        ("[UNK] [CLS]", []),
        ("xyz", []),
        ("catx the", ["the"]),
        ("ababa ab", ["ab", "##aba", "ab"]),
        ("123", ["12", "##3"]),
        ("Æ", ["æ"]),
        ("\u0301", []),
        ("", []),
        (" ", []),
    ],
)
def test_texts(text, pieces, tmp_path):
    vectors = load_vectors(make(tmp_path / "m"))
    assert counted(vectors, text) == {piece: pieces.count(piece) for piece in pieces}


def test_longest_pieces_come_first(tmp_path):
    vectors = load_vectors(make(tmp_path / "m", handle_chinese_chars=False))
    rng = random.Random(0)
    for _ in range(300):
        words = ["".join(rng.choices("abct\u732bs", k=rng.randrange(1, 9))) for _ in range(5)]
        found = [piece for piece in pieces_of(words, {*PIECES}) if piece]
        assert counted(vectors, " ".join(words)) == {p: found.count(p) for p in found}


def test_long_words_are_unknown(tmp_path):
    vectors = load_vectors(make(tmp_path / "m", model={"max_input_chars_per_word": 4}))
    assert counted(vectors, "cats catsx cat") == {"cat": 2, "##s": 1}
    assert counted(vectors, "猫猫猫猫") == {"猫": 4}


def test_another_prefix(tmp_path):
    model = {"continuing_subword_prefix": "@@@"}
    vectors = load_vectors(make(tmp_path / "m", ["[UNK]", "cat", "@@@s", "@@@cat"], model=model))
    assert counted(vectors, "catscatcats") == {"cat": 1, "@@@s": 2, "@@@cat": 2}


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_limits(limit, tmp_path):
    """Unknown words count, and so do the characters of a text."""
    config = {"normalize": False, "max_length": limit}
    vectors = load_vectors(make(tmp_path / "m", config=config))
    assert (
        counted(vectors, "x a the a cat")["a"] + 1 == min(limit, 4) - (limit == 5)
        if limit > 1
        else True
    )
    texts = ["a " * 50, "x " * 50, "the " * 50]
    found = vectors.embed(texts, mode="sum").sum(axis=1)
    most = limit * int(np.median([len(piece) for piece in PIECES]))
    assert found[0] == min(limit, (most + 1) // 2)
    assert found[1] == 0
    assert found[2] == min(limit, texts[2][:most].count("the"))


def test_added_pieces_count_wherever_they_are(tmp_path):
    vectors = load_vectors(make(tmp_path / "m", added=["[PAD]", "[UNK]", "[CLS]"]))
    assert counted(vectors, "the[CLS]cats [PAD][UNK]") == {
        **{"the": 1, "[CLS]": 1, "cat": 1, "##s": 1, "[PAD]": 1},
    }
    found = vectors.embed(["the", "[CLS] a", "", "cat"], mode="sum")
    assert found.argmax(axis=1).tolist()[::3] == [2, 3]
    assert found.sum(axis=1).tolist() == [1, 2, 0, 1]


def test_options_of_the_normalizer():
    keep = BertNormalizer(False, False, False, False)
    assert keep.prepare(["É猫\x07 A"]) == "É猫\x07 A\n".encode()
    assert BertNormalizer(strips_accents=False).prepare(["ÉA"]) == "éa\n".encode()
    assert BertNormalizer(lowercase=False).prepare(["É A\tb"]) == b"E A b\n"
    assert BertNormalizer().prepare(["a\nb", "c"]) == b"a b\nc\n"
    # A capital sigma becomes the same letter everywhere in a word.
    assert BertNormalizer().prepare(["ΟΔΟΣ"]) == "οδοσ\n".encode()


def test_marks_take_little_time():
    """Python sorts the marks of a letter in the square of their number."""
    assert BertNormalizer().prepare(["a" + "\u0301\u0316" * 200_000]) == b"a\n"


@pytest.mark.parametrize(
    ("first", "end"),
    [
        *((0x80, 0x250), (0x370, 0x37E), (0x37F, 0x590), (0x900, 0x97F), (0x2000, 0x2040)),
        *((0x3000, 0x3200), (0x33FF, 0x3403), (0x4DBF, 0x4E02), (0xAC00, 0xAC40)),
        *((0xE000, 0xE010), (0xFF00, 0xFFE0), (0x1F600, 0x1F640), (0x2B81E, 0x2B922)),
    ],
)
def test_characters_by_the_package_tokenizers(first, end):
    tokenizers = pytest.importorskip("tokenizers")
    normalizer = BertNormalizer()
    theirs = tokenizers.normalizers.BertNormalizer()
    cutter = tokenizers.pre_tokenizers.BertPreTokenizer()
    for char in map(chr, range(first, end)):
        words = [word for word, _ in cutter.pre_tokenize_str(theirs.normalize_str(f"a{char}b"))]
        assert normalizer.prepare([f"a{char}b"]).decode().split() == words, ascii(char)


def test_other_tokenizers_need_a_package(tmp_path, monkeypatch):
    folder = make(tmp_path / "m")
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    tokenizer["pre_tokenizer"] = {"type": "Whitespace"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with raises(ModuleNotFoundError, "pip install 'ebagx[tokenizers]'"):
        load_vectors(folder)


def test_other_tokenizers(tmp_path):
    pytest.importorskip("tokenizers")
    folder = make(tmp_path / "m")
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    tokenizer["pre_tokenizer"] = {"type": "Whitespace"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    vectors = load_vectors(folder)
    plain = load_vectors(make(tmp_path / "n"))
    texts = ["the cats, a CAT", "", "xyz 123 日本"]
    np.testing.assert_array_equal(vectors.embed(texts), plain.embed(texts))
    vectors.save(tmp_path / "s")
    np.testing.assert_array_equal(load_vectors(tmp_path / "s").embed(texts), plain.embed(texts))

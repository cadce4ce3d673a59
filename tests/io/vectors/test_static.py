"""Test that folders of static embeddings in all layouts are read, and damaged ones refused."""

import json
import re
import shutil

import numpy as np
import pytest

from ebagx.io.safetensors import read_safetensors, write_safetensors
from ebagx.text import load_vectors
from support.vector_files import GOLDEN, SENTENCES, raises

STATIC = GOLDEN / "model2vec"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(STATIC / "mapped", tmp_path / "model")


def rename(folder, name):
    arrays, metadata = read_safetensors(folder / "model.safetensors")
    arrays = {name if key == "embeddings" else key: np.array(a) for key, a in arrays.items()}
    write_safetensors(folder / "model.safetensors", arrays, metadata)


@pytest.mark.parametrize("inner", [".", "0_StaticEmbedding"])
@pytest.mark.parametrize("normalizes", [True, False])
def test_layouts_of_sentence_transformers(inner, normalizes, tmp_path):
    """There, modules.json says whether vectors have length 1."""
    folder = tmp_path / "model"
    (folder / inner).mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer.json"):
        shutil.copy(STATIC / "plain" / name, folder / inner / name)
    shutil.copy(STATIC / ("plain" if normalizes else "mapped") / "modules.json", folder)
    (folder / "config_sentence_transformers.json").write_text("{}")
    rename(folder / inner, "embedding.weight")
    plain = load_vectors(STATIC / "plain").embed(SENTENCES)
    found = load_vectors(folder).embed(SENTENCES)
    if not normalizes:
        lengths = np.linalg.norm(found, axis=1)
        assert not np.allclose(lengths[lengths > 0], 1)
        found /= np.where(lengths > 0, lengths, 1)[:, None]
    np.testing.assert_allclose(found, plain, atol=1e-6)


def test_the_table_is_mapped():
    for name in ("plain", "float16"):
        assert not load_vectors(STATIC / name).table.flags.writeable


def test_words_of_a_mapped_vocabulary(folder):
    vectors = load_vectors(folder)
    arrays, _ = read_safetensors(folder / "model.safetensors")
    for i, word in enumerate(vectors.words):
        wanted = arrays["embeddings"][arrays["mapping"][i]] * arrays["weights"][i]
        np.testing.assert_allclose(vectors[word], wanted, rtol=1e-6)
    (best, cosine), *_ = vectors.nearest("cat", 1)
    one, two = vectors["cat"], vectors[best]
    wanted = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    assert cosine == pytest.approx(wanted, abs=1e-6)


def edit(folder, name, change):
    path = folder / name
    path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), "utf-8")


def without(*names):
    def change(about):
        inner = about
        for name in names[:-1]:
            inner = inner[name]
        del inner[names[-1]]
        return about

    return change


def put(value, *names):
    def change(about):
        inner = about
        for name in names[:-1]:
            inner = inner[name]
        inner[names[-1]] = value
        return about

    return change


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("config.json", lambda _: [], "config.json: this is no object of JSON"),
        ("tokenizer.json", lambda _: 7, "tokenizer.json: this is no object of JSON"),
        ("tokenizer.json", without("model", "vocab"), "the tokenizer has no vocabulary"),
        ("tokenizer.json", without("model"), "the tokenizer has no vocabulary"),
        ("tokenizer.json", put({"a": "b"}, "model", "vocab"), "the tokenizer has no vocabulary"),
        ("tokenizer.json", put({}, "model", "vocab"), "the numbers of pieces must be from 0"),
        (
            "tokenizer.json",
            put({"a": -1}, "model", "vocab"),
            "the numbers of pieces must be from 0",
        ),
        ("tokenizer.json", put({"a": 2**60}, "model", "vocab"), "the numbers of pieces must be"),
        ("tokenizer.json", put({"a": 26}, "model", "vocab"), "mapping has the shape (26,)"),
        ("tokenizer.json", put({"a": 1, "\ud800": 2}, "model", "vocab"), "surrogates"),
    ],
)
def test_damaged_json(name, change, problem, folder):
    edit(folder, name, change)
    with raises(ValueError, problem if problem != "surrogates" else str(folder)):
        load_vectors(folder)


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"embeddings": np.ones(4, "f")}, "the table has the shape (4,)"),
        ({"embeddings": np.ones((4, 0), "f")}, "the table has the shape (4, 0)"),
        ({"embeddings": np.ones((4, 2), "u1")}, "the table must be float16"),
        ({"embeddings": np.full((26, 2), np.nan, "f")}, "a number that is not finite"),
        ({"embeddings": np.ones((25, 2), "f")}, "a piece has a row outside the table of 25 rows"),
        ({"mapping": np.full(26, -1)}, "a piece has a row outside the table of 26 rows"),
        ({"mapping": np.full(26, 2**40)}, "a piece has a row outside the table of 26 rows"),
        ({"mapping": np.ones(26, "f")}, "mapping has the shape (26,) and dtype float32"),
        ({"weights": np.ones((26, 1), "f")}, "weights has the shape (26, 1)"),
        ({"weights": np.full(26, np.inf, "f")}, "weights has a number that is not finite"),
        ({"other": np.ones((4, 2), "f"), "embeddings": None}, "the file has no array 'embeddings'"),
    ],
)
def test_damaged_tensors(arrays, problem, folder):
    path = folder / "model.safetensors"
    given, metadata = read_safetensors(path)
    given = {name: np.array(a) for name, a in given.items() if name in ("embeddings", *arrays)}
    given = {name: a for name, a in {**given, **arrays}.items() if a is not None}
    write_safetensors(path, given, metadata)
    with raises(ValueError, problem) as caught:
        load_vectors(folder)
    assert str(caught.value).startswith(str(folder))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_truncated(name, folder):
    path = folder / name
    content = path.read_bytes()
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            load_vectors(folder)
    path.unlink()
    with raises(ValueError, "is no folder of vectors: it has no config.json, model.safetensors"):
        load_vectors(folder)


def test_a_file_of_tensors_alone_has_no_words(folder):
    with raises(ValueError, "the file has arrays, but no words: load_vectors takes the folder"):
        load_vectors(folder / "model.safetensors")


def test_no_utf8(folder):
    (folder / "tokenizer.json").write_bytes(b"\xff")
    with raises(ValueError, "this is not UTF-8"):
        load_vectors(folder)


@pytest.mark.parametrize("content", ["5", "null", '"a"'])
def test_modules_that_are_no_list(content, folder):
    (folder / "modules.json").write_text(content)
    config = json.loads((folder / "config.json").read_text())
    config.pop("normalize", None)
    (folder / "config.json").write_text(json.dumps(config))
    with raises(ValueError, "it is no list of modules"):
        load_vectors(folder)


@pytest.mark.parametrize("number", [10**30, -1])
def test_numbers_of_pieces_out_of_range(number, folder):
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text("utf-8"))
    tokenizer["model"]["vocab"]["cat"] = number
    path.write_text(json.dumps(tokenizer), "utf-8")
    with raises(ValueError, "the numbers of pieces must be from 0 to"):
        load_vectors(folder)


def test_weights_of_bfloat16(folder):
    dtype = pytest.importorskip("ml_dtypes").bfloat16
    expected = load_vectors(folder).embed(SENTENCES)
    arrays, metadata = read_safetensors(folder / "model.safetensors")
    arrays = {name: np.array(array) for name, array in arrays.items()}
    arrays["weights"] = arrays["weights"].astype(dtype)
    write_safetensors(folder / "model.safetensors", arrays, metadata)
    np.testing.assert_allclose(load_vectors(folder).embed(SENTENCES), expected, atol=0.01)

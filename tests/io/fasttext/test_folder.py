"""Test models of fastText that are saved as folders of ebagx."""

import hashlib
import json
import pickle

import numpy as np
import pytest

from ebagx._core.memory import find_map
from ebagx.io.fasttext.model import read_model
from ebagx.io.model_folder import load_any_model, load_model, save_model, saved_size
from ebagx.text.fasttext.model import FastTextModel
from support.fasttext_files import QUERIES, WITH_LABELS, model_path, places_of, with_integer

HS, PRUNED, WORDS = "hs_trigram_sub.bin", "q_hs_cutoff.ftz", "ns_words.bin"


@pytest.fixture
def folder(tmp_path, request):
    """Save a model, by default one that has all kinds of files."""
    save_model(read_model(model_path(getattr(request, "param", PRUNED))), tmp_path / "m")
    return tmp_path / "m"


@pytest.mark.parametrize("name", WITH_LABELS)
def test_a_folder_predicts_the_same(name, tmp_path):
    model = read_model(model_path(name))
    save_model(model, tmp_path / "m")
    again = load_any_model(tmp_path / "m", num_threads=2)
    assert isinstance(again, FastTextModel)
    assert (again.labels, again.loss, again.num_threads) == (model.labels, model.loss, 2)
    assert find_map(again.table.dense) is not None
    np.testing.assert_array_equal(again.vectors(QUERIES), model.vectors(QUERIES))
    for k in (1, 3, -1):
        for found, expected in zip(
            again.best_blocks(QUERIES, k), model.best_blocks(QUERIES, k), strict=True
        ):
            np.testing.assert_allclose(found[1], expected[1], atol=4e-6)
    save_model(again, tmp_path / "again")
    for path in (tmp_path / "again").glob("data-*/*"):
        (first,) = (tmp_path / "m").glob(f"data-*/{path.name}")
        assert path.read_bytes() == first.read_bytes()


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("name", [HS, PRUNED, WORDS, "ova_sub.bin"])
def test_a_quantised_model(name, bits, tmp_path):
    model = read_model(model_path(name))
    small = model.quantize(bits)
    (found,), (expected,) = (each.probability_blocks(QUERIES) for each in (small, model))
    np.testing.assert_allclose(found, expected, atol={8: 0.01, 4: 0.25, 2: 0.7}[bits])
    small.save(tmp_path / "small")
    again = load_any_model(tmp_path / "small")
    assert again.bits == bits
    for each in (again, pickle.loads(pickle.dumps(again))):
        (values,) = each.probability_blocks(QUERIES)
        np.testing.assert_array_equal(values, found)
    np.testing.assert_array_equal(again.vectors(["", "ti"] * 3), small.vectors(["", "ti"] * 3))
    assert saved_size(small) < saved_size(model)
    assert saved_size(again) == sum(
        path.stat().st_size for path in (tmp_path / "small").rglob("*.*")
    )
    with pytest.raises(ValueError, match=f"^the model is quantised to {bits} bits already$"):
        again.quantize()


def test_a_table_with_nan_is_not_saved(tmp_path):
    content = model_path(WORDS).read_bytes()
    path = tmp_path / "model.bin"
    first = places_of(content)["quant"] + 17
    path.write_bytes(with_integer(content, first, float("nan"), "f"))
    with pytest.raises(ValueError, match="^the table of words holds nan or infinity$"):
        read_model(path).save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_it_is_not_taken_for_a_model_to_train(folder):
    with pytest.raises(ValueError, match="has the features and labels of a model of fastText, and"):
        load_model(folder)
    with pytest.raises(ValueError, match="tokenizer must be None, as the model has 'fasttext'"):
        load_any_model(folder, tokenizer=str.split)


def edited(folder, change):
    """Change the description."""
    about = json.loads((folder / "model.json").read_text("utf-8"))
    change(about)
    (folder / "model.json").write_text(json.dumps(about), "utf-8")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("loss", "sigmoid", "loss is 'sigmoid', not hs, ns, softmax, ova"),
        ("loss", "ova", "files does not consist of"),
        ("embedding_dim", 0, "embedding_dim is 0, not an integer from 1"),
        ("embedding_dim", 7, "this is not a float32 array of shape"),
        ("words", 37, "these are not 37 words"),
        ("labels", 5, "labels or buckets are not those of the description"),
        ("rows", 39, "this is not a int32 array of shape"),
        ("bits", 3, "bits is 3, not 8, 4 or 2"),
        ("bits", 4, "files does not consist of"),
        ("fasttext", [], "fasttext does not have the rules"),
        ("folder", "..", "folder is '..', not data-"),
        ("version", 6, "a newer ebagx wrote it"),
    ],
)
def test_a_description_that_does_not_fit(folder, name, value, problem):
    edited(folder, lambda about: about.update({name: value}))
    with pytest.raises(ValueError, match=problem) as caught:
        load_any_model(folder)
    assert str(caught.value).startswith(str(folder))


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("word_ngrams", "256", "word_ngrams must be"),
        ("max_chars", "513", "max_chars must be"),
        ("n_buckets", "0", "there are no buckets"),
        ("n_buckets", "100", "a pruned bucket or its row is out of range"),
        ("n_buckets", "many", "invalid literal"),
        ("min_chars", None, "lack or have a wrong 'min_chars'"),
        ("is_pruned", "0", "files does not consist of"),
    ],
)
def test_rules_that_do_not_fit(folder, name, value, problem):
    def change(about):
        rules = about["fasttext"]
        rules.update({name: value}) if value is not None else rules.pop(name)

    edited(folder, change)
    with pytest.raises(ValueError, match=problem) as caught:
        load_any_model(folder)
    assert str(caught.value).startswith(str(folder))


def replaced(folder, name, change):
    """Change a file, and its record in the description."""
    (path,) = folder.glob(f"data-*/{name}")
    content = change(path.read_bytes())
    path.write_bytes(content)
    record = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edited(folder, lambda about: about["files"].update({name: record}))


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("words.txt", lambda content: content + b"x\n", "these are not 38 words"),
        ("words.txt", lambda content: content[:-1], "these are not 38 words"),
        ("words.txt", lambda content: content + content.split()[0] + b"\n", "not 38 words"),
        ("labels.txt", lambda content: content[:-1], "the list of labels is cut off"),
        ("labels.txt", lambda content: b"", "labels or buckets are not those"),
        ("labels.txt", lambda content: content + b"</s>\n", "a label is empty, or is a word"),
        ("buckets.npy", lambda content: content[:128] + 8 * b"\0" + content[136:], "occurs twice"),
        ("coef.npy", lambda content: content[:-4] + b"\0\0\xc0\x7f", "nan or infinity"),
        ("embedding.npy", lambda content: content[:-4] + b"\0\0\x80\x7f", "nan or infinity"),
        ("label_counts.npy", lambda content: content[:-1] + b"\xff", "negative or too large"),
    ],
)
def test_files_that_do_not_fit(folder, name, change, problem):
    replaced(folder, name, change)
    with pytest.raises(ValueError, match=problem) as caught:
        load_any_model(folder)
    assert str(caught.value).startswith(str(folder))


def test_codes_that_do_not_fit(tmp_path):
    model = read_model(model_path(WORDS))
    model.quantize(4).save(tmp_path / "m")
    edited(tmp_path / "m", lambda about: about.update(bits=8))
    with pytest.raises(ValueError, match=r"the table has shape \(142, 7\) and 4 bits$"):
        load_any_model(tmp_path / "m")

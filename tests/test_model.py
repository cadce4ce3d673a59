"""Models on disk: what is written comes back, and what is damaged says so."""

import json
import os
import random
import re
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx import _model
from ebagx._model import Features, check_destination, load_model, save_model, train_model
from ebagx.sklearn import EmbeddingBagClassifier

TEXTS = ["a small cat", "a cat purrs", "dogs bark", "a big dog barks", "pie of \u00e4pfel", "pie"]
LABELS = ["cat", "cat", "dog", "dog", "caf\u00e9 food", "caf\u00e9 food"]
FILES = {"model.json", "vocabulary.json", "embedding.npy", "coef.npy", "intercept.npy"}


def make_model(features=Features(), seed=0):  # noqa: B008
    classifier = EmbeddingBagClassifier(4, mode="sqrtn", max_iter=30, random_state=seed)
    return train_model(TEXTS, LABELS, features, classifier)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model"
    save_model(make_model(), path)
    return path


def edit_json(path, change):
    value = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(change(value) or value), "utf-8")


@pytest.mark.parametrize("features", [Features(), Features(1), Features(3, buckets=50)])
def test_round_trip(tmp_path, features):
    model = make_model(features)
    assert model.predict(TEXTS) == LABELS
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model", num_threads=1)
    assert loaded.features == features
    assert loaded.labels == model.labels == ["caf\u00e9 food", "cat", "dog"]
    assert loaded.predict([*TEXTS, "", "unknown"]) == model.predict([*TEXTS, "", "unknown"])
    np.testing.assert_array_equal(
        loaded.classifier.predict_proba(loaded.vectorizer.transform(TEXTS)),
        model.classifier.predict_proba(model.vectorizer.transform(TEXTS)),
    )


def test_files(saved, tmp_path):
    assert set(os.listdir(saved)) == FILES
    assert os.listdir(tmp_path) == ["model"]
    save_model(make_model(Features(buckets=50)), saved)
    assert set(os.listdir(saved)) == FILES - {"vocabulary.json"}


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_others_may_read_the_model_as_far_as_the_umask_says(saved):
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o777 & ~umask
    assert stat.S_IMODE((saved / "coef.npy").stat().st_mode) == 0o666 & ~umask


def test_table_is_mapped(saved):
    assert isinstance(load_model(saved).classifier.embedding_.base, np.memmap)


def test_failing_save_keeps_the_old_model(saved, tmp_path, monkeypatch):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}

    def full_disk(file, **_):
        file.write(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_model(make_model(seed=1), saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert os.listdir(tmp_path) == ["model"]


def test_failing_rename_puts_the_old_model_back(saved, tmp_path, monkeypatch):
    before = (saved / "embedding.npy").read_bytes()
    rename = _model.Path.rename

    def fail_on_new(self, target):
        if self.name == "new":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(_model.Path, "rename", fail_on_new)
    with pytest.raises(OSError, match="Input/output error"):
        save_model(make_model(seed=1), saved)
    assert (saved / "embedding.npy").read_bytes() == before
    assert os.listdir(tmp_path) == ["model"]


def test_link_to_a_model_stays_a_link(saved, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(saved)
    before = (saved / "embedding.npy").read_bytes()
    save_model(make_model(seed=1), link)
    assert link.is_symlink()
    assert (saved / "embedding.npy").read_bytes() != before


@pytest.mark.usefixtures("saved")
def test_destination_may_be_new_empty_or_a_model(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty", "model"):
        check_destination(tmp_path / name)
        save_model(make_model(), tmp_path / name)
        assert load_model(tmp_path / name).predict(["cat"]) == ["cat"]


def test_nothing_but_a_model_is_replaced(saved, tmp_path):
    (saved / "notes.txt").write_text("precious")
    with pytest.raises(ValueError, match=r"model is not replaced: it holds notes\.txt, not a mod"):
        save_model(make_model(), saved)
    with pytest.raises(ValueError, match="is not replaced: it is a file, not a model directory$"):
        save_model(make_model(), saved / "notes.txt")
    assert (saved / "notes.txt").read_text() == "precious"
    with pytest.raises(ValueError, match="^cannot save a model as .*: No such file or directory$"):
        check_destination(tmp_path / "missing" / "model")


def test_not_a_model(saved, tmp_path):
    for path in (tmp_path, tmp_path / "absent", saved / "coef.npy"):
        message = f"{path} is not a model directory: it has no model.json"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            load_model(path)


@pytest.mark.parametrize("name", sorted(FILES - {"model.json"}))
def test_missing_file(saved, name):
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(name)):
        load_model(saved)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("kept", [0, 3, 0.5, -1])
def test_truncated_file(saved, name, kept):
    path = saved / name
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: damaged or incomplete: "):
        load_model(saved)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("format", "pickle", "this is not the description of an ebagx text classifier"),
        ("version", 2, "the format version is 2, not 1"),
        ("version", True, "the format version is True, not 1"),
        ("labels", None, "labels is not a list of at least 2 labels"),
        ("labels", ["cat"], "labels is not a list of at least 2 labels"),
        ("labels", ["cat", "dog", 3], "labels is not a list of at least 2 labels"),
        ("labels", ["cat", "dog", "a\nb"], "labels is not a list of at least 2 labels"),
        ("labels", ["cat", "dog", "cat"], "a label occurs twice"),
        ("mode", "max", "mode is 'max', not one of mean, sqrtn, sum"),
        ("mode", ["sum"], "mode is ['sum'], not one of mean, sqrtn, sum"),
        ("embedding_dim", 0, "embedding_dim is 0, not an integer from 1 to 65536"),
        ("embedding_dim", 4.0, "embedding_dim is 4.0, not an integer from 1 to 65536"),
        ("features", {"word_ngrams": 2}, "features does not consist of word_ngrams and buckets"),
        (
            "features",
            {"word_ngrams": 2, "buckets": 0, "tokenizer": "os.system"},
            "features does not consist of word_ngrams and buckets",
        ),
        (
            "features",
            {"word_ngrams": 9, "buckets": 0},
            "word_ngrams is 9, not an integer from 1 to 8",
        ),
        (
            "features",
            {"word_ngrams": 2, "buckets": 2**31},
            "buckets is 2147483648, not an integer from 0 to 2147483646",
        ),
    ],
)
def test_wrong_description(saved, key, value, problem):
    path = saved / "model.json"
    edit_json(path, lambda description: description.update({key: value}))
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {problem}')}$"):
        load_model(saved)


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        ({"a": 0}, "this is not a list of words"),
        ([], "this is not a list of words"),
        (["a", 1], "this is not a list of words"),
        (["a", "a"], "a word occurs twice"),
    ],
)
def test_wrong_vocabulary(saved, terms, problem):
    path = saved / "vocabulary.json"
    edit_json(path, lambda _: terms or [])
    path.write_text(json.dumps(terms))
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {problem}')}$"):
        load_model(saved)


def test_deeply_nested_json(saved):
    path = saved / "model.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: damaged or incomplete: "):
        load_model(saved)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda coef: coef.astype(np.float64), "this is not a float32 array"),
        (lambda coef: coef.astype(">f4"), "this is not a float32 array"),
        (lambda coef: coef[:2], "the shape is (2, 4), model.json asks for (3, 4)"),
        (lambda coef: coef.T.copy(), "the shape is (4, 3), model.json asks for (3, 4)"),
        (lambda coef: np.asfortranarray(coef), "the array is not in C order"),
        (lambda coef: np.full_like(coef, np.nan), "the array holds nan or infinity"),
    ],
)
def test_wrong_array(saved, change, problem):
    path = saved / "coef.npy"
    np.save(path, change(np.load(path)))
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {problem}')}$"):
        load_model(saved)


class Bomb:
    """Leaves a mark if it is ever unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["embedding.npy", "intercept.npy"])
def test_no_code_is_run(saved, tmp_path, name):
    np.save(saved / name, np.array([Bomb(tmp_path / "mark")], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=re.escape(name)):
        load_model(saved)
    assert not (tmp_path / "mark").exists()


def test_archive_in_place_of_an_array(saved):
    with (saved / "coef.npy").open("wb") as file:
        np.savez(file, coef=np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match=r"coef\.npy: this is not a float32 array$"):
        load_model(saved)


@pytest.mark.parametrize("shape", ["(-1,)", "(10**30,)", "(True,)", "((1,),)", "'x'", "(" * 500])
def test_hostile_header(saved, shape):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)
    (saved / "intercept.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"intercept\.npy: "):
        load_model(saved)


def test_damage_anywhere_is_an_error_or_harmless(saved, tmp_path):
    chooser = random.Random(0)
    for trial in range(300):
        copy = tmp_path / f"copy{trial}"
        shutil.copytree(saved, copy)
        path = copy / chooser.choice(sorted(FILES))
        content = bytearray(path.read_bytes())
        for _ in range(chooser.randint(1, 4)):
            content[chooser.randrange(len(content))] = chooser.randrange(256)
        path.write_bytes(content)
        problem = ""
        try:
            assert len(load_model(copy).predict(TEXTS)) == len(TEXTS)
        except ValueError as error:
            problem = str(error)
        assert problem == "" or problem.startswith(str(copy))
        shutil.rmtree(copy)


@pytest.mark.parametrize("place", [".", "", ".."])
def test_the_working_directory_is_never_replaced(tmp_path, monkeypatch, place):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ValueError, match="it is, or holds, the working directory$"):
        check_destination(Path(place))

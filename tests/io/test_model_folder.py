"""Test that saved models are read back, and which paths they may have."""

import dataclasses
import hashlib
import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from ebagx._core import maps
from ebagx._core.memory import find_map
from ebagx.io import model_folder
from ebagx.io.model_folder import check_destination, load_model, save_model
from ebagx.text.tokenizers import Tokenizer
from support.storage_cases import (
    FILES,
    NGRAMS,
    RECIPE,
    STATE,
    TEXTS,
    WORDS,
    make_model,
    names,
    place,
    save_format_2,
)


@pytest.mark.parametrize(
    ("ngrams", "loss", "min_count"), [(NGRAMS, "softmax", 1), (WORDS, "ova", 1), (NGRAMS, "ova", 9)]
)
def test_round_trip(tmp_path, ngrams, loss, min_count):
    model = make_model(ngrams, loss=loss, min_count=min_count)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model", num_threads=1)
    assert loaded.features.ngrams == ngrams
    assert loaded.features.columns == model.features.columns
    assert (loaded.labels, loaded.loss) == (model.labels, loss)
    texts = [*TEXTS, "", "unknown"]
    np.testing.assert_array_equal(loaded.probabilities(texts), model.probabilities(texts))


@pytest.mark.parametrize("tokenizer", [Tokenizer("whitespace", False), Tokenizer("words-1")])
def test_the_tokenizer_is_that_of_the_training(tmp_path, tokenizer):
    model = make_model(tokenizer=tokenizer)
    save_model(model, tmp_path / "model")
    assert load_model(tmp_path / "model").features.tokenizer == tokenizer


def test_models_of_format_2_know_the_words_of_the_former_rule(tmp_path):
    """They predict as they did: a word that the rule of today finds is not in them."""
    save_format_2(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.features.tokenizer == Tokenizer("words-1")
    counts = loaded.features.count(["cat's", "cat s"]).toarray()
    np.testing.assert_array_equal(counts[0], counts[1])


def test_files(saved, tmp_path):
    assert names(saved) == FILES
    assert os.listdir(tmp_path) == ["model"]
    model = make_model()
    assert place(saved, "words.txt").read_text("utf-8").split() == list(model.features.columns)
    assert np.load(place(saved, "buckets.npy")).tolist() == model.features.table.buckets().tolist()
    for name in ("embedding", "coef", "intercept"):
        np.testing.assert_array_equal(np.load(place(saved, f"{name}.npy")), getattr(model, name))


def test_a_row_for_what_training_touched_only(saved):
    n_words, n_buckets = (
        json.loads((saved / "model.json").read_text())[k] for k in ("words", "buckets")
    )
    assert (
        len(np.load(place(saved, "embedding.npy"))) == n_words + n_buckets < NGRAMS.n_buckets / 10
    )


def test_directory_of_version_1_is_replaced(saved):
    (saved / "vocabulary.json").touch()
    (saved / "coef.npy").touch()
    save_model(make_model(), saved)
    assert names(saved) == FILES


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_others_may_read_the_model_as_far_as_the_umask_says(saved):
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o777 & ~umask
    assert stat.S_IMODE(place(saved, "coef.npy").stat().st_mode) == 0o666 & ~umask


def test_table_is_mapped(saved):
    table = load_model(saved).embedding
    assert not table.flags.writeable
    base = table
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)


def test_a_model_that_is_replaced_while_it_is_loaded(saved, monkeypatch):
    """The files of the description that was read are deleted: the new ones are read."""
    read, calls = model_folder.read_description, []

    def read_and_replace(path):
        about = read(path)
        if not calls:
            calls.append(path)
            save_model(make_model(seed=1), saved)
        return about

    monkeypatch.setattr(model_folder, "read_description", read_and_replace)
    np.testing.assert_array_equal(load_model(saved).coef, make_model(seed=1).coef)


def test_a_model_that_is_replaced_while_its_files_are_read(saved, monkeypatch):
    """All files have been opened, so that those of one version are read to the end."""
    digest = hashlib.file_digest

    def replace_first(*args):
        monkeypatch.undo()
        save_model(make_model(seed=1), saved)
        return digest(*args)

    monkeypatch.setattr(hashlib, "file_digest", replace_first)
    np.testing.assert_array_equal(load_model(saved).coef, make_model().coef)
    np.testing.assert_array_equal(load_model(saved).coef, make_model(seed=1).coef)


def test_link_to_a_model_stays_a_link(saved, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(saved)
    before = place(saved, "embedding.npy").read_bytes()
    save_model(make_model(seed=1), link)
    assert link.is_symlink()
    assert place(saved, "embedding.npy").read_bytes() != before


@pytest.mark.usefixtures("saved")
def test_destination_may_be_new_empty_or_a_model(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty", "model"):
        check_destination(tmp_path / name)
        save_model(make_model(), tmp_path / name)
        assert load_model(tmp_path / name).labels == ["caf\u00e9 food", "cat", "dog"]


def test_nothing_but_a_model_is_replaced(saved, tmp_path):
    (saved / "notes.txt").write_text("precious")
    with pytest.raises(ValueError, match=r"model is not replaced: it holds notes\.txt, not a mod"):
        save_model(make_model(), saved)
    with pytest.raises(ValueError, match="is not replaced: it is a file, not a model directory$"):
        save_model(make_model(), saved / "notes.txt")
    assert (saved / "notes.txt").read_text() == "precious"
    with pytest.raises(ValueError, match="^cannot save a model as .*: No such file or directory$"):
        check_destination(tmp_path / "missing" / "model")


@pytest.mark.parametrize("place", [".", "", ".."])
def test_the_working_directory_is_never_replaced(tmp_path, monkeypatch, place):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ValueError, match="it is, or holds, the working directory$"):
        check_destination(Path(place))


def test_files_that_are_not_of_a_model_are_not_deleted(saved, monkeypatch):
    """They may also come while a save is at work, after the folder has been looked at."""
    describe, version = model_folder.describe, place(saved, "coef.npy").parent

    def describe_late(*args):
        for path in (saved / "vectors.npy", saved / ".new-x", version / "notes.txt"):
            path.touch()
        return describe(*args)

    monkeypatch.setattr(model_folder, "describe", describe_late)
    save_model(make_model(seed=1), saved)
    assert load_model(saved).coef[0, 0] == make_model(seed=1).coef[0, 0]
    assert {"vectors.npy", ".new-x", version.name} < {*os.listdir(saved)}
    assert os.listdir(version) == ["notes.txt"]
    with pytest.raises(ValueError, match=r"it holds vectors\.npy, not a model"):
        save_model(make_model(), saved)


def test_link_to_a_model_that_is_not_there_yet(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "model")
    check_destination(link)
    save_model(make_model(), link)
    assert link.is_symlink()
    assert names(tmp_path / "model") == FILES


def test_link_that_is_turned_to_another_model_while_it_is_read(saved, tmp_path, monkeypatch):
    save_model(make_model(seed=1), tmp_path / "other")
    link = tmp_path / "link"
    link.symlink_to(saved)
    read = model_folder.read_description

    def read_and_turn(path):
        about = read(path)
        link.unlink()
        link.symlink_to(tmp_path / "other")
        return about

    monkeypatch.setattr(model_folder, "read_description", read_and_turn)
    np.testing.assert_array_equal(load_model(link).coef, make_model(seed=1).coef)


@pytest.mark.parametrize("name", ["with space", "ä€\U0001f408", "-m", "x" * 200])
def test_any_name(tmp_path, name):
    check_destination(tmp_path / name)
    save_model(make_model(), tmp_path / name)
    assert load_model(tmp_path / name).labels == make_model().labels


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises((ValueError, OSError), match="File name too long"):
        check_destination(tmp_path / ("x" * 300))


@pytest.mark.parametrize("move", [shutil.copytree, shutil.move])
def test_a_model_may_be_copied_and_moved(saved, tmp_path, move):
    move(saved, tmp_path / "elsewhere")
    assert load_model(tmp_path / "elsewhere").labels == make_model().labels
    save_model(make_model(seed=1), tmp_path / "elsewhere")
    assert names(tmp_path / "elsewhere") == FILES


def test_another_working_directory_in_the_middle_of_a_save_and_a_load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    describe, read = model_folder.describe, model_folder.read_description

    def turn_away(function):
        def run(*args):
            os.chdir(tmp_path / "elsewhere")
            return function(*args)

        return run

    monkeypatch.setattr(model_folder, "describe", turn_away(describe))
    save_model(make_model(), Path("model"))
    os.chdir(tmp_path)
    monkeypatch.setattr(model_folder, "read_description", turn_away(read))
    assert load_model(Path("model")).labels == make_model().labels
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_model_that_is_saved_where_its_table_is_mapped(saved):
    model = load_model(saved)
    save_model(model, saved)
    np.testing.assert_array_equal(load_model(saved).embedding, make_model().embedding)
    np.testing.assert_array_equal(model.embedding, make_model().embedding)


@pytest.mark.usefixtures("saved")
def test_check_of_a_destination_leaves_nothing(tmp_path):
    before = sorted(tmp_path.rglob("*"))
    for name in ("model", "new"):
        check_destination(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_mapped_table_is_saved_from_end_to_end(saved, tmp_path, monkeypatch):
    """The file is read in sequence, although lookups have advised that they read at random."""
    model, given = load_model(saved), []
    model.probabilities(TEXTS)
    monkeypatch.setattr(maps, "_advise", lambda mapped, name: given.append((mapped, name)))
    save_model(model, tmp_path / "again")
    mapped = find_map(model.embedding)
    assert given == [(mapped, "MADV_SEQUENTIAL"), (mapped, "MADV_RANDOM")]


def test_the_training_goes_on_where_it_was(saved):
    model, loaded = make_model(), load_model(saved)
    assert loaded.recipe == model.recipe == RECIPE
    for found, expected in zip(loaded.accumulators, model.accumulators, strict=True):
        np.testing.assert_array_equal(found, expected)
    before = dataclasses.replace(model, accumulators=None, recipe=RECIPE._replace(seed=None))
    save_model(before, saved)
    assert names(saved) == FILES - STATE
    assert load_model(saved).accumulators is None
    assert load_model(saved).recipe.seed is None
    save_model(dataclasses.replace(model, recipe=None), saved)
    assert load_model(saved).recipe is None


def test_rows_that_are_frozen(saved):
    model = make_model()
    model.accumulators.rows_n[3] = np.inf
    save_model(model, saved)
    assert np.flatnonzero(np.isinf(load_model(saved).accumulators.rows_n)).tolist() == [3]

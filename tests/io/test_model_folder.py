"""Test that saved models are read back, also if a save is killed or runs meanwhile."""

import json
import os
import shutil
import signal
import stat
from pathlib import Path

import numpy as np
import pytest

from ebagx._core import maps
from ebagx._core.memory import find_map
from ebagx.io import model_folder
from ebagx.io.model_folder import check_destination, load_model, save_model
from support.storage_cases import (
    FILES,
    NGRAMS,
    TEXTS,
    WORDS,
    contents,
    make_model,
    names,
    place,
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


def test_failing_save_keeps_the_old_model(saved, tmp_path, monkeypatch):
    before = contents(saved)

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_folder.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_model(make_model(seed=1), saved)
    assert contents(saved) == before
    assert os.listdir(tmp_path) == ["model"]


def test_failing_replacement_keeps_the_old_model(saved, tmp_path, monkeypatch):
    before = contents(saved)

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(model_folder.Path, "replace", fail)
    with pytest.raises(OSError, match="Input/output error"):
        save_model(make_model(seed=1), saved)
    assert contents(saved) == before
    with pytest.raises(OSError, match="Input/output error"):
        save_model(make_model(seed=1), tmp_path / "other")
    assert os.listdir(tmp_path) == ["model"]


class Killer:
    """Lets a number of calls of file functions pass, and kills the process at the next."""

    def __init__(self, calls_left):
        self.calls_left = calls_left
        for owner, functions in (
            (os, ("fsync", "mkdir", "replace", "rename", "unlink", "rmdir", "open")),
            (Path, ("mkdir", "replace", "unlink", "open")),
        ):
            for name in functions:
                setattr(owner, name, self.watched(getattr(owner, name)))

    def watched(self, function):
        def run(*args, **options):
            if self.calls_left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.calls_left -= 1
            return function(*args, **options)

        return run


def save_in_a_child(model, directory, calls_left):
    """Return whether the child process ended by itself."""
    child = os.fork()
    if child == 0:
        Killer(calls_left)
        save_model(model, directory)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status == 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_at_any_step_there_is_the_old_model_or_the_new_one(saved, tmp_path):
    coefs = [make_model(seed=seed).coef for seed in (0, 1)]
    found, done = [], False
    while not done:
        copy = tmp_path / "copy"
        shutil.copytree(saved, copy)
        done = save_in_a_child(make_model(seed=1), copy, calls_left=len(found))
        coef = load_model(copy).coef
        found.append([np.array_equal(coef, expected) for expected in coefs].index(True))
        save_model(make_model(), copy)  # over what was left behind
        assert names(copy) == FILES
        shutil.rmtree(copy)
    assert len(found) > 15
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0, 1)


def test_a_model_that_is_replaced_while_it_is_loaded(saved, monkeypatch):
    """The files of the description that was read are deleted: the new ones are read."""
    read, calls = model_folder._read_description, []

    def read_and_replace(path):
        about = read(path)
        if not calls:
            calls.append(path)
            save_model(make_model(seed=1), saved)
        return about

    monkeypatch.setattr(model_folder, "_read_description", read_and_replace)
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


def test_a_mapped_table_is_saved_from_end_to_end(saved, tmp_path, monkeypatch):
    """The file is read in sequence, although lookups have advised that they read at random."""
    model, given = load_model(saved), []
    model.probabilities(TEXTS)
    monkeypatch.setattr(maps, "_advise", lambda mapped, name: given.append((mapped, name)))
    save_model(model, tmp_path / "again")
    mapped = find_map(model.embedding)
    assert given == [(mapped, "MADV_SEQUENTIAL"), (mapped, "MADV_RANDOM")]

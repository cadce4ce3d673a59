"""Test saves in which a call of the system fails, is interrupted or is the last: disks, kills."""

import errno
import functools
import os
import shutil

import numpy as np
import pytest

from ebagx.io.model_folder import load_model, save_model
from support.faults import Faults, fill, in_a_child, kill_this_process, mounted_disk
from support.storage_cases import FILES, TEXTS, make_model, names

OLD, NEW = (make_model(seed=seed) for seed in (0, 1))

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
without_fork_warning = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch):
    """Leave the files to the system, as the loss of power is not tested."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def found(folder):
    """Return whether the complete model of a folder is the new one."""
    loaded = load_model(folder)
    is_new = bool(loaded.coef[0, 0] == NEW.coef[0, 0])
    for name in ("embedding", "coef", "intercept"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr((OLD, NEW)[is_new], name))
    return is_new


def check_that_all_is_well(folder):
    """The next save works, and removes what the last one has left."""
    save_model(OLD, folder)
    assert names(folder) == FILES
    assert not found(folder)


def raise_error(code):
    raise OSError(code, os.strerror(code), "a file")


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "act",
    [
        *(functools.partial(raise_error, code) for code in (errno.ENOSPC, errno.ENOENT)),
        interrupt,
    ],
    ids=["full", "missing", "interrupt"],
)
def test_an_error_in_any_call_leaves_the_old_model_or_the_new_one(saved, act, after):
    outcomes, number, has_struck = set(), 0, True
    while has_struck:
        with Faults(number, act, after=after) as faults:
            try:
                save_model(NEW, saved)
                returned = True
            except (OSError, KeyboardInterrupt):
                returned = False
        has_struck = faults.has_struck
        outcomes.add((returned, found(saved)))
        check_that_all_is_well(saved)
        number += 1
    assert number > 30
    # An error after the replacement does not undo it; one in the clean-up is none at all.
    assert outcomes == {(False, False), (False, True), (True, True)}


@needs_fork
@without_fork_warning
def test_killed_in_any_call_there_is_the_old_model_or_the_new_one(saved):
    def save(number):
        with Faults(number, kill_this_process):
            save_model(NEW, saved)

    outcomes, ended = [], False
    while not ended:
        ended = in_a_child(functools.partial(save, len(outcomes)))
        outcomes.append(found(saved))
        check_that_all_is_well(saved)
    assert len(outcomes) > 30
    assert outcomes == sorted(outcomes)
    assert (outcomes[0], outcomes[-1]) == (False, True)


@needs_fork
@without_fork_warning
def test_killed_in_the_first_save_there_is_no_model_or_a_complete_one(tmp_path):
    def save(folder, number):
        with Faults(number, kill_this_process):
            save_model(NEW, folder)

    number, ended = 0, False
    while not ended:
        folder = tmp_path / str(number)
        ended = in_a_child(functools.partial(save, folder, number))
        if (folder / "model.json").exists():
            assert found(folder)
        else:
            with pytest.raises(ValueError, match="is not a model directory"):
                load_model(folder)
        check_that_all_is_well(folder)
        number += 1
    assert number > 30


@needs_fork
@without_fork_warning
def test_clean_up_that_is_killed_in_any_call_is_done_by_the_next_save(saved):
    """A killed save leaves a folder, of which another that is killed removes a part."""

    def save(number):
        with Faults(number, kill_this_process):
            save_model(NEW, saved)

    number, ended = 0, False
    while not ended:
        in_a_child(functools.partial(save, 30))
        assert len(os.listdir(saved)) == 3
        ended = in_a_child(functools.partial(save, number))
        found(saved)
        check_that_all_is_well(saved)
        number += 3


def names_a_file_in(folder, error):
    return str(error.filename).startswith(str(folder)) and str(folder) in str(error)


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a disk of 128 kB."""
    with mounted_disk(tmp_path / "disk") as place:
        yield place


def test_full_disk(small_disk, tmp_path):
    """A save needs a page of 4 kB for each of its six files."""
    folder = small_disk / "model"
    save_model(OLD, folder)
    fill(small_disk, 48)
    save_model(OLD, folder)
    for kept in (20, 8, 0):
        fill(small_disk, kept)
        with pytest.raises(OSError, match="No space left on device") as caught:
            save_model(NEW, folder)
        assert names_a_file_in(folder, caught.value)
        assert names(folder) == FILES
        assert not found(folder)
    assert len(NEW.predict(TEXTS)) == len(TEXTS)
    save_model(NEW, tmp_path / "elsewhere")
    assert found(tmp_path / "elsewhere")


def test_limit_of_file_sizes(saved):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            save_model(NEW, saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names_a_file_in(saved, caught.value)
    assert names(saved) == FILES
    assert not found(saved)


def test_error_of_the_disk_names_the_file(saved, tmp_path, monkeypatch):
    """Calls on open files do not know their names."""

    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"Input/output error: '.*model.data-.*words\.txt'$"):
        save_model(NEW, saved)
    assert not found(saved)
    with pytest.raises(OSError, match=r"Input/output error: '.*other.data-.*words\.txt'$"):
        save_model(NEW, tmp_path / "other")
    assert os.listdir(tmp_path) == ["model"]


def test_error_of_the_disk_while_reading_names_the_file(saved, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("hashlib.file_digest", fail)
    with pytest.raises(OSError, match=r"Input/output error: '.*words\.txt'$"):
        load_model(saved)


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_folder_that_may_be_read_only(saved, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("nothing is forbidden to the administrator")
    saved.chmod(0o555)
    try:
        with pytest.raises(PermissionError, match="model") as caught:
            save_model(NEW, saved)
        assert names_a_file_in(saved, caught.value)
        assert not found(saved)
    finally:
        saved.chmod(0o755)
    shutil.rmtree(tmp_path / "model")

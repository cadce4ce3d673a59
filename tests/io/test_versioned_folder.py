"""Test how a folder keeps one complete version: writers beside each other, leftovers, systems."""

import errno
import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest

from ebagx.io import model_folder, stored_folder, versioned_folder
from ebagx.io.model_description import ALL_FILES as DATA_FILES
from ebagx.io.model_folder import load_model, save_model
from ebagx.io.versioned_folder import DESCRIPTION, VersionedFolder
from support.storage_cases import FILES, make_model, names, place

HOUR = 3600


def unpublished(model):
    """Begin a version and leave it as a killed save does; return its folder."""
    version = VersionedFolder(model, DATA_FILES)._begin()
    with version:
        (version.folder / "words.txt").touch()
    return version.folder


def make_older(folder, seconds):
    then = time.time() - seconds
    os.utime(folder, (then, then))


def test_a_save_beside_others_leaves_their_files(saved):
    """Versions that are begun, written, and complete, each in the hands of a save at work."""
    versions = [VersionedFolder(saved, DATA_FILES)._begin() for _ in range(3)]
    files = [versions[1].folder / "words.txt", versions[2].folder / "words.txt"]
    for file in files:
        file.write_bytes(b"a\n")
    save_model(make_model(seed=1), saved)
    assert all(version.folder.is_dir() for version in versions)
    assert all(file.read_bytes() == b"a\n" for file in files)
    for version in versions:
        version.__exit__()
    save_model(make_model(), saved)
    assert names(saved) == FILES


def test_the_save_that_replaces_last_wins(saved, monkeypatch):
    """A save that began first and ends last, while another one is complete in between."""
    describe = model_folder.describe

    def describe_late(*args):
        monkeypatch.setattr(model_folder, "describe", describe)
        save_model(make_model(seed=1), saved)
        np.testing.assert_array_equal(load_model(saved).coef, make_model(seed=1).coef)
        return describe(*args)

    monkeypatch.setattr(model_folder, "describe", describe_late)
    save_model(make_model(seed=2), saved)
    np.testing.assert_array_equal(load_model(saved).coef, make_model(seed=2).coef)
    assert names(saved) == FILES


def test_a_version_is_not_removed_for_want_of_a_readable_description(saved):
    folder = place(saved, "coef.npy").parent
    for content in (b"", b"[]", b"{}", b'{"folder": 3}', b'{"folder": "../x"}', b"[" * 100_000):
        (saved / DESCRIPTION).write_bytes(content)
        VersionedFolder(saved, DATA_FILES).remove_unused()
        assert folder.is_dir()


@pytest.mark.parametrize("step", ["_own_folders", "_current"])
def test_a_version_that_is_published_during_a_clean_up_stays(saved, monkeypatch, step):
    function = getattr(VersionedFolder, step)

    def save_first(folder):
        monkeypatch.undo()
        save_model(make_model(seed=1), saved)
        return function(folder)

    monkeypatch.setattr(VersionedFolder, step, save_first)
    VersionedFolder(saved, DATA_FILES).remove_unused()
    np.testing.assert_array_equal(load_model(saved).coef, make_model(seed=1).coef)


def test_a_version_is_not_removed_if_its_description_cannot_be_looked_for(saved, monkeypatch):
    lstat = Path.lstat

    def fail(path):
        if path.parent != saved:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return lstat(path)

    with VersionedFolder(saved, DATA_FILES)._begin() as version:
        (version.folder / "words.txt").touch()
        monkeypatch.setattr(Path, "lstat", fail)
        VersionedFolder(saved, DATA_FILES).remove_unused()
        assert set(os.listdir(version.folder)) == {"words.txt", DESCRIPTION}


def test_a_save_begins_again_if_its_first_steps_are_undone(saved, monkeypatch):
    """Another save's clean-up comes between any two of its steps."""
    folder = VersionedFolder(saved, DATA_FILES)
    for owner, name in ((Path, "touch"), (Path, "rename"), (versioned_folder, "_lock")):
        function, count = getattr(owner, name), []

        def clean_up_first(*args, function=function, count=count, **options):
            count.append(args)
            if len(count) == 1:
                folder.remove_unused()
            return function(*args, **options)

        monkeypatch.setattr(owner, name, clean_up_first)
        save_model(make_model(seed=1), saved)
        assert len(count) > 1
        monkeypatch.undo()
        assert names(saved) == FILES


def test_a_save_that_can_never_begin_raises(saved, monkeypatch):
    def fail(*_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "a file")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(FileNotFoundError, match="a file"):
        save_model(make_model(seed=1), saved)
    assert names(saved) == FILES


def test_a_save_that_is_taken_for_dead_fails_and_leaves_the_model(saved, monkeypatch):
    describe = model_folder.describe

    def stopped_for_days(*args):
        for folder in saved.glob("data-*"):
            make_older(folder, 48 * HOUR)
        monkeypatch.setattr(model_folder, "describe", describe)
        monkeypatch.setattr(versioned_folder, "_lock", no_locks)
        save_model(make_model(seed=1), saved)
        return describe(*args)

    monkeypatch.setattr(model_folder, "describe", stopped_for_days)
    with pytest.raises(FileNotFoundError, match="data-"):
        save_model(make_model(seed=2), saved)
    np.testing.assert_array_equal(load_model(saved).coef, make_model(seed=1).coef)
    assert names(saved) == FILES


def no_locks(_):
    raise versioned_folder._NoLocks


def test_without_locks_what_is_a_day_old_is_removed(saved, monkeypatch):
    monkeypatch.setattr(versioned_folder, "_lock", no_locks)
    folder = unpublished(saved)
    make_older(folder, 23 * HOUR)
    save_model(make_model(seed=1), saved)
    assert os.listdir(folder)
    make_older(folder, 25 * HOUR)
    save_model(make_model(seed=1), saved)
    assert names(saved) == FILES


@pytest.mark.skipif(os.name == "nt", reason="has no locks")
def test_a_file_system_without_locks(saved, monkeypatch):
    import fcntl

    def fail(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)
    folder = unpublished(saved)
    save_model(make_model(seed=1), saved)
    assert os.listdir(folder)
    np.testing.assert_array_equal(load_model(saved).coef, make_model(seed=1).coef)


def test_links_are_left_alone(saved, tmp_path):
    elsewhere = place(saved, "coef.npy").parent
    elsewhere = elsewhere.rename(tmp_path / "elsewhere")
    files = sorted(os.listdir(elsewhere))
    link = saved / f"data-{'0' * 16}"
    link.symlink_to(elsewhere)
    save_model(make_model(seed=1), saved)
    assert link.is_symlink()
    assert sorted(os.listdir(elsewhere)) == files


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_flush_folders(saved, monkeypatch, code):
    fsync = os.fsync

    def fail_for_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    save_model(make_model(seed=1), saved)
    np.testing.assert_array_equal(load_model(saved).coef, make_model(seed=1).coef)


class Windows:
    """Forbids to replace or delete files that are open, and to lock files."""

    def __init__(self, monkeypatch):
        self.open = {}
        self.refused = []
        self.busy = {}  # other processes have these open for so many more calls
        monkeypatch.setattr(versioned_folder, "_OPEN_FILES_CAN_BE_REPLACED", False)
        monkeypatch.setattr(versioned_folder, "_lock", no_locks)
        monkeypatch.setattr(versioned_folder, "_flush_folder", lambda folder: None)
        for name in ("unlink", "replace", "rename", "read_bytes"):
            monkeypatch.setattr(Path, name, self.guarded(getattr(Path, name)))
        monkeypatch.setattr(Path, "open", self.watched(Path.open))

    def guarded(self, function):
        def run(path, *others):
            for name in (path, *others):
                used = any(not file.closed for file in self.open.get(name, ()))
                self.busy[name] = self.busy.get(name, 0) - 1
                if (used and function.__name__ != "read_bytes") or self.busy[name] >= 0:
                    self.refused.append(name)
                    raise PermissionError(errno.EACCES, "The file is in use", str(name))
            return function(path, *others)

        return run

    def watched(self, function):
        def run(path, *args, **options):
            file = function(path, *args, **options)
            self.open.setdefault(path, []).append(file)
            return file

        return run


def test_files_that_are_open_on_windows(saved, monkeypatch):
    """A later save deletes what cannot be deleted yet."""
    system = Windows(monkeypatch)
    words = place(saved, "words.txt")
    with words.open("rb"):
        save_model(make_model(seed=1), saved)
        assert os.listdir(words.parent) == ["words.txt"]
        np.testing.assert_array_equal(load_model(saved).coef, make_model(seed=1).coef)
    assert {path.name for path in system.refused} == {"words.txt"}
    save_model(make_model(), saved)
    assert names(saved) == FILES


def test_a_description_that_is_open_on_windows_is_waited_for(saved, monkeypatch):
    system = Windows(monkeypatch)
    system.busy[saved / DESCRIPTION] = 3
    np.testing.assert_array_equal(load_model(saved).coef, make_model().coef)
    system.busy[saved / DESCRIPTION] = 3
    save_model(make_model(seed=1), saved)
    np.testing.assert_array_equal(load_model(saved).coef, make_model(seed=1).coef)
    monkeypatch.setattr(versioned_folder, "_LONGEST_WAIT", 0.02)
    system.busy[saved / DESCRIPTION] = 1000
    with pytest.raises(PermissionError, match=r"model\.json"):
        save_model(make_model(), saved)
    system.busy.clear()
    np.testing.assert_array_equal(load_model(saved).coef, make_model(seed=1).coef)


def test_failed_saves_on_windows_leave_nothing(saved, monkeypatch):
    Windows(monkeypatch)

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "a file")

    monkeypatch.setattr(stored_folder, "flush_file", fail)
    with pytest.raises(OSError, match="No space left"):
        save_model(make_model(), saved)
    assert names(saved) == FILES

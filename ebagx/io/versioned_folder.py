"""Keep one complete version of some files in a folder, whatever writes, reads and is killed there.

No system replaces a folder that is not empty in one step, except Linux and macOS by calls of their
own; all replace a file so. The folder therefore has one small file, the description, which names
the folder with the other files of its version. These are never changed, and their folder's name,
64 random bits, is never used again::

    model/model.json                 {"folder": "data-2f61...", ...}
    model/data-2f61.../words.txt     and other files

A save makes, in this order, (1) a folder ``.new-...`` with an empty description, (2) by one rename
``data-...``, whose description it locks, (3) the other files there, and (4) by one rename the
description of ``model/``. Each file and folder is on the disk before the rename that needs it. So
the content of a folder tells its state, to every other process and after any kill:

=============  ===========  =======================================================================
name           description  state
=============  ===========  =======================================================================
``.new-...``   any          a save begins: others may remove it, as the save then begins again
``data-...``   is there     a save is at work, or was killed: the system then has freed the lock
``data-...``   is gone      published: the current version, or one that never becomes current again
=============  ===========  =======================================================================

Every save removes what the killed ones have left, before and after its own work, and the published
versions that are not current. First it lists these, then it reads which one is current: as no
version is published twice, the others are out of use for good. Of unpublished versions the
description is deleted first. That and the rename of step 4 exclude each other, so even a save that
is taken for dead by mistake fails with an error, and leaves the version that is there. Files of
other names, and folders that hold some, are left alone.

A reader opens the description, then all files. If one is missing although the description names it,
a newer version was published meanwhile, and is read. Files that are open stay readable.

Systems without locks (Windows, some network drives) leave one question, namely which saves were
killed: there a folder is removed when nothing was added to it for a day. Ages alone would fill the
disk with what the killed saves of that day left. Process ids mean nothing to other machines and
containers. One lock for the whole folder would let a process that hangs stop all others. Links to
folders, replaced in one step, need rights on Windows and are lost in copies.
"""

import errno
import json
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, TypeVar

DESCRIPTION = "model.json"

_NEW = ".new-"
_VERSION = re.compile(r"data-[0-9a-f]{16}", re.ASCII)
# Network file systems give files that are deleted while they are open names of their own.
_OWN_NAME = re.compile(rf"{_VERSION.pattern}|{re.escape(DESCRIPTION)}|{_NEW}\w+|\.nfs[0-9a-f]+")
_ABANDONED_AFTER = 86_400.0  # seconds without a new file, where locks do not tell
# One save in twelve needs a second attempt if four processes do nothing but save small models.
_MOST_ATTEMPTS = 100
_OPEN_FILES_CAN_BE_REPLACED = os.name != "nt"
_LONGEST_WAIT = 10.0  # seconds, for other processes to close the description on Windows

_T = TypeVar("_T")


def is_version_name(name: object) -> bool:
    """Return whether this is a name that versions get: it cannot lead out of the folder."""
    return isinstance(name, str) and _VERSION.fullmatch(name) is not None


def is_own_name(name: str) -> bool:
    """Return whether an entry of the folder may be one that is made here."""
    return _OWN_NAME.fullmatch(name) is not None


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give errors of the system in this block the path, which those of open files lack."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@dataclass(frozen=True)
class VersionedFolder:
    """A folder, and the names of the files of a version beside the description."""

    root: Path
    files: Sequence[str]

    @contextmanager
    def new_version(self) -> Iterator["Version"]:
        """Yield a version to write and publish; remove it if the block raises before that.

        Raises
        ------
        OSError
            If the system does not let files be written. Its text names one.
        """
        created = not self.root.exists()
        self.remove_unused()
        try:
            version = self._begin()
            try:
                with version:
                    yield version
            except BaseException:
                self._remove_unpublished(version.folder)
                raise
        except BaseException:
            if created:
                self._remove_root()
            raise
        if created:
            _flush_folder(self.root.parent)
        self.remove_unused()

    def check_writeable(self) -> None:
        """Raise OSError if no version can be begun; leave the folder as it was."""
        created = not self.root.exists()
        try:
            version = self._begin()
            with version:
                pass
            self._remove_unpublished(version.folder)
        finally:
            if created:
                self._remove_root()

    def _begin(self) -> "Version":
        """Make a version; begin again if another save has removed it while it looked unused."""
        for attempt in range(_MOST_ATTEMPTS):
            self.root.mkdir(exist_ok=True)
            number = secrets.token_hex(8)
            new, folder = self.root / f"{_NEW}{number}", self.root / f"data-{number}"
            try:
                new.mkdir()
                (new / DESCRIPTION).touch()
                patiently(partial(new.rename, folder))
                return Version(folder)
            except BaseException as error:
                _remove_beginning(new)
                self._remove_unpublished(folder)
                # A file system that gives these errors for other reasons does so each time.
                may_go_on = isinstance(error, FileNotFoundError | BlockingIOError)
                if not may_go_on or attempt + 1 == _MOST_ATTEMPTS:
                    raise
        raise AssertionError("the last attempt has returned or raised")

    def remove_unused(self) -> None:
        """Remove, as far as the system allows, versions out of use and what killed saves left."""
        published = []
        for name in self._own_folders():
            folder = self.root / name
            if name.startswith(_NEW):
                _remove_beginning(folder)
            elif not _is_published(folder):
                if _take_from_a_dead_save(folder):
                    self._remove_files(folder)
            else:
                published.append(folder)
        current = self._current()
        for folder in published:
            if current is not None and folder.name != current:
                self._remove_files(folder)

    def _own_folders(self) -> list[str]:
        """Return the names of the versions, complete or not, that are no links to elsewhere."""
        try:
            with os.scandir(self.root) as entries:
                return [
                    entry.name
                    for entry in entries
                    if (is_version_name(entry.name) or entry.name.startswith(_NEW))
                    and entry.is_dir(follow_symlinks=False)
                ]
        except OSError:
            return []

    def _current(self) -> str | None:
        """Return the name of the current version, None if that cannot be told."""
        try:
            name = json.loads(patiently((self.root / DESCRIPTION).read_bytes))["folder"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None
        return name if is_version_name(name) else None

    def _remove_root(self) -> None:
        with suppress(OSError):
            self.root.rmdir()  # which only an empty one allows

    def _remove_unpublished(self, folder: Path) -> None:
        with suppress(OSError):
            (folder / DESCRIPTION).unlink()  # raises if it is published, or taken by another save
            self._remove_files(folder)

    def _remove_files(self, folder: Path) -> None:
        """Remove the files of a version, and the folder if nothing else is in it.

        On Windows files stay that a process has open; then a later save removes them.
        """
        for name in self.files:
            with suppress(OSError):
                (folder / name).unlink()
        with suppress(OSError):
            folder.rmdir()


class Version:
    """A version that is written, in a folder with an empty description, which it locks.

    Raises
    ------
    FileNotFoundError, BlockingIOError
        If another save has just removed the folder, or is about to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / DESCRIPTION
        self._description = self._path.open("r+b")
        try:
            with suppress(_NoLocks):
                _lock(self._description)
            self._path.lstat()  # it may have been deleted between these lines
        except BaseException:
            self._description.close()
            raise

    def __enter__(self) -> "Version":
        """Return the version, whose lock the end of the block gives back."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lock back."""
        with suppress(OSError):  # `publish` has reported what a full disk did not take
            self._description.close()

    def publish(self, description: bytes) -> None:
        """Make this the current version, when all its files are on the disk.

        Notes
        -----
        If an error is raised, the version may have been published or not; it is whole in each case.
        """
        root = self.folder.parent
        with naming(self._path):
            self._description.write(description)
            flush_file(self._description)
        _flush_folder(self.folder)
        _flush_folder(root)
        if not _OPEN_FILES_CAN_BE_REPLACED:
            self._description.close()
        patiently(partial(self._path.replace, root / DESCRIPTION))
        _flush_folder(root)


@contextmanager
def open_files(paths: Sequence[Path]) -> Iterator[list[BufferedReader]]:
    """Yield open regular files; all are opened before one is read."""
    with ExitStack() as stack:
        files = []
        for path in paths:
            if not stat.S_ISREG(path.stat().st_mode):
                raise ValueError(f"{path}: this is not a regular file")
            files.append(stack.enter_context(path.open("rb")))
        yield files


def patiently(call: Callable[[], _T]) -> _T:
    """Return the result of `call`; on Windows wait for others to close the file that it needs."""
    deadline = time.monotonic() + _LONGEST_WAIT
    while True:
        try:
            return call()
        except PermissionError:
            if _OPEN_FILES_CAN_BE_REPLACED or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def flush_file(file: BinaryIO) -> None:
    """Write a file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, if the system has a way to do so."""
    if os.name == "nt":  # folders cannot be opened there
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with naming(folder):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:  # EACCES: names may be made there, but not listed
        if error.errno not in (errno.EACCES, errno.EINVAL, errno.ENOTSUP):
            raise


def _is_published(folder: Path) -> bool:
    try:
        (folder / DESCRIPTION).lstat()
    except FileNotFoundError:
        return True
    except OSError:
        pass  # this cannot be told, so nothing is removed
    return False


def _remove_beginning(folder: Path) -> None:
    # In this order: a name that is not there is never asked for. A network drive remembers such
    # answers, also beyond the rename to data-..., where they would mean that it is published.
    with suppress(OSError):
        folder.rmdir()
        return
    with suppress(OSError):
        (folder / DESCRIPTION).unlink()
        folder.rmdir()


def _take_from_a_dead_save(folder: Path) -> bool:
    """Delete the description of a save that was killed; return whether this was done."""
    path = folder / DESCRIPTION
    try:
        with path.open("r+b") as file:
            try:
                _lock(file)
            except _NoLocks:
                if time.time() - folder.stat().st_mtime < _ABANDONED_AFTER:
                    return False
            if not _OPEN_FILES_CAN_BE_REPLACED:
                file.close()
            path.unlink()
    except OSError:  # also if the save is at work, or has just been published
        return False
    return True


class _NoLocks(Exception):  # noqa: N818
    """The system or this file system has no locks."""


if sys.platform == "win32":

    def _lock(file: BinaryIO) -> None:  # noqa: ARG001
        """Raise, as a locked file could not be replaced."""
        raise _NoLocks

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        """Lock an open file until it is closed or the process dies.

        Raises
        ------
        BlockingIOError
            If the file is locked.
        _NoLocks
            If the file system has no locks.
        """
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:
            raise _NoLocks from error

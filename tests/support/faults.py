"""Let one call of the file system fail, or kill the process there; and disks that are full."""

import contextlib
import os
import pathlib
import signal
import subprocess
from unittest import mock

import pytest

from ebagx.io import versioned_folder

CALLS = ("close", "fsync", "mkdir", "open", "rename", "replace", "rmdir", "scandir", "unlink")


class Faults:
    """Counts calls of the file system; does something before, or after, one of them."""

    def __init__(self, number, act, *, after=False):
        self.number, self.act, self.after = number, act, after
        self.count = 0

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for owner, names in (
                (os, CALLS),
                (pathlib.io, ("open",)),
                (versioned_folder, ("_lock", "flush_file")),
            ):
                for name in names:
                    watched = self._watched(getattr(owner, name))
                    stack.enter_context(mock.patch.object(owner, name, watched))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        self._stack.close()

    @property
    def has_struck(self):
        return self.count > self.number

    def _watched(self, function):
        def run(*args, **options):
            number, self.count = self.count, self.count + 1
            if number == self.number and not self.after:
                self.act()
            result = function(*args, **options)
            if number == self.number and self.after:
                if hasattr(result, "close"):
                    result.close()
                self.act()
            return result

        return run


def kill_this_process():
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_child(function):
    """Run a function in a child process; return False if it was killed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status == 0


@contextlib.contextmanager
def mounted_disk(place):
    """Yield a folder on a disk of 128 kB; skip the test if none can be mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "ebagx-test", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("disks can be mounted by the administrator of Linux only")
    try:
        yield place
    finally:  # also if a failed test has files open
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk, kept):
    """Fill a disk but for some kilobytes."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    os.truncate(ballast, ballast.stat().st_size - 1024 * kept)

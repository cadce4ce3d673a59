"""Choose the number of threads of a call by argument, OpenMP, CPU quota, work and lost time."""

import os
import warnings
from array import array
from functools import cache
from pathlib import Path

from ebagx._core import cpu

# A thread gets at least so many element additions. It pays from 20,000 on if OpenMP's threads
# are spinning on idle cores; where they sleep or share the cores, training with batches under
# 100,000 was up to 5 times slower on two threads than on one.
WORK_PER_THREAD = 100_000

# Kernels keep two numbers of nanoseconds here (``_kernels/common/region.h``): those that threads
# have won, or lost if it is negative, and those that one thread would have taken.
REGION_TIMES = array("q", [0, 0])
# After threads have lost some time, one thread works so many times as long.
REST = 16
# But no longer than for so many nanoseconds: a process that is stopped in a parallel region, by a
# debugger or Ctrl-Z, seems to lose all of that time.
MOST_REST = 16 * 10**9
_FIRST_RATE = 0.05  # nanoseconds of an addition on one thread: of the first call

_PROCESSORS = os.cpu_count() or 1  # read once: the call reads a file, in 10 microseconds

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_UNLIMITED = 1 << 20

_used_threads = False
_forked_after_use = False


def _note_fork() -> None:
    global _forked_after_use
    _forked_after_use = _forked_after_use or _used_threads


if hasattr(os, "register_at_fork"):
    # An OpenMP region in the child would wait for threads that only the parent has (libgomp).
    os.register_at_fork(after_in_child=_note_fork)


@cache
def _quota() -> int:
    """Return the CPUs that the container may use, which OpenMP ignores; large without a limit.

    The smallest limit holds, of the process's control group and of those around it.
    """
    groups = [_CGROUPS / path for path in _own_cgroup()]
    return min((_limit(group) for group in groups), default=_UNLIMITED)


def _own_cgroup() -> list[Path]:
    """Return the paths of the process's control group (version 2) and of those around it."""
    try:
        lines = _OWN_CGROUP.read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    own = next((Path(line[len("0::/") :]) for line in lines if line.startswith("0::/")), Path())
    return [own, *own.parents]


def _limit(group: Path) -> int:
    try:
        limit, period = (group / "cpu.max").read_text().split()
        return max(1, int(limit) // int(period))
    except (OSError, ValueError):  # no such group, or "max"
        return _UNLIMITED


def default_threads() -> int:
    """Return the threads a large call uses with ``num_threads=None``.

    OpenMP's own number (``OMP_NUM_THREADS``, threadpoolctl), within the container's CPU quota.
    """
    return min(cpu.max_threads(), _quota())


def is_shared(work: int) -> bool:
    """Return whether several threads may share `work` element additions."""
    return work >= 2 * WORK_PER_THREAD


class Turns:
    """The turns of several threads and of one: where threads lose time, one works for a while.

    A parallel region ends when all of its threads have come. Where other processes, or other
    threads of this one, need the processors, a thread may not run for milliseconds, so that a call
    of 0.2 ms took up to 100 ms. When threads have lost more than they have won, one thread takes
    the next calls, for many times as long as has been lost. So busy processors cost a small part of
    the time of one thread, and when they are free, calls have several threads again.

    Parameters
    ----------
    times : array of two int
        The nanoseconds that threads have won, and those that one thread would have taken, of all
        parallel regions that have ended. Taking turns sets both to zero.
    """

    def __init__(self, times: "array[int]") -> None:
        self._times = times
        self._work = 0  # additions of the calls that these times are of
        self._rate = _FIRST_RATE
        self._rest = 0.0  # nanoseconds that one thread still works

    def may_share(self, work: int) -> bool:
        """Return whether a call of `work` additions may have several threads."""
        if self._times[0] < 0:
            self._note_loss()
        # A call in which the rest would end may share its work at once. Otherwise threads that wake
        # late for a short call would leave the long call after it to one thread, sleep meanwhile,
        # and wake late again: 16 threads recommended no faster than one, 8 four times as fast.
        if self._rest < max(work * self._rate, 1):
            self._rest = 0.0
            self._work += work
            return True
        self._rest -= work * self._rate
        return False

    def _note_loss(self) -> None:
        # Threads of Python may call at the same time: each number is read once.
        won, alone = self._times
        work, self._work = self._work, 0
        self._times[0] = self._times[1] = 0
        if work > 0 and alone > 0:
            self._rate = alone / work
        self._rest = min(max(self._rest, 0.0) - REST * min(won, 0), MOST_REST)


_TURNS = Turns(REGION_TIMES)


def thread_count(num_threads: int | None, work: int, takes_turns: bool = True) -> int:
    """Return the threads for a call of `work` element additions.

    A call that takes turns has one thread for a while after threads have lost time.
    """
    global _used_threads
    if not is_shared(work):
        return 1
    threads = default_threads() if num_threads is None else num_threads
    # More threads than processors gain nothing, and libgomp ends the process if one cannot start.
    threads = min(threads, work // WORK_PER_THREAD, _PROCESSORS)
    if threads == 1 or not cpu.openmp_version():
        return 1
    if _forked_after_use:
        _warn_forked()
        return 1
    if takes_turns and not _TURNS.may_share(work):
        return 1
    _used_threads = True
    return threads


@cache
def _warn_forked() -> None:
    warnings.warn(
        "ebagx uses one thread in this process: it was forked from one that had used several, "
        "which OpenMP does not survive; start workers with spawn or forkserver",
        RuntimeWarning,
        stacklevel=4,
    )

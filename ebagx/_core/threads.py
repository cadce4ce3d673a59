"""Choose the number of threads of a call by argument, OpenMP, CPU quota and work."""

import os
import warnings
from functools import cache
from pathlib import Path

from ebagx._core import cpu

# A thread gets at least so many element additions. It pays from 20,000 on if OpenMP's threads
# are spinning on idle cores; where they sleep or share the cores, training with batches under
# 100,000 was up to 5 times slower on two threads than on one.
WORK_PER_THREAD = 100_000

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


def thread_count(num_threads: int | None, work: int) -> int:
    """Return the threads for a call of `work` element additions."""
    global _used_threads
    if not is_shared(work):
        return 1
    threads = default_threads() if num_threads is None else num_threads
    # More threads than processors gain nothing, and libgomp ends the process if one cannot start.
    threads = min(threads, work // WORK_PER_THREAD, _PROCESSORS)
    if not cpu.openmp_version():
        return 1
    if threads > 1 and _forked_after_use:
        _warn_forked()
        return 1
    _used_threads = _used_threads or threads > 1
    return threads


@cache
def _warn_forked() -> None:
    warnings.warn(
        "ebagx uses one thread in this process: it was forked from one that had used several, "
        "which OpenMP does not survive; start workers with spawn or forkserver",
        RuntimeWarning,
        stacklevel=4,
    )

"""Describe the machine, and measure how fast its memory can be read."""

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

# One batch of uni128 gathers so many bytes, more than most caches have.
READ_SIZE = 64 * 2**20
READ_REPETITIONS = 50


def read_file(path: str, fallback: str = "unknown") -> str:
    """Return the text of a file of the system, if there is one."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return fallback


def processor() -> str:
    """Return the model name of the processor."""
    for line in read_file("/proc/cpuinfo", "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load_average() -> float:
    """Return the load average of the last minute, 0 if the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def describe() -> dict[str, str]:
    """Describe the machine and the system, on which the times depend."""
    return {
        "processor": f"{processor()}, {os.cpu_count()} CPUs",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "huge pages": read_file("/sys/kernel/mm/transparent_hugepage/enabled"),
        "load average": f"{load_average():.2f}",
    }


def read_bandwidth(num_threads: int) -> float:
    """Measure how many bytes per second the threads read sequentially.

    ``np.bitwise_or.reduce`` is vectorised, releases the GIL and has no arithmetic to wait for:
    of NumPy's reductions it is the fastest.
    """
    buffer = np.ones(READ_SIZE // 8, dtype=np.uint64)
    parts = np.array_split(buffer, num_threads)
    best = float("inf")
    with ThreadPoolExecutor(num_threads) as pool:
        for _ in range(READ_REPETITIONS):
            start = time.perf_counter()
            list(pool.map(np.bitwise_or.reduce, parts))
            best = min(best, time.perf_counter() - start)
    return READ_SIZE / best

"""Measure the peak memory of calls."""

import tracemalloc

from ebagx._core import memory

SMALL = 64 << 10


def peak(call):
    """Return the most memory that a second call takes at once, its result included."""
    call()
    memory.Scratch._spare.clear()
    tracemalloc.start()
    try:
        result = call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        del result


def assert_at_most(actual, formula):
    assert actual <= formula + SMALL, f"{actual:,} bytes, {formula:,} allowed"

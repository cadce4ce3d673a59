"""Markers of whole folders and files, in one table; pyproject.toml says what each is for."""

import re
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

from ebagx._core.levels import LEVEL, REFERENCE

TESTS = Path(__file__).parents[1]
MARKED = {
    "compiled": ("promises/test_memory*.py",),
    "core": ("core/*", "io/*", "kernels/*", "optim/*", "test_*.py", "text/test_ngrams.py"),
    "wheel": (
        *("cli/*", "kernels/*", "pytorch/test_import.py"),
        *("test_datasets.py", "test_functional.py"),
    ),
    "serial": ("kernels/*", "text/test_ngrams.py"),
    "emulated": ("kernels/*", "test_functional.py", "text/test_ngrams.py"),
    "sanitize": (
        *("core/*", "kernels/*", "optim/*", "test_*.py", "text/test_ngrams.py"),
        *("io/fasttext/*", "text/fasttext/test_definition.py", "text/test_answers.py"),
        *("promises/test_determinism.py", "promises/test_state_machine.py"),
    ),
    "races": ("kernels/*", "promises/test_determinism.py"),
    "download": ("text/fasttext/test_language_identification.py",),
    "endure": (
        *("io/test_model_folder.py", "io/test_model_hammer.py", "io/test_*_faults.py"),
        *("promises/test_memory*.py", "promises/test_processes.py", "promises/test_races.py"),
    ),
    "slow": ("promises/test_fuzz.py", "promises/test_leaks.py", "promises/test_memory*.py"),
    "dask": ("dask/*",),
    "torch": ("promises/test_torch_*.py", "pytorch/*"),
}
ADDRESS = re.compile(r"\bat 0x|0x[0-9a-f]{6,}")


@cache
def markers_of(path):
    """Return the markers that the table gives to the tests of a file, named from tests/."""
    return [
        name
        for name, patterns in MARKED.items()
        if any(fnmatch(path, pattern) for pattern in patterns)
    ]


def add_markers(items):
    twin = pytest.mark.skip(reason="the kernels' twin does not promise this")
    for item in items:
        for name in markers_of(item.path.relative_to(TESTS).as_posix()):
            item.add_marker(name)
        if LEVEL == REFERENCE and item.get_closest_marker("compiled"):
            item.add_marker(twin)


def check_ids(ids):
    """Refuse ids that hold the address of an object: the next run would have others."""
    bad = [name for name in ids if ADDRESS.search(name)]
    if bad:
        raise pytest.UsageError(f"{len(bad)} test ids hold an address; name them, first: {bad[0]}")

"""Test that reading vectors takes the memory of the table, and some blocks."""

import subprocess
import sys

import numpy as np
import pytest

from support.vector_files import binary_of

pytest.importorskip("resource")

READ = """
import resource, sys
from ebagx.text import load_vectors
unit = 1 if sys.platform == "darwin" else 1024
load_vectors(sys.argv[1], limit=10, bits=8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
options = dict([sys.argv[2].split("=")]) if sys.argv[2] else {}
vectors = load_vectors(sys.argv[1], **{k: int(v) if v.isdigit() else v for k, v in options.items()})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before, vectors.table.nbytes)
"""
BLOCKS = 40 << 20  # four blocks of text, their numbers, and what an allocator keeps


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("memory") / "vectors.bin"
    words = [f"w{i}" for i in range(40_000)]
    path.write_bytes(binary_of(words, np.ones((40_000, 600), np.float32) * np.linspace(0, 1, 600)))
    return path


@pytest.mark.parametrize("option", ["", "dtype=float16", "bits=8"])
def test_peak(path, option):
    command = [sys.executable, "-P", "-c", READ, str(path), option]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, size = map(int, done.stdout.split())
    assert size > (20 << 20)
    assert peak < size + BLOCKS

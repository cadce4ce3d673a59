"""Test that reading vectors takes the memory of the table, and some blocks."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.vector_files import binary_of

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells it")

READ = """
import sys
from ebagx.text import load_vectors

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) << 10

load_vectors(sys.argv[1], limit=10, bits=8)
before = peak()
options = dict([sys.argv[2].split("=")]) if sys.argv[2] else {}
vectors = load_vectors(sys.argv[1], **{k: int(v) if v.isdigit() else v for k, v in options.items()})
print(peak() - before, vectors.table.nbytes)
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

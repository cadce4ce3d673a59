"""Test training on files that are large or odd: memory, long lines and words, damaged ends."""

import gzip
import io
import random
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx.text import sources
from ebagx.text.features import Features, LineBags
from ebagx.text.lines import read_lines
from ebagx.text.ngrams import Ngrams
from support.streams import Pieces

# Prints the bytes of memory that a training took at its peak beyond those of its imports.
MEMORY = """
import sys
import ebagx.text.learner
from ebagx.cli import main

def kilobytes(name):
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith(name)]
    return int(line.split()[1])

before = kilobytes("VmRSS:")
status = main(["train", *sys.argv[1:], "--dim", "4", "--epochs", "1", "--buckets", "50000"])
print((kilobytes("VmHWM:") - before) * 1024, status, "sklearn" in sys.modules)
"""


def read(content, name="file"):
    return read_lines(io.BufferedReader(io.BytesIO(content)), name)


def write_words(path, n_lines, last=b"\n", copies=1):
    """Write lines of fifteen words, all of them some times; return the size of the file."""
    chooser = random.Random(0)
    words = [f"word{int(20_000 * chooser.random() ** 3)}".encode() for _ in range(100_000)]
    lines = []
    for i in range(n_lines):
        start = chooser.randrange(99_000)
        lines.append(b"label%d\t" % (i % 5) + b" ".join(words[start : start + 15]))
    path.write_bytes(b"\n".join(lines * copies) + last)
    return path.stat().st_size


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_training_takes_little_more_memory_than_its_file(tmp_path):
    """At most 3 times the file; lists of its lines and a matrix of its features took 17 times."""
    size = write_words(tmp_path / "train.tsv", 10_000, copies=30)
    assert size > 36e6
    command = [sys.executable, "-c", MEMORY, "train.tsv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    taken, status, has_scikit_learn = done.stdout.splitlines()[-1].split()
    assert (status, has_scikit_learn) == ("0", "False")
    assert int(taken) < 3 * size


def test_a_file_without_a_newline_at_its_end(tmp_path, run):
    write_words(tmp_path / "train.tsv", 99, b"")
    assert run("train", "train.tsv")[1][1] == "          5 labels, 89 lines and 10 held out"


def test_a_million_empty_lines():
    content = b"\n" * 10**6 + b"a\tone\n" + b"\r\n" * 10**5 + b"b\ttwo\nno tab"
    assert read(content[:-6]).num_lines == 2
    with pytest.raises(ValueError, match="^file, line 1100003: no tab between label and text$"):
        read(content)


def test_nul_bytes():
    lines = read(b"a\tone\0two\nb\t\0\n")
    assert lines.store.words.names() == ["one", "two"]
    with pytest.raises(ValueError, match=r"^file, line 2: 'a\\x00' is not a label$"):
        read(b"a\tx\na\0\ty\n")


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.99])
def test_gzip_data_that_are_damaged_in_the_middle(tmp_path, run, cut):
    write_words(tmp_path / "train.tsv", 5000)
    content = gzip.compress((tmp_path / "train.tsv").read_bytes())
    place = int(cut * len(content))
    damaged = content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]
    (tmp_path / "train.gz").write_bytes(damaged)
    status, out, err = run("train", "train.gz")
    assert (status, out) == (2, [])
    assert re.match("ebagx: train.gz(: damaged gzip data: |, line [0-9]+: )", err)
    assert err.count("\n") == 1


def test_files_that_change_while_they_are_read():
    grown = io.BufferedReader(Pieces(b"a\tx\nb\t", b"y\nb\tz", b"z\n"))
    assert read_lines(grown, "file").store.words.names() == ["x", "y", "zz"]
    shrunk = io.BufferedReader(Pieces(b"a\tx\nb"))
    with pytest.raises(ValueError, match="^file, line 2: no tab between label and text$"):
        read_lines(shrunk, "file")


def test_a_word_of_a_megabyte():
    word = b"w" * 10**6 + "\u00e9".encode() * 10**5
    lines = read(b"a\tx " + word + b" x\nb\t" + word + b"\n")
    assert lines.store.words.names() == ["x", word.decode()]
    features = Features.learn(lines, Ngrams(2, 3, 4, 1000))
    assert LineBags(features, lines).matrix().sum() > 4 * 10**6


@pytest.mark.slow
def test_a_line_of_a_hundred_megabytes():
    lines = read(b"a\t" + b"one two three " * (10**8 // 14) + b"\nb\tone\n")
    assert lines.store.words.names() == ["one", "two", "three"]
    bags = LineBags(Features.learn(lines, Ngrams(2, 0, 0, 100)), lines, 1).take(np.arange(2))
    assert np.diff(bags.offsets).tolist() == [6, 1]
    assert bags.weights.sum() == pytest.approx(6 * (10**8 // 14), rel=1e-6)


@pytest.mark.slow
def test_three_million_words():
    lines = read(b"".join(b"a\tw%d w%d\n" % (i, i + 1) for i in range(3 * 10**6)))
    assert lines.store.words.count == 3 * 10**6 + 1
    features = Features.learn(lines, Ngrams(1, 0, 0, 1))
    assert features.columns["w3000000"] == 3 * 10**6


def test_lines_that_are_longer_than_blocks(monkeypatch):
    monkeypatch.setattr(sources, "_BLOCK_SIZE", 10)
    lines = read(b"a\t" + b"one two " * 99 + b"\nb\tthree\n")
    assert np.diff(lines.store.offsets).tolist() == [198, 1]

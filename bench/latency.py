"""Time predictions of few texts at a time: ebagx and, where it is installed, fastText.

    python bench/latency.py

Both learn the training lines of langid30 with the same options. ``one text`` is the time of a
prediction in microseconds, the best mean of several; the other columns are thousands of texts per
second when so many threads of Python predict lists of 20 texts each. fastText's functions in C++
are called without its module in Python, which fails with NumPy 2.
"""

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from corpora import TASKS, Lines
from ebagx.text.lines import Lines as Labelled
from ebagx.text.model import Settings
from ebagx.text.training import train_model

THREADS = (1, 2, 4, 8)
LIST = 20
SECONDS, TURNS = 0.25, 5
EPOCHS = 2


class Predictor(NamedTuple):
    """A trained model: functions that predict one text, and a list of texts."""

    one: Callable[[str], object]
    many: Callable[[list[str]], object]


def with_ebagx(lines: Lines, chars: tuple[int, int], buckets: int) -> Predictor:
    """Train with ebagx."""
    settings = Settings(
        dim=16, epochs=EPOCHS, word_ngrams=1, minn=chars[0], maxn=chars[1], buckets=buckets
    )
    training = Labelled.of(lines.texts, [(label,) for label in lines.labels])
    model = train_model(training, settings).model
    return Predictor(lambda text: model.predict([text]), model.predict)


def with_fasttext(lines: Lines, chars: tuple[int, int], buckets: int) -> Predictor:
    """Train with fastText."""
    import fasttext

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.txt")
        lines.write(path)
        options = {"minn": chars[0], "maxn": chars[1], "bucket": buckets, "thread": 1, "verbose": 0}
        model = fasttext.train_supervised(str(path), dim=16, epoch=EPOCHS, **options).f
    return Predictor(
        lambda text: model.predict(text + "\n", 1, 0.0, "strict"),
        lambda texts: model.multilinePredict([text + "\n" for text in texts], 1, 0.0, "strict"),
    )


def calls_per_second(call: Callable[[], object], num_threads: int) -> float:
    """Return how many calls a second so many threads of Python make together."""
    stop = time.perf_counter() + SECONDS

    def repeat(_: int) -> float:
        count, started = 0, time.perf_counter()
        while time.perf_counter() < stop:
            call()
            count += 1
        return count / (time.perf_counter() - started)

    with ThreadPoolExecutor(num_threads) as pool:
        return sum(pool.map(repeat, range(num_threads)))


def best(call: Callable[[], object], num_threads: int = 1) -> float:
    """Return the calls per second of the best of several turns."""
    return max(calls_per_second(call, num_threads) for _ in range(TURNS))


def report(name: str, predictor: Predictor, texts: Sequence[str]) -> None:
    """Print the line of one library."""
    few = list(texts[:LIST])
    one = 1e6 / LIST / best(lambda: [predictor.one(text) for text in few])
    rates = [LIST * best(lambda: predictor.many(few), threads) / 1e3 for threads in THREADS]
    print(f"{name:<10}{one:>12.1f}" + "".join(f"{rate:>12.1f}" for rate in rates), flush=True)


def main() -> int:
    """Print a line for each library."""
    (task,) = (task for task in TASKS if task.name == "langid30")
    corpus = task.load(None)
    makers = {"ebagx": with_ebagx, "fastText": with_fasttext}
    if importlib.util.find_spec("fasttext") is None:
        del makers["fastText"]
    heads = "".join(f"{threads:>4} threads" for threads in THREADS)
    print(f"{'':<10}{'one text':>12}{heads}")
    for name, make in makers.items():
        report(name, make(corpus.training, task.chars, task.buckets), corpus.held_out.texts)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Time predictions of few texts at a time, from one thread of Python and from several.

This needs nothing but the standard library, so that the Python of another program can run it:

    PYTHON bench/rates.py TRAINING.TXT TEXTS.JSON THREADS...

times fastText's module in Python, which is installed there, with the options of ``latency.py``.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CHARS, BUCKETS, DIM, EPOCHS = (2, 4), 100_000, 16, 2  # of all models
LIST = 20
SECONDS, TURNS = 0.25, 5


def calls_per_second(call: Callable[[], object], num_threads: int) -> float:
    """Return how many calls a second so many threads of Python make together."""
    counts, ready, stop = [0] * num_threads, threading.Barrier(num_threads + 1), [0.0]

    def repeat(number: int) -> None:
        ready.wait()
        while time.perf_counter() < stop[0]:
            call()
            counts[number] += 1

    threads = [threading.Thread(target=repeat, args=[number]) for number in range(num_threads)]
    for thread in threads:
        thread.start()
    started = time.perf_counter()
    stop[0] = started + SECONDS
    ready.wait()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def best(call: Callable[[], object], num_threads: int = 1) -> float:
    """Return the calls per second of the best of several turns."""
    return max(calls_per_second(call, num_threads) for _ in range(TURNS))


def report(
    name: str,
    one: Callable[[str], object],
    many: Callable[[list[str]], object],
    texts: Sequence[str],
    threads: Sequence[int],
) -> None:
    """Print the microseconds of one text, and thousands of texts a second from threads."""
    few = list(texts[:LIST])

    def one_by_one() -> None:
        for text in few:
            one(text)

    for kind, call in (("one text", one_by_one), (f"list of {LIST}", lambda: many(few))):
        rates = [LIST * best(call, count) for count in threads]
        figures = [1e6 / rates[0] * (1 if call is one_by_one else LIST)]
        figures += [rate / 1e3 for rate in rates]
        print(f"{name:<22}{kind:<12}" + "".join(f"{figure:>10.1f}" for figure in figures))


def report_fasttext(training: str, texts: Sequence[str], threads: Sequence[int]) -> None:
    """Print the lines of fastText's module, and of its functions in C++ without the module."""
    import fasttext

    options = {"minn": CHARS[0], "maxn": CHARS[1], "bucket": BUCKETS, "thread": 1, "verbose": 0}
    model = fasttext.train_supervised(training, dim=DIM, epoch=EPOCHS, **options)
    report("fastText, module", model.predict, model.predict, texts, threads)
    report(
        "fastText, functions",
        lambda text: model.f.predict(text + "\n", 1, 0.0, "strict"),
        lambda many: model.f.multilinePredict([text + "\n" for text in many], 1, 0.0, "strict"),
        texts,
        threads,
    )


if __name__ == "__main__":
    report_fasttext(
        sys.argv[1], json.loads(Path(sys.argv[2]).read_text("utf-8")), [*map(int, sys.argv[3:])]
    )

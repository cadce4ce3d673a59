"""Time `fit` on the data sets that ship, and compare it with another copy of ebagx.

    python bench/fit.py                               # this installation, 1 and 2 threads
    python bench/fit.py --other before/site-packages  # in turns with the ebagx of another folder
    python bench/fit.py --labels 20000                # a made set with so many labels, too

Each turn is a process of its own, and the best one counts. The texts are counted once, by this
installation.
"""

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TASK_NAMES = ("wordnet10", "langid30")
TURNS = 5
SECONDS_PER_TURN = 2.0


def counted(name: str) -> tuple[Any, Any, int, int]:
    """Return counts, labels, dimension and epochs of a task of classify.py."""
    import numpy as np

    from corpora import TASKS
    from ebagx.text.features import Features, LineBags
    from ebagx.text.lines import Lines
    from ebagx.text.model import Settings

    (task,) = (task for task in TASKS if task.name == name)
    lines = task.load(None).training
    settings = Settings(word_ngrams=1, minn=task.chars[0], maxn=task.chars[1], buckets=task.buckets)
    training = Lines.of(lines.texts)
    counts = LineBags(Features.learn(training, settings.ngrams), training).matrix()
    return counts, np.unique(lines.labels, return_inverse=True)[1], task.dim, task.epochs


def many_labels(count: int) -> tuple[Any, Any, int, int]:
    """Return a set of 2,560 rows with a few of many labels each."""
    import numpy as np
    from scipy import sparse

    rng = np.random.default_rng(0)
    X = sparse.random_array((2560, 30_000), density=20 / 30_000, rng=rng, dtype=np.float32)
    y = sparse.random_array((2560, count), density=2 / count, rng=rng, dtype=np.float32)
    return X.tocsr(), (y > 0).astype(np.int8).tocsr(), 32, 2


def take_turn(path: str, threads: int) -> None:
    """Fit again and again, and print the best time in seconds."""
    from ebagx.sklearn import EmbeddingBagClassifier

    X, y, dim, epochs = pickle.loads(Path(path).read_bytes())
    best, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < SECONDS_PER_TURN:
        model = EmbeddingBagClassifier(dim, max_iter=epochs, random_state=0, num_threads=threads)
        before = time.perf_counter()
        model.fit(X, y)
        best = min(best, time.perf_counter() - before)
    print(best)


def run_turn(path: Path, threads: int, package: Path | None) -> float:
    """Return the best time of a process, with the ebagx of another folder if one is given."""
    environment = dict(os.environ)
    if package is not None:
        environment["PYTHONPATH"] = str(package)
    command = [sys.executable, "-P", __file__, "--turn", str(path), "--threads", str(threads)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--other", type=Path, metavar="FOLDER", help="has another package ebagx")
    parser.add_argument("--labels", type=int, metavar="N", help="also fit a set of N labels")
    parser.add_argument("--threads", nargs="+", type=int, default=(1, 2), metavar="N")
    parser.add_argument("--turn", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure in turns and print the table."""
    options = parse_arguments(arguments)
    if options.turn:
        take_turn(options.turn, options.threads[0])
        return
    sets = {name: counted(name) for name in TASK_NAMES}
    if options.labels:
        sets[f"{options.labels} labels"] = many_labels(options.labels)
    packages = [None] if options.other is None else [None, options.other]
    print(f"{'best of fit, s':<16}{'threads':>8}{'this':>9}{'other':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for name, content in sets.items():
            path = Path(folder, "set.pickle")
            path.write_bytes(pickle.dumps(content))
            for threads in options.threads:
                turns = [[run_turn(path, threads, p) for p in packages] for _ in range(TURNS)]
                best = "".join(f"{min(times):>9.4f}" for times in zip(*turns, strict=True))
                print(f"{name:<16}{threads:>8}{best}", flush=True)


if __name__ == "__main__":
    main()

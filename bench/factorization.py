"""Compare factorization machines on the ratings of MovieLens-100K: error and speed.

    python bench/factorization.py                       # a minute
    python bench/factorization.py --programs ebagx --seeds 0 --threads 1
    python bench/factorization.py --packages folder     # keeps the downloaded package
    python bench/factorization.py --json factorization.json
    python bench/factorization.py --alphas 2e-4 4e-4 8e-4   # on a part of the learned rows

The ratings lie in the wheel of recbole; the terms of GroupLens allow to measure on them, and not to
ship them. Four fifths at random are learned, with a column for each user and each film. Each
program runs in a process of its own. myfm (``pip install myfm``) samples the posterior of its
factors with Gibbs' method, rank 8 and 100 iterations; it is left out where it is not installed, and
has one thread.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from packages import Package, read_files

RATINGS = Package(
    "recbole==1.2.1",
    "recbole-1.2.1-py3-none-any.whl",
    "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
)
PROGRAMS = ("ebagx", "myfm")
REQUIRED = {"error": 0.92, "lookups per second": 5e6}  # of ebagx, on one thread
ITERATIONS = 100  # of myfm


class Rows(NamedTuple):
    """Rows with a user and a film, and their ratings."""

    X: Any
    y: np.ndarray


class Ratings(NamedTuple):
    """Rows to learn, and those held out; the numbers of users and of films."""

    learned: Rows
    held_out: Rows
    sizes: list[int]


def read_ratings(path: Path, seed: int) -> Ratings:
    """Read the ratings, and hold a fifth of them out."""
    _, content = next(read_files(path, "*ml-100k.inter"))
    rows = [line.split("\t") for line in content.decode().splitlines()[1:]]
    users, films = (np.unique([row[i] for row in rows], return_inverse=True)[1] for i in (0, 1))
    y = np.array([float(row[2]) for row in rows])
    sizes = [int(users.max()) + 1, int(films.max()) + 1]
    columns = np.stack([users, sizes[0] + films], axis=1).ravel().astype(np.int32)
    offsets = np.arange(0, len(columns) + 1, 2, dtype=np.int32)
    shape = len(y), sum(sizes)
    X = sparse.csr_array((np.ones(len(columns), np.float32), columns, offsets), shape=shape)
    order = np.random.default_rng(seed).permutation(len(y))
    learned, held_out = order[len(y) // 5 :], order[: len(y) // 5]
    parts = [Rows(X[rows], y[rows]) for rows in (learned, held_out)]
    return Ratings(*parts, sizes)


def run_ebagx(ratings: Ratings, threads: int, seed: int) -> dict[str, float]:
    """Train with the defaults; the first training, which loads code, is not timed."""
    from ebagx.sklearn import FactorizationMachineRegressor

    model = FactorizationMachineRegressor(num_threads=threads, random_state=seed)
    X, y = ratings.learned
    model.fit(X[:1000], y[:1000])
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        model.fit(X, y)
        seconds.append(time.perf_counter() - start)
    lookups = X.nnz * model.n_iter_
    return {
        "error": error_of(model.predict(ratings.held_out.X), ratings),
        "seconds": min(seconds),
        "lookups per second": lookups / min(seconds),
    }


def validation_error(ratings: Ratings, alpha: float, seed: int) -> float:
    """Return the error on a fifth of the rows to learn, which are held out of them."""
    from ebagx.sklearn import FactorizationMachineRegressor

    X, y = ratings.learned
    order = np.random.default_rng([seed, 1]).permutation(len(y))
    learned, rated = order[len(y) // 5 :], order[: len(y) // 5]
    model = FactorizationMachineRegressor(alpha=alpha, num_threads=1, random_state=seed)
    model.fit(X[learned], y[learned])
    return error_of(model.predict(X[rated]), ratings._replace(held_out=Rows(X[rated], y[rated])))


def compare_alphas(path: Path, alphas: Sequence[float], seeds: Sequence[int]) -> None:
    """Print the validation errors of some weight decays."""
    for alpha in alphas:
        errors = [validation_error(read_ratings(path, seed), alpha, seed) for seed in seeds]
        print(f"alpha {alpha:7.1e}  validation error {statistics.mean(errors):.4f}")


def run_myfm(ratings: Ratings, threads: int, seed: int) -> dict[str, float]:  # noqa: ARG001
    """Sample, which has no options for threads."""
    from myfm import MyFMRegressor

    model = MyFMRegressor(rank=8, random_seed=seed)
    X, held_out = (sparse.csr_matrix(rows.X) for rows in ratings[:2])
    start = time.perf_counter()
    model.fit(X, ratings.learned.y, group_shapes=ratings.sizes, n_iter=ITERATIONS)
    seconds = time.perf_counter() - start
    return {
        "error": error_of(model.predict(held_out), ratings),
        "seconds": seconds,
        "lookups per second": X.nnz * ITERATIONS / seconds,
    }


def error_of(predicted: np.ndarray, ratings: Ratings) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(np.mean((predicted - ratings.held_out.y) ** 2)))


def measure(program: str, path: Path, threads: int, seed: int) -> dict[str, float]:
    """Run a program in a process of its own."""
    command = [sys.executable, __file__, "--child", program, str(path), str(threads), str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_child(program: str, path: str, threads: str, seed: str) -> None:
    """Print the measures of one program."""
    run = {"ebagx": run_ebagx, "myfm": run_myfm}[program]
    print(json.dumps(run(read_ratings(Path(path), int(seed)), int(threads), int(seed))))


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--programs", nargs="+", default=PROGRAMS, choices=PROGRAMS, metavar="X")
    add("--seeds", nargs="+", type=int, default=(0, 1, 2, 3, 4), metavar="N")
    add("--threads", nargs="+", type=int, default=(1, 2), metavar="N")
    add("--packages", type=Path, metavar="FOLDER", help="keep the downloaded package in FOLDER")
    add("--alphas", nargs="+", type=float, metavar="X", help="compare weight decays, nothing else")
    add("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    add("--child", nargs=4, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def is_there(program: str) -> bool:
    """Return whether a program can be measured here."""
    found = importlib.util.find_spec(program) is not None
    if not found:
        print(f"{program} is left out: it is not installed", file=sys.stderr)
    return found


def summary(results: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean error, and the figures of the fastest run."""
    return {
        "error": statistics.mean(result["error"] for result in results),
        "worst error": max(result["error"] for result in results),
        "seconds": min(result["seconds"] for result in results),
        "lookups per second": max(result["lookups per second"] for result in results),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parse_arguments(arguments)
    if options.child:
        run_child(*options.child)
        return
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        path = RATINGS.fetch(options.packages or Path(temporary))
        if path is None:
            raise SystemExit("factorization: there are no ratings")
        if options.alphas:
            compare_alphas(path, options.alphas, options.seeds)
            return
        for program in filter(is_there, options.programs):
            for threads in options.threads if program == "ebagx" else [1]:
                results = [measure(program, path, threads, seed) for seed in options.seeds]
                figures[f"{program}, {threads} threads"] = found = summary(results)
                print(
                    f"{program:6}{threads:2} threads  error {found['error']:.4f} "
                    f"(worst {found['worst error']:.4f}){found['seconds']:8.2f} s"
                    f"{found['lookups per second'] / 1e6:8.1f} M lookups/s"
                )
    if ours := figures.get("ebagx, 1 threads"):
        met = ours["error"] <= REQUIRED["error"]
        met &= ours["lookups per second"] >= REQUIRED["lookups per second"]
        print(f"required of ebagx on one thread: {REQUIRED}: {'met' if met else 'MISSED'}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()

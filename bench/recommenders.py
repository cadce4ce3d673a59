"""Train one recommender in a process of its own: ``recommenders.py MODEL FOLDER THREADS SEED``.

FOLDER has train.npz (users x items) and features.npz (items x features). The process writes the
scores of all pairs to scores.npy, and prints JSON: seconds of training, positives that it went
through, seconds of the ten best items for all users. It needs NumPy, SciPy and the library of the
model, so a peer may be in an interpreter without ebagx.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

N = 10  # items of a list
FEATURES = "features.npz"


class Trained(NamedTuple):
    """A model, after training."""

    positives: int  # that training went through
    scores: Callable[[], np.ndarray]  # of all pairs (m, I)
    recommend: Callable[[], Any] | None  # the ten best items of all users, without those seen


def popularity(train: sparse.csr_array, **_options: Any) -> Trained:
    """Count how many users have an item."""
    counts = train.sum(axis=0)
    return Trained(train.nnz, lambda: np.tile(counts, (train.shape[0], 1)), None)


def ebagx(
    train: sparse.csr_array, threads: int, seed: int, features: Any = None, **options: Any
) -> Trained:
    """Train EmbeddingBagRecommender, perhaps with features of items."""
    from ebagx.sklearn import EmbeddingBagRecommender

    model = EmbeddingBagRecommender(num_threads=threads, random_state=seed, **options)
    model.fit(train, item_features=features)

    def scores() -> np.ndarray:
        return model.transform(train) @ model.item_vectors_.T + model.item_bias_

    return Trained(train.nnz * model.n_iter_, scores, lambda: model.recommend(train, N))


def lightfm(
    train: sparse.csr_array,
    threads: int,
    seed: int,
    epochs: int,
    features: Any = None,
    **options: Any,
) -> Trained:
    """Train LightFM, which has no function for the best items of all users.

    Features replace the items' own rows unless an identity matrix is beside them.
    """
    from lightfm import LightFM

    model = LightFM(random_state=seed, **options)
    if features is not None:
        own = sparse.identity(features.shape[0], np.float32, "csr")
        features = sparse.csr_matrix(sparse.hstack([own, features]))
    model.fit(sparse.coo_matrix(train), item_features=features, epochs=epochs, num_threads=threads)

    def scores() -> np.ndarray:
        biases, items = model.get_item_representations(features)
        _, users = model.get_user_representations()
        return users @ items.T + biases

    return Trained(train.nnz * epochs, scores, None)


def _implicit(model: Any, train: sparse.csr_array, epochs: int) -> Trained:
    interactions = sparse.csr_matrix(train)
    model.fit(interactions, show_progress=False)
    users = np.arange(train.shape[0])
    return Trained(
        train.nnz * epochs,
        lambda: model.user_factors @ model.item_factors.T,
        lambda: model.recommend(users, interactions, N=N),
    )


def implicit_als(
    train: sparse.csr_array, threads: int, seed: int, epochs: int, **options: Any
) -> Trained:
    """Train implicit's alternating least squares."""
    from implicit.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        iterations=epochs, num_threads=threads, random_state=seed, **options
    )
    return _implicit(model, train, epochs)


def implicit_bpr(
    train: sparse.csr_array, threads: int, seed: int, epochs: int, **options: Any
) -> Trained:
    """Train implicit's BPR."""
    from implicit.bpr import BayesianPersonalizedRanking

    model = BayesianPersonalizedRanking(
        iterations=epochs, num_threads=threads, random_state=seed, **options
    )
    return _implicit(model, train, epochs)


# Each has the settings with which it was best on one split, but for the dimensions of the first.
MODELS: dict[str, tuple[Callable[..., Trained], dict[str, Any]]] = {
    "popularity": (popularity, {}),
    "ebagx ids": (ebagx, {"user": "id", "loss": "warp", "max_iter": 15}),
    "ebagx history": (ebagx, {"user": "history", "loss": "warp", "max_iter": 15}),
    "ebagx ids, bpr": (ebagx, {"user": "id", "loss": "bpr", "max_iter": 30}),
    "ebagx ids, softmax": (ebagx, {"user": "id", "loss": "softmax", "max_iter": 15}),
    # LightFM adds up the rows of an item's features, too.
    "ebagx ids, features": (
        ebagx,
        {"user": "id", "loss": "warp", "max_iter": 15, "mode": "sum"},
    ),
    "LightFM warp, features": (lightfm, {"loss": "warp", "no_components": 32, "epochs": 15}),
    "LightFM warp": (lightfm, {"loss": "warp", "no_components": 32, "epochs": 15}),
    "LightFM bpr": (lightfm, {"loss": "bpr", "no_components": 32, "epochs": 30}),
    "implicit ALS": (
        implicit_als,
        {"factors": 16, "alpha": 2.0, "regularization": 10.0, "epochs": 15},
    ),
    "implicit BPR": (implicit_bpr, {"factors": 32, "learning_rate": 0.05, "epochs": 100}),
}


def best_time(function: Callable[[], Any], rounds: int = 5) -> float:
    """Return the shortest of a few times."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main(name: str, folder: Path, threads: int, seed: int) -> None:
    """Train a model, write its scores and print its times."""
    train = sparse.csr_array(sparse.load_npz(folder / "train.npz"))
    make, options = MODELS[name]
    if name.endswith("features"):
        options = {**options, "features": sparse.csr_matrix(sparse.load_npz(folder / FEATURES))}
    make(train[:50], threads=threads, seed=seed, **options)  # what a library does the first time
    start = time.perf_counter()
    trained = make(train, threads=threads, seed=seed, **options)
    result: dict[str, Any] = {
        "seconds": time.perf_counter() - start,
        "positives": trained.positives,
        "recommend": trained.recommend and best_time(trained.recommend),
    }
    np.save(folder / "scores.npy", trained.scores().astype(np.float32))
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

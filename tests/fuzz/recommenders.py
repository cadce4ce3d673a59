"""Train recommenders on hostile interactions: right rankings, or one error and nothing changed."""

from contextlib import suppress
from typing import Any

import numpy as np
import scipy.sparse

from ebagx.sklearn import EmbeddingBagRecommender
from fuzz import oracle, rankings
from fuzz.calls import SPARSE_FORMS, Call
from fuzz.source import Source
from fuzz.spoiled_sparse import spoil_sparse

OPTIMIZERS = ("adagrad", "sgd", "adam", "adamw", "rowwise_adagrad")
ARRAYS = ("user_embedding_", "item_embedding_", "item_vectors_", "item_bias_")
WRONG = {
    "loss": ("hinge", None, 1),
    "user": ("name", b"id", ["id"]),
    "mode": ("max", None),
    "max_sampled": (0, -1, 1.5, "2", 2**70),
    "negatives": (0, None, True),
    "embedding_dim": (0, -3, 2.0, None),
    "batch_size": (0, "8"),
    "learning_rate": (0, -1, np.nan, np.inf, "0.1", 1e30),
    "item_identity": (1, None, "no"),
    "num_threads": (0, -5, 1.5),
    "validation_fraction": (0, 1, 2.0, np.nan),
    "random_state": (-1, "seed", 2**40),
}
IDS = ([], [[0]], [-1], [10**6], [0.5], [2**70], None, "0", [0, 0], [True])


class Recommendation:
    """A call of a recommender, as reports describe it."""

    def __init__(self, operation: str, arguments: dict[str, Any]) -> None:
        self.operation, self.arguments = operation, arguments
        self.bags, self.form = "none", "recommender"


def run(source: Source) -> str:
    """Run one case: a life of a recommender, or a measure of rankings."""
    return rankings.run(source) if source.below(2) else _live(source)


def _live(source: Source) -> str:
    """Fit, go on, and rank, with calls that are wrong in between."""
    model = EmbeddingBagRecommender(**_options(source))
    if source.one_in(4):
        name = source.choice(sorted(WRONG))
        model.set_params(**{name: source.choice(WRONG[name])})
    call = Recommendation("fit", _data(source, source.choice((6, 1, 12)), source.choice((5, 2, 9))))
    outcome = _try(model, call)
    if outcome != "fit":
        return f"recommender {outcome}"
    users, items = call.arguments["X"].shape
    if source.below(2):
        more = _data(source, users + source.below(3), items + source.below(3))
        call = Recommendation("partial_fit", more)
        outcome = _try(model, call)
    _check_ranking(source, model)
    _refuse(source, model)
    return f"recommender {outcome}"


def _options(source: Source) -> dict[str, Any]:
    return {
        "embedding_dim": source.choice((3, 1, 8, 17)),
        "loss": source.choice(("warp", "bpr", "logistic", "softmax")),
        "user": source.choice(("history", "id")),
        "mode": source.choice(("sqrtn", "mean", "sum")),
        "item_identity": not source.one_in(5),
        "user_identity": not source.one_in(5),
        "max_sampled": source.choice((10, 1, 100)),
        "negatives": source.choice((8, 1, 300)),
        "optimizer": source.choice(OPTIMIZERS),
        "schedule": source.choice((None, "linear", "cosine")),
        "batch_size": source.choice((4, 1, 256)),
        "max_iter": 1 + source.below(2),
        "alpha": source.choice((0.0, 0.1)),
        "early_stopping": source.one_in(4),
        "warm_start": source.one_in(3),
        "num_threads": source.choice((1, 2, 3)),
        "random_state": source.below(256),
    }


def _data(source: Source, users: int, items: int) -> dict[str, Any]:
    """Return interactions, and perhaps features and weights; one of them may be wrong."""
    stored = source.rng.random((users, items)) < source.choice((0.5, 0.1, 1))
    stored[0, :2] = True
    weights = stored * source.choice((1, 0.25, 1e4)) * source.rng.integers(1, 4, stored.shape)
    given = {"X": _matrix(source, weights)}
    for name, count in (("user_features", users), ("item_features", items)):
        if source.one_in(3):
            features = source.rng.integers(-2, 3, (count, 3)) / 2
            given[name] = _matrix(source, features)
    if source.one_in(4):
        given["sample_weight"] = source.rng.random(users)
    if source.one_in(3):
        name = source.choice(sorted(given))
        given[name] = _spoiled(source, given[name])
    return given


def _matrix(source: Source, dense: np.ndarray) -> Any:
    kind = source.choice((scipy.sparse.csr_array, scipy.sparse.csr_matrix))
    form = source.choice((*SPARSE_FORMS, "dense"))
    return dense if form == "dense" else kind(dense).asformat(form)


def _spoiled(source: Source, value: Any) -> Any:
    """Return an argument with something wrong, often."""
    if scipy.sparse.issparse(value) and source.below(2):
        table = np.zeros((value.shape[1], 0))
        call = Call("forward", table, [[]] * value.shape[0], None, "sum", None, value.format)
        call.arguments["input"] = value
        spoil_sparse(source, call)
        return call.arguments["input"]
    if scipy.sparse.issparse(value):
        return rankings.spoiled_matrix(source, value)
    value = value.astype("f8")
    value.flat[source.below(value.size)] = source.choice((-1, np.nan, np.inf, 1e38, 0))
    shapes = (value, value, value[:-1], value[:0], value[..., np.newaxis], value.astype(object))
    return source.choice((*shapes, *rankings.NO_NUMBERS))


def _try(model: Any, call: Recommendation) -> str:
    """Train, or check that an error leaves the model as it was."""
    before, state = oracle.Snapshot(call.arguments), _state(model)
    try:
        getattr(model, call.operation)(**call.arguments)
    except oracle.ERRORS as error:
        before.check(call, error)
        if "diverged" in str(error):  # `fit` may keep the model of an earlier pass
            return f"{call.operation} diverged"
        if _state(model) != state:
            raise oracle.FuzzError(f"{oracle.describe(call)} changed the model") from error
        return f"{call.operation} raises"
    before.check(call)
    for name in ARRAYS:
        if not np.isfinite(getattr(model, name)).all():
            raise oracle.FuzzError(f"{oracle.describe(call)}: {name} is not finite")
    return call.operation


def _state(model: Any) -> Any:
    """Return what a failed call must leave: the fitted attributes, and the bytes of arrays."""
    return {
        name: value.tobytes() if isinstance(value, np.ndarray) else id(value)
        for name, value in vars(model).items()
    }


def _check_ranking(source: Source, model: Any) -> None:
    """Raise unless `recommend` and `predict` give the products of the vectors, in their order."""
    count = model.n_users_ if model.user == "id" else source.choice((3, 1, 40))
    stored = source.rng.random((count, model.n_features_in_)) < 0.4
    X = scipy.sparse.csr_array(stored.astype(np.float32))
    options: dict[str, Any] = {"n": source.between(1, 12), "exclude_seen": bool(source.below(2))}
    items = np.arange(model.n_features_in_)
    if source.one_in(3):
        items = source.rng.permutation(items)[: source.between(1, len(items))]
        options["items"] = items
    features = None
    if model.user == "history" and len(model.user_embedding_) > model.n_features_in_:
        width = len(model.user_embedding_) - model.n_features_in_
        features = source.rng.random((count, width)).astype(np.float32)
    call = Recommendation("recommend", {"X": X, "user_features": features, **options})
    with oracle.judged(call):
        vectors = model.transform(X, user_features=features)
        _check_vectors(model, X, features, vectors)
        scores = np.tile(model.item_bias_.astype(np.float64), (count, 1))
        for column in range(vectors.shape[1]):
            scores += np.outer(*(v[:, column].astype("f8") for v in (vectors, model.item_vectors_)))
        np.testing.assert_array_equal(model.predict(X, user_features=features), scores)
        ids, best = model.recommend(X, user_features=features, **options)
        for user in range(count):
            left = [i for i in items if not (options["exclude_seen"] and stored[user, i])]
            left.sort(key=lambda item: (-scores[user, item], item))
            left = left[: options["n"]]
            missing = options["n"] - len(left)
            np.testing.assert_array_equal(ids[user], [*left, *[-1] * missing])
            wanted = [*scores[user, left], *[-np.inf] * missing]
            np.testing.assert_array_equal(best[user], wanted)


def _check_vectors(model: Any, X: Any, features: Any, vectors: np.ndarray) -> None:
    """Compare users' vectors with sums of rows of the table."""
    own = X.toarray() if model.user == "history" else np.eye(*X.shape[:1]) * model.user_identity
    if features is None:
        width = len(model.user_embedding_) - own.shape[1]
        kept = model.user_features_
        features = np.zeros((len(own), width)) if kept is None else kept.toarray()[: len(own)]
    bags = np.hstack([own, features]).astype("f8")
    if np.abs(bags).max(initial=0) > 1e18:  # a norm of infinity makes weights of 0
        return
    size = {"mean": np.abs(bags).sum(1), "sqrtn": np.sqrt((bags**2).sum(1))}.get(model.mode)
    size = np.ones(len(bags)) if size is None else np.where(size == 0, 1, size)
    expected = bags @ model.user_embedding_.astype("f8") / size[:, np.newaxis]
    largest = np.abs(model.user_embedding_).max(initial=1)
    np.testing.assert_allclose(vectors, expected, 1e-4, 1e-4 * float(largest))


def _refuse(source: Source, model: Any) -> None:
    """Ask for what the model cannot give; it must stay as it is."""
    X = scipy.sparse.csr_array((1, model.n_features_in_), dtype=np.float32)
    state = _state(model)
    wrong = source.choice(IDS)
    questions = (
        lambda: model.similar_items(wrong, 2),
        lambda: model.recommend(X, items=wrong),
        lambda: model.recommend(X, n=source.choice((0, -1, 1.5, None, "3"))),
        lambda: model.recommend(X, exclude_seen=source.choice((1, None, "no"))),
        lambda: model.recommend(_spoiled(source, X)),
        lambda: model.predict(X, source.choice(([[0, 99]], [[-1, 0]], [0], [[0.5, 1]], "ab"))),
        lambda: model.transform(X, user_features=_spoiled(source, X)),
    )
    with suppress(TypeError, ValueError):
        source.choice(questions)()
    if _state(model) != state:
        raise oracle.FuzzError(f"a question with {wrong!r} changed the model")

"""Measure rankings of hostile ids and scores: the number of the definition, or one error."""

from typing import Any

import numpy as np
import scipy.sparse

from ebagx import metrics
from fuzz import oracle
from fuzz.calls import SPARSE_FORMS
from fuzz.source import Source
from support import ranking_definition

MEASURES = ("precision_at_k", "recall_at_k", "ndcg_at_k", "reciprocal_rank", "auc")
SCORES = np.array([0.0, -0.0, 1, 1, 2.5, -3, 1e-45, np.inf, -np.inf])
NO_NUMBERS = (None, "text", 5, np.nan, [[1j]], [["a"]], [], [[0.5, None]])


class Ranking:
    """Arguments of a measure, as reports describe them."""

    def __init__(self, measure: str, arguments: dict[str, Any]) -> None:
        self.operation, self.arguments = measure, arguments
        self.bags, self.form = "none", "ranking"


def run(source: Source) -> str:
    """Run one case of a measure."""
    measure = source.choice(MEASURES)
    test, train = interactions(source)
    ranked = scores(source, test.shape)
    if measure != "auc" and source.below(2):
        ranked = ids(source, test.shape)
    call = Ranking(measure, {"X_test": test, "X_train": train})
    call.arguments["scores" if measure == "auc" else "ranked"] = ranked
    if measure != "auc":
        most = ranked.shape[1] if ranked.dtype.kind == "i" else test.shape[1] + 3
        call.arguments["k"] = source.between(1, max(most, 1))
        if measure == "reciprocal_rank" and source.one_in(4):
            call.arguments["k"] = None
    expected = None if source.below(2) else defined(call, ranked)
    if expected is None:
        spoil(source, call)
    before = oracle.Snapshot(call.arguments)
    try:
        found = getattr(metrics, measure)(**call.arguments)
    except (TypeError, ValueError) as error:
        before.check(call, error)
        if expected is not None or len(str(error).splitlines()) != 1:
            raise oracle.FuzzError(f"{oracle.describe(call)}: {error!r}") from error
        return "ranking refused"
    before.check(call)
    if expected is not None:
        with oracle.judged(call):
            np.testing.assert_allclose(found, expected, rtol=1e-12)
    if not 0 <= found <= 1:
        raise oracle.FuzzError(f"{oracle.describe(call)}: {found}")
    return "ranking"


def interactions(source: Source) -> tuple[Any, Any]:
    """Return a test set and a training set, or None for it, without an entry in common."""
    shape = source.choice((4, 1, 30)), source.choice((6, 2, 1, 70))
    drawn = source.rng.random(shape)
    test, train = (part * source.rng.integers(1, 4, shape) for part in (drawn < 0.3, drawn > 0.7))
    kinds = (scipy.sparse.csr_array, scipy.sparse.csr_matrix)
    test, train = (source.choice(kinds)(part) for part in (test, train))
    forms = [form for form in SPARSE_FORMS if form != "bsr"]  # its blocks store zeros
    test, train = (part.asformat(source.choice(forms)) for part in (test, train))
    return test, None if source.one_in(3) else train


def scores(source: Source, shape: tuple[int, int]) -> np.ndarray:
    """Return scores of all items, with ties and infinities."""
    dtype = source.choice(("f8", "f4", "f2", ">f8"))
    drawn = SCORES[source.rng.integers(0, len(SCORES) - source.below(2), shape)]
    if source.below(2):
        drawn = source.rng.standard_normal(shape)
    return drawn.astype(dtype, order=source.choice("CF"))


def ids(source: Source, shape: tuple[int, int]) -> np.ndarray:
    """Return some items of each user, once each, and -1 in places without one."""
    length = source.between(1, shape[1])
    drawn = np.argsort(source.rng.random(shape), axis=1)[:, :length]
    drawn[source.rng.random(drawn.shape) < source.choice((0, 0.3))] = -1
    return drawn.astype(source.choice(("i8", "i4", "i2")))


def defined(call: Ranking, ranked: np.ndarray) -> float | None:
    """Return the measure by its definition; None if it has none."""
    test, train = call.arguments["X_test"], call.arguments["X_train"]
    rest = [call.arguments["k"]] if "k" in call.arguments else []
    try:
        value = getattr(ranking_definition, call.operation)(ranked, test, train, *rest)
    except ZeroDivisionError:
        return None
    return float(value)


def spoil(source: Source, call: Ranking) -> None:
    """Put something wrong, perhaps, in the place of an argument."""
    name = source.choice(sorted(call.arguments))
    value = call.arguments[name]
    if name == "k":
        call.arguments[name] = source.choice((0, -1, 2**70, 1.5, "3", True, None, 10**6))
    elif scipy.sparse.issparse(value):
        call.arguments[name] = spoiled_matrix(source, value)
    elif value is None or source.one_in(3):
        call.arguments[name] = source.choice(NO_NUMBERS)
    else:
        value = value.copy()
        if value.dtype.kind == "i" and value.size:
            far = (-2, -(2**15), 2**15 - 1, call.arguments["X_test"].shape[1], 0)
            value.flat[source.below(value.size)] = source.choice(far)
        elif value.size:
            value.flat[source.below(value.size)] = np.nan
        shapes = (value, value, value[:-1], value[:, :-1], value[..., np.newaxis], value.T)
        call.arguments[name] = source.choice((*shapes, value.astype(object), value.astype("c16")))


def spoiled_matrix(source: Source, matrix: Any) -> Any:
    """Return interactions with zeros, other signs or NaN, of another shape, or no matrix."""
    csr = scipy.sparse.csr_array(matrix)
    csr.data = csr.data.astype("f8")
    if csr.nnz:
        wrong = (0, -1, np.nan, np.inf, 5e-324)
        csr.data[source.below(csr.nnz)] = source.choice(wrong)
    wide = scipy.sparse.csr_array((csr.shape[0], csr.shape[1] + 1))
    beyond = csr.copy()
    if csr.nnz:
        beyond.indices[source.below(csr.nnz)] = source.choice((-1, 10**6, csr.shape[1]))
    doubled = scipy.sparse.coo_array((*csr.shape,))
    kinds = (csr, beyond, wide, csr[:0], doubled, csr.toarray(), csr.T, *NO_NUMBERS)
    return source.choice(kinds)

"""Run modules in all forms of a gradient through the same changes, against an exact model."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

import ebagx
from fuzz.source import Source
from support.kernel_cases import TABLE_DTYPES

FORMS = (False, True, "rows")
FACTORS = (0.5, -1.0, 3.0, np.float32(0.1), np.float64(0.7), 2)


class Sum:
    """The sum of gradients that a module must have: row by row, each addition rounded."""

    def __init__(self, dim: int, dtype: Any) -> None:
        self.dim, self.dtype = dim, dtype
        self.rows: dict[int, np.ndarray] = {}
        self.present = False
        self.is_array = False  # an array was assigned, and rows of zeros do not count

    def add(self, gradient: ebagx.RowGradient) -> None:
        """Add the gradient of one backward pass."""
        self.settle()
        for row, values in zip(gradient.rows.tolist(), gradient.values, strict=True):
            before = self.rows.get(row, np.zeros(self.dim, self.dtype))
            self.rows[row] = before + values.astype(self.dtype)
        self.present = True

    def settle(self) -> None:
        """Take over an array."""
        if self.is_array:
            self.rows = self.touched()
            self.is_array = False

    def touched(self) -> dict[int, np.ndarray]:
        """Return the rows that an optimizer gets."""
        if not self.is_array:
            return self.rows
        return {row: values for row, values in self.rows.items() if values.any()}

    def zero(self) -> None:
        """Set all numbers to 0 by hand."""
        was_zero = not any(values.any() for values in self.rows.values())
        # Gradients that were zeros before still have their rows.
        self.rows = {row: 0 * abs(values) for row, values in self.rows.items() if was_zero}

    def scale(self, factor: Any) -> None:
        """Multiply in place."""
        for values in self.rows.values():
            values *= factor

    def cast(self, dtype: Any) -> None:
        """Take over the dtype of another table."""
        if dtype != self.dtype:
            self.settle()
        self.dtype = dtype
        self.rows = {row: values.astype(dtype) for row, values in self.rows.items()}

    def assign(self, array: np.ndarray, is_array: bool) -> None:
        """Set all numbers by hand."""
        array = array.astype(self.dtype)
        self.rows = {row: array[row].copy() for row in range(len(array)) if array[row].any()}
        self.present, self.is_array = True, is_array


def run(source: Source) -> str:
    """Run one life of three modules, which differ in the form of their gradients at the start."""
    num_rows, dim = source.between(1, 9), source.choice((1, 2, 3, 17))
    dtype = np.dtype(source.choice(TABLE_DTYPES))
    mode = source.choice(("sum", "mean", "sqrtn", "max", "min"))
    table = source.rng.standard_normal((num_rows, dim)).astype(dtype)
    bags = [
        ebagx.EmbeddingBag(num_rows, dim, mode=mode, sparse=form, _weight=table.copy())
        for form in FORMS
    ]
    models = [Sum(dim, np.dtype(_sum_dtype(dtype))) for _ in FORMS]
    log: list[str] = []
    for _ in range(source.between(1, 12)):
        change = source.choice(CHANGES)
        log.append(change.__name__)
        change(source, bags, models)
        for bag, model in zip(bags, models, strict=True):
            if source.below(2):
                _check(bag, model, log)
    for bag, model in zip(bags, models, strict=True):
        _check(bag, model, log)
    return "sum of gradients"


def _sum_dtype(dtype: Any) -> str:
    return "f8" if dtype == np.float64 else "f4"


def _check(bag: Any, model: Sum, log: list[str]) -> None:
    """Raise AssertionError unless a module has the gradient of the model, bit by bit."""
    if not model.present:
        assert bag.grad is None, log
        return
    touched = model.touched()
    gradient = bag.row_gradient()
    assert gradient.rows.tolist() == sorted(touched), (log, bag.sparse, gradient.rows, touched)
    values = np.array([touched[row] for row in sorted(touched)]).reshape(-1, model.dim)
    assert gradient.values.dtype == model.dtype, log
    _same_bits(gradient.values, values.astype(model.dtype), (log, bag.sparse))
    grad = bag.grad
    dense = grad if bag.sparse is False else grad.toarray()
    assert dense.dtype == model.dtype, log
    if bag.sparse is True:
        np.testing.assert_array_equal(dense[sorted(touched)], values)  # SciPy adds them to +0
    else:
        _same_bits(dense[sorted(touched)], values, (log, bag.sparse))
    assert not np.delete(dense, sorted(touched), axis=0).any(), (log, bag.sparse)


def _same_bits(actual: np.ndarray, expected: np.ndarray, context: Any) -> None:
    np.testing.assert_array_equal(actual, expected, err_msg=str(context))
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(
        np.signbit(actual)[numbers], np.signbit(expected)[numbers], err_msg=str(context)
    )


def backward(source: Source, bags: list[Any], models: list[Sum]) -> None:
    """Go backward on the same batch."""
    num_rows, dim = bags[0].weight.shape
    rng, count = source.rng, source.between(0, 4)
    ids = rng.integers(0, num_rows, (count, source.between(0, 3)))
    grad = rng.choice(
        np.array(source.choice(((1.5, -0.1, 0.3, 7e-5), (0.0, -0.0), (0.0, 1.0, np.nan, np.inf)))),
        (count, dim),
    )
    for bag, model in zip(bags, models, strict=True):
        gradient = ebagx.embedding_bag_backward(
            grad, ids, bag.weight, mode=bag.mode, sparse="rows"
        ).weight
        bag(ids)
        bag.backward(grad)
        model.add(gradient)


def zero_grad(source: Source, bags: list[Any], models: list[Sum]) -> None:
    """Drop the gradients, in one of two ways."""
    none = source.below(2)
    for bag, model in zip(bags, models, strict=True):
        if none:
            bag.grad = None
        else:
            bag.zero_grad()
        model.rows, model.present, model.is_array = {}, False, False


def zero_by_hand(source: Source, bags: list[Any], models: list[Sum]) -> None:
    """Set the numbers of a gradient to 0, in one of many ways."""
    way = source.below(4)
    for bag, model in zip(bags, models, strict=True):
        if not model.present:
            continue
        array = bag.grad if bag.sparse is False else getattr(bag.grad, "values", None)
        array = bag.grad.data if array is None else array
        if way == 0:
            array.fill(0)
        elif way == 1:
            array[...] = 0
        elif way == 2 and bag.sparse is False:
            bag.grad[...] = 0
            bag.grad = bag.grad
        else:
            np.copyto(array, 0)
        model.zero()


def scale(source: Source, bags: list[Any], models: list[Sum]) -> None:
    """Multiply in place, or the values alone."""
    factor, way = source.choice(FACTORS), source.below(2)
    for bag, model in zip(bags, models, strict=True):
        if not model.present:
            continue
        if way and bag.sparse == "rows":
            bag.grad.values *= factor
        elif way and bag.sparse:
            bag.grad.data *= factor
        else:
            bag.grad *= factor
        model.scale(factor)


def switch(source: Source, bags: list[Any], models: list[Sum]) -> None:
    """Change the forms of the gradients."""
    shift = source.between(1, 2)
    for bag, model in zip(bags, models, strict=True):
        bag.sparse = FORMS[(FORMS.index(bag.sparse) + shift) % 3]
        model.settle()


def replace(source: Source, bags: list[Any], models: list[Sum]) -> None:
    """Go on with copies, and spoil what they came from."""
    way: Callable[[Any], Any] = source.choice(
        (copy.copy, copy.deepcopy, lambda bag: pickle.loads(pickle.dumps(bag)))
    )
    for i, bag in enumerate(bags):
        bags[i] = way(bag)
        if models[i].present:
            bag.grad *= 3
            bag([[0]])
            bag.backward(np.ones((1, models[i].dim)))
        bag.zero_grad()


def assign(source: Source, bags: list[Any], models: list[Sum]) -> None:
    """Assign a gradient of some form and dtype."""
    shape = bags[0].weight.shape
    given = source.rng.choice(np.array([0.0, 0.3, -2.5]), shape)
    given[source.below(shape[0])] = 0
    given = given.astype(source.choice(("f4", "f8", "f2")))
    form = source.choice(("array", "list", "rows", "bsr", "csr"))
    rows = np.flatnonzero(given.any(axis=1))
    sparse = ebagx.RowGradient(rows, given[rows].astype("f8"), shape)
    for bag, model in zip(bags, models, strict=True):
        bag.grad = {
            "array": given.copy(),
            "list": given.tolist(),
            "rows": sparse * 1,
            "bsr": (sparse * 1).tobsr(),
            "csr": sparse.tocsr(),
        }[form]
        model.assign(given, bag.sparse is False and form in ("array", "list"))


def keep_old(source: Source, bags: list[Any], models: list[Sum]) -> None:
    """Go backward, and write to the gradient that was read before."""
    old = [bag.grad for bag in bags]
    backward(source, bags, models)
    for bag, grad in zip(bags, old, strict=True):
        if grad is not None and bag.sparse:
            (grad.values if bag.sparse == "rows" else grad.data)[...] = 99


def other_weight(source: Source, bags: list[Any], models: list[Sum]) -> None:
    """Assign another table, perhaps of another dtype."""
    dtype = np.dtype(source.choice(TABLE_DTYPES))
    for bag, model in zip(bags, models, strict=True):
        bag.weight = bag.weight.astype(dtype)
        model.cast(np.dtype(_sum_dtype(dtype)))


CHANGES = (
    backward, backward, backward, zero_by_hand, scale, switch, replace, zero_grad, assign,
    keep_old, other_weight,
)  # fmt: skip

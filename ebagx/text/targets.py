"""Labels of texts as callers have them become positions of classes, or an indicator."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d

from ebagx._core.arguments import shown
from ebagx._training.bags import as_csr
from ebagx._training.labels import one_label_a_row, sound_indicator
from ebagx.sklearn.labels import positions_of
from ebagx.text.inputs import as_list

# The forms of labels: one a text, a list of labels for each text, or a matrix of 0 and 1.
ONE, LISTS, INDICATOR = "one label", "lists of labels", "an indicator"

_Classes = npt.NDArray[Any]


class Targets(NamedTuple):
    """Labels as training takes them: positions (n,) of one label each, or an indicator (n, K)."""

    classes: _Classes
    encoded: Any
    form: str

    def __repr__(self) -> str:
        return f"Targets({self.form}, {len(self.classes)} classes)"

    def ones(self) -> sparse.csr_array:
        """Return the matrix (n, K) of ones at the labels of each text."""
        if self.form == ONE:
            return one_label_a_row(self.encoded, len(self.classes))
        return sound_indicator(self.encoded)

    @property
    def num_texts(self) -> int:
        """Number of texts n."""
        return int(self.encoded.shape[0])


def encode(y: Any, known: _Classes | None, loss: str, *, is_open: bool = False) -> Targets:
    """Encode labels; where no classes are known yet, they are those that occur.

    With `is_open` labels that are not known are added to the classes.

    Raises
    ------
    TypeError, ValueError
        If `y` does not suit the loss, if it holds numbers that are no labels or classes that are
        not known, or if there are fewer than two classes.
    """
    form = form_of(y)
    if (form == ONE) != (loss == "softmax"):
        raise ValueError(
            "y must be lists of labels or an indicator with loss='ova'; [[label] for label in y] "
            "are lists of one label"
            if form == ONE
            else f"y must have one label a text with loss='softmax', got {form}; several labels a "
            "text need loss='ova'"
        )
    encoders = {ONE: _encode_one, LISTS: _encode_lists, INDICATOR: _encode_indicator}
    return encoders[form](y, known, is_open)


def form_of(y: Any) -> str:
    """Return the form of labels."""
    if sparse.issparse(y) or (getattr(y, "ndim", 1) == 2 and np.shape(y)[1] > 1):
        return INDICATOR
    if isinstance(y, list) and _is_indicator(y):
        return INDICATOR
    first = next(iter(y), None) if isinstance(y, Iterable) else None
    is_list = isinstance(first, list | tuple | set | frozenset | np.ndarray)
    return LISTS if is_list and getattr(y, "ndim", 1) == 1 else ONE


def known_classes(classes: Any) -> _Classes:
    """Return the classes that a caller gives for all calls to come, in order."""
    return _ordered(as_list(classes, "classes"))


def with_new_classes(known: _Classes, labels: Iterable[Any]) -> _Classes:
    """Return known classes and labels together, in order.

    Raises
    ------
    ValueError
        If a new label is of another type than the classes.
    """
    classes = known.tolist()
    new = set(map(_as_python, labels)).difference(classes)
    types = set(map(type, classes))
    for label in new:
        if type(label) not in types:
            raise ValueError(
                f"y must have labels of the same kind as classes_, got {shown(label)}, which is "
                f"no {classes[0].__class__.__name__}"
            )
    if not new:
        return known
    return np.unique(np.array([*classes, *new], object if known.dtype == object else None))


def label_lists(y: Any) -> list[list[Any]]:
    """Return lists of labels without those that occur before in the same list."""
    rows = as_list(y, "y")
    return [
        list(dict.fromkeys(row.tolist() if isinstance(row, np.ndarray) else map(_as_python, row)))
        for row in rows
    ]


def _as_python(label: Any) -> Any:
    """Return a label of NumPy as one of Python."""
    return label.item() if isinstance(label, np.generic) else label


def _is_indicator(rows: list[Any]) -> bool:
    """Return whether there are lists of 0 and 1 of one length, which is at least 2."""
    return (
        all(isinstance(row, list | tuple) for row in rows)
        and len({len(row) for row in rows}) == 1
        and len(rows[0]) > 1
        and all(type(entry) is int and 0 <= entry <= 1 for row in rows for entry in row)
    )


def _encode_one(y: Any, known: _Classes | None, is_open: bool) -> Targets:
    if hasattr(y, "to_pylist"):
        y = as_list(y, "y")
    try:
        kind = type_of_target(y, input_name="y")
    except TypeError as error:  # which names no argument
        raise ValueError(f"y must have labels of one type, and no None: {error}") from error
    if kind not in ("binary", "multiclass"):
        # scikit-learn's checks look for these first words.
        raise ValueError(
            f"Unknown label type: {kind}; y must be labels, for numbers there is "
            "make_pipeline(TextVectorizer(), EmbeddingBagRegressor()) of ebagx.sklearn"
        )
    labels = column_or_1d(y, warn=True)
    if known is None:
        known = _ordered(labels)
    elif is_open:
        known = with_new_classes(known, labels.tolist())
    return Targets(known, positions_of(labels, known).astype(np.int32), ONE)


def _encode_lists(y: Any, known: _Classes | None, is_open: bool) -> Targets:
    rows = label_lists(y)
    if known is None:
        known = _ordered({label for row in rows for label in row})
    elif is_open:
        known = with_new_classes(known, [label for row in rows for label in row])
    place = {label: i for i, label in enumerate(known.tolist())}
    for i, row in enumerate(rows):
        unknown = [label for label in row if label not in place]
        if unknown:
            raise ValueError(f"y[{i}] must hold only known classes, got {shown(unknown[0])}")
    columns = np.array([place[label] for row in rows for label in row], np.intp)
    offsets = np.cumsum([0, *map(len, rows)])
    ones, shape = np.ones(len(columns), np.int8), (len(rows), len(known))
    return Targets(known, sparse.csr_array((ones, columns, offsets), shape), LISTS)


def _encode_indicator(y: Any, known: _Classes | None, is_open: bool) -> Targets:
    y = as_csr(y, "y")
    kind = type_of_target(y, input_name="y")
    if kind != "multilabel-indicator":
        raise ValueError(f"Unknown label type: {kind}; a matrix y must be an indicator of 0 and 1")
    encoded = sparse.csr_array(y)
    if not np.isin(encoded.data, (0, 1)).all():
        raise ValueError("y must be an indicator of 0 and 1, got other numbers")
    if known is None or (is_open and _are_fewer_columns(known, encoded.shape[1])):
        known = np.arange(encoded.shape[1])
    elif len(known) != encoded.shape[1]:
        raise ValueError(f"y must have {len(known)} columns, got {encoded.shape[1]}")
    return Targets(known, encoded, INDICATOR)


def _are_fewer_columns(known: _Classes, n_columns: int) -> bool:
    return len(known) < n_columns and np.array_equal(known, np.arange(len(known)))


def _ordered(labels: Iterable[Any]) -> _Classes:
    """Return the distinct labels in order; there must be at least two."""
    try:
        classes = np.unique(labels if isinstance(labels, np.ndarray) else list(labels))
    except TypeError:
        raise ValueError("y must have labels of one kind, such as str") from None
    if len(classes) < 2:
        found = f": {classes[0]}" if len(classes) else ""
        raise ValueError(f"y must hold at least 2 classes, got {len(classes)} class{found}")
    return classes

"""Estimators of labels: their targets, class weights, scores and predictions."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d

from ebagx._core.arguments import shown
from ebagx._training.labels import LearnsLabels, one_label_a_row, sound_indicator
from ebagx._training.learning import Weights
from ebagx._training.network import Floats
from ebagx.sklearn.base import TrainedEstimator
from ebagx.sklearn.inputs import as_targets
from ebagx.sklearn.saved import Kind, Labels, Truth
from ebagx.sklearn.weights import class_weights, weights_of_label_sets

INDICATOR = "multilabel-indicator"
_WAYS_OUT = {
    "continuous": "; EmbeddingBagRegressor learns numbers",
    "continuous-multioutput": "; EmbeddingBagRegressor learns numbers",
    "multiclass-multioutput": "; MultiLabelBinarizer makes an indicator of lists of labels",
    "unknown": "; MultiLabelBinarizer makes an indicator of lists of labels",
}


class LabelEstimator(ClassifierMixin, LearnsLabels, TrainedEstimator):  # type: ignore[misc]
    """Classifiers: a softmax over the scores of classes, or a sigmoid of that of each label."""

    _saved: ClassVar[Mapping[str, Kind]] = {
        "classes_": Labels("C"),
        "multilabel_": Truth(),
        "_sparse_labels": Truth(),
    }

    class_weight: Any
    classes_: npt.NDArray[Any]

    def decision_function(self, X: Any) -> Floats:
        """Return the scores of the classes before softmax, or of the labels before sigmoid.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
            Or, for two classes, of shape (n_samples,): the second's score minus the first's.
        """
        scores = self._scores(X)
        is_binary = scores.shape[1] == 2 and not self.multilabel_
        return scores[:, 1] - scores[:, 0] if is_binary else scores

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class or label, in the order of `classes_`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
        """
        scores = self._scores(X)
        probabilities: Floats = expit(scores) if self.multilabel_ else softmax(scores, axis=1)
        return probabilities

    def predict(self, X: Any) -> Any:
        """Return the likeliest class of each row, or an indicator of the likely labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Counts or weights.

        Returns
        -------
        ndarray of shape (n_samples,) or {ndarray, CSR matrix} of shape (n_samples, n_labels)
            The indicator is 1 where the probability exceeds a half, and sparse if that of
            `fit` was.
        """
        scores = self._scores(X)
        if not self.multilabel_:
            return self.classes_[scores.argmax(axis=1)]
        indicator = (scores > 0).astype(np.int64)
        return sparse.csr_matrix(indicator) if self._sparse_labels else indicator

    def __sklearn_tags__(self) -> Any:
        """Return the tags: `y` may have several labels a row."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    _sparse_labels = False

    def _check_restored(self) -> None:
        super()._check_restored()
        is_binary = len(self.classes_) == 2 and not self.multilabel_
        if len(self.intercept_) not in {len(self.classes_), 1 if is_binary else 0}:
            raise ValueError(
                f"classes_ has {len(self.classes_)} classes, intercept_ {len(self.intercept_)}"
            )

    def _fit_labels(self, X: Any, y: Any, classes: npt.ArrayLike | None, weight: Any) -> Self:
        """Make one pass, after a look at what only a first call may lack."""
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight must be None or a dict for partial_fit, got "
                f"{shown(self.class_weight)}; compute_class_weight of scikit-learn finds balanced "
                "weights of all labels"
            )
        y = as_targets(y)
        if classes is None and not self._is_fitted() and type_of_target(y) != INDICATOR:
            raise ValueError(
                "classes must be given in the first call of partial_fit; np.unique of all labels "
                "makes them"
            )
        return self._fit_pass(X, y, weight, classes)

    def _encoded(
        self,
        y: Any,
        weights: Weights,
        going_on: bool,
        classes: npt.ArrayLike | None,
    ) -> tuple[sparse.csr_array, Weights]:
        kind = type_of_target(y, input_name="y")
        if kind == INDICATOR:
            labels_of_rows = self._encoded_labels(y, going_on)
            if self.class_weight is not None:
                of_rows = weights_of_label_sets(self.class_weight, labels_of_rows)
                weights = of_rows if weights is None else of_rows * weights
            return labels_of_rows, weights
        y = column_of_labels(y, kind)
        known, labels = self._known_classes(y, going_on, classes)
        if self.class_weight is not None:
            of_class = class_weights(self.class_weight, known, y)
            weights = of_class[labels] if weights is None else of_class[labels] * weights
        self.classes_, self.multilabel_, self._sparse_labels = known, False, False
        return one_label_a_row(labels, len(known)), weights

    def _known_classes(
        self, y: npt.NDArray[Any], going_on: bool, classes: npt.ArrayLike | None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
        """Return the sorted classes, and the position of each label of `y` among them."""
        if going_on:
            known = self.classes_
            if self.multilabel_:
                raise ValueError(f"y must be an indicator of {len(known)} labels as before")
            if classes is not None and not np.array_equal(np.unique(classes), known):
                raise ValueError(f"classes must be those of the first call, got {shown(classes)}")
            labels = positions_of(y, known)
        elif classes is not None:
            known = np.unique(classes)
            labels = positions_of(y, known)
        else:
            known, labels = np.unique(y, return_inverse=True)
        if len(known) < 2:
            raise ValueError(f"y must hold at least 2 classes, got 1 class: {known[0]}")
        return known, labels

    def _encoded_labels(self, y: Any, going_on: bool) -> sparse.csr_array:
        is_sparse = sparse.issparse(y)
        targets = sound_indicator(y)
        if going_on and not (self.multilabel_ and targets.shape[1] == len(self.classes_)):
            kind = "labels" if self.multilabel_ else "classes, not an indicator,"
            raise ValueError(f"y must have {len(self.classes_)} {kind} as before")
        self.classes_ = np.arange(targets.shape[1])
        self.multilabel_, self._sparse_labels = True, is_sparse
        return targets


def column_of_labels(y: Any, kind: str) -> npt.NDArray[Any]:
    """Return class labels as a 1-D array.

    `kind` is the result of scikit-learn's ``type_of_target``.

    Raises
    ------
    ValueError
        If they are of another kind than labels, or sparse.
    """
    if kind not in ("binary", "multiclass"):
        # scikit-learn's checks look for these first words.
        raise ValueError(
            f"Unknown label type: {kind}; y must be class labels or a multilabel indicator"
            f"{_WAYS_OUT.get(kind, '')}"
        )
    if sparse.issparse(y):
        raise ValueError(
            "y must be dense unless it is a multilabel indicator of 0 and 1; "
            "y.toarray().ravel() makes one column dense"
        )
    labels: npt.NDArray[Any] = column_or_1d(y, warn=True)
    return labels


def positions_of(y: npt.NDArray[Any], classes: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the position of each label of `y` among the sorted classes."""
    try:
        labels = np.searchsorted(classes, y)
    except TypeError:
        raise ValueError(f"y must have labels of the same kind as classes, got {y[0]}") from None
    found = classes.take(labels, mode="clip") == y
    if not np.all(found):
        unknown = y[int(np.argmin(found))]
        raise ValueError(f"y must hold only the classes given, got the class {unknown}")
    return labels

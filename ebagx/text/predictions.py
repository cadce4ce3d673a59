"""The methods of a text classifier that need no training: answers, similar words, saving."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_consistent_length

from ebagx._core.arguments import (
    FRACTION,
    check_integer,
    check_integer_or_none,
    check_number,
    shown,
)
from ebagx._core.quantized.formats import check_bits
from ebagx.io.model_folder import save_model
from ebagx.quantized import QuantizedTable
from ebagx.sklearn.parameters import check_parameters
from ebagx.text import inspection
from ebagx.text.inputs import checked_texts
from ebagx.text.lines import Lines
from ebagx.text.model import TextModel
from ebagx.text.small import quantised
from ebagx.text.targets import INDICATOR, LISTS, ONE, label_lists
from ebagx.text.tokenizers import Tokenizer

_Floats = npt.NDArray[np.float32]


class Predictions:
    """Answers of a model for texts, for an estimator with the parameter `num_threads`."""

    classes_: npt.NDArray[Any]
    multilabel_: bool
    num_threads: int | None
    _form: str
    _model: TextModel | None = None

    def predict(self, X: Any) -> Any:
        """Return the likeliest label of each text or, with several, those that are likely.

        Parameters
        ----------
        X : iterable of str
            Texts.

        Returns
        -------
        ndarray of shape (n_texts,), list of lists, or ndarray of shape (n_texts, n_classes)
            As `y` was in `fit`. With the loss "ova" the labels whose probability exceeds a half; a
            loaded model of this loss returns lists.
        """
        model, texts = self._fitted(), checked_texts(X, "X")
        if self._form == ONE:
            return self.classes_[model.places(texts)]
        blocks = model.score_blocks(texts)
        if self._form == INDICATOR:
            found = [(scores > 0).astype(np.int64) for scores in blocks]
            return np.concatenate([np.empty((0, len(self.classes_)), np.int64), *found])
        return [self.classes_[row].tolist() for scores in blocks for row in scores > 0]

    def decision_function(self, X: Any) -> _Floats:
        """Return the score of each class before softmax, or of each label before the sigmoid.

        Parameters
        ----------
        X : iterable of str
            Texts.

        Returns
        -------
        ndarray of shape (n_texts, n_classes), float32
            Or, for two classes, of shape (n_texts,): the second's score minus the first's.
        """
        scores = self._fitted().scores(checked_texts(X, "X"))
        is_binary = scores.shape[1] == 2 and not self.multilabel_
        return scores[:, 1] - scores[:, 0] if is_binary else scores

    def predict_proba(self, X: Any) -> _Floats:
        """Return the probability of each class or label, in the order of `classes_`.

        Parameters
        ----------
        X : iterable of str
            Texts.

        Returns
        -------
        ndarray of shape (n_texts, n_classes), float32
        """
        return self._fitted().probabilities(checked_texts(X, "X"))

    def predict_log_proba(self, X: Any) -> _Floats:
        """Return the logarithms of the probabilities, finite where these are rounded to 0.

        Parameters
        ----------
        X : iterable of str
            Texts.

        Returns
        -------
        ndarray of shape (n_texts, n_classes), float32
        """
        scores = self._fitted().scores(checked_texts(X, "X"))
        if self.multilabel_:
            return -np.logaddexp(np.float32(0), -scores)
        scores -= scores.max(axis=1, keepdims=True, initial=-np.inf)
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return scores

    def predict_top(
        self, X: Any, k: int = 3, threshold: float = 0.0
    ) -> list[list[tuple[Any, float]]]:
        """Return the likeliest labels of each text, best first.

        Parameters
        ----------
        X : iterable of str
            Texts.
        k : int, default=3
            Largest number of labels for a text.
        threshold : float, default=0.0
            Smallest probability of a label, from 0 to less than 1.

        Returns
        -------
        list of lists of tuples (label, probability)
        """
        k = check_integer(k, "k", 1)
        check_number(threshold, "threshold", FRACTION)
        order, probabilities = self._fitted().best(checked_texts(X, "X"), k)
        return [
            [pair for pair in zip(labels, row, strict=True) if pair[1] >= threshold]
            for labels, row in zip(
                self.classes_[order].tolist(), probabilities.tolist(), strict=True
            )
        ]

    def vectors(self, X: Any) -> _Floats:
        """Return the mean embedding of each text, zeros where nothing in it is known.

        Parameters
        ----------
        X : iterable of str
            Texts.

        Returns
        -------
        ndarray of shape (n_texts, dim), float32
        """
        return self._fitted().vectors(checked_texts(X, "X"))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the fraction of texts whose labels are all predicted, and no others.

        Parameters
        ----------
        X : iterable of str
            Texts.
        y : array-like or list of lists
            Labels as in `fit`.
        sample_weight : array-like of shape (n_texts,), optional
            Weights of the texts.

        Returns
        -------
        float
        """
        self._fitted()
        if self._form != LISTS:
            return float(super().score(X, y, sample_weight))  # type: ignore[misc]
        expected, found = label_lists(y), self.predict(X)
        check_consistent_length(found, expected, sample_weight)
        hits = [set(these) == set(those) for these, those in zip(found, expected, strict=True)]
        return float(np.average(hits, weights=sample_weight))

    def nearest(self, text: str, k: int = 10) -> list[tuple[str, float]]:
        """Return the words whose vectors are most similar to that of a word or text.

        Parameters
        ----------
        text : str
            A word or text.
        k : int, default=10
            Number of words; the text itself is left out.

        Returns
        -------
        list of tuples (word, cosine)
            Best first. Cost: the vectors of all words.

        Raises
        ------
        ValueError
            If nothing in the text is known.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be str, got {type(text).__name__}")
        return inspection.nearest(self._fitted(), text, check_integer(k, "k", 1))

    def keywords(self, label: Any, k: int = 20) -> list[tuple[str, float]]:
        """Return the words that speak most for a label.

        Parameters
        ----------
        label : object
            One of `classes_`.
        k : int, default=20
            Number of words.

        Returns
        -------
        list of tuples (word, score)
            Best first: a word's score for the label; with softmax minus the mean over all labels.
            Cost: the vectors of all words.

        Raises
        ------
        ValueError
            If the label is not one of `classes_`.
        """
        model, places = self._fitted(), np.flatnonzero(self.classes_ == label)
        if len(places) != 1:
            raise ValueError(f"label must be one of classes_, got {shown(label)}")
        return inspection.keywords(model, int(places[0]), check_integer(k, "k", 1))

    def quantize(self, bits: int = 4, cutoff: int | None = None, texts: Any = None) -> Self:
        """Return a smaller model of the same labels, which predicts and is not trained.

        The embeddings are held in 8, 4 or 2 bits a value, as `ebagx.quantize` makes them, and read
        so: nothing makes floats of them. With `cutoff`, only the most important features are kept.
        Saved, words are compressed, and the weights of the linear layer are float16. Methods take
        and return the same as before, apart from `partial_fit`, and `fit` with ``warm_start=True``,
        which are errors.

        Parameters
        ----------
        bits : {8, 4, 2}, default=4
            Bits of a value. A row has a scale and a bias, too.
        cutoff : int, optional
            Number of features to keep, words and n-grams together. None: all.
        texts : iterable of str, optional
            Texts, such as those of the training, in which features are counted to find the most
            important: a long embedding that many texts use. Without them it is estimated how many
            do. Only with `cutoff`.

        Returns
        -------
        TextClassifier
            A new one; its `embedding_` is a `QuantizedTable`. This one stays as it is.

        Raises
        ------
        TypeError, ValueError
            If a parameter is wrong, if the model is quantised already, or if a weight of the linear
            layer is over 65,504.

        Notes
        -----
        4 bits cost up to a thousandth of accuracy, and a model of words and 32 dimensions takes an
        eighth of the space. A former ebagx says that it cannot read the folder.

        Examples
        --------
        >>> from ebagx.datasets import load_wordnet10
        >>> from ebagx.text import TextClassifier
        >>> texts, labels = load_wordnet10()
        >>> model = TextClassifier(random_state=0).fit(texts[:8000], labels[:8000])
        >>> small = model.quantize(bits=4, cutoff=20_000, texts=texts[:8000])
        >>> model.embedding_.nbytes // 1000, small.embedding_.nbytes // 1000
        (8132, 400)
        >>> small.score(texts[8000:], labels[8000:]) > 0.8
        True
        """
        model = self._fitted()
        bits = check_bits(bits)
        cutoff = check_integer_or_none(cutoff, "cutoff", 1)
        if texts is not None and cutoff is None:
            raise ValueError("texts needs cutoff: without it, all features are kept")
        lines = None if texts is None else _lines_to_count(texts, model.features.tokenizer)
        small = copy.copy(self)
        small._model = quantised(self._to_save(model), bits, cutoff, lines)
        return small

    def save(self, path: str | Path) -> None:
        """Write the model as a folder, which `load_model` and the command line read.

        The folder holds no code. A complete new model replaces one that is there in one step; other
        processes may load it meanwhile. It keeps what `predict` and `partial_fit` need: weights,
        features, learning rate, epochs, batch size, `min_count`, an integer `random_state`, and of
        the state of the optimizer one number for each embedding. Pickles keep all parameters, and
        after `partial_fit` the whole state. A `tokenizer` that is a function is not kept: give it
        to `load_model` again.

        Parameters
        ----------
        path : str or Path
            The folder.

        Raises
        ------
        OSError
            If the system refuses to write; an old model stays.
        ValueError
            If the folder is neither new, nor empty, nor a model, or if a label is neither an
            integer nor a string that can be printed on a line.
        """
        model = self._fitted()
        model.check_labels()
        save_model(self._to_save(model), Path(path))

    @property
    def n_features_(self) -> int:
        """Number of features that have an embedding."""
        return self._of_model("n_features_").features.n_columns

    @property
    def embedding_(self) -> _Floats | QuantizedTable:
        """The embeddings."""
        return self._of_model("embedding_").embedding

    @property
    def coef_(self) -> _Floats:
        """The weights of the linear layer."""
        return self._of_model("coef_").coef

    @property
    def intercept_(self) -> _Floats:
        """The biases of the linear layer."""
        return self._of_model("intercept_").intercept

    def _to_save(self, model: TextModel) -> TextModel:
        """Return the model with all that its file has."""
        return model

    def _of_model(self, name: str) -> TextModel:
        if self._model is None:
            raise AttributeError(f"{name} is there after fit")
        return self._model

    def _fitted(self) -> TextModel:
        model = self._model
        if model is None:
            raise NotFittedError(
                f"this {type(self).__name__} is not fitted yet: call fit, or load_model of "
                "ebagx.text"
            )
        if self.num_threads != model.num_threads:
            check_parameters(self, "num_threads")
            model = replace(model, num_threads=self.num_threads)
        return model


def _lines_to_count(texts: Any, tokenizer: Tokenizer) -> Lines:
    """Return texts as the lines in which features are counted."""
    lines = Lines.of(checked_texts(texts, "texts"), tokenizer=tokenizer)
    if not lines.num_lines:
        raise ValueError("texts must hold at least 1 text, got 0 texts")
    return lines

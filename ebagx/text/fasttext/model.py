"""`FastTextModel` gives the answers of a model that fastText has trained."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.arguments import FRACTION, check_integer, check_number
from ebagx._core.table import Table
from ebagx.quantized import QuantizedTable, quantize
from ebagx.text.corpus import PREFIX
from ebagx.text.fasttext.features import FastTextFeatures
from ebagx.text.fasttext.labels import ADDED, Labels
from ebagx.text.fasttext.matrix import Matrix
from ebagx.text.inputs import as_list, checked_texts
from ebagx.text.ranking import likeliest, line_blocks

LOSSES = ("hs", "ns", "softmax", "ova")
_LEFT_OUT = -1.0  # the probability of a label that fastText does not print

_Floats = npt.NDArray[np.float32]
_Intp = npt.NDArray[np.intp]


@dataclass(frozen=True, repr=False)
class FastTextModel:
    """A supervised model of fastText, which answers as fastText does.

    `load_model` returns it for a ``.bin`` or ``.ftz`` file, or a folder that `save` has made of
    one. Labels and probabilities are those of
    ``fasttext predict-prob``. A text is a line: words between blanks, in their case, and the word
    ``</s>`` that ends lines.

    Attributes
    ----------
    labels : list of str
        The labels in the order of the file, without ``__label__``.
    loss : {"softmax", "ova", "ns", "hs"}
        The loss with which the model was trained.
    table : Matrix or QuantizedTable
        The rows of words and buckets.
    num_threads : int or None
        Largest number of threads.

    See Also
    --------
    load_model : Read a model of fastText, or one of ebagx.
    load_vectors : Read the vectors of words.

    Notes
    -----
    fastText adds 1e-5 to each probability, and so does this class: probabilities may be above 1.
    ``</s>`` is added to every text, as by fastText's Python module; ``fasttext`` itself does not
    add it to a last line without an end.

    The model is only read: any number of threads may use it at the same time.

    Examples
    --------
    >>> from ebagx.text import load_model
    >>> model = load_model("lid.176.ftz")  # doctest: +SKIP
    >>> model.predict(["bonjour tout le monde"])  # doctest: +SKIP
    array(['fr'], dtype='<U3')
    """

    features: FastTextFeatures
    labels: list[str]
    loss: str
    table: Matrix | QuantizedTable
    output: Labels
    num_threads: int | None = None

    def __post_init__(self) -> None:
        table = self.table
        if isinstance(table, QuantizedTable):
            count = len(table)
        else:
            count = len(table.codes if table.is_quantised else table.dense)
        if count != self.features.num_rows:
            raise ValueError(
                f"table must have {self.features.num_rows} rows for the features, got {count}"
            )

    def __repr__(self) -> str:
        return (
            f"<FastTextModel: {len(self.labels)} labels, {self.features.n_words} words, "
            f"dim={self.dim}, loss={self.loss!r}>"
        )

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """The labels as an array."""
        return np.array(self.labels)

    @property
    def dim(self) -> int:
        """The dimension of the vectors."""
        return self.table.shape[1] if isinstance(self.table, QuantizedTable) else self.table.dim

    @property
    def bits(self) -> int | None:
        """The bits of a value, if `quantize` has made the model."""
        return self.table.bits if isinstance(self.table, QuantizedTable) else None

    @property
    def label_prefix(self) -> str:
        """The beginning of words that are labels."""
        return PREFIX

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the likeliest label of each text.

        Parameters
        ----------
        X : iterable of str
            Texts.

        Returns
        -------
        ndarray of str, shape (n_texts,)
            An empty string where fastText has no answer: where nothing in a text, not even its
            end, is known.
        """
        names = np.array([*self.labels, ""])
        places = [np.empty(0, np.intp)]
        for order, probabilities in self.best_blocks(checked_texts(X, "X"), 1):
            places.append(np.where(probabilities[:, 0] < 0, -1, order[:, 0]))
        return names[np.concatenate(places)]

    def predict_proba(self, X: Any) -> _Floats:
        """Return the probability of each label, in the order of `labels`.

        Parameters
        ----------
        X : iterable of str
            Texts.

        Returns
        -------
        ndarray of shape (n_texts, n_labels), float32
            Zero for labels that fastText leaves out.
        """
        texts = checked_texts(X, "X")
        blocks = [np.empty((0, len(self.labels)), np.float32), *self.probability_blocks(texts)]
        return np.concatenate(blocks)

    def predict_top(
        self, X: Any, k: int = 3, threshold: float = 0.0
    ) -> list[list[tuple[str, float]]]:
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
            Of equally likely labels, the first one in the file comes first.
        """
        k = check_integer(k, "k", 1)
        least = check_number(threshold, "threshold", FRACTION) + ADDED if threshold else 0.0
        return [
            [(self.labels[i], p) for i, p in zip(places, values, strict=True) if p >= least]
            for block in self.best_blocks(checked_texts(X, "X"), k)
            for places, values in zip(*(array.tolist() for array in block), strict=True)
        ]

    def vectors(self, X: Any) -> _Floats:
        """Return the vector of each text: fastText's ``print-sentence-vectors``.

        Parameters
        ----------
        X : iterable of str
            Texts.

        Returns
        -------
        ndarray of shape (n_texts, dim), float32
            The mean of the rows of all features; zeros where a text has none.
        """
        return self._pooled(checked_texts(X, "X"))[0]

    def score(self, X: Any, y: Any) -> float:
        """Return the fraction of texts whose likeliest label is the given one.

        Parameters
        ----------
        X : iterable of str
            Texts.
        y : iterable of str
            A label for each text.

        Returns
        -------
        float
        """
        expected, found = as_list(y, "y"), self.predict(X).tolist()
        if len(expected) != len(found):
            raise ValueError(
                f"X and y must have one length, got {len(found)} texts and {len(expected)} labels"
            )
        hits = [this == that for this, that in zip(found, expected, strict=True)]
        return float(np.mean(hits))

    def quantize(self, bits: int = 4) -> "FastTextModel":
        """Return a model whose table has few bits a value, as `ebagx.quantize` makes them.

        Parameters
        ----------
        bits : {8, 4, 2}, default=4
            Bits of a value. A row has a scale and a bias, too.

        Returns
        -------
        FastTextModel
            A new one, whose `table` is a `QuantizedTable`. It predicts nearly the same.

        Raises
        ------
        ValueError
            If `quantize` has made this model already, or a number in the table is not finite.
        """
        if isinstance(self.table, QuantizedTable):
            raise ValueError(f"the model is quantised to {self.table.bits} bits already")
        return _quantised(in_order(self), bits)

    def save(self, path: str | Path) -> None:
        """Write the model as a folder, which `load_model` maps, and the command line reads.

        The folder has checksums and holds no code. The codes of a ``.ftz`` file become float32;
        `quantize` makes them small again.

        Parameters
        ----------
        path : str or Path
            The folder. A complete new model replaces one that is there in one step.

        Raises
        ------
        OSError
            If the system refuses to write; an old model stays.
        ValueError
            If the folder is neither new, nor empty, nor a model, or if a number is not finite.
        """
        from ebagx.io.model_folder import save_model

        save_model(self, Path(path))

    def best_blocks(self, texts: Sequence[str], k: int) -> Iterator[tuple[_Intp, _Floats]]:
        """Yield the positions of the `k` likeliest labels, best first, and their probabilities.

        They come for one block of texts after the other, (b, K) each; -1 for `k` is all labels.
        The probability is -1 where fastText has no label.
        """
        for probabilities in self._blocks(texts, k):
            order, values = likeliest(probabilities, k)
            values[values == 0] = _LEFT_OUT
            yield order, values

    def probability_blocks(self, texts: Sequence[str]) -> Iterator[_Floats]:
        """Yield the probability of each label for one block of texts after the other."""
        return self._blocks(texts, -1)

    def _blocks(self, texts: Sequence[str], k: int) -> Iterator[_Floats]:
        pooled, counts = self._pooled(texts)
        first = 0
        for block in line_blocks(pooled, len(self.labels)):
            probabilities = self.output.probabilities(block, k, self.num_threads)
            probabilities[counts[first : first + len(block)] == 0] = 0
            first += len(block)
            yield probabilities

    def _pooled(self, texts: Sequence[str]) -> tuple[_Floats, _Intp]:
        if isinstance(self.table, QuantizedTable):
            return self.features.pool_codes(texts, Table.of(self.table), self.num_threads)
        return self.features.pool(texts, self.table, self.num_threads)


def in_order(model: FastTextModel) -> FastTextModel:
    """Return the model with tables of float32, and rows of buckets in ascending order.

    Tables that are so already are not copied, nor is one that `quantize` has made.
    """
    features, table, output = model.features, model.table, model.output
    if isinstance(table, QuantizedTable):
        return model  # of a model that was in order
    order: Any = slice(None)
    if len(features.places):
        order = np.concatenate([np.arange(features.n_words), features.n_words + features.places])
        features = replace(features, places=np.arange(len(features.places), dtype=np.int32))
    matrix = _as_dense(output.matrix, slice(None))
    return replace(
        model,
        features=features,
        table=_as_dense(table, order),
        output=replace(output, matrix=matrix),  # type: ignore[type-var]
    )


def _as_dense(matrix: Matrix, order: Any) -> Matrix:
    rows = matrix.rows(order)
    return Matrix(len(rows), matrix.dim, rows)


def _quantised(model: FastTextModel, bits: int) -> FastTextModel:
    assert isinstance(model.table, Matrix)
    return replace(model, table=quantize(model.table.dense, bits))

"""The transformer of texts to the vectors that pretrained word vectors give them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ebagx._core.arguments import shown
from ebagx._core.modes import MODES
from ebagx.sklearn.parameters import NUM_THREADS, Constraints, OneOf, check_parameters
from ebagx.text.inputs import checked_texts
from ebagx.text.vectors.loading import load_vectors
from ebagx.text.vectors.word_vectors import WordVectors

__all__ = ["TextEmbedder"]


class TextEmbedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn texts into dense vectors, by pretrained word vectors or static sentence embeddings.

    Parameters
    ----------
    vectors : WordVectors, str or Path
        The vectors, or a file or folder that `ebagx.text.load_vectors` reads in `fit`. Clones share
        them, and so do the processes of joblib if they are in a memory map: save them once with
        `WordVectors.save`, and give the path or what `load_vectors` returns for it.
    mode : {"mean", "sum", "sqrtn", "max", "min"}, default="mean"
        Rule by which the vectors of a text's words are pooled. "mean" is the rule of the format.
    normalize : {"l2"} or None, default=None
        Scale each vector to Euclidean length 1; None leaves that to the format.
    num_threads : int or None, default=None
        Largest number of threads; with None, ebagx chooses it. The result has the same bits for
        every number.

    Attributes
    ----------
    vectors_ : WordVectors
        The vectors in use.

    See Also
    --------
    ebagx.text.WordVectors.embed : The same as a function; it has the rule of each format.
    TextVectorizer : Counts of words and n-grams, for estimators that learn their own vectors.

    Examples
    --------
    >>> from ebagx.sklearn import TextEmbedder
    >>> from ebagx.text import WordVectors
    >>> vectors = WordVectors.of(["bread", "butter", "cat"], [[1, 0], [0, 2], [-1, 0]])
    >>> TextEmbedder(vectors).fit_transform(["bread butter", "a cat", "no word known"])
    array([[ 0.5,  0.5],
           [-1. ,  0. ],
           [ 0. ,  0. ]], dtype=float32)
    """

    # `fit` checks `vectors` when it uses them.
    _constraints: ClassVar[Constraints] = {
        "mode": OneOf(tuple(MODES)),
        "normalize": OneOf((None, "l2")),
        "num_threads": NUM_THREADS,
    }

    vectors_: WordVectors

    def __init__(
        self,
        vectors: WordVectors | str | Path,
        mode: str = "mean",
        normalize: str | None = None,
        *,
        num_threads: int | None = None,
    ) -> None:
        self.vectors = vectors
        self.mode = mode
        self.normalize = normalize
        self.num_threads = num_threads

    def fit(self, raw_documents: Iterable[str], y: object = None) -> Self:  # noqa: ARG002
        """Take the vectors, or read them; nothing is learned.

        Parameters
        ----------
        raw_documents : iterable of str
            Texts, which are only checked.
        y : ignored

        Returns
        -------
        self : TextEmbedder

        Raises
        ------
        OSError, ValueError
            If the vectors cannot be read, or a parameter has a value outside its range.
        TypeError
            If `vectors` are neither vectors nor a path, or a text is not a `str`.
        """
        check_parameters(self)
        checked_texts(raw_documents, "raw_documents")
        self.vectors_ = self._given_vectors()
        return self

    def transform(self, raw_documents: Iterable[str]) -> npt.NDArray[np.float32]:
        """Return the vector of each text.

        Parameters
        ----------
        raw_documents : iterable of str
            Texts.

        Returns
        -------
        ndarray of shape (n_texts, n_components), float32
            Or the container that `set_output` asked for.

        Raises
        ------
        TypeError, ValueError
            If the texts are no collection of `str`, or a text has a surrogate.
        """
        check_is_fitted(self)
        check_parameters(self)
        texts = checked_texts(raw_documents, "raw_documents")
        return self.vectors_.embed(
            texts, mode=self.mode, normalize=self.normalize, num_threads=self.num_threads
        )

    @property
    def _n_features_out(self) -> int:
        return self.vectors_.dim

    def __sklearn_tags__(self) -> Any:
        """Return the tags: the input is text."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    def _given_vectors(self) -> WordVectors:
        if isinstance(self.vectors, WordVectors):
            return self.vectors
        if isinstance(self.vectors, str | Path):
            return load_vectors(self.vectors)
        raise TypeError(f"vectors must be WordVectors or a path, got {shown(self.vectors)}")

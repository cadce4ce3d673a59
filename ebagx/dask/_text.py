"""Texts in collections of Dask become matrices of counts, partition by partition."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, Self

import dask.array as da
import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from dask import delayed
from ebagx._core.arguments import is_dask_collection
from ebagx.dask._vocabulary import Vocabulary
from ebagx.sklearn.parameters import Constraints, Integer, NoneOr
from ebagx.sklearn.vectorizer import TextVectorizer
from ebagx.text.inputs import checked_texts
from ebagx.text.ngrams import Ngrams
from ebagx.text.tokenizers import Tokenizer

_NAME = "raw_documents"
_MERGED_AT_ONCE = 8  # a worker holds so many vocabularies when it merges them


class DaskTextVectorizer(TextVectorizer, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Count words, runs of words and character n-grams of texts in a collection of Dask.

    It gives the columns and the counts, to the bit, that `ebagx.sklearn.TextVectorizer` gives for
    all texts together, in the order of the partitions. A collection is a bag of `str`, a column
    (Series) of a dataframe, or a 1-D array. Methods also take local texts, and do then what those
    of `TextVectorizer` do.

    Parameters
    ----------
    word_ngrams : int, default=1
        Longest run of words, up to 8; 1 is single words.
    char_ngrams : tuple of two int, optional
        Lengths of the shortest and the longest n-gram of characters of ``<word>``, up to 32.
    min_count : int, default=1
        Smallest number of times that a word with a column of its own occurs in all texts together.
    max_features : int, optional
        Largest number of words with a column of their own: the most frequent ones have them, and
        of equally frequent words those that occur first. N-grams do not count.
    n_buckets : int, default=2_000_000
        Number of different hashes of n-grams, at most 2**28.
    lowercase : bool, default=True
        Convert texts with `str.lower` first.
    tokenizer : {"words", "whitespace", "fasttext"}, default="words"
        The rule that cuts texts into words, as for `TextVectorizer`.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        Column of each word; the most frequent word has column 0.
    buckets_ : ndarray of int32
        Bucket of each column after the words, ascending.

    See Also
    --------
    vectorize : Applies a vectorizer that needs no vocabulary, such as scikit-learn's
        `HashingVectorizer`.
    ebagx.sklearn.TextVectorizer : The same for texts in memory; it describes the features.

    Notes
    -----
    `fit` reads all partitions once, on the present scheduler of Dask: the newest `Client`, or
    threads. A task counts the words of one partition, and a tree of tasks merges eight results at a
    time. `transform` computes nothing: it returns an array that reads the texts again when it is
    computed.

    Cost: a worker holds the texts of one partition for each of its threads, and its share of
    vocabularies: about 40 bytes and the letters for each different word, and one bit for each
    bucket. The vocabulary with a column comes to the process that calls `fit`, and a copy of it
    goes to each worker that counts.

    Examples
    --------
    >>> import dask.bag
    >>> from ebagx.dask import DaskTextVectorizer
    >>> texts = dask.bag.from_sequence(["A small cat.", "a small, small dog"], npartitions=2)
    >>> counts = DaskTextVectorizer().fit_transform(texts)
    >>> counts.numblocks
    (2, 1)
    >>> counts.compute(scheduler="sync").toarray()
    array([[1., 1., 1., 0.],
           [2., 1., 0., 1.]], dtype=float32)
    """

    _constraints: ClassVar[Constraints] = {
        **TextVectorizer._constraints,
        "max_features": NoneOr(Integer(1)),
    }

    def __init__(
        self,
        *,
        word_ngrams: int = 1,
        char_ngrams: tuple[int, int] | None = None,
        min_count: int = 1,
        max_features: int | None = None,
        n_buckets: int = 2_000_000,
        lowercase: bool = True,
        tokenizer: str = "words",
    ) -> None:
        super().__init__(
            word_ngrams=word_ngrams,
            char_ngrams=char_ngrams,
            min_count=min_count,
            n_buckets=n_buckets,
            lowercase=lowercase,
            tokenizer=tokenizer,
        )
        self.max_features = max_features

    def fit(self, raw_documents: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Give columns to the words and n-grams of texts; all texts are read now.

        Parameters
        ----------
        raw_documents : dask Bag, Series or 1-D Array of str, or iterable of str
            Texts.
        y : ignored

        Returns
        -------
        self : DaskTextVectorizer

        Raises
        ------
        ValueError
            If there is no feature at all, if a text has a surrogate, if a parameter is outside its
            range, or if the collection has several columns.
        TypeError
            If a text is not a `str`; a note on the error names the partition.
        """
        rules = self._rules()
        vocabulary = _vocabulary_of(raw_documents, *rules)
        self._take_over(vocabulary.features(*rules, self.min_count, self.max_features))
        return self

    def fit_transform(self, raw_documents: Any, y: Any = None) -> Any:
        """Give columns to the words and n-grams of texts, and count them as `transform` does.

        Parameters
        ----------
        raw_documents : dask Bag, Series or 1-D Array of str, or iterable of str
            Texts.
        y : ignored

        Returns
        -------
        dask Array or csr_array of shape (n_texts, n_columns), float32
            Counts.
        """
        return self.fit(raw_documents, y).transform(raw_documents)

    def transform(self, raw_documents: Any) -> Any:
        """Count the words and n-grams that occurred in `fit`.

        Parameters
        ----------
        raw_documents : dask Bag, Series or 1-D Array of str, or iterable of str
            Texts.

        Returns
        -------
        dask Array or csr_array of shape (n_texts, n_columns), float32
            Counts. The chunks of an array are of type csr_array, one for each partition, and are
            not computed yet. Their lengths are unknown (nan) but for texts in an array.
        """
        check_is_fitted(self)
        if not is_dask_collection(raw_documents):
            return super().transform(raw_documents)
        # One thread, as Dask runs a task on each core.
        return _matrix(raw_documents, partial(self._features.count, num_threads=1))

    def to_local(self) -> TextVectorizer:
        """Return a fitted `TextVectorizer` with the same columns, which takes local texts."""
        check_is_fitted(self)
        parameters = self.get_params()
        del parameters["max_features"]
        local = TextVectorizer(**parameters)
        local._take_over(self._features)
        return local


def vectorize(raw_documents: Any, vectorizer: Any) -> Any:
    """Apply the `transform` of a local vectorizer to each partition of texts.

    Parameters
    ----------
    raw_documents : dask Bag, Series or 1-D Array of str
        Texts.
    vectorizer : estimator
        A vectorizer that is fitted, or that needs no fit: `HashingVectorizer` of scikit-learn, or a
        pipeline of it. Its `transform` returns a sparse matrix for a list of texts.

    Returns
    -------
    dask Array of shape (n_texts, n_columns)
        The matrix, with a sparse chunk for each partition; nothing has been computed yet.

    Raises
    ------
    TypeError
        If the texts are not in a collection of Dask.
    ValueError
        If the collection has several columns.

    See Also
    --------
    DaskTextVectorizer : Gives each word a column of its own, for which it reads the texts twice.

    Examples
    --------
    >>> import dask.bag
    >>> from sklearn.feature_extraction.text import HashingVectorizer
    >>> from ebagx.dask import vectorize
    >>> texts = dask.bag.from_sequence(["A small cat.", "a small, small dog"], npartitions=2)
    >>> hashing = HashingVectorizer(n_features=2**18, alternate_sign=False, norm=None)
    >>> vectorize(texts, hashing)[:, :4].shape
    (nan, 4)
    """
    if not is_dask_collection(raw_documents):
        raise TypeError(
            f"{_NAME} must be a Bag, Series or Array of Dask, got {type(raw_documents).__name__}; "
            f"vectorizer.transform takes local texts"
        )
    return _matrix(raw_documents, vectorizer.transform)


def _vocabulary_of(texts: Any, ngrams: Ngrams, tokenizer: Tokenizer) -> Vocabulary:
    """Return the vocabulary of local texts, or of a collection, which is computed."""
    if not is_dask_collection(texts):
        return Vocabulary.of(checked_texts(texts, _NAME), ngrams, tokenizer)
    learn, merge = delayed(_learned), delayed(Vocabulary.merged)
    found = [learn(part, i, ngrams, tokenizer) for i, part in enumerate(_partitions(texts))]
    while len(found) > 1:
        firsts = range(0, len(found), _MERGED_AT_ONCE)
        found = [merge(found[first : first + _MERGED_AT_ONCE]) for first in firsts]
    vocabulary: Vocabulary = found[0].compute()
    return vocabulary


def _matrix(texts: Any, count: Callable[[list[str]], Any]) -> Any:
    """Return an array of Dask with the rows that `count` makes of each partition."""
    parts = _partitions(texts)
    empty = sparse.csr_array(count([""]))[:0]
    lengths = texts.chunks[0] if hasattr(texts, "chunks") else [np.nan] * len(parts)
    rows, shared = delayed(_counted), delayed(count, traverse=False)
    chunks = [
        da.from_delayed(rows(part, i, shared, empty), (length, empty.shape[1]), meta=empty)
        for i, (part, length) in enumerate(zip(parts, lengths, strict=True))
    ]
    return da.concatenate(chunks, allow_unknown_chunksizes=True)


def _partitions(texts: Any) -> list[Any]:
    """Return the partitions of a collection of texts as delayed objects.

    Raises
    ------
    TypeError
        If a collection has no partitions.
    ValueError
        If it has several columns.
    """
    kind = type(texts).__name__
    if not hasattr(type(texts), "to_delayed"):
        raise TypeError(f"{_NAME} must be a Bag, Series or Array of Dask, got {kind}")
    if getattr(texts, "ndim", 1) != 1:
        raise ValueError(f"{_NAME} must be one column of texts, got a {kind} with two dimensions")
    parts = texts.to_delayed()
    return list(parts.ravel() if isinstance(parts, np.ndarray) else parts)


def _learned(texts: Any, number: int, ngrams: Ngrams, tokenizer: Tokenizer) -> Vocabulary:
    """Return the vocabulary of a partition."""
    with _naming(number):
        return Vocabulary.of(checked_texts(texts, _NAME), ngrams, tokenizer)


def _counted(texts: Any, number: int, count: Callable[[list[str]], Any], empty: Any) -> Any:
    """Return the rows of a partition; scikit-learn's vectorizers take no empty list."""
    with _naming(number):
        given = list(checked_texts(texts, _NAME))
        return sparse.csr_array(count(given)) if given else empty


@contextmanager
def _naming(number: int) -> Iterator[None]:
    """Note on an error the partition in which it occurred."""
    try:
        yield
    except (TypeError, ValueError) as error:
        error.add_note(f"This happened in partition {number} of the texts.")
        raise

"""The vectorizer, which makes bags of words and n-grams of texts."""

from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ebagx.sklearn.parameters import (
    COUNT,
    Constraints,
    Flag,
    Integer,
    IntegerPair,
    NoneOr,
    OneOf,
    check_parameters,
)
from ebagx.text.features import Features, LineBags
from ebagx.text.inputs import checked_texts
from ebagx.text.lines import Lines
from ebagx.text.ngrams import MAX_BUCKETS, MAX_CHAR_NGRAM, MAX_WORD_NGRAM, Ngrams
from ebagx.text.tokenizers import NAMES, Tokenizer

__all__ = ["TextVectorizer"]


class TextVectorizer(  # type: ignore[call-arg]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
    auto_wrap_output_keys=None,  # as for CountVectorizer, there is no output but sparse matrices
):
    """Count words, runs of words and character n-grams: fastText's features of a text.

    Words end at the word boundaries of Unicode, and have columns of their own, in order of
    frequency. N-grams are hashed into buckets, and the buckets that occur in `fit` have the columns
    after the words. `transform` leaves out words and n-grams that did not occur in `fit`.

    Parameters
    ----------
    word_ngrams : int, default=1
        Longest run of words, up to 8; 1 is single words.
    char_ngrams : tuple of two int, optional
        Lengths of the shortest and the longest n-gram of characters, up to 32. They are taken from
        ``<word>``, so that the ends of a word count as characters. With None there are none.
    min_count : int, default=1
        Smallest number of times that a word with a column of its own occurs in all texts together.
        The n-grams of other words count nevertheless.
    n_buckets : int, default=2_000_000
        Number of different hashes of n-grams, at most 2**28.
    lowercase : bool, default=True
        Convert texts with `str.lower` first.
    tokenizer : {"words", "whitespace", "fasttext"}, default="words"
        The rule that cuts texts into words; see Notes.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        Column of each word; the most frequent word has column 0.
    buckets_ : ndarray of int32
        Bucket of each column after the words, ascending.

    See Also
    --------
    sklearn.feature_extraction.text.CountVectorizer : Slower, with more options.
    EmbeddingBagClassifier : Learns from such bags.

    Notes
    -----
    The tokenizer "words" takes these as words, of texts in Normal Form C:

    * letters, digits and underscores with their marks (accents, vowel signs), and with an
      apostrophe or a middle dot between letters, and a point, comma or apostrophe between digits:
      ``don't``, ``1,000.5``;
    * each Chinese character and each character of Hiragana;
    * an emoji with its modifiers, a flag, and a run of other symbols: ``++`` of C++, ``#`` of C#.

    They are those of Unicode's word boundaries (UAX #29) with three simplifications: punctuation is
    no word, symbols are taken in runs, and a point or colon between letters separates. The tables
    are those of Unicode 15.1. Thai and other scripts without spaces have long words: add character
    n-grams. The tokenizer "whitespace" cuts at ASCII white space only, as fastText does;
    "fasttext" also adds the word ``</s>`` to each text.

    Words and n-grams are hashed by FNV-1a over UTF-8, the same on every platform. The result has
    no duplicates, and its columns are in the order in which they occur in the text.

    Cost: time in proportion to the text and to the n-grams; memory for the bags, and one bit
    and a half for each bucket.

    References
    ----------
    Joulin, Grave, Bojanowski, Mikolov: Bag of Tricks for Efficient Text Classification, 2017.

    Examples
    --------
    >>> from ebagx.sklearn import TextVectorizer
    >>> vectorizer = TextVectorizer()
    >>> vectorizer.fit_transform(["A small cat.", "a small, small dog"]).toarray()
    array([[1., 1., 1., 0.],
           [2., 1., 0., 1.]], dtype=float32)
    >>> vectorizer.get_feature_names_out()
    array(['small', 'a', 'cat', 'dog'], dtype=object)
    >>> TextVectorizer(word_ngrams=2, char_ngrams=(3, 4)).fit_transform(["a small cat"]).shape
    (1, 20)
    """

    _constraints: ClassVar[Constraints] = {
        "word_ngrams": Integer(1, MAX_WORD_NGRAM),
        "char_ngrams": NoneOr(IntegerPair(1, MAX_CHAR_NGRAM)),
        "min_count": COUNT,
        "n_buckets": Integer(1, MAX_BUCKETS),
        "lowercase": Flag(),
        "tokenizer": OneOf(NAMES),
    }

    vocabulary_: dict[str, int]
    buckets_: npt.NDArray[np.int32]
    _features: Features

    def __init__(
        self,
        *,
        word_ngrams: int = 1,
        char_ngrams: tuple[int, int] | None = None,
        min_count: int = 1,
        n_buckets: int = 2_000_000,
        lowercase: bool = True,
        tokenizer: str = "words",
    ) -> None:
        self.word_ngrams = word_ngrams
        self.char_ngrams = char_ngrams
        self.min_count = min_count
        self.n_buckets = n_buckets
        self.lowercase = lowercase
        self.tokenizer = tokenizer

    def fit(self, raw_documents: Iterable[str], y: Any = None) -> Self:
        """Give columns to the words and n-grams of texts.

        Parameters
        ----------
        raw_documents : iterable of str
            Texts.
        y : ignored

        Returns
        -------
        self : TextVectorizer

        Raises
        ------
        ValueError
            If there is no feature at all, if a text has a surrogate, or if a parameter is
            outside its range.
        TypeError
            If a text is not a `str`.
        """
        self.fit_transform(raw_documents, y)
        return self

    def fit_transform(
        self,
        raw_documents: Iterable[str],
        y: Any = None,  # noqa: ARG002
    ) -> sparse.csr_array:
        """Give columns to the words and n-grams of texts, and count them.

        Parameters
        ----------
        raw_documents : iterable of str
            Texts.
        y : ignored

        Returns
        -------
        csr_array of shape (n_texts, n_columns), float32
            Counts.
        """
        ngrams, tokenizer = self._rules()
        lines = Lines.of(checked_texts(raw_documents, "raw_documents"), tokenizer=tokenizer)
        self._take_over(Features.learn(lines, ngrams, self.min_count))
        return LineBags(self._features, lines).matrix()

    def transform(self, raw_documents: Iterable[str]) -> sparse.csr_array:
        """Count the words and n-grams that occurred in `fit`.

        Parameters
        ----------
        raw_documents : iterable of str
            Texts.

        Returns
        -------
        csr_array of shape (n_texts, n_columns), float32
            Counts.
        """
        check_is_fitted(self)
        return self._features.count(checked_texts(raw_documents, "raw_documents"))

    def get_feature_names_out(
        self,
        input_features: Any = None,  # noqa: ARG002
    ) -> npt.NDArray[np.object_]:
        """Return the names of the columns: words, and ``#bucket`` for hashed n-grams.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of str objects
        """
        check_is_fitted(self)
        names = [*self.vocabulary_, *(f"#{bucket}" for bucket in self.buckets_)]
        return np.array(names, dtype=object)

    def _rules(self) -> tuple[Ngrams, Tokenizer]:
        """Check the parameters; return the n-grams and the tokenizer that they name."""
        check_parameters(self)
        ngrams = Ngrams(self.word_ngrams, *(self.char_ngrams or (0, 0)), self.n_buckets)
        return ngrams, Tokenizer(self.tokenizer, bool(self.lowercase))

    def _take_over(self, features: Features) -> None:
        """Set the fitted attributes."""
        self._features = features
        self.vocabulary_ = features.columns
        self.buckets_ = features.table.buckets()

    def __sklearn_tags__(self) -> Any:
        """Return the tags: the input is text."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

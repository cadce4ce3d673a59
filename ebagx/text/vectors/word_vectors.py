"""`WordVectors`: vectors of words and texts, from a table and the rule of its format."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ebagx._core.arguments import check_integer, check_num_threads, check_one_of
from ebagx._core.bags import Bags
from ebagx._core.modes import MODES
from ebagx._core.passes import forward
from ebagx._core.table import Table
from ebagx.quantized import quantize
from ebagx.text.inputs import checked_texts
from ebagx.text.vectors.lookups import ALL_ONES, Lookup, Rule, Tokens, WholeWords
from ebagx.text.vectors.neighbours import cosines, largest
from ebagx.text.vectors.pooling import pool, scale_to_length_1, text_blocks, unit, unit_bags
from ebagx.text.vectors.table_rows import row_lengths, take_rows
from ebagx.text.words import distinct_words, words_of

__all__ = ["WordVectors"]

_WORDS_AT_ONCE = 1 << 16

_Floats = npt.NDArray[np.float32]
_Int32 = npt.NDArray[np.int32]


class WordVectors:
    """Vectors of words, and of texts by the rule of the format that they come from.

    `load_vectors` returns them. They are only read: any number of threads may use them at the same
    time.

    Parameters
    ----------
    lookup : Lookup
        The rows that words and texts have.
    table : Table
        The rows, N of dimension D.

    Attributes
    ----------
    words : list of str
        The words that the file lists, in its order. Formats with subwords have vectors for other
        words, too.
    table : ndarray, memory map or QuantizedTable, shape (N, D)
        The rows, as `EmbeddingBag.from_pretrained` takes them. In formats with one row a word, row
        w is the vector of ``words[w]``.
    dim : int
        The dimension D.

    See Also
    --------
    load_vectors : Read them from a file of any format.
    ebagx.sklearn.TextEmbedder : `embed` as a transformer of scikit-learn.

    Examples
    --------
    >>> from ebagx.text import WordVectors
    >>> vectors = WordVectors.of(["bread", "butter", "cat"], [[1, 0], [0, 2], [-1, 0]])
    >>> vectors["butter"]
    array([0., 2.], dtype=float32)
    >>> "dog" in vectors
    False
    >>> vectors.embed(["bread butter", "no word known"])
    array([[0.5, 0.5],
           [0. , 0. ]], dtype=float32)
    """

    def __init__(self, lookup: Lookup, table: Table) -> None:
        lookup.check_table(table.num_rows)
        self._lookup = lookup
        self._rows = table
        # The length of row w, or NaN as long as nothing has asked for it.
        self._known_lengths = np.full(table.num_rows, np.nan, np.float32)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out what is computed: processes that share a copy may only read it."""
        return type(self), (self._lookup, self._rows)

    def __copy__(self) -> Self:
        """Return the same object, as it is only read."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the same object: clones of estimators share it."""
        return self

    @property
    def table(self) -> Any:
        """The rows, (N, D)."""
        return self._rows.weight

    @property
    def dim(self) -> int:
        """The dimension D of the vectors."""
        return self._rows.dim

    def __getitem__(self, word: str) -> _Floats:
        """Return the vector of a word, float32 of shape (D,).

        Raises
        ------
        KeyError
            If the word is not known, and the format has no subwords of it.
        TypeError
            If it is no `str`.
        """
        if not isinstance(word, str):
            raise TypeError(f"a word must be str, got {type(word).__name__}: words[i] is word i")
        bags = self._rows_of(word)
        if not len(bags.indices):
            raise KeyError(f"the word {word!r:.50} has no vector")
        vector: _Floats = self._mean(bags)[0]
        return vector

    def __contains__(self, word: object) -> bool:
        """Return whether the word is listed, or has subwords with a vector."""
        return isinstance(word, str) and len(self._rows_of(word).indices) > 0

    def __len__(self) -> int:
        """Return the number of words."""
        return self._lookup.words.count

    def __repr__(self) -> str:
        bits = getattr(self.table, "bits", None)
        kind = self._rows.dtype if bits is None else f"{bits} bits"
        return f"<WordVectors: {len(self)} words, dim={self.dim}, {kind}>"

    @classmethod
    def of(cls, words: Iterable[str], table: npt.ArrayLike) -> "WordVectors":
        """Return the vectors of words: row w is that of word w.

        Parameters
        ----------
        words : iterable of str
            Different words, without blanks at least if `embed` shall find them.
        table : array_like of shape (W, D), float16, bfloat16, float32 or float64
            An array is used without a copy; integers become float32.

        Raises
        ------
        ValueError
            If a word is empty or occurs twice, or if the table has another number of rows.
        """
        rows = np.asarray(table)
        if rows.dtype.kind in "biu" or not isinstance(table, np.ndarray):
            rows = rows.astype(np.float32)
        return cls(WholeWords(distinct_words(checked_texts(words, "words"))), Table.of(rows))

    @cached_property
    def words(self) -> list[str]:
        """The words, in the order of the file. Bytes that are not UTF-8 are surrogates."""
        self._rows.check_mapped()  # the words are in the same file
        return self._lookup.words.names()

    def embed(
        self,
        texts: Iterable[str],
        *,
        mode: str = "mean",
        normalize: str | None = None,
        num_threads: int | None = None,
    ) -> _Floats:
        """Return the vector of each text, by the rule of the format.

        ==============================  ===========================================================
        word2vec, GloVe, ``.vec``,      mean of the unit vectors of the words between blanks, as
        fastText, floret                fastText's ``print-sentence-vectors``
        fastText, supervised            mean of the rows of all features of the line
        model2vec, static embeddings    weighted mean of the rows of the tokenizer's pieces, scaled
                                        to length 1 if the model is meant so
        ==============================  ===========================================================

        Parameters
        ----------
        texts : iterable of str
            Texts: a list, an array, a Series, an Arrow column.
        mode : {"mean", "sum", "sqrtn", "max", "min"}, default="mean"
            Rule by which the same vectors are pooled.
        normalize : {"l2"} or None, default=None
            Scale each vector to Euclidean length 1; None leaves that to the format.
        num_threads : int, optional
            Largest number of threads. Results have the same bits for every number.

        Returns
        -------
        ndarray of float32, shape (n, D)
            Zeros where nothing in a text is known; NaN or infinity where one is in a vector.

        Raises
        ------
        TypeError, ValueError
            If the texts are no collection of `str`, or a text has a surrogate.
        """
        given = checked_texts(texts, "texts")
        self._rows.check_mapped()
        check_one_of(mode, "mode", MODES)
        check_one_of(normalize, "normalize", (None, "l2"))
        threads = check_num_threads(num_threads)
        vectors = np.empty((len(given), self.dim), np.float32)
        for block in text_blocks(given):
            vectors[block] = self._pooled(self._lookup.tokens_of(given[block]), mode, threads)
            if normalize or (self._lookup.normalizes and mode == "mean"):
                scale_to_length_1(vectors[block])
        return vectors

    def nearest(self, word: str, k: int = 10) -> list[tuple[str, float]]:
        """Return the words with the largest cosine to a word, without the word itself.

        Parameters
        ----------
        word : str
            A word with a vector.
        k : int, default=10
            Number of words, at least 1.

        Returns
        -------
        list of (str, float)
            Words and cosines, best first; of equally similar words the first one listed comes
            first. A vector of length 0 has the cosine 0. Words whose vector has NaN or infinity
            are left out, and are similar to no word.

        Raises
        ------
        KeyError
            If `word` has no vector.

        Notes
        -----
        Cost: one read of the table on all cores. The first call of a format with several rows a
        word makes a table of the words' vectors, (W, D) in float32, and keeps it.
        """
        return self._most_similar(self[word], [word], check_integer(k, "k", 1))

    def analogy(self, a: str, b: str, c: str, k: int = 10) -> list[tuple[str, float]]:
        """Return the words that are to `c` as `b` is to `a`: man, king, woman give queen.

        These are the words with the largest cosine to b - a + c, of unit vectors. fastText's
        ``analogies`` takes the same three words in the order b, a, c.

        Parameters
        ----------
        a, b, c : str
            Words with a vector; none of them is in the result.
        k : int, default=10
            Number of words, at least 1.

        Returns
        -------
        list of (str, float)
            As from `nearest`.
        """
        count = check_integer(k, "k", 1)
        of_a, of_b, of_c = (unit(self[word]) for word in (a, b, c))
        return self._most_similar(of_b - of_a + of_c, [a, b, c], count)

    def quantize(self, bits: int = 8) -> "WordVectors":
        """Return the same vectors with a table of 8, 4 or 2 bits a number.

        Parameters
        ----------
        bits : {8, 4, 2}, default=8
            Bits of a number; see `ebagx.quantize`.

        Returns
        -------
        WordVectors
            Its `table` is a `QuantizedTable`.

        Raises
        ------
        TypeError
            If the table is quantised already.
        ValueError
            If a number is not finite, or `bits` is another.
        """
        self._rows.check_mapped()
        return type(self)(self._lookup, Table.of(quantize(self.table, bits), "table"))

    def save(self, path: str | Path) -> None:
        """Write the vectors; the suffix of the path tells the format.

        ================  =========================================================================
        ``.vec``          text that fastText, gensim and other tools read: of each listed word;
                          blanks in words, NaN and infinity have no place in it
        ``.safetensors``  one file that `load_vectors` maps in milliseconds, with all rules
        any other         a folder with the same
        ================  =========================================================================

        Parameters
        ----------
        path : str or Path
            A file or folder that is new, or is replaced when the new one is complete.

        Raises
        ------
        OSError
            If the system refuses to write; what is there stays.
        ValueError
            If the path has something else; or if ``.vec`` would not give back the same vectors.
        """
        from ebagx.io.vectors import written

        path = Path(path)
        if path.suffix == ".vec":
            if not len(self):
                raise ValueError(f"{path}: no words are listed; save a folder or .safetensors")
            written.write_text(path, self._lookup.words, self._table_of_words)
        elif path.suffix == ".safetensors":
            written.write_tensors_file(path, self._lookup, self._rows)
        else:
            written.write_folder(path, self._lookup, self._rows)

    def _rows_of(self, word: str) -> Bags:
        """Return the rows of a word, a bag without entries if it has none."""
        self._rows.check_mapped()
        try:
            words = words_of([word])
        except UnicodeEncodeError:  # a surrogate that stands for no byte: no file has such words
            words = words_of([])
        return self._lookup.rows_of(words)

    def _most_similar(
        self, vector: _Floats, without: Sequence[str], k: int
    ) -> list[tuple[str, float]]:
        found = cosines(self._table_of_words, self._lengths_of_words, unit(vector))
        words = self._lookup.words
        left_out = words.find(words_of(without))
        found[left_out[left_out >= 0]] = np.nan
        is_left_out = np.isnan(found)
        found[is_left_out] = -np.inf
        count = min(k, words.count - int(np.count_nonzero(is_left_out)))
        return [(words.name(w), float(found[w])) for w in largest(found, count)]

    @cached_property
    def _table_of_words(self) -> Table:
        """The table with the vector of each word as its row."""
        if self._lookup.has_row_per_word:
            return self._rows
        return Table(self._mean(self._lookup.rows_of(self._lookup.words)))

    @cached_property
    def _lengths_of_words(self) -> _Floats:
        table = self._table_of_words
        if table is self._rows:
            return self._lengths(np.arange(table.num_rows))
        return row_lengths(table.array)

    def _pooled(self, tokens: Tokens, mode: str, threads: int | None) -> _Floats:
        """Return the vectors of texts from those of their tokens, (B, D)."""
        indices, offsets, weights, rows = tokens
        is_unit = self._lookup.rule is Rule.UNIT_MEAN
        if rows is not None:
            table = Table(self._mean(rows))
            lengths = row_lengths(table.array)[indices] if is_unit else ALL_ONES
        else:
            lengths = self._lengths(indices) if is_unit else ALL_ONES
            indices, table = self._floats(indices)
        bags = Bags(indices, offsets, weights)
        if is_unit:
            bags, table = unit_bags(indices, offsets, lengths, table)
        return pool(bags, table, MODES[mode], threads)

    def _mean(self, bags: Bags) -> _Floats:
        """Return the mean of the rows of each bag, float32 (B, D), with weights their sum."""
        indices, table = self._floats(bags.indices)
        mode = MODES["sum" if len(bags.weights) else "mean"]
        mean: _Floats = forward(bags._replace(indices=indices), table, mode, None, None)[0]
        return mean

    def _floats(self, rows: _Int32) -> tuple[_Int32, Table]:
        """Return numbers of some rows in a table of float32, which has these at least.

        Sums over half precision would be rounded to it.
        """
        if self._rows.dtype == np.float32:
            return rows, self._rows
        is_used = np.zeros(self._rows.num_rows, bool)
        is_used[rows] = True
        used = np.flatnonzero(is_used)
        places = np.empty(len(is_used), np.int32)
        places[used] = np.arange(len(used), dtype=np.int32)
        return places[rows], Table(take_rows(self._rows, used))

    def _lengths(self, rows: npt.NDArray[np.integer[Any]]) -> _Floats:
        """Return the lengths of some rows, each computed once.

        Threads that compute the same length write the same number.
        """
        unknown = np.unique(rows[np.isnan(self._known_lengths[rows])])
        for start in range(0, len(unknown), _WORDS_AT_ONCE):
            some = unknown[start : start + _WORDS_AT_ONCE]
            self._known_lengths[some] = row_lengths(take_rows(self._rows, some))
        lengths: _Floats = self._known_lengths[rows]
        return lengths

"""The rules of static sentence embeddings: a text is a bag of the pieces that a tokenizer makes.

`WordPieces` has the tokenizer of BERT in compiled code. `TokenizerPieces` asks the package
tokenizers for the pieces of all others.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.arguments import check_integer
from ebagx._core.bags import Bags
from ebagx.text import tokens
from ebagx.text.vectors.lookups import ALL_ONES, Rule, State, Tokens, bags_of_known, known_tokens
from ebagx.text.vectors.normalizing import BertNormalizer
from ebagx.text.words import Words, spans_of_lines, words_of

_NO_LIMIT = 2**31 - 1
_MOST_PIECES = 1 << 24

_Floats = npt.NDArray[np.float32]
_Int32 = npt.NDArray[np.int32]
_Intp = npt.NDArray[np.intp]


class PieceRows(NamedTuple):
    """The row of each piece, and the factor of its vector; without factors all are 1."""

    rows: _Int32
    weights: _Floats = ALL_ONES

    def check_table(self, num_rows: int) -> None:
        """Raise ValueError unless the table has all these rows."""
        if len(self.rows) and not 0 <= self.rows.min() <= self.rows.max() < num_rows:
            raise ValueError(f"a piece has a row outside the table of {num_rows:,} rows")

    @property
    def are_words(self) -> bool:
        """Return whether piece w just has row w."""
        is_plain = len(self.weights) == 0 and np.array_equal(self.rows, np.arange(len(self.rows)))
        return bool(is_plain)

    def of_words(self, pieces: _Int32) -> Bags:
        """Return the bag of each piece, an empty one where its number is negative."""
        bags = bags_of_known(pieces)
        weights = self.weights[bags.indices] if len(self.weights) else ALL_ONES
        return Bags(self.rows[bags.indices], bags.offsets, weights)

    def of_texts(self, pieces: _Int32, ends: _Intp) -> Tokens:
        """Return the tokens of texts, without unknown ones."""
        known = known_tokens(pieces, ends)
        weights = self.weights[known.indices] if len(self.weights) else ALL_ONES
        return Tokens(self.rows[known.indices], known.offsets, weights)


@dataclass(frozen=True)
class WordPieceRule:
    """The options of the tokenizer WordPiece.

    Parameters
    ----------
    normalizer : BertNormalizer
        It prepares texts.
    unknown : str
        The piece of words that have none; it has no vector.
    prefix : str
        Prefix of pieces that do not begin a word.
    max_chars : int
        Longer words are unknown.
    added : tuple of str
        Pieces wherever they occur in a text.
    """

    normalizer: BertNormalizer = field(default_factory=BertNormalizer)
    unknown: str = "[UNK]"
    prefix: str = "##"
    max_chars: int = 100
    added: tuple[str, ...] = ()

    @classmethod
    def restored(cls, given: Any) -> "WordPieceRule":
        """Return the rule of a saved dict, or raise ValueError."""
        if not isinstance(given, dict) or given.keys() != {f.name for f in fields(cls)}:
            raise ValueError("the rule of pieces is damaged")
        flags, added, most = given["normalizer"], given["added"], given["max_chars"]
        strings = [given["unknown"], given["prefix"], *(added if isinstance(added, list) else [0])]
        names = {f.name for f in fields(BertNormalizer)}
        are_flags = isinstance(flags, dict) and flags.keys() == names
        if not are_flags or not all(type(flag) is bool for flag in flags.values()):
            raise ValueError("the normaliser of texts is damaged")
        if not all(isinstance(string, str) and len(string) < 1000 for string in strings):
            raise ValueError("the rule of pieces is damaged")
        check_integer(most, "max_chars", 1, _NO_LIMIT)
        return cls(BertNormalizer(**flags), strings[0], strings[1], most, tuple(strings[2:]))


class Settings(NamedTuple):
    """The options that the lookups of all tokenizers have.

    Attributes
    ----------
    rows : PieceRows
        The rows of the pieces.
    normalizes : bool
        Whether the vectors of texts have length 1.
    limits : tuple of two int, or None
        Most pieces of a text, unknown ones too, and most characters: the rest is left out.
    """

    rows: PieceRows
    normalizes: bool
    limits: tuple[int, int] | None = None

    def state(self, options: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> State:
        """Return these and other options and arrays as files hold them."""
        about = {"normalizes": self.normalizes, "limits": self.limits, **options}
        of_rows = {"pieces.rows": self.rows.rows, "pieces.weights": self.rows.weights}
        return State({"options": json.dumps(about)}, {**of_rows, **arrays})

    @classmethod
    def restored(cls, words: Words, state: State) -> tuple["Settings", dict[str, Any]]:
        """Return the checked settings of a state, and all its options.

        Raises
        ------
        KeyError, ValueError
            If the state is damaged.
        """
        options = json.loads(state.about["options"])
        rows, weights = (state.arrays[f"pieces.{name}"] for name in ("rows", "weights"))
        if not isinstance(options, dict) or not isinstance(options.get("normalizes"), bool):
            raise ValueError("the options of pieces are damaged")
        if rows.dtype != np.int32 or weights.dtype != np.float32:
            raise ValueError("rows or weights of pieces have another dtype")
        if rows.shape != (words.count,) or weights.shape not in ((words.count,), (0,)):
            raise ValueError("there are more or fewer rows or weights than pieces")
        if not np.isfinite(weights).all():
            raise ValueError("a weight is not finite")
        limits = _checked_limits(options.get("limits"))
        return cls(PieceRows(rows, weights), options["normalizes"], limits), options


def _checked_limits(given: Any) -> tuple[int, int] | None:
    if given is None:
        return None
    if not isinstance(given, list) or len(given) != 2:
        raise ValueError("the limits of pieces are damaged")
    pieces, chars = given
    if type(pieces) is not int or type(chars) is not int or not 1 <= pieces <= _NO_LIMIT:
        raise ValueError("the limits of pieces are damaged")
    return pieces, max(chars, 1)


class _Pieces:
    """The part of a lookup that all tokenizers share."""

    rule = Rule.MEAN

    def __init__(self, words: Words, settings: Settings) -> None:
        self.words = words
        self.normalizes = settings.normalizes
        self.has_row_per_word = settings.rows.are_words
        self._settings = settings
        self._rows = settings.rows
        self._max_length, self._max_chars = settings.limits or (_NO_LIMIT, _NO_LIMIT)

    def rows_of(self, words: Words) -> Bags:
        """Return the row of each piece, with its factor."""
        return self._rows.of_words(self.words.find(words))

    def check_table(self, num_rows: int) -> None:
        """Raise ValueError unless the table has the row of each piece."""
        self._rows.check_table(num_rows)
        self.has_row_per_word = self.has_row_per_word and num_rows == self.words.count


class WordPieces(_Pieces):
    """Pieces of words by BERT's tokenizer, in compiled code.

    Parameters
    ----------
    words : Words
        The vocabulary.
    settings : Settings
        Rows and limits.
    options : WordPieceRule
        The options of the tokenizer.
    """

    kind = "WordPiece"

    def __init__(self, words: Words, settings: Settings, options: WordPieceRule) -> None:
        super().__init__(words, settings)
        self._options = options
        self._longest = int(np.diff(words.spans, axis=1).max(initial=0))
        self._unknown = place_of(words, options.unknown)

    @classmethod
    def restored(cls, words: Words, state: State) -> "WordPieces":
        """Return the lookup of a saved state, or raise KeyError or ValueError."""
        settings, options = Settings.restored(words, state)
        return cls(words, settings, WordPieceRule.restored(options.get("rule")))

    def state(self) -> State:
        """Return rows, weights and options."""
        return self._settings.state({"rule": asdict(self._options)}, {})

    def tokens_of(self, texts: Sequence[str]) -> Tokens:
        """Return the pieces of each text."""
        texts = [text[: self._max_chars] for text in texts]
        added = self._added
        if added is not None and any(map(added.search, texts)):
            pieces, ends = self._with_added(texts, added)
        else:
            pieces, ends = self._pieces_of(texts)
        pieces[pieces == self._unknown] = -1
        return self._rows.of_texts(pieces, ends)

    def _pieces_of(self, texts: Sequence[str]) -> tuple[_Int32, _Intp]:
        """Return the pieces of texts, and how many there are up to each; -1 for unknown words."""
        text = self._options.normalizer.prepare(texts)
        spans, prefix = spans_of_lines(text), self._options.prefix.encode()
        pieces, ends = np.empty(len(text), np.int32), np.empty(len(spans), np.intp)
        longest = int((spans[:, 1] - spans[:, 0]).max(initial=0))
        tokens.number_pieces(
            pieces,
            ends,
            self.words.lookup,
            spans,
            text,
            prefix,
            np.empty(longest + len(prefix), np.uint8),
            (self._longest, self._options.max_chars, self._max_length),
        )
        count = ends[-1] if len(ends) else 0
        return pieces[:count], ends

    def _with_added(self, texts: Sequence[str], added: "re.Pattern[str]") -> tuple[_Int32, _Intp]:
        """Do the same for texts with added pieces, between which other text stands."""
        parts = [added.split(text) for text in texts]
        pieces, ends = self._pieces_of([part for of_text in parts for part in of_text[::2]])
        between = iter(np.split(pieces, ends[:-1]))
        joined = []
        for of_text in parts:
            found = [next(between)]
            for string in of_text[1::2]:
                place = np.array([place_of(self.words, string)], np.int32)
                found += [place, next(between)]
            joined.append(np.concatenate(found)[: self._max_length])
        return np.concatenate(joined), np.cumsum([len(found) for found in joined], dtype=np.intp)

    @cached_property
    def _added(self) -> "re.Pattern[str] | None":
        """The pattern of the added pieces, of which the longest counts."""
        strings = sorted(self._options.added, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, strings))})") if strings else None


class TokenizerPieces(_Pieces):
    """Pieces by any tokenizer of the package tokenizers.

    Parameters
    ----------
    words, settings
        As in `WordPieces`.
    ids : ndarray of int64, shape (W,)
        The number that the tokenizer gives to each piece, ascending.
    tokenizer : str
        The content of ``tokenizer.json``.

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed.
    ValueError
        If it refuses the content.
    """

    kind = "tokenizers"

    def __init__(
        self,
        words: Words,
        settings: Settings,
        ids: npt.NDArray[np.int64],
        tokenizer: str,
    ) -> None:
        super().__init__(words, settings)
        self._ids, self._text = ids, tokenizer
        self._tokenizer = _tokenizer_of(tokenizer)
        self._places = np.full(int(ids[-1]) + 2, -1, np.int32)  # of numbers; the last is no piece
        self._places[ids] = np.arange(len(ids), dtype=np.int32)
        unknown = _unknown_id(tokenizer, self._tokenizer)
        if unknown is not None and 0 <= unknown < len(self._places):
            self._places[unknown] = -1

    @classmethod
    def restored(cls, words: Words, state: State) -> "TokenizerPieces":
        """Return the lookup of a saved state, or raise KeyError or ValueError."""
        settings, _ = Settings.restored(words, state)
        ids, text = state.arrays["pieces.ids"], state.arrays["tokenizer"]
        if ids.dtype != np.int64 or ids.shape != (words.count,) or not words.count:
            raise ValueError("the numbers of pieces are damaged")
        if not 0 <= ids[0] <= ids[-1] < _MOST_PIECES or (ids[1:] <= ids[:-1]).any():
            raise ValueError("the numbers of pieces do not ascend")
        if text.dtype != np.uint8:
            raise ValueError("the tokenizer is no text")
        return cls(words, settings, ids, text.tobytes().decode())

    def state(self) -> State:
        """Return rows, weights and the tokenizer."""
        text = np.frombuffer(self._text.encode(), np.uint8)
        return self._settings.state({}, {"pieces.ids": self._ids, "tokenizer": text})

    def tokens_of(self, texts: Sequence[str]) -> Tokens:
        """Return the pieces of each text."""
        texts = [text[: self._max_chars] for text in texts]
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids = [encoding.ids[: self._max_length] for encoding in found]
        ends = np.cumsum(list(map(len, ids)), dtype=np.intp)
        flat = np.fromiter((n for of_text in ids for n in of_text), np.int64, ends[-1])
        return self._rows.of_texts(self._places[np.minimum(flat, len(self._places) - 1)], ends)


def place_of(words: Words, word: str) -> int:
    """Return the number of a word, -2 if it is none."""
    found = words.find(words_of([word]))
    return int(found[0]) if len(found) and found[0] >= 0 else -2


def _tokenizer_of(text: str) -> Any:
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "this tokenizer is not BERT's, and needs a package: pip install 'ebagx[tokenizers]'",
            name=error.name,
        ) from error
    try:
        tokenizer = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # it has no class of its own
        raise ValueError(f"the package tokenizers refuses tokenizer.json: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _unknown_id(text: str, tokenizer: Any) -> int | None:
    """Return the number of the piece that stands for unknown words, which has no vector."""
    model = json.loads(text)["model"]
    name = model.get("unk_token")
    found = tokenizer.token_to_id(name) if isinstance(name, str) else model.get("unk_id")
    return found if type(found) is int else None

"""Read static sentence embeddings: folders of model2vec and of sentence-transformers.

These have a tokenizer, ``tokenizer.json``, and a table, ``model.safetensors``; perhaps a row and a
factor for each piece.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.table import Table
from ebagx.io.safetensors import read_safetensors
from ebagx.io.vectors.text import MAX_DIM
from ebagx.io.versioned_folder import open_files
from ebagx.text.vectors.lookups import ALL_ONES, Lookup
from ebagx.text.vectors.normalizing import BertNormalizer
from ebagx.text.vectors.pieces import (
    PieceRows,
    Settings,
    TokenizerPieces,
    WordPieceRule,
    WordPieces,
)
from ebagx.text.words import Words, distinct_words

_MAX_JSON = 1 << 28  # bytes; the tokenizers of large vocabularies have 20 MB
_MOST_PIECES = 1 << 24
_DEFAULT_LENGTH = 512  # model2vec's
_CHECKED_AT_ONCE = 1 << 16  # rows


class _Folder(NamedTuple):
    """The files of a layout, and the name of its table."""

    config: str
    inner: str
    table: str


_LAYOUTS = (
    _Folder("config.json", ".", "embeddings"),
    _Folder("config_sentence_transformers.json", ".", "embedding.weight"),
    _Folder("config_sentence_transformers.json", "0_StaticEmbedding", "embedding.weight"),
)


def read_static(folder: Path) -> tuple[Lookup, Table]:
    """Read a folder; the table is mapped.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If a file is damaged, or does not fit the others. The text names it.
    ModuleNotFoundError
        If the tokenizer is another than BERT's, and the package tokenizers is not installed.
    """
    layout = _layout_of(folder)
    if layout is None:
        raise ValueError(
            f"{folder} is no folder of vectors: it has no config.json, model.safetensors and "
            "tokenizer.json"
        )
    inner = folder / layout.inner
    path = inner / "model.safetensors"
    arrays = read_safetensors(path).arrays
    # Some writers use the one name in the layout of the other.
    names = [name for name in (layout.table, "embeddings", "embedding.weight") if name in arrays]
    if not names:
        raise ValueError(f"{path}: the file has no array {layout.table!r}")
    table = _checked_table(arrays[names[0]], path)
    tokenizer_path = inner / "tokenizer.json"
    text = _read_text(tokenizer_path)
    tokenizer = _as_object(text, tokenizer_path)
    config = _as_object(_read_text(folder / layout.config), folder / layout.config)
    words, ids = _vocabulary(tokenizer, tokenizer_path)
    rule = word_piece_rule(tokenizer)
    rows, limits = _piece_rows(arrays, ids, path), _length_limits(config, words)
    settings = Settings(rows, _normalizes(folder, config), limits)
    try:
        lookup: Lookup
        if rule is None:
            lookup = TokenizerPieces(words, settings, ids, text)
        else:
            lookup = WordPieces(words, settings, rule)
        lookup.check_table(table.num_rows)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    return lookup, table


def word_piece_rule(tokenizer: dict[str, Any]) -> WordPieceRule | None:
    """Return the options of a tokenizer, or None if it is not just BERT's."""
    model, normalizer = tokenizer.get("model"), tokenizer.get("normalizer")
    cutter = tokenizer.get("pre_tokenizer")
    kinds = [part.get("type") if isinstance(part, dict) else None for part in (normalizer, cutter)]
    if kinds != ["BertNormalizer", "BertPreTokenizer"] or not isinstance(model, dict):
        return None
    if model.get("type") != "WordPiece":
        return None
    assert isinstance(normalizer, dict)
    lowercase = normalizer.get("lowercase", True)
    strips = normalizer.get("strip_accents")
    flags = (
        normalizer.get("clean_text", True),
        normalizer.get("handle_chinese_chars", True),
        lowercase if strips is None else strips,
        lowercase,
    )
    added = _added_pieces(tokenizer.get("added_tokens", []))
    unknown, prefix = model.get("unk_token", "[UNK]"), model.get("continuing_subword_prefix", "##")
    most = model.get("max_input_chars_per_word", 100)
    are_strings = isinstance(unknown, str) and isinstance(prefix, str) and len(prefix) < 100
    if added is None or not are_strings or not all(type(flag) is bool for flag in flags):
        return None
    if type(most) is not int or not 1 <= most < 2**31:
        return None
    return WordPieceRule(BertNormalizer(*flags), unknown, prefix, most, added)


def _added_pieces(given: Any) -> tuple[str, ...] | None:
    """Return the pieces that count wherever they occur; None if some follow other rules."""
    added = []
    for piece in given if isinstance(given, list) else [None]:
        if not isinstance(piece, dict):
            return None
        others = [piece.get(name, False) for name in ("single_word", "lstrip", "rstrip")]
        content, number = piece.get("content"), piece.get("id")
        # A piece that is normalised has to be looked for in normalised text.
        if any(others) or piece.get("normalized", False) or not isinstance(content, str):
            return None
        if type(number) is not int or not content:
            return None
        added.append(content)
    return tuple(added)


def _layout_of(folder: Path) -> _Folder | None:
    for layout in _LAYOUTS:
        inner = folder / layout.inner
        paths = (folder / layout.config, inner / "model.safetensors", inner / "tokenizer.json")
        if all(path.is_file() for path in paths):
            return layout
    return None


def _checked_table(array: npt.NDArray[Any], path: Path) -> Table:
    """Return the table, mapped unless its dtype is none of tables: int8 becomes float32."""
    if array.ndim != 2 or not 1 <= array.shape[1] <= MAX_DIM:
        raise ValueError(f"{path}: the table has the shape {array.shape}")
    if array.dtype.kind == "i" or array.dtype == np.float64:
        array = array.astype(np.float32)
    try:
        table = Table.of(array, "the table")
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from None
    for start in range(0, len(array), _CHECKED_AT_ONCE):
        if not np.isfinite(array[start : start + _CHECKED_AT_ONCE]).all():
            raise ValueError(f"{path}: the table has a number that is not finite")
    return table


def _read_text(path: Path) -> str:
    with open_files([path]) as (file,):
        content = file.read(_MAX_JSON + 1)
    if len(content) > _MAX_JSON:
        raise ValueError(f"{path}: the file has more than {_MAX_JSON:,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: this is not UTF-8: {error}") from None


def _as_object(text: str, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged or incomplete: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: this is no object of JSON")
    return found


def _vocabulary(tokenizer: dict[str, Any], path: Path) -> tuple[Words, npt.NDArray[np.int64]]:
    """Return the pieces in the order of their numbers, and these."""
    model = tokenizer.get("model")
    given = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(given, list):  # of Unigram: pairs of a piece and its score
        pairs = [
            (pair[0], i)
            for i, pair in enumerate(given)
            if isinstance(pair, list) and pair and isinstance(pair[0], str)
        ]
        given = dict(pairs) if len(pairs) == len(given) else None
    if not isinstance(given, dict) or not all(type(n) is int for n in given.values()):
        raise ValueError(f"{path}: the tokenizer has no vocabulary")
    added = tokenizer.get("added_tokens")
    for piece in added if isinstance(added, list) else []:
        if isinstance(piece, dict) and isinstance(piece.get("content"), str):
            given.setdefault(piece["content"], piece.get("id"))
    ordered = sorted((n, piece) for piece, n in given.items() if type(n) is int and piece)
    if not ordered or ordered[0][0] < 0 or ordered[-1][0] >= _MOST_PIECES:
        raise ValueError(f"{path}: the numbers of pieces must be from 0 to {_MOST_PIECES:,}")
    numbers = np.array([n for n, _ in ordered], np.int64)
    try:
        words = distinct_words([str(piece) for _, piece in ordered])
    except ValueError as error:
        raise ValueError(f"{path}: the vocabulary: {error}") from None
    return words, numbers


def _piece_rows(
    arrays: dict[str, npt.NDArray[Any]], ids: npt.NDArray[np.int64], path: Path
) -> PieceRows:
    """Return row and factor of each piece, from the arrays of all numbers."""
    rows, weights = ids, ALL_ONES
    for name, kinds in (("mapping", "iu"), ("weights", "f")):
        if name not in arrays:
            continue
        array = arrays[name]
        if array.dtype.kind == "V":  # bfloat16 of ml_dtypes
            array = array.astype(np.float32)
        if array.ndim != 1 or array.dtype.kind not in kinds or len(array) <= ids[-1]:
            raise ValueError(f"{path}: {name} has the shape {array.shape} and dtype {array.dtype}")
        if name == "mapping":
            rows = array[ids].astype(np.int64)
        else:
            weights = array[ids].astype(np.float32)
    if not np.isfinite(weights).all():
        raise ValueError(f"{path}: weights has a number that is not finite")
    return PieceRows(np.clip(rows, -1, 2**31 - 1).astype(np.int32), weights)


def _normalizes(folder: Path, config: dict[str, Any]) -> bool:
    """Return whether vectors of texts have length 1: one of two files says so."""
    given = config.get("normalize")
    path = folder / "modules.json"
    if isinstance(given, bool) or not path.is_file():
        return given is True
    try:
        modules = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged or incomplete: {error}") from None
    if not isinstance(modules, list):
        raise ValueError(f"{path}: damaged or incomplete: it is no list of modules")
    kinds = [part.get("type") for part in modules if isinstance(part, dict)]
    return any(isinstance(kind, str) and kind.endswith(".Normalize") for kind in kinds)


def _length_limits(config: dict[str, Any], words: Words) -> tuple[int, int] | None:
    """Return the most pieces and characters of a text that model2vec reads."""
    most = config.get("max_length", _DEFAULT_LENGTH)
    if type(most) is not int or not 1 <= most < 2**31:
        return None
    lengths = [len(piece) for piece in words.names()]
    return most, most * max(int(np.median(lengths)), 1)

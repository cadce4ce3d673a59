"""Write and check the description of a text classifier, the file ``model.json`` of its folder.

Sizes and shapes of all other files follow from a few integers in it, each of which is checked, as
are the labels and the name of the folder.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

from ebagx._core.arguments import POSITIVE, check_number
from ebagx._core.quantized.formats import BITS
from ebagx.io.description_fields import (
    FileRecord,
    as_fields,
    checked_files,
    checked_integer,
    is_integer,
    read_json,
)
from ebagx.io.fasttext_folder import (
    ALL_FASTTEXT_FILES,
    FASTTEXT_VERSION,
    FastTextDescription,
    checked_description,
    describe_fasttext,
)
from ebagx.io.versioned_folder import is_version_name
from ebagx.text.corpus import PREFIX, is_label, is_text_of_integer
from ebagx.text.fasttext.model import FastTextModel
from ebagx.text.model import LABEL_TYPES, LOSSES, Recipe, TextModel
from ebagx.text.ngrams import MAX_BUCKETS, MAX_CHAR_NGRAM, MAX_WORD_NGRAM, Ngrams
from ebagx.text.tokenizers import CALLABLE, RULES, Tokenizer

FORMAT = "ebagx text classifier"
FORMAT_VERSION = 3
QUANTISED_VERSION = 4  # of quantised models alone, so that former programs read all others
MAX_DIM = 2**16
WORDS = "words.txt"
FILES = (WORDS, "buckets.npy", "embedding.npy", "coef.npy", "intercept.npy")
# Models whose training has a state have these, too.
STATE_FILES = ("row_squares.npy", "head_squares.npy")
# Quantised models have these in place of others.
SMALL_WORDS, SMALL_BUCKETS, CODES = "words.zlib", "buckets.zlib", "embedding.codes"
SMALL_FILES = (SMALL_WORDS, SMALL_BUCKETS, CODES, "coef.npy", "intercept.npy")
ALL_FILES = tuple(dict.fromkeys((*FILES, *STATE_FILES, *SMALL_FILES, *ALL_FASTTEXT_FILES)))

_WITHOUT_TOKENIZER = 2  # the version of models that know the words of the former rule
_MAX_ROWS = 2**31 - 1
_MAX_SEED = 2**32 - 1
_MAX_COUNT = 2**63 - 1
_MAX_WORD_BYTES = 2**30  # of a quantised model, which are compressed


class Quantised(NamedTuple):
    """The fields that only the description of a quantised model has."""

    bits: int
    word_bytes: int  # of all words with a newline each


class Description(NamedTuple):
    """The checked content of the file."""

    version: int
    labels: list[str]
    label_type: str
    label_prefix: str
    loss: str
    dim: int
    n_words: int
    n_buckets: int
    tokenizer: Tokenizer
    ngrams: Ngrams
    folder: str
    files: dict[str, FileRecord]
    recipe: Recipe | None
    quantised: Quantised | None = None


def describe(
    model: TextModel | FastTextModel, folder: str, records: dict[str, FileRecord]
) -> bytes:
    """Return the description of a model whose files are in `folder`."""
    if isinstance(model, FastTextModel):
        return describe_fasttext(model, folder, records, FORMAT)
    features, quantised = model.features, _quantised(model)
    description = {
        "format": FORMAT,
        "version": FORMAT_VERSION if quantised is None else QUANTISED_VERSION,
        "loss": model.loss,
        "embedding_dim": model.dim,
        **({} if quantised is None else {"quantised": quantised._asdict()}),
        "words": features.words.count,
        "buckets": len(features.table.buckets()),
        "tokenizer": {
            "name": features.tokenizer.name,
            "lowercase": features.tokenizer.lowercase,
        },
        "ngrams": features.ngrams._asdict(),
        "labels": model.labels,
        "label_type": model.label_type,
        "label_prefix": model.label_prefix,
        **({} if model.recipe is None else {"training": model.recipe._asdict()}),
        "folder": folder,
        "files": as_fields(records),
    }
    return json.dumps(description, ensure_ascii=False, indent=1).encode()


def _quantised(model: TextModel) -> Quantised | None:
    if model.bits is None:
        return None
    words = model.features.words
    return Quantised(model.bits, len(words.text) + words.count)


def read_description(path: Path) -> Description | FastTextDescription:
    """Read and check a description.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, of another version, or not a description. The text names the file.
    """
    about = read_json(path)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError(f"{path}: this is not the description of an {FORMAT}")
    _check_version(about.get("version"), path)
    if about["version"] == FASTTEXT_VERSION:
        return checked_description(about, path)
    labels, loss = about.get("labels"), about.get("loss")
    if not isinstance(labels, list) or len(labels) < 2 or not all(map(is_label, labels)):
        raise ValueError(f"{path}: labels is not a list of at least 2 labels")
    if len(set(labels)) < len(labels):
        raise ValueError(f"{path}: a label occurs twice")
    label_type = _checked_label_type(about, labels, path)
    if loss not in LOSSES:
        raise ValueError(f"{path}: loss is {loss!r:.20}, not {' or '.join(LOSSES)}")
    dim = checked_integer(about, "embedding_dim", 1, MAX_DIM, path)
    n_words = checked_integer(about, "words", 0, _MAX_ROWS, path)
    n_buckets = checked_integer(about, "buckets", 0 if n_words else 1, _MAX_ROWS - n_words, path)
    tokenizer = _checked_tokenizer(about, path)
    ngrams = _checked_ngrams(about.get("ngrams"), path)
    folder = about.get("folder")
    if not is_version_name(folder):
        raise ValueError(f"{path}: folder is {folder!r:.20}, not data- and 16 hexadecimal digits")
    quantised = _checked_quantised(about, path)
    allowed = [FILES, [*FILES, *STATE_FILES]] if quantised is None else [SMALL_FILES]
    files = checked_files(about.get("files"), allowed, path)
    return Description(
        about["version"],
        labels,
        label_type,
        _checked_label_prefix(about, path),
        cast(str, loss),
        dim,
        n_words,
        n_buckets,
        tokenizer,
        ngrams,
        cast(str, folder),
        files,
        _checked_recipe(about.get("training"), path),
        quantised,
    )


def _check_version(version: object, path: Path) -> None:
    if is_integer(version, _WITHOUT_TOKENIZER, FASTTEXT_VERSION):
        return
    problem = (
        f"the model has format version {version!r:.20}, this ebagx reads {_WITHOUT_TOKENIZER} to "
        f"{FASTTEXT_VERSION}"
    )
    if is_integer(version, FASTTEXT_VERSION + 1, 2**63):
        raise ValueError(f"{path}: {problem}; a newer ebagx wrote it: pip install -U ebagx")
    raise ValueError(f"{path}: {problem}; train it again")


def _checked_label_type(about: dict[str, Any], labels: list[str], path: Path) -> str:
    """Return the type of labels, which are strings where the description does not say more."""
    label_type = about.get("label_type", LABEL_TYPES[0])
    if label_type not in LABEL_TYPES:
        raise ValueError(
            f"{path}: label_type is {label_type!r:.20}, not {' or '.join(LABEL_TYPES)}"
        )
    if label_type == "int" and not all(map(is_text_of_integer, labels)):
        raise ValueError(f"{path}: label_type is int, but not all labels are integers")
    return cast(str, label_type)


def _checked_label_prefix(about: dict[str, Any], path: Path) -> str:
    """Return the prefix of labels among words, fastText's where the description has none."""
    prefix = about.get("label_prefix", PREFIX)
    if not isinstance(prefix, str) or prefix.split() != [prefix]:
        raise ValueError(f"{path}: label_prefix is {prefix!r:.20}, not a word")
    return prefix


def _checked_tokenizer(about: dict[str, Any], path: Path) -> Tokenizer:
    if about["version"] == _WITHOUT_TOKENIZER:
        return Tokenizer("words-1")
    given = about.get("tokenizer")
    if not isinstance(given, dict) or set(given) != {"name", "lowercase"}:
        raise ValueError(f"{path}: tokenizer does not have name and lowercase")
    name, lowercase = given["name"], given["lowercase"]
    if not (isinstance(name, str) and name in (*RULES, CALLABLE) and isinstance(lowercase, bool)):
        raise ValueError(f"{path}: tokenizer is {given!r:.60}, which this ebagx does not know")
    return Tokenizer(name, lowercase)


def _checked_ngrams(ngrams: object, path: Path) -> Ngrams:
    limits = {
        "word_ngrams": (1, MAX_WORD_NGRAM),
        "min_chars": (0, MAX_CHAR_NGRAM),
        "max_chars": (0, MAX_CHAR_NGRAM),
        "n_buckets": (1, MAX_BUCKETS),
    }
    if not isinstance(ngrams, dict) or set(ngrams) != set(limits):
        raise ValueError(f"{path}: ngrams does not consist of {', '.join(limits)}")
    checked = Ngrams(*(checked_integer(ngrams, n, *limits[n], path) for n in limits))
    if checked.min_chars > checked.max_chars:
        raise ValueError(f"{path}: min_chars is {checked.min_chars}, above max_chars")
    return checked


def _checked_recipe(recipe: object, path: Path) -> Recipe | None:
    """Return the options of the training, None for models that do not have them."""
    if recipe is None:
        return None
    if not isinstance(recipe, dict) or set(recipe) != set(Recipe._fields):
        raise ValueError(f"{path}: training does not consist of {', '.join(Recipe._fields)}")
    try:
        check_number(recipe["lr"], "lr", POSITIVE)
        if recipe["table_eps"] is not None:
            check_number(recipe["table_eps"], "table_eps", POSITIVE)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    epochs, batch_size, min_count, patience = (
        checked_integer(recipe, name, 1, _MAX_COUNT, path)
        for name in ("epochs", "batch_size", "min_count", "patience")
    )
    weight, stops = recipe["class_weight"], recipe["early_stopping"]
    if weight not in (None, "balanced") or not isinstance(stops, bool):
        raise ValueError(
            f"{path}: class_weight is {weight!r:.20} and early_stopping {stops!r:.20}, not None or "
            "'balanced', and True or False"
        )
    seed = recipe["seed"]
    if seed is not None:
        seed = checked_integer(recipe, "seed", 0, _MAX_SEED, path)
    negatives = recipe["negatives"]
    if negatives is not None:
        negatives = checked_integer(recipe, "negatives", 1, _MAX_COUNT, path)
    counts = epochs, batch_size, min_count
    rates = float(recipe["lr"]), recipe["table_eps"]
    return Recipe(rates[0], *counts, seed, weight, stops, patience, negatives, rates[1])


def _checked_quantised(about: dict[str, Any], path: Path) -> Quantised | None:
    if about["version"] != QUANTISED_VERSION:
        return None
    given = about.get("quantised")
    if not isinstance(given, dict) or set(given) != set(Quantised._fields):
        raise ValueError(f"{path}: quantised does not consist of {', '.join(Quantised._fields)}")
    if given["bits"] not in BITS or type(given["bits"]) is not int:
        raise ValueError(f"{path}: bits is {given['bits']!r:.20}, not 8, 4 or 2")
    return Quantised(given["bits"], checked_integer(given, "word_bytes", 0, _MAX_WORD_BYTES, path))

"""Models with the features and labels of fastText, saved in the folder of models of ebagx.

Beside ``model.json``, whose version is 5, there are ``words.txt`` and ``labels.txt``, the entries
of fastText's dictionary as their bytes, one a line; ``buckets.npy``, if some buckets were pruned,
those that are left; ``embedding.npy``, the rows of the words and of the buckets in ascending order,
or ``embedding.codes``, a file of `QuantizedTable`; ``coef.npy``, the rows of labels, or of the
nodes of their tree, for which ``label_counts.npy`` has the counts of labels.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from ebagx._core.quantized import file as code_file
from ebagx._core.quantized.formats import BITS
from ebagx._core.quantized.table import CodeTable
from ebagx._core.table import Table
from ebagx.io.checked_file import CheckedFile
from ebagx.io.description_fields import FileRecord, as_fields, checked_files, checked_integer
from ebagx.io.npy import Chunks, npy_chunks
from ebagx.io.versioned_folder import is_version_name
from ebagx.quantized import QuantizedTable, table_of_rows
from ebagx.text.fasttext.features import FastTextFeatures
from ebagx.text.fasttext.labels import LabelTree, labels_of
from ebagx.text.fasttext.matrix import Matrix
from ebagx.text.fasttext.model import LOSSES, FastTextModel, in_order
from ebagx.text.vectors.lookups import State
from ebagx.text.words import Words, spans_of_lines

FASTTEXT_VERSION = 5
ALL_FASTTEXT_FILES: tuple[str, ...] = (
    *("words.txt", "labels.txt", "buckets.npy", "embedding.npy", "embedding.codes"),
    *("coef.npy", "label_counts.npy"),
)
_MAX_DIM = 2**16
_MAX_ROWS = 2**31 - 1


class FastTextDescription(NamedTuple):
    """The checked content of the description."""

    version: int
    loss: str
    dim: int
    n_words: int
    n_labels: int
    n_rows: int
    rules: dict[str, str]  # those of `FastTextFeatures.state`
    bits: int | None
    folder: str
    files: dict[str, FileRecord]

    @property
    def is_pruned(self) -> bool:
        """Return whether some buckets have no row."""
        return self.rules.get("is_pruned") == "1"


def describe_fasttext(
    model: FastTextModel, folder: str, records: dict[str, FileRecord], text_format: str
) -> bytes:
    """Return the description of a model whose files are in `folder`."""
    features = model.features
    description = {
        "format": text_format,
        "version": FASTTEXT_VERSION,
        "loss": model.loss,
        "embedding_dim": model.dim,
        "words": features.n_words,
        "labels": len(model.labels),
        "rows": features.num_rows,
        "fasttext": features.state().about,
        "bits": model.bits,
        "folder": folder,
        "files": as_fields(records),
    }
    return json.dumps(description, indent=1).encode()


def checked_description(about: dict[str, Any], path: Path) -> FastTextDescription:
    """Return the fields of a description of version 5, or raise ValueError."""
    loss, rules, bits, folder = (about.get(name) for name in ("loss", "fasttext", "bits", "folder"))
    if loss not in LOSSES:
        raise ValueError(f"{path}: loss is {loss!r:.20}, not {', '.join(LOSSES)}")
    if not isinstance(rules, dict) or not all(isinstance(rule, str) for rule in rules.values()):
        raise ValueError(f"{path}: fasttext does not have the rules of features")
    if bits is not None and (bits not in BITS or type(bits) is not int):
        raise ValueError(f"{path}: bits is {bits!r:.20}, not 8, 4 or 2")
    if not is_version_name(folder):
        raise ValueError(f"{path}: folder is {folder!r:.20}, not data- and 16 hexadecimal digits")
    found = FastTextDescription(
        FASTTEXT_VERSION,
        loss,
        checked_integer(about, "embedding_dim", 1, _MAX_DIM, path),
        checked_integer(about, "words", 0, _MAX_ROWS, path),
        checked_integer(about, "labels", 1, _MAX_ROWS, path),
        checked_integer(about, "rows", 1, _MAX_ROWS, path),
        rules,
        bits,
        cast(str, folder),
        {},
    )
    return found._replace(files=checked_files(about.get("files"), [_names(found)], path))


def _names(about: FastTextDescription) -> list[str]:
    """Return the names of all files except the description."""
    names = ["words.txt", "labels.txt", "coef.npy"]
    names += ["embedding.npy" if about.bits is None else "embedding.codes"]
    return [
        *names,
        *(["buckets.npy"] if about.is_pruned else []),
        *(["label_counts.npy"] if about.loss == "hs" else []),
    ]


def fasttext_contents(model: FastTextModel) -> dict[str, Chunks]:
    """Return the content of each file except the description, of a model as `in_order` makes it."""
    state, table, output = model.features.state(), model.table, model.output
    contents: dict[str, Chunks] = {
        "words.txt": [model.features.words().lines()],
        "labels.txt": [state.arrays["labels"].tobytes()],
        "coef.npy": npy_chunks(output.matrix.dense),
    }
    if isinstance(table, QuantizedTable):
        codes = Table.of(table)
        assert isinstance(codes, CodeTable)
        contents["embedding.codes"] = list(code_file.contents(codes.packed))
    else:
        contents["embedding.npy"] = npy_chunks(table.dense)
    if "buckets" in state.arrays:
        contents["buckets.npy"] = npy_chunks(state.arrays["buckets"])
    if isinstance(output, LabelTree):
        contents["label_counts.npy"] = npy_chunks(output.counts)
    return contents


def ready_to_save(model: FastTextModel) -> FastTextModel:
    """Return the model with tables as the files hold them.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    found = in_order(model)
    if not isinstance(found.table, QuantizedTable):
        found.table.check_finite("the table of words")
    found.output.matrix.check_finite("the table of labels")
    return found


def fasttext_model(
    checked: dict[str, CheckedFile],
    about: FastTextDescription,
    num_threads: int | None,
) -> FastTextModel:
    """Return the model of files; raise ValueError if they do not fit the description."""
    text = checked["words.txt"].content.tobytes()
    words = Words.of(text, spans_of_lines(text))
    if words.count != about.n_words or text.count(b"\n") != about.n_words or text[-1:] not in b"\n":
        raise ValueError(f"{checked['words.txt'].path}: these are not {about.n_words:,} words")
    features = _features(checked, about, words)
    if (features.num_rows, features.entries.count - about.n_words) != (
        about.n_rows,
        about.n_labels,
    ):
        raise ValueError("labels or buckets are not those of the description")
    coef = checked["coef.npy"].floats((about.n_labels, about.dim))
    counts = np.zeros(0, np.int64)
    if about.loss == "hs":
        counts = checked["label_counts.npy"].array((about.n_labels,), np.int64)
    output = labels_of(about.loss, Matrix(about.n_labels, about.dim, coef), np.array(counts))
    names = features.label_names()
    return FastTextModel(features, names, about.loss, _table(checked, about), output, num_threads)


def _features(
    checked: dict[str, CheckedFile], about: FastTextDescription, words: Words
) -> FastTextFeatures:
    arrays: dict[str, Any] = {"labels": np.asarray(checked["labels.txt"].content)}
    if about.is_pruned:
        n_left = about.n_rows - about.n_words
        arrays["buckets"] = checked["buckets.npy"].array((n_left,), np.int32)
        arrays["places"] = np.arange(n_left, dtype=np.int32)
    try:
        return FastTextFeatures.restored(words, State(about.rules, arrays))
    except (KeyError, TypeError) as error:
        raise ValueError(f"the rules of features lack or have a wrong {error}") from error


def _table(checked: dict[str, CheckedFile], about: FastTextDescription) -> Matrix | QuantizedTable:
    shape = about.n_rows, about.dim
    if about.bits is None:
        return Matrix(*shape, checked["embedding.npy"].floats(shape))
    path, content = checked["embedding.codes"]
    table = table_of_rows(code_file.rows_in(content, path))
    if (table.shape, table.bits) != (shape, about.bits):
        raise ValueError(f"{path}: the table has shape {table.shape} and {table.bits} bits")
    return table

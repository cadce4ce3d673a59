"""Save and load models as a folder of text and ``.npy`` files, which can hold no code.

``model.json`` describes the model, names the folder beside it that has the other files, and has
size and SHA-256 of each: ``words.txt`` has the words of the first rows, one a line;
``buckets.npy`` the n-gram buckets of the other rows; ``embedding.npy`` all rows; ``coef.npy`` and
``intercept.npy`` the linear layer; ``row_squares.npy`` and ``head_squares.npy``, if they are there,
what Adagrad goes on with. A quantised model has other files in place of the first three: see
`ebagx.io.small_files`. `ebagx.io.versioned_folder` says how a folder has one complete model at
every moment, for any number of processes that save and load.

All that is read is checked. Names of files are fixed; the name of the folder is hexadecimal. Sizes
and shapes follow from a few checked integers, and must be those of the file. The header of an array
is not parsed: it must be, byte for byte, the one that is written here. So a file cannot cause a
large allocation.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.maps import in_sequence
from ebagx._core.table import Table
from ebagx.io.checked_file import CheckedFile
from ebagx.io.description_fields import FileRecord
from ebagx.io.fasttext_folder import (
    FastTextDescription,
    fasttext_contents,
    fasttext_model,
    ready_to_save,
)
from ebagx.io.model_description import (
    ALL_FILES,
    FILES,
    FORMAT,
    STATE_FILES,
    WORDS,
    Description,
    describe,
    read_description,
)
from ebagx.io.npy import Chunks, npy_chunks
from ebagx.io.small_files import codes, small_contents, small_features
from ebagx.io.stored_folder import check_replaceable, load_current, write_files
from ebagx.io.versioned_folder import Version, VersionedFolder, open_files
from ebagx.text.accumulators import Accumulators
from ebagx.text.fasttext.model import FastTextModel
from ebagx.text.features import Features
from ebagx.text.model import TextModel
from ebagx.text.tokenizers import CALLABLE, Tokenizer

_FASTTEXT = Tokenizer("fasttext", lowercase=False)
_VERSION_1_FILES = ("vocabulary.json", "embedding.npy", "coef.npy", "intercept.npy")


def check_destination(directory: Path) -> None:
    """Raise unless `save_model` may write `directory`; call it before a long training.

    Only a folder that looks like a model is replaced, so that a wrong path changes nothing.
    """
    check_replaceable(directory, FORMAT, _VERSION_1_FILES)
    try:
        VersionedFolder(directory.resolve(), ALL_FILES).check_writeable()
    except OSError as error:
        raise ValueError(f"cannot save a model as {directory}: {error.strerror}") from error


def save_model(model: TextModel | FastTextModel, directory: Path) -> None:
    """Write `model` as `directory`; a complete new model replaces one that is there.

    Raises
    ------
    OSError
        If the disk is full, or the system refuses to write for another reason; its text names a
        file. The old model stays, and `model` can be saved elsewhere.
    ValueError
        If `directory` is neither new, nor empty, nor a model.

    Notes
    -----
    The disk needs space for both models. All files are on the disk before the new model replaces
    the old one; then the files of the old model are deleted. Any number of processes and threads
    may save and load the same folder at the same time; the last that replaces the model wins.
    """
    check_replaceable(directory, FORMAT, _VERSION_1_FILES)
    root = directory.resolve()
    if isinstance(model, FastTextModel):
        model = ready_to_save(model)
    with VersionedFolder(root, ALL_FILES).new_version() as version:
        records = _write_data(model, version)
        version.publish(describe(model, version.folder.name, records))
    for name in _VERSION_1_FILES:
        with suppress(OSError):
            (root / name).unlink()


def load_model(
    directory: Path,
    num_threads: int | None = None,
    tokenizer: Callable[[str], Any] | None = None,
) -> TextModel:
    """Read and check a model; the embedding table is mapped, not copied: see `load_any_model`.

    Raises
    ------
    OSError, ValueError
        As there; also if the model has the features of fastText.
    """
    model = load_any_model(directory, num_threads, tokenizer)
    if isinstance(model, FastTextModel):
        raise ValueError(
            f"{directory} has the features and labels of a model of fastText, and is only read: "
            "predict, test, vectors and quantize take it"
        )
    return model


def load_any_model(
    directory: Path,
    num_threads: int | None = None,
    tokenizer: Callable[[str], Any] | None = None,
) -> TextModel | FastTextModel:
    """Read and check a model; the embedding table is mapped, not copied.

    A model whose training had a tokenizer in Python needs it again.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If `directory` is not a model, or if any of its files is damaged, of another version,
        or does not fit the others. The text names the file. Also if `tokenizer` is missing or not
        needed.

    Notes
    -----
    Each file is read once, for its checksum. A model that is loaded does not change when another
    one replaces it: its files stay readable though they are deleted (on Windows, they are deleted
    later). If other code writes into the file of the table, results are wrong; if the file becomes
    shorter, calls raise ValueError.

    One model may be used by many threads at the same time.
    """
    return load_current(
        directory,
        read_description,
        lambda root, about: _load(root, about, num_threads, tokenizer),
    )


def _load(
    root: Path,
    about: Description | FastTextDescription,
    num_threads: int | None,
    function: Callable[[str], Any] | None,
) -> TextModel | FastTextModel:
    if isinstance(about, FastTextDescription):
        _with_function(_FASTTEXT, function, root)
        checked = _checked(root, about)
        try:
            return fasttext_model(checked, about, num_threads)
        except ValueError as error:
            if str(root) in str(error):
                raise
            raise ValueError(f"{root}: {error}") from error
    tokenizer = _with_function(about.tokenizer, function, root)
    return _text_model(root, about, num_threads, tokenizer)


def _checked(root: Path, about: Description | FastTextDescription) -> dict[str, CheckedFile]:
    paths = [root / about.folder / name for name in ALL_FILES if name in about.files]
    with open_files(paths) as files:
        return {
            path.name: CheckedFile.of(path, file, about.files[path.name])
            for path, file in zip(paths, files, strict=True)
        }


def _text_model(
    root: Path, about: Description, num_threads: int | None, tokenizer: Tokenizer
) -> TextModel:
    checked = _checked(root, about)
    n_labels, n_rows = len(about.labels), about.n_words + about.n_buckets
    read_features, read_table = (
        (_features, _floats) if about.quantised is None else (small_features, codes)
    )
    words, buckets = read_features(checked, about)
    try:
        features = Features.restore(about.ngrams, words, buckets, tokenizer)
    except ValueError as error:
        raise ValueError(f"{root}: {error}") from error
    dtype = np.float32 if about.quantised is None else np.float16
    return TextModel(
        features,
        about.labels,
        about.loss,
        read_table(checked, about),
        checked["coef.npy"].floats((n_labels, about.dim), dtype),
        checked["intercept.npy"].floats((n_labels,)),
        num_threads,
        about.label_type,
        about.label_prefix,
        _accumulators(checked, (n_rows, n_labels, about.dim)),
        about.recipe,
    )


def _features(
    checked: dict[str, CheckedFile], about: Description
) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Return the words and the buckets of a model."""
    words = checked[WORDS]
    buckets = checked["buckets.npy"].array((about.n_buckets,), np.int32)
    return words.lines(words.content.tobytes(), about.n_words), buckets


def _floats(checked: dict[str, CheckedFile], about: Description) -> npt.NDArray[np.float32]:
    return checked["embedding.npy"].floats((about.n_words + about.n_buckets, about.dim))


def _with_function(
    tokenizer: Tokenizer, function: Callable[[str], Any] | None, root: Path
) -> Tokenizer:
    if tokenizer.name == CALLABLE:
        if function is None:
            raise ValueError(
                f"{root}: the model was trained with a tokenizer in Python, which no file holds: "
                "load_model(path, tokenizer=function) of ebagx.text takes it again"
            )
        return replace(tokenizer, function=function)
    if function is not None:
        raise ValueError(f"{root}: tokenizer must be None, as the model has {tokenizer.name!r}")
    return tokenizer


def _accumulators(
    checked: dict[str, CheckedFile], shape: tuple[int, int, int]
) -> Accumulators | None:
    """Return sums of squares: 0 or more, infinite for rows that are frozen."""
    rows, head = map(checked.get, STATE_FILES)
    if rows is None or head is None:
        return None
    n_rows, n_labels, dim = shape
    found = Accumulators(
        rows.array((n_rows,), np.float32), head.array((n_labels, dim + 1), np.float32)
    )
    for file, array in zip((rows, head), found, strict=True):
        if not (array >= 0).all():
            raise ValueError(f"{file.path}: the array holds nan or negative numbers")
    return found


def saved_size(model: TextModel | FastTextModel) -> int:
    """Return the bytes of all files that `save_model` would write."""
    if isinstance(model, FastTextModel):
        model = ready_to_save(model)
    sizes = {name: sum(map(len, chunks)) for name, chunks in _contents(model).items()}
    records = {name: FileRecord(size, "0" * 64) for name, size in sizes.items()}
    return sum(sizes.values()) + len(describe(model, f"data-{'0' * 16}", records))


def _write_data(model: TextModel | FastTextModel, version: Version) -> dict[str, FileRecord]:
    """Write all files except the description; return size and checksum of each."""
    contents = _contents(model)
    table = model.table if isinstance(model, FastTextModel) else model.embedding
    with in_sequence(Table.of(getattr(table, "dense", table)).array):
        return write_files(version, contents)


def _contents(model: TextModel | FastTextModel) -> dict[str, Chunks]:
    """Return the content of each file except the description."""
    if isinstance(model, FastTextModel):
        return fasttext_contents(model)
    if model.bits is not None:
        return small_contents(model)
    features = model.features
    arrays = [features.table.buckets(), *model.trainable_weights(), *(model.accumulators or ())]
    words: Chunks = [features.words.lines()]
    contents = [words, *map(npy_chunks, arrays)]
    return dict(zip((*FILES, *STATE_FILES), contents, strict=False))

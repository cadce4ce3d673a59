"""Save and load models as a folder of text and ``.npy`` files, which can hold no code.

``model.json`` describes the model, names the folder beside it that has the other files, and has
size and SHA-256 of each: ``words.txt`` has the words of the first rows, one a line;
``buckets.npy`` the n-gram buckets of the other rows; ``embedding.npy`` all rows; ``coef.npy`` and
``intercept.npy`` the linear layer; ``row_squares.npy`` and ``head_squares.npy``, if they are there,
what Adagrad goes on with. `ebagx.io.versioned_folder` says how a folder has one complete
model at every moment, for any number of processes that save and load.

All that is read is checked. Names of files are fixed; the name of the folder is hexadecimal. Sizes
and shapes follow from a few checked integers, and must be those of the file. The header of an array
is not parsed: it must be, byte for byte, the one that is written here. So a file cannot cause a
large allocation.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.maps import in_sequence
from ebagx.io.model_description import (
    ALL_FILES,
    STATE_FILES,
    WORDS,
    Description,
    FileRecord,
    describe,
    read_description,
)
from ebagx.io.npy import little_endian_bytes, npy_header
from ebagx.io.versioned_folder import (
    DESCRIPTION,
    Version,
    VersionedFolder,
    flush_file,
    is_own_name,
    naming,
    open_files,
)
from ebagx.text.accumulators import Accumulators
from ebagx.text.features import Features
from ebagx.text.model import TextModel
from ebagx.text.tokenizers import CALLABLE, Tokenizer

_VERSION_1_FILES = ("vocabulary.json", "embedding.npy", "coef.npy", "intercept.npy")
_CHECKED_AT_ONCE = 1 << 20


def check_destination(directory: Path) -> None:
    """Raise unless `save_model` may write `directory`; call it before a long training.

    Only a folder that looks like a model is replaced, so that a wrong path changes nothing.
    """
    _check_replaceable(directory)
    try:
        VersionedFolder(directory.resolve(), ALL_FILES).check_writeable()
    except OSError as error:
        raise ValueError(f"cannot save a model as {directory}: {error.strerror}") from error


def save_model(model: TextModel, directory: Path) -> None:
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
    _check_replaceable(directory)
    root = directory.resolve()
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
    root = Path(os.path.abspath(directory))
    if not (root / DESCRIPTION).is_file():
        raise ValueError(f"{directory} is not a model directory: it has no {DESCRIPTION}")
    about = read_description(root / DESCRIPTION)
    while True:
        try:
            return _load(root, about, num_threads, tokenizer)
        except OSError:
            # A save may have replaced the model meanwhile; then the new one is loaded.
            newer = read_description(root / DESCRIPTION)
            if newer.folder == about.folder:
                raise
            about = newer


def _check_replaceable(directory: Path) -> None:
    if _holds_the_working_directory(directory.resolve()):
        raise ValueError(f"{directory} is not replaced: it is, or holds, the working directory")
    if directory.is_dir():
        names = set(os.listdir(directory)) - {*_VERSION_1_FILES}
        foreign = [name for name in names if not is_own_name(name)]
        if foreign:
            raise ValueError(f"{directory} is not replaced: it holds {min(foreign)}, not a model")
    elif directory.exists():
        raise ValueError(f"{directory} is not replaced: it is a file, not a model directory")


def _holds_the_working_directory(directory: Path) -> bool:
    try:
        return Path.cwd().is_relative_to(directory)
    except FileNotFoundError:  # it was deleted, and nothing holds it
        return False


def _load(
    root: Path,
    about: Description,
    num_threads: int | None,
    function: Callable[[str], Any] | None,
) -> TextModel:
    tokenizer = _with_function(about.tokenizer, function, root)
    paths = [root / about.folder / name for name in ALL_FILES if name in about.files]
    with open_files(paths) as files:
        checked = {
            path.name: _CheckedFile.of(path, file, about.files[path.name])
            for path, file in zip(paths, files, strict=True)
        }
    n_labels, n_rows = len(about.labels), about.n_words + about.n_buckets
    words = checked[WORDS].lines(about.n_words)
    buckets = checked["buckets.npy"].array((about.n_buckets,), np.int32)
    try:
        features = Features.restore(about.ngrams, words, buckets, tokenizer)
    except ValueError as error:
        raise ValueError(f"{root}: {error}") from error
    return TextModel(
        features,
        about.labels,
        about.loss,
        checked["embedding.npy"].floats((n_rows, about.dim)),
        checked["coef.npy"].floats((n_labels, about.dim)),
        checked["intercept.npy"].floats((n_labels,)),
        num_threads,
        about.label_type,
        about.label_prefix,
        _accumulators(checked, (n_rows, n_labels, about.dim)),
        about.recipe,
    )


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
    checked: dict[str, "_CheckedFile"], shape: tuple[int, int, int]
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


class _CheckedFile(NamedTuple):
    """A file with the recorded size and checksum, mapped."""

    path: Path
    content: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, path: Path, file: BufferedReader, record: FileRecord) -> "_CheckedFile":
        """Map an open file of the recorded size and checksum."""
        size = os.fstat(file.fileno()).st_size
        if size != record.size:
            raise ValueError(
                f"{path}: damaged or incomplete: it has {size:,} bytes, not {record.size:,}"
            )
        with naming(path):
            if hashlib.file_digest(file, "sha256").hexdigest() != record.sha256:
                raise ValueError(f"{path}: damaged: the checksum is not the one in {DESCRIPTION}")
            # The open file is mapped, as its path may name another by now. Maps cannot be empty.
            content = np.memmap(file, np.uint8, "r") if size else np.empty(0, np.uint8)
        return cls(path, np.asarray(content))

    def lines(self, count: int) -> list[str]:
        """Return the content as `count` lines that are not empty."""
        try:
            lines = self.content.tobytes().decode().split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path}: not utf-8 text") from error
        if lines.pop() or len(lines) != count or not all(lines):
            raise ValueError(f"{self.path}: this is not a list of {count:,} words, a line each")
        return lines

    def array(self, shape: tuple[int, ...], dtype: type[np.generic]) -> npt.NDArray[Any]:
        """Return the content as an array in C order."""
        header = npy_header(shape, np.dtype(dtype))
        if self.content[: len(header)].tobytes() != header or (
            len(self.content) != len(header) + np.dtype(dtype).itemsize * int(np.prod(shape))
        ):
            name = np.dtype(dtype).name
            raise ValueError(f"{self.path}: this is not a {name} array of shape {shape} in C order")
        return self.content[len(header) :].view(np.dtype(dtype).newbyteorder("<")).reshape(shape)

    def floats(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Return the content as an array of finite float32."""
        array = self.array(shape, np.float32)
        flat = array.reshape(-1)
        for start in range(0, len(flat), _CHECKED_AT_ONCE):
            if not np.isfinite(flat[start : start + _CHECKED_AT_ONCE]).all():
                raise ValueError(f"{self.path}: the array holds nan or infinity")
        return array


def _write_data(model: TextModel, version: Version) -> dict[str, FileRecord]:
    """Write all files except the description; return size and checksum of each."""
    features = model.features
    words = features.words.lines()
    arrays = [features.table.buckets(), model.embedding, model.coef, model.intercept]
    arrays += model.accumulators or ()
    contents: list[list[bytes | memoryview]] = [[words]]
    contents += [[npy_header(a.shape, a.dtype), little_endian_bytes(a)] for a in arrays]
    with in_sequence(model.embedding):
        return {
            name: _write(version.folder / name, chunks)
            for name, chunks in zip(ALL_FILES, contents, strict=False)
        }


def _write(path: Path, chunks: Iterable[bytes | memoryview]) -> FileRecord:
    """Write a file to the disk; return its record."""
    digest, size = hashlib.sha256(), 0
    with naming(path), path.open("xb") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += file.write(chunk)
        flush_file(file)
    return FileRecord(size, digest.hexdigest())

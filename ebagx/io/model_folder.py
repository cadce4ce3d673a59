"""Save and load models as a folder of text and ``.npy`` files, which can hold no code.

``model.json`` describes the model, names the folder beside it that has the other files, and has
size and SHA-256 of each: ``words.txt`` has the words of the first rows, one a line;
``buckets.npy`` the n-gram buckets of the other rows; ``embedding.npy`` all rows; ``coef.npy`` and
``intercept.npy`` the linear layer; ``row_squares.npy`` and ``head_squares.npy``, if they are there,
what Adagrad goes on with. A quantised model has ``words.zlib`` and ``buckets.zlib`` in place of the
first two, see `ebagx.io.small_files`, and ``embedding.codes``, a file of `QuantizedTable`, in place
of the third; its ``coef.npy`` is float16. `ebagx.io.versioned_folder` says how a folder has one complete
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
from ebagx._core.quantized import file as code_file
from ebagx._core.quantized.table import CodeTable
from ebagx._core.table import Table
from ebagx.io.model_description import (
    ALL_FILES,
    CODES,
    FILES,
    SMALL_BUCKETS,
    SMALL_FILES,
    SMALL_WORDS,
    STATE_FILES,
    WORDS,
    Description,
    FileRecord,
    describe,
    read_description,
)
from ebagx.io.npy import little_endian_bytes, npy_header
from ebagx.io.small_files import pack, pack_buckets, unpack, unpack_buckets
from ebagx.io.versioned_folder import (
    DESCRIPTION,
    Version,
    VersionedFolder,
    flush_file,
    is_own_name,
    naming,
    open_files,
)
from ebagx.quantized import QuantizedTable, table_of_rows
from ebagx.text.accumulators import Accumulators
from ebagx.text.features import Features
from ebagx.text.model import TextModel
from ebagx.text.tokenizers import CALLABLE, Tokenizer

_VERSION_1_FILES = ("vocabulary.json", "embedding.npy", "coef.npy", "intercept.npy")
_CHECKED_AT_ONCE = 1 << 20

_Chunks = list[bytes | memoryview]


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
    read_features, read_table = (
        (_features, _floats) if about.quantised is None else (_small_features, _codes)
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
    checked: dict[str, "_CheckedFile"], about: Description
) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Return the words and the buckets of a model."""
    words = checked[WORDS]
    buckets = checked["buckets.npy"].array((about.n_buckets,), np.int32)
    return words.lines(words.content.tobytes(), about.n_words), buckets


def _floats(checked: dict[str, "_CheckedFile"], about: Description) -> npt.NDArray[np.float32]:
    return checked["embedding.npy"].floats((about.n_words + about.n_buckets, about.dim))


def _small_features(
    checked: dict[str, "_CheckedFile"], about: Description
) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Return the words and the buckets of a quantised model."""
    assert about.quantised is not None
    words, buckets = checked[SMALL_WORDS], checked[SMALL_BUCKETS]
    text = unpack(words.content.tobytes(), about.quantised.word_bytes, words.path)
    limit = about.ngrams.buckets_in_use
    return words.lines(text, about.n_words), unpack_buckets(
        buckets.content.tobytes(), about.n_buckets, limit, buckets.path
    )


def _codes(checked: dict[str, "_CheckedFile"], about: Description) -> QuantizedTable:
    """Return the table of a quantised model."""
    assert about.quantised is not None
    path, content = checked[CODES]
    table = table_of_rows(code_file.rows_in(content, path))
    shape = about.n_words + about.n_buckets, about.dim
    if (table.shape, table.bits) != (shape, about.quantised.bits):
        raise ValueError(
            f"{path}: the table has shape {table.shape} and {table.bits} bits, not {shape} and "
            f"{about.quantised.bits}"
        )
    return table


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

    def lines(self, content: bytes, count: int) -> list[str]:
        """Return content of the file as `count` lines that are not empty."""
        try:
            lines = content.decode().split("\n")
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

    def floats(
        self, shape: tuple[int, ...], dtype: type[np.floating[Any]] = np.float32
    ) -> npt.NDArray[np.float32]:
        """Return the content as an array of finite float32, of which float16 becomes a copy."""
        array = self.array(shape, dtype).astype(np.float32, copy=False)
        flat = array.reshape(-1)
        for start in range(0, len(flat), _CHECKED_AT_ONCE):
            if not np.isfinite(flat[start : start + _CHECKED_AT_ONCE]).all():
                raise ValueError(f"{self.path}: the array holds nan or infinity")
        return array


def saved_size(model: TextModel) -> int:
    """Return the bytes of all files that `save_model` would write."""
    sizes = {
        name: sum(map(len, chunks))
        for name, chunks in (_small_contents if model.bits else _contents)(model).items()
    }
    records = {name: FileRecord(size, "0" * 64) for name, size in sizes.items()}
    return sum(sizes.values()) + len(describe(model, f"data-{'0' * 16}", records))


def _write_data(model: TextModel, version: Version) -> dict[str, FileRecord]:
    """Write all files except the description; return size and checksum of each."""
    contents = (_small_contents if model.bits else _contents)(model)
    with in_sequence(Table.of(model.embedding, "embedding").array):
        return {name: _write(version.folder / name, chunks) for name, chunks in contents.items()}


def _contents(model: TextModel) -> dict[str, _Chunks]:
    """Return the content of each file."""
    features = model.features
    arrays = [features.table.buckets(), *model.trainable_weights(), *(model.accumulators or ())]
    contents = [[features.words.lines()], *map(_npy, arrays)]
    return dict(zip((*FILES, *STATE_FILES), contents, strict=False))


def _small_contents(model: TextModel) -> dict[str, _Chunks]:
    """Return the content of each file of a quantised model."""
    features, table = model.features, Table.of(model.embedding, "embedding")
    assert isinstance(table, CodeTable)
    contents = (
        [pack(features.words.lines())],
        [pack_buckets(features.table.buckets())],
        list(code_file.contents(table.packed)),
        _npy(model.coef.astype(np.float16)),
        _npy(model.intercept),
    )
    return dict(zip(SMALL_FILES, contents, strict=True))


def _npy(array: npt.NDArray[Any]) -> _Chunks:
    return [npy_header(array.shape, array.dtype), little_endian_bytes(array)]


def _write(path: Path, chunks: Iterable[bytes | memoryview]) -> FileRecord:
    """Write a file to the disk; return its record."""
    digest, size = hashlib.sha256(), 0
    with naming(path), path.open("xb") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += file.write(chunk)
        flush_file(file)
    return FileRecord(size, digest.hexdigest())

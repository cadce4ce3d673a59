"""Save and load models as a directory of text and ``.npy`` files, which can hold no code.

``model.json`` describes the model, names the folder beside it that has the other files, and has
size and SHA-256 of each: ``words.txt`` has the words of the first rows, one a line;
``buckets.npy`` the n-gram buckets of the other rows; ``embedding.npy`` all rows; ``coef.npy`` and
``intercept.npy`` the linear layer. A save writes a new folder and then replaces ``model.json`` in
one step of the file system: a process that is killed leaves the old model or the new one, and a
process that loads meanwhile gets one of them.

All that is read is checked. Names of files are fixed; the name of the folder is hexadecimal. Sizes
and shapes follow from a few checked integers, and must be those of the file. The header of an array
is not parsed: it must be, byte for byte, the one that is written here. So a file cannot cause a
large allocation.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from ebagx._core.maps import in_sequence
from ebagx.io.npy import little_endian_bytes, npy_header
from ebagx.text.corpus import is_label
from ebagx.text.features import Features
from ebagx.text.model import LOSSES, TextModel
from ebagx.text.tokenizers import Tokenizer
from ebagx.text.ngrams import MAX_BUCKETS, MAX_CHAR_NGRAM, MAX_WORD_NGRAM, Ngrams

MAX_DIM = 2**16
FORMAT_VERSION = 2

_FORMAT = "ebagx text classifier"
_DESCRIPTION = "model.json"
_WORDS = "words.txt"
_FILES = (_WORDS, "buckets.npy", "embedding.npy", "coef.npy", "intercept.npy")
_SCRATCH = ".new-"
_FOLDER = re.compile(r"data-[0-9a-f]{16}", re.ASCII)
# The names of this version, and of version 1, which had all files in one folder.
_OWN_NAME = re.compile(rf"{_FOLDER.pattern}|model\.json|vocabulary\.json|\w+\.npy|{_SCRATCH}\w+")
_MAX_ROWS = 2**31 - 1
_CHECKED_AT_ONCE = 1 << 20


def check_destination(directory: Path) -> None:
    """Raise unless `save_model` may write `directory`; call it before a long training.

    Only a folder that looks like a model is replaced, so that a wrong path deletes nothing.
    """
    if Path.cwd().is_relative_to(directory.resolve()):
        raise ValueError(f"{directory} is not replaced: it is, or holds, the working directory")
    if directory.is_dir():
        foreign = [name for name in os.listdir(directory) if not _OWN_NAME.fullmatch(name)]
        if foreign:
            raise ValueError(f"{directory} is not replaced: it holds {min(foreign)}, not a model")
    elif directory.exists():
        raise ValueError(f"{directory} is not replaced: it is a file, not a model directory")
    parent = directory if directory.is_dir() else directory.resolve().parent
    try:
        tempfile.TemporaryDirectory(dir=parent, prefix=_SCRATCH).cleanup()
    except OSError as error:
        raise ValueError(f"cannot save a model as {directory}: {error.strerror}") from error


def save_model(model: TextModel, directory: Path) -> None:
    """Write `model` as `directory`; a complete new model replaces one that is there.

    Notes
    -----
    All files are on the disk before `model.json` is replaced. Then the files of the old model are
    deleted, and those that an earlier, killed save has left.
    """
    check_destination(directory)
    created = not directory.exists()
    directory.mkdir(exist_ok=True)
    folder = f"data-{secrets.token_hex(8)}"
    try:
        (directory / folder).mkdir()
        records = _write_data(model, directory / folder)
        description = directory / folder / _DESCRIPTION
        _write(description, [_to_json(model, folder, records)])
        _synchronise(directory / folder)
        description.replace(directory / _DESCRIPTION)
        _synchronise(directory)
    except BaseException:
        shutil.rmtree(directory / folder, ignore_errors=True)
        if created:
            with suppress(OSError):
                directory.rmdir()
        raise
    for name in os.listdir(directory):
        if name not in (folder, _DESCRIPTION):
            _remove(directory / name)


def load_model(directory: Path, num_threads: int | None = None) -> TextModel:
    """Read and check a model; the embedding table is mapped, not copied.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If `directory` is not a model, or if any of its files is damaged, of another version,
        or does not fit the others. The text names the file.

    Notes
    -----
    Each file is read once, for its checksum. If other code later writes into the file of the
    table, results are wrong; if the file becomes shorter, calls raise ValueError.
    """
    if not (directory / _DESCRIPTION).is_file():
        raise ValueError(f"{directory} is not a model directory: it has no {_DESCRIPTION}")
    about = _read_description(directory / _DESCRIPTION)
    while True:
        try:
            return _load(directory, about, num_threads)
        except FileNotFoundError:
            # A save may have replaced the model meanwhile; then the new one is loaded.
            newer = _read_description(directory / _DESCRIPTION)
            if newer.folder == about.folder:
                raise
            about = newer


def _load(directory: Path, about: "_Description", num_threads: int | None) -> TextModel:
    folder = directory / about.folder
    opened = {name: _CheckedFile.of(folder / name, about.files[name]) for name in _FILES}
    n_labels, n_rows = len(about.labels), about.n_words + about.n_buckets
    words = opened[_WORDS].lines(about.n_words)
    buckets = opened["buckets.npy"].array((about.n_buckets,), np.int32)
    try:
        features = Features.restore(about.ngrams, words, buckets, Tokenizer("words"))
    except ValueError as error:
        raise ValueError(f"{directory}: {error}") from error
    return TextModel(
        features,
        about.labels,
        about.loss,
        opened["embedding.npy"].floats((n_rows, about.dim)),
        opened["coef.npy"].floats((n_labels, about.dim)),
        opened["intercept.npy"].floats((n_labels,)),
        num_threads,
    )


class _FileRecord(NamedTuple):
    size: int
    sha256: str


class _Description(NamedTuple):
    labels: list[str]
    loss: str
    dim: int
    n_words: int
    n_buckets: int
    ngrams: Ngrams
    folder: str
    files: dict[str, _FileRecord]


class _CheckedFile(NamedTuple):
    """A file with the recorded size and checksum, mapped."""

    path: Path
    content: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, path: Path, record: _FileRecord) -> "_CheckedFile":
        """Map a regular file of the recorded size and checksum."""
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"{path}: this is not a regular file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != record.size:
                raise ValueError(
                    f"{path}: damaged or incomplete: it has {size:,} bytes, not {record.size:,}"
                )
            if hashlib.file_digest(file, "sha256").hexdigest() != record.sha256:
                raise ValueError(f"{path}: damaged: the checksum is not the one in {_DESCRIPTION}")
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


def _write_data(model: TextModel, folder: Path) -> dict[str, dict[str, int | str]]:
    """Write all files except the description; return size and checksum of each."""
    features = model.features
    words = features.words.lines()
    arrays = (features.table.buckets(), model.embedding, model.coef, model.intercept)
    contents: list[list[bytes | memoryview]] = [[words]]
    contents += [[npy_header(a.shape, a.dtype), little_endian_bytes(a)] for a in arrays]
    with in_sequence(model.embedding):
        return {name: _write(folder / name, c) for name, c in zip(_FILES, contents, strict=True)}


def _to_json(model: TextModel, folder: str, records: dict[str, dict[str, int | str]]) -> bytes:
    features = model.features
    description = {
        "format": _FORMAT,
        "version": FORMAT_VERSION,
        "loss": model.loss,
        "embedding_dim": model.embedding.shape[1],
        "words": features.words.count,
        "buckets": len(features.table.buckets()),
        "ngrams": features.ngrams._asdict(),
        "labels": model.labels,
        "folder": folder,
        "files": records,
    }
    return json.dumps(description, ensure_ascii=False, indent=1).encode()


def _synchronise(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Delete a file or folder if possible; on Windows an open file cannot be deleted."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()


def _write(path: Path, chunks: Iterable[bytes | memoryview]) -> dict[str, int | str]:
    """Write a file to the disk; return its record."""
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": size, "sha256": digest.hexdigest()}


def _read_description(path: Path) -> _Description:
    about = _read_json(path)
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise ValueError(f"{path}: this is not the description of an {_FORMAT}")
    version = about.get("version")
    if not _is_integer(version, FORMAT_VERSION, FORMAT_VERSION):
        raise ValueError(
            f"{path}: the model has format version {version!r:.20}, this ebagx reads version "
            f"{FORMAT_VERSION}; train it again"
        )
    labels, loss = about.get("labels"), about.get("loss")
    if not isinstance(labels, list) or len(labels) < 2 or not all(map(is_label, labels)):
        raise ValueError(f"{path}: labels is not a list of at least 2 labels")
    if len(set(labels)) < len(labels):
        raise ValueError(f"{path}: a label occurs twice")
    if loss not in LOSSES:
        raise ValueError(f"{path}: loss is {loss!r:.20}, not {' or '.join(LOSSES)}")
    dim = _checked_integer(about, "embedding_dim", 1, MAX_DIM, path)
    n_words = _checked_integer(about, "words", 0, _MAX_ROWS, path)
    n_buckets = _checked_integer(about, "buckets", 0 if n_words else 1, _MAX_ROWS - n_words, path)
    ngrams = _checked_ngrams(about.get("ngrams"), path)
    folder = about.get("folder")
    if not (isinstance(folder, str) and _FOLDER.fullmatch(folder)):
        raise ValueError(f"{path}: folder is {folder!r:.20}, not data- and 16 hexadecimal digits")
    files = _checked_files(about.get("files"), path)
    return _Description(labels, cast(str, loss), dim, n_words, n_buckets, ngrams, folder, files)


def _checked_ngrams(ngrams: object, path: Path) -> Ngrams:
    limits = {
        "word_ngrams": (1, MAX_WORD_NGRAM),
        "min_chars": (0, MAX_CHAR_NGRAM),
        "max_chars": (0, MAX_CHAR_NGRAM),
        "n_buckets": (1, MAX_BUCKETS),
    }
    if not isinstance(ngrams, dict) or set(ngrams) != set(limits):
        raise ValueError(f"{path}: ngrams does not consist of {', '.join(limits)}")
    checked = Ngrams(*(_checked_integer(ngrams, n, *limits[n], path) for n in limits))
    if checked.min_chars > checked.max_chars:
        raise ValueError(f"{path}: min_chars is {checked.min_chars}, above max_chars")
    return checked


def _checked_files(files: object, path: Path) -> dict[str, _FileRecord]:
    if not isinstance(files, dict) or set(files) != set(_FILES):
        raise ValueError(f"{path}: files does not consist of {', '.join(_FILES)}")
    records = {}
    for name, record in files.items():
        if not isinstance(record, dict) or set(record) != {"bytes", "sha256"}:
            raise ValueError(f"{path}: {name} does not have bytes and sha256")
        size = _checked_integer(record, "bytes", 0, 2**63 - 1, path)
        records[name] = _FileRecord(size, str(record["sha256"]))
    return records


def _checked_integer(values: dict[str, Any], name: str, low: int, high: int, path: Path) -> int:
    value = values.get(name)
    if not _is_integer(value, low, high):
        raise ValueError(f"{path}: {name} is {value!r:.20}, not an integer from {low} to {high}")
    return cast(int, value)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged or incomplete: {error}") from error


def _is_integer(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high

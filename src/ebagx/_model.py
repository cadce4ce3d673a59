"""Text classifiers on disk: a directory of JSON and ``.npy`` files that can hold no code."""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ebagx._text import MAX_BUCKETS, MAX_DIM, MAX_WORD_NGRAMS, Features, is_label
from ebagx.sklearn import EmbeddingBagClassifier
from ebagx.sklearn._classifier import MODES

_FORMAT = "ebagx text classifier"
_VERSION = 1
_DESCRIPTION = "model.json"
_VOCABULARY = "vocabulary.json"
_ARRAYS = ("embedding", "coef", "intercept")


@dataclass(frozen=True)
class TextModel:
    """A vectorizer and a classifier whose classes are positions in `labels`."""

    features: Features
    labels: list[str]
    vectorizer: Any
    classifier: EmbeddingBagClassifier

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the likeliest label of each text."""
        classes = self.classifier.predict(self.vectorizer.transform(texts))
        return [self.labels[i] for i in classes]


def train_model(
    texts: Sequence[str],
    labels: Sequence[str],
    features: Features,
    classifier: EmbeddingBagClassifier,
) -> TextModel:
    """Fit `classifier` and a vectorizer for `features` to labelled texts."""
    names = sorted(set(labels))
    position = {name: i for i, name in enumerate(names)}
    vectorizer = features.make_vectorizer()
    classifier.fit(vectorizer.fit_transform(texts), [position[label] for label in labels])
    return TextModel(features, names, vectorizer, classifier)


def check_destination(directory: Path) -> None:
    """Raise unless `save_model` may write `directory`: ask before a long training.

    Only what looks like a model is ever replaced, so that a slip of the pen deletes nothing.
    """
    if Path.cwd().is_relative_to(directory.resolve()):
        raise ValueError(f"{directory} is not replaced: it is, or holds, the working directory")
    if directory.is_dir():
        foreign = set(os.listdir(directory)).difference(_file_names())
        if foreign:
            raise ValueError(f"{directory} is not replaced: it holds {min(foreign)}, not a model")
    elif directory.exists():
        raise ValueError(f"{directory} is not replaced: it is a file, not a model directory")
    try:
        _scratch_directory(directory).cleanup()
    except OSError as error:
        raise ValueError(f"cannot save a model as {directory}: {error.strerror}") from error


def save_model(model: TextModel, directory: Path) -> None:
    """Write `model` as `directory`; a model already there is replaced by the complete new one.

    Notes
    -----
    The files are written and synchronised in a hidden directory beside the target, which then
    is renamed. Whoever loads meanwhile finds the old model, the new one, or for an instant
    none, and never a mixture.
    """
    check_destination(directory)
    target = directory.resolve()
    with _scratch_directory(target) as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        new.mkdir()
        _write_files(model, new)
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise


def load_model(directory: Path, num_threads: int | None = None) -> TextModel:
    """Read a model; the embedding table is mapped, not copied, but checked to be finite.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If `directory` is not a model, or if any of its files is damaged, of another version,
        or does not fit the others. The text names the file.
    """
    if not (directory / _DESCRIPTION).is_file():
        raise ValueError(f"{directory} is not a model directory: it has no {_DESCRIPTION}")
    labels, features, mode, dim = _read_description(directory / _DESCRIPTION)
    vocabulary = None if features.buckets else _read_vocabulary(directory / _VOCABULARY)
    n_features = features.buckets or len(vocabulary or ())
    shapes = {
        "embedding": (n_features, dim),
        "coef": (len(labels), dim),
        "intercept": (len(labels),),
    }
    classifier = EmbeddingBagClassifier(dim, mode=mode, num_threads=num_threads)
    classifier.classes_ = np.arange(len(labels))
    classifier.n_features_in_ = n_features
    for name, shape in shapes.items():
        setattr(classifier, f"{name}_", _read_array(directory / f"{name}.npy", shape))
    return TextModel(features, labels, features.make_vectorizer(vocabulary), classifier)


def _scratch_directory(target: Path) -> tempfile.TemporaryDirectory[str]:
    target = target.resolve()
    return tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-")


def _file_names() -> set[str]:
    return {_DESCRIPTION, _VOCABULARY, *(f"{name}.npy" for name in _ARRAYS)}


def _write_files(model: TextModel, directory: Path) -> None:
    description = {
        "format": _FORMAT,
        "version": _VERSION,
        "features": model.features._asdict(),
        "mode": model.classifier.mode,
        "embedding_dim": model.classifier.embedding_dim,
        "labels": model.labels,
    }
    _write(directory / _DESCRIPTION, lambda file: file.write(_to_json(description)))
    if not model.features.buckets:
        terms = model.vectorizer.get_feature_names_out().tolist()
        _write(directory / _VOCABULARY, lambda file: file.write(_to_json(terms)))
    for name in _ARRAYS:
        array = getattr(model.classifier, f"{name}_")
        _write(directory / f"{name}.npy", partial(np.save, arr=array, allow_pickle=False))


def _to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    with path.open("xb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _read_description(path: Path) -> tuple[list[str], Features, str, int]:
    description = _read_json(path)
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        raise ValueError(f"{path}: this is not the description of an {_FORMAT}")
    version = description.get("version")
    if not _is_integer(version, _VERSION, _VERSION):
        raise ValueError(f"{path}: the format version is {version!r:.20}, not {_VERSION}")
    labels, features = description.get("labels"), description.get("features")
    mode, dim = description.get("mode"), description.get("embedding_dim", 0)
    if not isinstance(labels, list) or len(labels) < 2 or not all(map(is_label, labels)):
        raise ValueError(f"{path}: labels is not a list of at least 2 labels")
    if len(set(labels)) < len(labels):
        raise ValueError(f"{path}: a label occurs twice")
    if mode not in MODES:
        raise ValueError(f"{path}: mode is {mode!r:.20}, not one of {', '.join(MODES)}")
    if not _is_integer(dim, 1, MAX_DIM):
        raise ValueError(
            f"{path}: embedding_dim is {dim!r:.20}, not an integer from 1 to {MAX_DIM}"
        )
    return labels, _checked_features(features, path), mode, dim


def _checked_features(features: object, path: Path) -> Features:
    limits = {"word_ngrams": (1, MAX_WORD_NGRAMS), "buckets": (0, MAX_BUCKETS)}
    if not isinstance(features, dict) or set(features) != set(limits):
        raise ValueError(f"{path}: features does not consist of {' and '.join(limits)}")
    for name, (low, high) in limits.items():
        if not _is_integer(features[name], low, high):
            raise ValueError(
                f"{path}: {name} is {features[name]!r:.20}, not an integer from {low} to {high}"
            )
    return Features(**features)


def _read_vocabulary(path: Path) -> list[str]:
    terms = _read_json(path)
    if not isinstance(terms, list) or not terms or not all(isinstance(t, str) for t in terms):
        raise ValueError(f"{path}: this is not a list of words")
    if len(set(terms)) < len(terms):
        raise ValueError(f"{path}: a word occurs twice")
    return terms


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged or incomplete: {error}") from error


def _read_array(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # NumPy parses the header as Python, which fails in many ways
        raise ValueError(f"{path}: damaged or incomplete: {error}") from error
    if not isinstance(array, np.memmap) or array.dtype != np.float32:
        raise ValueError(f"{path}: this is not a float32 array")
    if array.shape != shape:
        raise ValueError(f"{path}: the shape is {array.shape}, {_DESCRIPTION} asks for {shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{path}: the array is not in C order")
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: the array holds nan or infinity")
    return np.asarray(array)


def _is_integer(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high

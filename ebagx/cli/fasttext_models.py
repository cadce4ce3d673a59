"""Models of fastText on the command line: as they are, described, or converted."""

from pathlib import Path

from ebagx.cli.report import quantised_to, report, report_labels, report_size
from ebagx.io import model_folder
from ebagx.io.fasttext.model import read_file, read_model
from ebagx.text.fasttext.conversion import converted
from ebagx.text.fasttext.features import FastTextFeatures
from ebagx.text.fasttext.model import FastTextModel
from ebagx.text.model import TextModel


def load_model(path: Path, num_threads: int | None = None) -> TextModel | FastTextModel:
    """Return the model of a folder, or of a file of fastText."""
    if path.is_file():
        return read_model(path, num_threads)
    return model_folder.load_any_model(path, num_threads)


def convert_model(path: Path, folder: Path) -> None:
    """Save the model of a file as a folder."""
    if not path.is_file():
        raise ValueError(f"{path} is no file of fastText")
    original = read_model(path)
    model: TextModel | FastTextModel = original
    try:
        model = converted(original)
    except ValueError as error:
        report("training", f"no: {error}")
    model_folder.save_model(model, folder)


def describe_model(model: FastTextModel, version: int) -> None:
    """Print the features, the size and the labels of a model of fastText that is in a folder."""
    _describe_features(model.features)
    report_size(model.dim, model.table.nbytes, quantised_to(model.bits))
    report("loss", model.loss)
    report("format", f"version {version}, with the features of fastText")
    report_labels(model.labels)


def describe_file(path: Path) -> None:
    """Print the features, the size and the labels of a file of fastText."""
    file = read_file(path)
    header = file.header
    _describe_features(file.features)
    n_bytes = file.table.nbytes + file.output.nbytes
    kind = ", quantised" if file.table.is_quantised else ""
    report_size(header.dim, n_bytes, kind)
    report("loss", header.loss)
    program = "floret" if header.hash_count else "fastText"
    report("format", f"{program}, version {header.version}, {header.model}")
    if header.is_supervised:
        report_labels(read_model(path).labels)


def _describe_features(features: FastTextFeatures) -> None:
    report("features", f"{features.n_words:,} words; tokenizer: fasttext")
    if features.max_chars or features.word_ngrams > 1:
        n_left = features.num_rows - features.n_words
        report("", f"{n_left:,} of {features.n_buckets:,} buckets of n-grams")
    if features.word_ngrams > 1:
        report("", f"n-grams of up to {features.word_ngrams} words")
    if features.max_chars:
        report("", f"n-grams of {max(features.min_chars, 1)} to {features.max_chars} characters")

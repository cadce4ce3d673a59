"""Models of fastText on the command line: as they are, described, or converted."""

from pathlib import Path

from ebagx.cli.report import report
from ebagx.io import model_folder
from ebagx.io.fasttext.model import FastTextFile, read_file, read_model
from ebagx.text.fasttext.conversion import converted
from ebagx.text.fasttext.model import FastTextModel
from ebagx.text.model import TextModel


def load_model(path: Path, num_threads: int | None = None) -> TextModel | FastTextModel:
    """Return the model of a folder, or of a file of fastText."""
    if path.is_file():
        return read_model(path, num_threads)
    return model_folder.load_model(path, num_threads)


def convert_model(path: Path, folder: Path) -> None:
    """Save the model of a file as a folder."""
    if not path.is_file():
        raise ValueError(f"{path} is no file of fastText")
    model = read_model(path)
    try:
        found = converted(model)
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be converted: {error}; predict, test and vectors take it as it is"
        ) from error
    model_folder.save_model(found, folder)


def describe_file(path: Path) -> None:
    """Print the features, the size and the labels of a file of fastText."""
    file = read_file(path)
    header = file.header
    report("features", f"{header.n_words:,} words; tokenizer: fasttext")
    for line in _ngrams(file):
        report("", line)
    n_bytes = file.table.nbytes + file.output.nbytes
    kind = ", quantised" if file.table.is_quantised else ""
    report("size", f"{header.dim} dimensions, {n_bytes / 1e6:,.1f} MB{kind}")
    report("loss", header.loss)
    program = "floret" if header.hash_count else "fastText"
    report("format", f"{program}, version {header.version}, {header.model}")
    if header.is_supervised:
        labels = read_model(path).labels
        report("labels", f"{len(labels):,}")
        for label in labels:
            report("", label)


def _ngrams(file: FastTextFile) -> list[str]:
    header, features = file.header, file.features
    lines = []
    if header.maxn or header.word_ngrams > 1:
        n_left = features.num_rows - features.n_words
        lines.append(f"{n_left:,} of {header.bucket:,} buckets of n-grams")
    if header.word_ngrams > 1:
        lines.append(f"n-grams of up to {header.word_ngrams} words")
    if header.maxn:
        lines.append(f"n-grams of {max(header.minn, 1)} to {header.maxn} characters")
    return lines

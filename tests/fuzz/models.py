"""Read damaged files of text classifiers: each is refused with one line, or gives sound answers."""

import hashlib
import json
import tempfile
import zlib
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

import ebagx
from ebagx.io.fasttext.model import read_model
from ebagx.io.model_folder import load_any_model, save_model
from ebagx.text.fasttext.model import FastTextModel
from ebagx.text.features import Features
from ebagx.text.lines import Lines
from ebagx.text.model import TextModel
from ebagx.text.ngrams import Ngrams
from ebagx.text.small import quantised
from fuzz.readers import MOST_CHANGES, ReaderError, changed
from fuzz.source import Source
from support.fasttext_files import model_path

TEXTS = ["a small cat", "a big dog barks", "pie of \u00e4pfel", "", "unknown"]
NGRAMS = [Ngrams(1, 0, 0, 1), Ngrams(2, 2, 3, 1000)]
FASTTEXT = ("q_hs_cutoff.ftz", "ova_sub.bin")
DESCRIPTION, FOLDER = "model.json", "data-0123456789abcdef"


@cache
def kinds() -> list[dict[str, bytes]]:
    """Return the files of sound models, words and buckets of which are not compressed."""
    found = []
    for ngrams in NGRAMS:
        features = Features.learn(Lines.of(TEXTS), ngrams)
        table = np.random.default_rng(0).standard_normal((features.n_columns, 5), np.float32)
        head = np.ones((2, 5), np.float32), np.zeros(2, np.float32)
        model = TextModel(features, ["a", "b"], "softmax", table, *head)
        for one in (model, *(quantised(model, bits) for bits in (8, 4, 2))):
            with tempfile.TemporaryDirectory() as root:
                save_model(one, Path(root))
                found.append(_files_of(Path(root)))
    for name in FASTTEXT:
        model_of_file = read_model(model_path(name))
        for one_of_file in (model_of_file, model_of_file.quantize(4)):
            with tempfile.TemporaryDirectory() as root:
                save_model(one_of_file, Path(root))
                found.append(_files_of(Path(root)))
    return found


def _files_of(root: Path) -> dict[str, bytes]:
    paths = [path for path in root.rglob("*") if path.is_file()]
    return with_records({path.name: _unfolded(path) for path in paths})


def run(source: Source) -> str:
    """Change a file, with its checksum, and load the model."""
    files = dict(source.choice(kinds()))
    name = source.choice(sorted(files))
    for _ in range(1 + source.below(MOST_CHANGES)):
        files[name] = changed(source, files[name])
    if name != DESCRIPTION and not source.one_in(8):
        files = with_records(files)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as root:
        write(Path(root), files)
        try:
            model = load_any_model(Path(root))
        except (ValueError, OSError) as error:
            check_refusal(error, root)
            return "models refuse"
        if isinstance(model, FastTextModel):
            with suppress(ValueError):  # of finite numbers whose products are none
                for probabilities in model.probability_blocks(TEXTS):
                    if not np.isfinite(probabilities).all():
                        raise ReaderError(f"the probabilities are {probabilities}")
            return "models read"
        vectors, scores = model.vectors(TEXTS), model.scores(TEXTS)
        table = model.embedding
        values = table.toarray() if isinstance(table, ebagx.QuantizedTable) else table
        if not np.array_equal(replace(model, embedding=values).vectors(TEXTS), vectors):
            raise ReaderError("the codes have other values")
        if vectors.shape != (len(TEXTS), model.dim) or scores.shape != (5, len(model.labels)):
            raise ReaderError(f"vectors have shape {vectors.shape}, scores {scores.shape}")
        return "models read"


def with_records(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return files whose description has their checksums."""
    records = {}
    for name in files.keys() - {DESCRIPTION}:
        content = packed(name, files[name])
        records[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    about = json.loads(files[DESCRIPTION]) | {"folder": FOLDER, "files": records}
    return files | {DESCRIPTION: json.dumps(about).encode()}


def write(root: Path, files: dict[str, bytes]) -> None:
    """Write the files of a model."""
    (root / FOLDER).mkdir()
    for name, content in files.items():
        path = root if name == DESCRIPTION else root / FOLDER
        (path / name).write_bytes(packed(name, content))


def packed(name: str, content: bytes) -> bytes:
    """Return the content of a file, which is compressed if its name says so."""
    return zlib.compress(content) if name.endswith(".zlib") else content


def check_refusal(error: Exception, root: str) -> None:
    """Raise unless an error has one line that names the folder."""
    if root not in str(error) or len(str(error).splitlines()) != 1:
        raise ReaderError(f"the message is {error}") from error


def _unfolded(path: Path) -> bytes:
    content = path.read_bytes()
    return zlib.decompress(content) if path.suffix == ".zlib" else content

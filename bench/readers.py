"""Time reading vectors and embedding texts: ebagx, gensim and model2vec, one thread each.

    python bench/readers.py [--peers PYTHON] [--megabytes 200]

PYTHON is an interpreter whose environment has gensim and model2vec; what it lacks is left out. Each
measurement is a process of its own, libraries take turns, and the best of several rounds counts.
Files are made here: vectors as text (300 columns) and as binary, and a folder of static embeddings
(256 columns, all words of the texts and all letters as pieces). The texts are those of wordnet10,
in lower case.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROUNDS = 3
COLUMNS, STATIC_COLUMNS = 300, 256
ROWS_AT_ONCE = 1000
ONE_THREAD = {
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "RAYON")},
    "TOKENIZERS_PARALLELISM": "false",
}


def read_with_ebagx(path: Path) -> object:
    """Read vectors."""
    from ebagx.text import load_vectors

    return load_vectors(path)


def read_with_gensim(path: Path) -> object:
    """Read vectors."""
    from gensim.models import KeyedVectors

    return KeyedVectors.load_word2vec_format(str(path), binary=path.suffix == ".bin")


def embed_with_ebagx(path: Path) -> Callable[[list[str]], object]:
    """Return a function that embeds texts."""
    return read_with_ebagx(path).embed


def embed_with_gensim(path: Path) -> Callable[[list[str]], object]:
    """Return a function that embeds texts."""
    vectors = read_with_gensim(path)
    return lambda texts: np.stack([vectors.get_mean_vector(text.split()) for text in texts])


def embed_with_model2vec(path: Path) -> Callable[[list[str]], object]:
    """Return a function that embeds texts."""
    from model2vec import StaticModel

    model = StaticModel.from_pretrained(path)
    return lambda texts: model.encode(texts, use_multiprocessing=False)


# Columns: the measurement, the file, and the function of each library.
TASKS = {
    "read text": ("vectors.vec", {"ebagx": read_with_ebagx, "gensim": read_with_gensim}),
    "read binary": ("vectors.bin", {"ebagx": read_with_ebagx, "gensim": read_with_gensim}),
    "map what was saved": ("saved", {"ebagx": read_with_ebagx}),
    "embed words": ("vectors.bin", {"ebagx": embed_with_ebagx, "gensim": embed_with_gensim}),
    "embed pieces": ("static", {"ebagx": embed_with_ebagx, "model2vec": embed_with_model2vec}),
}


def measure(task: str, library: str, folder: Path) -> float:
    """Return the seconds of a measurement in this process."""
    name, functions = TASKS[task]
    function = functions[library]
    if not task.startswith("embed"):
        function(folder / f"small{Path(name).suffix or '.bin'}")  # imports
        return seconds(lambda: function(folder / name))
    texts = json.loads((folder / "texts.json").read_text("utf-8"))
    embed = function(folder / name)
    embed(texts[:100])
    return min(seconds(lambda: embed(texts)) for _ in range(3))


def seconds(call: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def make_files(folder: Path, megabytes: int) -> None:
    """Write texts and vectors."""
    from ebagx.datasets import load_wordnet10
    from ebagx.text import load_vectors

    texts = [text.lower() for text in load_wordnet10().texts]
    (folder / "texts.json").write_text(json.dumps(texts), "utf-8")
    rng = np.random.default_rng(0)
    words = list(dict.fromkeys(word for text in texts for word in text.split()))
    count = max(megabytes * 1_000_000 // (COLUMNS * 9 + 8), len(words))
    words += [f"word{i}" for i in range(count - len(words))]
    write_vectors(folder, "vectors", words, rng)
    write_vectors(folder, "small", words[:100], rng)
    write_static(folder / "static", texts, rng)
    load_vectors(folder / "vectors.bin").save(folder / "saved")


def write_vectors(folder: Path, name: str, words: list[str], rng: np.random.Generator) -> None:
    """Write the same vectors as text and as binary."""
    header = f"{len(words)} {COLUMNS}\n".encode()
    form = b" %.5f" * COLUMNS + b"\n"
    path = folder / name
    with path.with_suffix(".vec").open("wb") as text, path.with_suffix(".bin").open("wb") as binary:
        text.write(header)
        binary.write(header)
        for start in range(0, len(words), ROWS_AT_ONCE):
            some = words[start : start + ROWS_AT_ONCE]
            rows = rng.normal(0, 0.4, (len(some), COLUMNS)).astype(np.float32)
            for word, row in zip(some, rows, strict=True):
                text.write(word.encode() + form % tuple(row.tolist()))
                binary.write(word.encode() + b" " + row.tobytes())


def write_static(folder: Path, texts: list[str], rng: np.random.Generator) -> None:
    """Write a folder of static embeddings with the tokenizer of BERT."""
    from ebagx.io.safetensors import write_safetensors

    folder.mkdir()
    parts = {word.strip(".,;:()'\"`") for text in texts for word in text.split()}
    common = sorted(word for word in parts if word.isalpha())
    letters = sorted({letter for text in texts for letter in text if not letter.isspace()})
    pieces = ["[PAD]", "[UNK]", *letters, *(f"##{letter}" for letter in letters)]
    pieces = list(dict.fromkeys([*pieces, *common]))
    tokenizer = {
        **{"version": "1.0", "added_tokens": [], "post_processor": None, "decoder": None},
        **{"truncation": None, "padding": None},
        "normalizer": {
            **{"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True},
            **{"strip_accents": None, "lowercase": True},
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            **{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"},
            "max_input_chars_per_word": 100,
            "vocab": {piece: number for number, piece in enumerate(pieces)},
        },
    }
    rows = rng.normal(size=(len(pieces), STATIC_COLUMNS)).astype(np.float32)
    write_safetensors(folder / "model.safetensors", {"embeddings": rows}, {})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    (folder / "config.json").write_text(json.dumps({"normalize": True}), "utf-8")


def in_process(python: str, task: str, library: str, folder: Path) -> float | None:
    """Return the seconds of a measurement in a process of its own; None if that fails."""
    command = [python, "-P", __file__, "--measure", task, library, str(folder)]
    env = {**os.environ, **ONE_THREAD}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        print(f"{library} is left out: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return float(done.stdout)


def report(task: str, folder: Path, peers: str) -> None:
    """Print the lines of a measurement."""
    name, functions = TASKS[task]
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for library in functions:
            python = sys.executable if library == "ebagx" else peers
            found = in_process(python, task, library, folder)
            if found is not None:
                best[library] = min(found, best.get(library, found))
    size = len(json.loads((folder / "texts.json").read_text("utf-8")))
    path = folder / name
    for library, found in best.items():
        rate = f"{found * 1e3:.1f} ms"
        if task.startswith("embed"):
            rate = f"{size / found:,.0f} texts/s"
        elif path.is_file():
            rate = f"{path.stat().st_size / found / 1e6:,.0f} MB/s"
        times = found / best["ebagx"]
        print(f"{task:<20}{library:<12}{rate:>18}{times:>8.1f} times the time", flush=True)


def main() -> int:
    """Make the files, and print a line for each measurement and library."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers", default=sys.executable, help="interpreter with the peers")
    parser.add_argument("--megabytes", type=int, default=200, help="size of the text")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        task, library, folder = options.measure
        print(measure(task, library, Path(folder)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        make_files(Path(name), options.megabytes)
        for task in TASKS:
            report(task, Path(name), options.peers)
    return 0


if __name__ == "__main__":
    sys.exit(main())

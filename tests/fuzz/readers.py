"""Read damaged files of vectors: each is refused with one line, or gives vectors that are sound."""

import bz2
import gzip
import lzma
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from ebagx.text import WordVectors, load_vectors
from fuzz.source import Source

GOLDEN = Path(__file__).parents[1] / "golden"
TEXTS = ["the cats sat, naïve café", "日本語 猫", "", "the\x00new_york </s>"]
NUMBERS = ["0", "1", "2", "5", "-1", "12", "26", "300", "65537", "4294967296", "1e9", "9" * 18]
MOST_CHANGES = 6
_PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}

# A kind of file: names and contents of a folder, or of one file with the name "".
Files = dict[str, bytes]


class ReaderError(AssertionError):
    """A reader broke a promise."""


@cache
def kinds() -> list[Files]:
    """Return sound files of every format."""
    found = [{"": path.read_bytes()} for path in sorted(GOLDEN.glob("vectors/*_*.*"))]
    found += [{"": path.read_bytes()} for path in sorted(GOLDEN.glob("floret/*.floret"))[:1]]
    text = (GOLDEN / "vectors" / "gensim_text.txt").read_bytes()
    found += [{"": pack(text)} for pack in _PACK.values()]
    for folder in sorted(GOLDEN.glob("model2vec/*/")):
        found.append({path.name: path.read_bytes() for path in folder.iterdir()})
        with tempfile.TemporaryDirectory() as name:
            load_vectors(folder).save(Path(name, "a.safetensors"))
            found.append({"": Path(name, "a.safetensors").read_bytes()})
    for original in ("vectors/gensim_text.txt", "floret/sg_h1_words.floret"):
        with tempfile.TemporaryDirectory() as name:
            load_vectors(GOLDEN / original).save(Path(name, "a.safetensors"))
            found.append({"": Path(name, "a.safetensors").read_bytes()})
    return found


def run(source: Source) -> str:
    """Change a file, and read it."""
    files = dict(source.choice(kinds()))
    name = source.choice(sorted(files))
    for _ in range(source.below(MOST_CHANGES)):
        files[name] = changed(source, files[name])
    limit = source.choice([None, 1, 3]) if "" in files else None  # folders have none
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as root:
        path = Path(root, "file")
        write(path, files)
        try:
            vectors = load_vectors(path, limit=limit, unicode_errors="surrogateescape")
        except ValueError as error:
            check_refusal(error, path)
            return "readers refuse"
        except ModuleNotFoundError as error:
            if error.name != "tokenizers":
                raise
            return "readers refuse"
        check_vectors(vectors)
        if vectors._lookup.kind == "words" and vectors.table.flags.writeable:
            # The hashes of words that were saved may be damaged.
            check_words(vectors)
        return "readers read"


def write(path: Path, files: Files) -> None:
    """Write a file or a folder."""
    if "" in files:
        path.write_bytes(files[""])
        return
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)


def changed(source: Source, content: bytes) -> bytes:
    """Return content with one change: of a bit, a byte, a number, or of its length."""
    if not content:
        return content
    place = source.below(min(len(content), 1 << (4 + source.below(20))))
    kind = source.below(7)
    if kind == 0:
        return content[:place]
    if kind == 1:
        bit = 1 << source.below(8)
        return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
    if kind == 2:
        return content[:place] + bytes([source.below(256)]) + content[place + 1 :]
    if kind == 3:
        return content[:place] + content[place + source.below(40) :]
    if kind == 4:
        return content[:place] + content[place : place + source.below(60)] + content[place:]
    if kind == 5:
        special = source.choice([b" ", b"\n", b"\r", b"\0", b"\xff", b"{", b'"', b"[]", b"\xc3"])
        return content[:place] + special + content[place:]
    numbers = [*re.finditer(rb"\d+", content[:2000])]
    if not numbers:
        return content
    number = source.choice(numbers)
    return content[: number.start()] + source.choice(NUMBERS).encode() + content[number.end() :]


def check_refusal(error: ValueError, path: Path) -> None:
    """Raise unless an error has one line that names the file."""
    message = str(error)
    if not message.startswith(str(path)) or len(message.splitlines()) != 1:
        raise ReaderError(f"the message is {message!r}") from error


def check_vectors(vectors: WordVectors) -> None:
    """Raise unless words, look-ups and vectors of texts are sound."""
    words = vectors.words
    if len(words) != len(vectors):
        raise ReaderError(f"{vectors!r} has {len(words)} words")
    embedded = vectors.embed(TEXTS)
    if embedded.shape != (len(TEXTS), vectors.dim) or embedded.dtype != np.float32:
        raise ReaderError(f"{vectors!r} embeds texts as {embedded.shape}")
    if len(words) > 1 and words[0] in vectors:
        vectors.nearest(words[0], 2)


def check_words(vectors: WordVectors) -> None:
    """Raise unless each word has the row of its number."""
    for word, row in zip(vectors.words, vectors.table, strict=True):
        if not np.array_equal(vectors[word], row):
            raise ReaderError(f"{word!r} has another vector")

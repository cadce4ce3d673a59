"""Models of fastText, what fastText printed for them, and models with some bytes changed."""

import struct
from pathlib import Path

from support.fasttext_definition import Reader

GOLDEN = Path(__file__).parents[1] / "golden" / "fasttext"
MODELS = sorted(path.name for path in (GOLDEN / "models").iterdir())
FLORET = ("cbow_h4.bin", "sg_h2.bin")
WITHOUT_LABELS = ("cbow_nosub.bin", "skipgram.bin", *FLORET)
WITH_LABELS = [name for name in MODELS if name not in WITHOUT_LABELS]
QUERIES = (GOLDEN / "queries.txt").read_text("utf-8").split("\n")[:-1]
OPTIONS = {
    "dim": 8,
    "wordNgrams": 28,
    "loss": 32,
    "model": 36,
    "bucket": 40,
    "minn": 44,
    "maxn": 48,
}
SIZES = {"size": 64, "nwords": 68, "nlabels": 72, "pruned": 84}


def model_path(name):
    return GOLDEN / "models" / name


def content_of(name):
    return model_path(name).read_bytes()


def expected(name, kind):
    """Return the lines that fastText printed, or None if there are none of this kind."""
    path = GOLDEN / "expected" / f"{name.replace('.', '_')}.{kind}.txt"
    return path.read_text("utf-8").split("\n")[:-1] if path.exists() else None


def with_integer(content, place, value, form="i"):
    """Return the content with another integer at a place."""
    changed = bytearray(content)
    struct.pack_into(f"<{form}", changed, place, value)
    return bytes(changed)


def places_of(content):
    """Return the places of the parts of a model behind its header."""
    r = Reader(content)
    r.place = 64
    size = r.take("3i")[0]
    n_pruned = r.take("2q")[1]
    places = {"entries": r.place}
    for _ in range(size):
        r.place = content.index(b"\0", r.place) + 10
    places["pairs"] = r.place
    r.place += 8 * max(n_pruned, 0)
    places["quant"] = r.place
    return places

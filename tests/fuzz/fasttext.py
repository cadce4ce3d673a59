"""Models of fastText with bytes changed, left out and repeated: refused, or their answers finite.

``PYTHONPATH=tests python -P -m fuzz.fasttext --cases 100000`` runs as many in this process.
"""

import argparse
import collections
import random
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from ebagx.io.fasttext.model import read_file, read_model
from ebagx.io.fasttext.vectors import read_vectors
from ebagx.text.vectors.word_vectors import WordVectors
from support.fasttext_files import MODELS, QUERIES, content_of, places_of

GOLDEN_MODELS = MODELS
LINES = [*QUERIES[:4], "", "</s> x", "__label__red ti"]
INTEGERS = (0, 1, -1, 2, 3, 127, 255, 256, 2**16, 2**31 - 1, -(2**31))


@cache
def golden(name):
    content = content_of(name)
    return content, list(places_of(content).values())


def changed(rng):
    """Return the content of a golden model with a few changes."""
    content, places = golden(rng.choice(GOLDEN_MODELS))
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        # Most bytes are those of tables, in which few changes matter.
        near = rng.choice((0, *places)) + rng.randrange(-40, 160)
        place = near if rng.random() < 0.8 else rng.randrange(len(content))
        if changed:
            change(rng, changed, place % len(changed))
    return bytes(changed)


def change(rng, content, place):
    kind = rng.randrange(6)
    if kind == 0:
        content[place : place + 1] = bytes([content[place] ^ 1 << rng.randrange(8)])
    elif kind == 1:
        content[place : place + 1] = rng.randbytes(1)
    elif kind == 2:
        content[place : place + 4] = rng.choice(INTEGERS).to_bytes(4, "little", signed=True)
    elif kind == 3:
        del content[place : place + rng.choice((1, 2, 4, 8, 100))]
    elif kind == 4:
        content[place:place] = content[place : place + rng.choice((1, 4, 11, 200))]
    else:
        del content[place:]


def check_case(data, folder):
    """Check one model, a file in a folder; return a word for its fate."""
    path = Path(folder, "model.bin")
    path.write_bytes(changed(random.Random(data)))
    try:
        return check_file(path)
    finally:
        path.unlink()


def check_file(path):
    try:
        file, (lookup, table) = read_file(path), read_vectors(path)
    except ValueError as error:
        if not str(error).startswith(str(path)):
            raise
        return "refused"
    with np.errstate(all="ignore"):
        embedded = WordVectors(lookup, table).embed(LINES)
    assert embedded.shape == (len(LINES), file.header.dim)
    if not file.header.is_supervised:
        return "vectors"
    try:
        model = read_model(path)
        with np.errstate(all="ignore"):
            probabilities = model.predict_proba(LINES)
            best = model.predict_top(LINES, 2)
    except ValueError as error:
        if "nan" not in str(error) and "counts of labels" not in str(error):
            raise
        return "not finite"
    assert np.isfinite(probabilities).all()
    assert probabilities.min() >= 0
    assert all(label in model.labels for pairs in best for label, _ in pairs)
    return "answers"


def main():
    """Run numbered cases, and count their fates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    fates = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.first, options.first + options.cases):
            try:
                fates[check_case(random.Random(seed).randbytes(64), folder)] += 1
            except BaseException:
                print(f"case {seed}", file=sys.stderr)
                raise
    print(dict(fates))


if __name__ == "__main__":
    main()

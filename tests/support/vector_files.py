"""Small files of vectors, those of the original tools among them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[1] / "golden"
VECTORS = GOLDEN / "vectors"
WORDS = (VECTORS / "expected_words.txt").read_text("utf-8").split("\n")[:-1]
ROWS = np.load(VECTORS / "expected.npy")
SENTENCES = json.loads((GOLDEN / "model2vec" / "sentences.json").read_text("utf-8"))


def text_of(words, rows, header=True, end=" \n"):
    """Return lines as fastText writes them."""
    lines = [f"{len(words)} {len(rows[0])}\n"] if header else []
    lines += [
        f"{word} {' '.join(f'{x:.9g}' for x in row)}{end}"
        for word, row in zip(words, rows, strict=True)
    ]
    return "".join(lines).encode(errors="surrogateescape")


def binary_of(words, rows, between=b"\n"):
    """Return the records of word2vec's binary format."""
    records = [f"{len(words)} {len(rows[0])}\n".encode()]
    for word, row in zip(words, rows, strict=True):
        record = word.encode(errors="surrogateescape") + b" " + np.asarray(row, "<f4").tobytes()
        records.append(record + between)
    return b"".join(records)


def tokenizer_of(pieces, added=(), **normalizer):
    """Return the ``tokenizer.json`` of a WordPiece model."""
    options = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
    return {
        "added_tokens": [{"id": pieces.index(p), "content": p, "special": True} for p in added],
        "normalizer": {"type": "BertNormalizer", **options, "lowercase": True, **normalizer},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {piece: i for i, piece in enumerate(pieces)},
        },
    }


def raises(error, words):
    """Check for an error whose text has these words."""
    return pytest.raises(error, match=re.escape(words))

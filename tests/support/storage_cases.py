"""Provide models on disk, and functions that damage them."""

import dataclasses
import hashlib
import json
import os

import numpy as np

from ebagx.io.model_folder import save_model
from ebagx.text.accumulators import Accumulators
from ebagx.text.features import Features
from ebagx.text.lines import Lines
from ebagx.text.model import Recipe, TextModel
from ebagx.text.ngrams import Ngrams
from ebagx.text.tokenizers import DEFAULT, Tokenizer

TEXTS = ["a small cat", "a cat purrs", "dogs bark", "a big dog barks", "pie of \u00e4pfel", "pie"]
NGRAMS = Ngrams(2, 2, 3, 1000)
WORDS = Ngrams(1, 0, 0, 1000)
STATE = {"row_squares.npy", "head_squares.npy"}
ARRAYS = {"buckets.npy", "embedding.npy", "coef.npy", "intercept.npy", *STATE}
RECIPE = Recipe(0.3, 7, 64, 2, 5)
FILES = {"model.json", "words.txt", *ARRAYS}


def make_model(ngrams=NGRAMS, seed=0, loss="softmax", min_count=1, tokenizer=DEFAULT):
    rng = np.random.default_rng(seed)
    features = Features.learn(Lines.of(TEXTS, tokenizer=tokenizer), ngrams, min_count)
    shapes = (features.n_columns, 4), (3, 4), (3,)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    squares = Accumulators(*(rng.random(shape, np.float32) for shape in (shapes[0][0], (3, 5))))
    labels = ["caf\u00e9 food", "cat", "dog"]
    return TextModel(features, labels, loss, *weights, accumulators=squares, recipe=RECIPE)


def place(model, name):
    """Return the path of a file of a model."""
    if name == "model.json":
        return model / name
    return model / json.loads((model / "model.json").read_text("utf-8"))["folder"] / name


def edit_json(path, change):
    value = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(change(value) or value), "utf-8")


def save_format_2(directory):
    """Save a model as ebagx did before tokenizers had names."""
    model = make_model(tokenizer=Tokenizer("words-1"))
    save_model(dataclasses.replace(model, accumulators=None, recipe=None), directory)

    def make_older(about):
        about["version"] = 2
        del about["tokenizer"]

    edit_json(directory / "model.json", make_older)


def names(model):
    """Return the names of a model's files; assert that there are no other entries."""
    (folder,) = set(os.listdir(model)) - {"model.json"}
    return {"model.json", *os.listdir(model / folder)}


def replace(path, content):
    """Write a file of a model, and its record in `model.json`."""
    path.write_bytes(content)
    record = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit_json(
        path.parent.parent / "model.json", lambda about: about["files"].update({path.name: record})
    )

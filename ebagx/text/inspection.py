"""The words of a model that are similar to a text, or that speak for a label."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ebagx.text.model import TextModel
from ebagx.text.tokenizers import Tokenizer

_WORDS_AT_ONCE = 1 << 16


def nearest(model: TextModel, text: str, k: int) -> list[tuple[str, float]]:
    """Return the `k` words with the largest cosine to the vector of a text, without itself."""
    (vector,) = model.vectors([text])
    length = np.linalg.norm(vector)
    if not length:
        raise ValueError(f"nothing in the text {text!r:.50} is known to the model")
    names = model.features.words.names()
    cosines = _of_words(model, names, vector / length, is_cosine=True)
    if text in names:
        cosines[names.index(text)] = -np.inf
    found = _largest(names, cosines, k)
    return [pair for pair in found if pair[1] > -np.inf]


def keywords(model: TextModel, place: int, k: int) -> list[tuple[str, float]]:
    """Return the `k` words with the largest scores for the label at a place."""
    direction = model.coef[place]
    if model.loss == "softmax":  # which is the same if a number is added to all scores
        direction = direction - model.coef.mean(axis=0)
    names = model.features.words.names()
    return _largest(names, _of_words(model, names, direction, is_cosine=False), k)


def _of_words(
    model: TextModel, names: list[str], direction: npt.NDArray[np.float32], is_cosine: bool
) -> npt.NDArray[np.float32]:
    """Return the product of each word's vector, perhaps of length 1, with a direction."""
    products, of_words = np.empty(len(names), np.float32), _with_whole_words(model)
    for first in range(0, len(names), _WORDS_AT_ONCE):
        part = slice(first, first + _WORDS_AT_ONCE)
        vectors = of_words.vectors(names[part])
        products[part] = vectors @ direction
        if is_cosine:
            lengths = np.linalg.norm(vectors, axis=1)
            products[part] /= np.where(lengths > 0, lengths, 1)
    return products


def _with_whole_words(model: TextModel) -> TextModel:
    """Return a model that takes each text as a word, where a function would cut it again."""
    if model.features.tokenizer.function is None:
        return model
    tokenizer = Tokenizer.calling(lambda word: [word])
    return replace(model, features=replace(model.features, tokenizer=tokenizer))


def _largest(names: list[str], values: npt.NDArray[np.float32], k: int) -> list[tuple[str, float]]:
    order = np.argsort(-values, kind="stable")[:k]
    return [(names[i], float(values[i])) for i in order]

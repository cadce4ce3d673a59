"""A model of fastText becomes one of ebagx, where the form of these can hold it."""

import numpy as np

from ebagx.text.fasttext.matrix import Matrix
from ebagx.text.fasttext.model import FastTextModel
from ebagx.text.features import Features
from ebagx.text.model import TextModel
from ebagx.text.ngrams import BucketTable, Ngrams
from ebagx.text.tokenizers import Tokenizer

_LOSSES = {"softmax": "softmax", "ova": "ova", "ns": "ova"}


def converted(model: FastTextModel) -> TextModel:
    """Return a model of ebagx with the same words, labels and scores, which can be trained.

    Probabilities of the losses ova and ns differ by up to a 128th, as fastText takes them from a
    table, and those of softmax by the 1e-5 that fastText adds.

    Raises
    ------
    ValueError
        If the model has n-grams, whose hashes differ, or a tree of labels, or one label only.
    """
    features = model.features
    if model.loss not in _LOSSES:
        raise ValueError("its labels are a tree (loss hs), which models of ebagx do not have")
    if features.word_ngrams > 1 or features.max_chars:
        raise ValueError("it has n-grams, which fastText hashes in another way than ebagx")
    if len(model.labels) < 2:
        raise ValueError("it has one label, and models of ebagx have two or more")
    order = np.arange(features.n_words, dtype=np.int32)
    of_model = Features(
        Ngrams(1, 0, 0, 1),
        features.entries.select(order),
        BucketTable.of(0, np.empty(0, np.int32)),
        Tokenizer("fasttext", lowercase=False),
    )
    assert isinstance(model.table, Matrix)
    places = sorted(range(len(model.labels)), key=model.labels.__getitem__)
    found = TextModel(
        of_model,
        [model.labels[place] for place in places],  # in order, as training wants them
        _LOSSES[model.loss],
        model.table.rows(slice(0, features.n_words)),
        model.output.matrix.rows(slice(None))[places],
        np.zeros(len(model.labels), np.float32),
        model.num_threads,
    )
    found.check_labels()
    return found

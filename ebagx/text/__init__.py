"""Texts become features, models and figures.

`TextClassifier` learns labels of texts, and `load_model` returns one that was saved. They are
loaded when they are first used, as they need scikit-learn. `load_vectors` reads `WordVectors`.

============ ==================================================================
classifier   `TextClassifier` and `load_model`
predictions  its methods that need no training
inspection   words that are similar to a text, or that speak for a label
inputs       texts as callers have them
targets      labels as callers have them
corpus       labelled texts and lines from files
words        words of prepared text, numbered
rows         the numbers of all lines
lines        lines as numbers of words, and their labels
ngrams       n-grams, and the columns of those that are hashed
features     the features that have a column; lines as bags of them
tokens       the compiled part of these
model        text classifiers, and settings of their training
training     the training of a model on labelled lines
learning     the training in `TextClassifier`
learner      the trainings of the weights, also of a model that grows
growth       features of a model and of new texts together
accumulators what is kept of the state of the optimizer
going_on     likely ones for models that have not kept it
pretrained   rows that begin with given vectors
autotune     a search for good options
evaluation   precision, recall, F1 and confusions
vectors      word vectors, and the rules of their formats
fasttext     models of fastText
============ ==================================================================
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebagx.text.classifier import TextClassifier, load_model
    from ebagx.text.fasttext.model import FastTextModel
    from ebagx.text.vectors.loading import load_vectors
    from ebagx.text.vectors.word_vectors import WordVectors

__all__ = ["FastTextModel", "TextClassifier", "WordVectors", "load_model", "load_vectors"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("WordVectors", "load_vectors"):
        from ebagx.text.vectors import loading

        return getattr(loading, name)
    import ebagx.sklearn  # noqa: F401 - its error names the way out where scikit-learn is missing
    from ebagx.text import classifier

    return getattr(classifier, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

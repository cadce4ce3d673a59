"""The data sets that ship with ebagx, and generated interactions.

The licences of the former stand in ``datasets/licenses/``.
"""

import bz2
from importlib.resources import files
from io import BufferedReader, BytesIO

from ebagx.datasets.interactions import Interactions, make_interactions
from ebagx.text.corpus import LabelledTexts, parse_corpus

__all__ = [
    "Interactions",
    "LabelledTexts",
    "load_langid30",
    "load_wordnet10",
    "make_interactions",
]


def load_wordnet10() -> LabelledTexts:
    """Load 9,997 WordNet definitions of nouns, each labelled with one of ten topics.

    Returns
    -------
    LabelledTexts
        Named tuple of two lists of `str`: ``texts`` and ``labels``.

    Notes
    -----
    About 1,000 glosses a topic, 13 words each, in random order. Learn from the first 8,000
    and test on the other 1,997 to compare figures. WordNet 3.0, Princeton University.

    Examples
    --------
    >>> from ebagx.datasets import load_wordnet10
    >>> load_wordnet10()
    LabelledTexts(9997 texts, 10 labels)
    >>> texts, labels = load_wordnet10()
    >>> len(texts), labels[0], texts[0]
    (9997, 'animal', 'any typical arboreal squirrel')
    >>> sorted(set(labels))[:5]
    ['act', 'animal', 'artifact', 'body', 'communication']
    """
    return _load("wordnet10.tsv.bz2")


def load_langid30() -> LabelledTexts:
    """Load 8,874 short messages, each labelled with its language, one of thirty.

    Returns
    -------
    LabelledTexts
        Named tuple of two lists of `str`: ``texts`` and ``labels`` (ISO 639-1 codes).

    Notes
    -----
    There are 228 to 300 messages for each language, in random order: the translations of Django's
    messages without their placeholders. Character n-grams separate the languages.

    Examples
    --------
    >>> from ebagx.datasets import load_langid30
    >>> texts, labels = load_langid30()
    >>> len(texts), labels[0], texts[0]
    (8874, 'sl', 'enostavna stran')
    """
    return _load("langid30.tsv.bz2")


def _load(name: str) -> LabelledTexts:
    # bz2 makes a third less of these texts than gzip, and xz a tenth more than bz2.
    content = bz2.decompress((files(__name__) / name).read_bytes())
    texts, labels = parse_corpus(BufferedReader(BytesIO(content)), name)
    return LabelledTexts(texts, [label for (label,) in labels])

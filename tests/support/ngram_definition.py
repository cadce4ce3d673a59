"""Define the features of a text in plain Python; `ebagx.text.ngrams` must give the same."""

import re
from collections import Counter

from support import word_definition


def fnv1a(text):
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value


def words_of(text, lowercase=True, tokenizer="words"):
    if tokenizer == "words":
        return word_definition.words_of(text, lowercase)
    text = text.lower() if lowercase else text
    pattern = {"words-1": r"\w+", "whitespace": r"[^ \t\n\v\f\r\0]+"}[tokenizer]
    return re.findall(pattern, text)


def word_runs(words, longest):
    for i in range(len(words)):
        value = fnv1a(words[i])
        for word in words[i + 1 : i + longest]:
            value = (value * 116049371 + fnv1a(word)) % 2**64
            yield value


def char_ngrams(word, shortest, longest):
    word = f"<{word}>"
    for i in range(len(word)):
        for n in range(shortest, longest + 1):
            if i + n <= len(word) and (n > 1 or 0 < i < len(word) - 1):
                yield fnv1a(word[i : i + n])


def ordered_features_of(text, word_ngrams=1, chars=None, n_buckets=1, **of_words):
    """Yield words, as `str`, and buckets, as `int`, in the order that bags have."""
    words = words_of(text, **of_words)
    for word in words:
        yield word
        if chars:
            yield from (value % n_buckets for value in char_ngrams(word, *chars))
    yield from (value % n_buckets for value in word_runs(words, word_ngrams))


def features_of(text, *args, **options):
    """Count words, as `str`, and buckets, as `int`."""
    return Counter(ordered_features_of(text, *args, **options))

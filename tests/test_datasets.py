"""Test the shipped data sets and their licences."""

from collections import Counter
from importlib.resources import files

import pytest

from ebagx.datasets import LabelledTexts, load_langid30, load_wordnet10


@pytest.mark.parametrize(
    ("load", "n_texts", "n_labels", "label_sizes"),
    [(load_wordnet10, 9997, 10, (998, 1000)), (load_langid30, 8874, 30, (228, 300))],
)
def test_sizes(load, n_texts, n_labels, label_sizes):
    data = load()
    assert isinstance(data, LabelledTexts)
    assert repr(data) == f"LabelledTexts({n_texts} texts, {n_labels} labels)"
    texts, labels = data
    sizes = Counter(labels)
    assert len(texts) == len(labels) == n_texts
    assert len(set(texts)) == n_texts
    assert all(text.strip() for text in texts)
    assert len(sizes) == n_labels
    assert (min(sizes.values()), max(sizes.values())) == label_sizes


def test_rows_are_in_random_order():
    labels = load_wordnet10().labels
    assert set(labels[:100]) == set(labels)


def test_text_is_decoded():
    texts, labels = load_langid30()
    greek = [text for text, label in zip(texts, labels, strict=True) if label == "el"]
    assert any("\N{GREEK SMALL LETTER ALPHA}" in text for text in greek)


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("wordnet.txt", "WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved"),
        ("wordnet.txt", "Title to copyright in this software, database and"),
        ("django.txt", "Copyright (c) Django Software Foundation and individual contributors"),
        ("django.txt", "OF THIS\nSOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE"),
    ],
)
def test_licences_ship_in_full(name, phrase):
    text = (files("ebagx.datasets") / "licenses" / name).read_text("utf-8")
    assert phrase in text

"""Test the HTML of estimators in notebooks."""

import re

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline

import ebagx.sklearn
from ebagx.text import WordVectors

NAMES = [getattr(ebagx.sklearn, name) for name in ebagx.sklearn.__all__]
ESTIMATORS = [named for named in NAMES if isinstance(named, type)]
TEXTS, LABELS = ["a cat", "bread", "a dog", "butter"], [0, 1, 0, 1]


def make(kind):
    if kind is ebagx.sklearn.TextEmbedder:
        return kind(WordVectors.of(["cat", "dog"], np.eye(2, dtype=np.float32)))
    return kind()


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize("fitted", [False, True])
def test_html(kind, in_pipeline, fitted):
    reads_texts = kind in (ebagx.sklearn.TextEmbedder, ebagx.sklearn.TextVectorizer)
    model, X = make(kind), TEXTS if reads_texts else np.eye(4, dtype=np.float32)
    if in_pipeline:
        steps = [model] if reads_texts else [CountVectorizer(), model]
        model, X = make_pipeline(*steps), TEXTS
    if fitted:
        model.fit(X, LABELS)
    html = model._repr_html_()
    assert kind.__name__ in html
    assert model._repr_mimebundle_()["text/html"]
    assert ("<span>Fitted</span>" in html) == fitted
    assert ("<span>Not fitted</span>" in html) != fitted


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_no_link_leads_to_documentation_of_scikit_learn(kind):
    links = re.findall(r'href="([^"]*)"', make(kind)._repr_html_())
    assert not [link for link in links if "scikit-learn.org" in link]
    assert make(kind)._get_doc_link() == ""

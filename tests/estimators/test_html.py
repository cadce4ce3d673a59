"""The estimators' HTML in notebooks."""

import re

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

import ebagx.sklearn

ESTIMATORS = [getattr(ebagx.sklearn, name) for name in ebagx.sklearn.__all__ if name[0].isupper()]
TEXTS, LABELS = ["a cat", "bread", "a dog", "butter"], [0, 1, 0, 1]


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize("fitted", [False, True])
def test_html(kind, in_pipeline, fitted):
    takes_text = get_tags(kind()).input_tags.string
    model, X = kind(), TEXTS if takes_text else np.eye(4, dtype=np.float32)
    if in_pipeline:
        model = make_pipeline(model) if takes_text else make_pipeline(CountVectorizer(), model)
        X = TEXTS
    if fitted:
        model.fit(X, LABELS)
    html = model._repr_html_()
    assert kind.__name__ in html
    assert model._repr_mimebundle_()["text/html"]
    assert ("<span>Fitted</span>" in html) == fitted
    assert ("<span>Not fitted</span>" in html) != fitted


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_no_link_leads_to_documentation_of_scikit_learn(kind):
    links = re.findall(r'href="([^"]*)"', kind()._repr_html_())
    assert not [link for link in links if "scikit-learn.org" in link]
    assert kind()._get_doc_link() == ""

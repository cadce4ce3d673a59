"""Test that models without the sums of squared gradients of their training go on as others do."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx.datasets import load_wordnet10
from ebagx.io.model_folder import load_model as read_model, save_model
from ebagx.text import TextClassifier, load_model
from ebagx.text.going_on import accumulators_to_go_on
from ebagx.text.lines import Lines
from ebagx.text.model import Settings
from ebagx.text.training import continue_model
from support.storage_cases import make_model

TEXTS, LABELS = load_wordnet10()
TEST = TEXTS[8000:], LABELS[8000:]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Train a model, and save it without the sums."""
    folder = tmp_path_factory.mktemp("without")
    trained = TextClassifier(random_state=0, word_ngrams=1).fit(TEXTS[:6000], LABELS[:6000])
    trained.save(folder / "with")
    kept = read_model(folder / "with")
    save_model(replace(kept, accumulators=None, recipe=None), folder / "m")
    return folder / "m", kept


def lines_of(first, stop):
    return Lines.of(TEXTS[first:stop], [(label,) for label in LABELS[first:stop]])


def test_sums_are_near_those_of_the_training(model):
    """Half of them within a factor of 15, over more than three orders of magnitude."""
    folder, kept = model
    found = accumulators_to_go_on(read_model(folder), lines_of(6000, 6300), 128)
    true = kept.accumulators
    apart = np.abs(np.log(found.rows_n[:3000] / true.rows_n[:3000]))
    assert np.median(apart) < np.log(15)
    assert true.rows_n[:3000].max() > 1000 * true.rows_n[:3000].min()
    for part in (np.s_[:, :-1], np.s_[:, -1]):
        ratio = found.head_lk[part].mean() / true.head_lk[part].mean()
        assert 1 / 2 < ratio < 20
    assert accumulators_to_go_on(kept, lines_of(6000, 6030), 128) is true


@pytest.mark.parametrize("count", [30, 300])
def test_few_texts_do_not_spoil_a_model(model, count):
    """From sums of zeros, the accuracy would fall by 0.03 and 0.02."""
    folder, kept = model
    before = kept.precision_at_1(lines_of(8000, 9997))
    new = TEXTS[6000 : 6000 + count], LABELS[6000 : 6000 + count]
    assert load_model(folder).partial_fit(*new).score(*TEST) > before - 0.008
    old = read_model(folder)
    fitted = continue_model(old, lines_of(6000, 6000 + count), Settings.of(old))
    assert fitted.model.precision_at_1(lines_of(8000, 9997)) > before - 0.008


def test_a_label_alone(model):
    """Lines of one label pull all others to it: by 0.25 of the accuracy from sums of zeros."""
    folder, kept = model
    before = kept.precision_at_1(lines_of(8000, 9997))
    (alone,) = (
        [
            text
            for text, label in zip(TEXTS[6000:8000], LABELS[6000:8000], strict=True)
            if label == one
        ]
        for one in LABELS[6000:6001]
    )
    fitted = load_model(folder).partial_fit(alone[:200], LABELS[6000:6001] * len(alone[:200]))
    assert fitted.score(*TEST) > before - 0.04


@pytest.mark.parametrize("texts", [[""], ["nothing known", ""]])
def test_lines_without_known_features(texts):
    model = replace(make_model(), accumulators=None)
    found = accumulators_to_go_on(model, Lines.of(texts, tokenizer=model.features.tokenizer), 128)
    assert found.rows_n.shape == (model.features.n_columns,)
    assert found.head_lk.shape == (len(model.labels), model.dim + 1)
    for array in found:
        assert array.dtype == np.float32
        assert (np.isfinite(array) & (array > 0)).all()

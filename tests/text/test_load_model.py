"""Test text classifiers that are saved and loaded, also by many threads and processes."""

import pickle
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone

import ebagx.text
from ebagx.io.model_folder import save_model
from ebagx.text import TextClassifier, load_model
from ebagx.text.ngrams import Ngrams
from ebagx.text.tokenizers import Tokenizer
from support.markers import TESTS
from support.storage_cases import edit_json, make_model

TEXTS = ["a small cat", "a cat purrs", "dogs bark", "a big dog barks", "pie of \u00e4pfel", "pie"]
LABELS = ["cat", "cat", "dog", "dog", "food", "food"]
SMALL = {"dim": 4, "epochs": 60, "random_state": 0}
FORMS = [
    {},
    {"char_ngrams": (2, 3), "word_ngrams": 1, "n_buckets": 100},
    {"tokenizer": "whitespace"},
    {"lowercase": False},
    {"lowercase": True, "tokenizer": "whitespace"},
]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "model"


@pytest.mark.parametrize("options", FORMS)
def test_answers_and_parameters_are_kept(folder, options):
    model = TextClassifier(**SMALL, **options).fit(TEXTS, LABELS)
    model.save(folder)
    loaded = load_model(str(folder))
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS))
    np.testing.assert_array_equal(loaded.vectors(TEXTS), model.vectors(TEXTS))
    assert loaded.predict(TEXTS).tolist() == LABELS
    assert loaded.nearest("cat", 2) == model.nearest("cat", 2)
    assert loaded.keywords("cat", 2) == model.keywords("cat", 2)
    fixed = {**SMALL, **options}
    assert loaded.get_params() == {**TextClassifier().get_params(), **fixed}
    assert clone(loaded).fit(TEXTS, LABELS).classes_.tolist() == loaded.classes_.tolist()
    assert not hasattr(loaded, "loss_curve_")
    assert not loaded.embedding_.flags.writeable


def test_a_model_of_the_command_line(folder):
    save_model(make_model(), folder)
    loaded = load_model(folder, num_threads=1)
    assert loaded.num_threads == 1
    assert loaded.classes_.tolist() == ["caf\u00e9 food", "cat", "dog"]
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), make_model().probabilities(TEXTS))
    save_model(make_model(Ngrams(1, 0, 0, 1), tokenizer=Tokenizer("words-1")), folder)
    assert load_model(folder).tokenizer == "words-1"


def test_several_labels(folder):
    y = [["cat", "small"], ["cat"], ["dog"], ["dog"], [], ["food"]]
    model = TextClassifier(**SMALL, loss="ova").fit(TEXTS, y)
    model.save(folder)
    loaded = load_model(folder)
    assert loaded.predict(TEXTS) == model.predict(TEXTS)
    assert loaded.score(TEXTS, y) == 1
    TextClassifier(**SMALL, loss="ova").fit(TEXTS, np.eye(6, 2, dtype=int)).save(folder)
    assert load_model(folder).predict(TEXTS[:3]) == [[0], [1], []]


@pytest.mark.parametrize("values", [[5, 5, -1, -1, 10, 10], [True, True, True, False, False, True]])
def test_labels_that_are_integers(folder, values):
    model = TextClassifier(**SMALL).fit(TEXTS, values)
    if values[0] is True:
        with pytest.raises(ValueError, match="^a saved model has labels of str or int: convert y "):
            model.save(folder)
        assert not folder.exists()
    else:
        model.save(folder)
        assert load_model(folder).predict(TEXTS).tolist() == values


@pytest.mark.parametrize("label", ["", " a", "a\n", "a\tb"])
def test_labels_that_cannot_be_saved(folder, label):
    model = TextClassifier(**SMALL).fit(TEXTS, [label, *LABELS[1:]])
    with pytest.raises(ValueError, match="cannot be saved: it is empty, begins or ends with white"):
        model.save(folder)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"label_type": "int"}, "label_type is int, but not all labels are integers"),
        ({"label_type": "float"}, "label_type is 'float', not str or int"),
        ({"label_type": None}, "label_type is None, not str or int"),
        ({"label_prefix": None}, "label_prefix is None, not a word"),
        ({"label_prefix": "a b"}, "label_prefix is 'a b', not a word"),
        ({"label_prefix": ""}, "label_prefix is '', not a word"),
        ({"label_type": "int", "labels": ["1", "02", "3"]}, "label_type is int, but not all"),
        ({"label_type": "int", "labels": ["1", "\u0662", "3"]}, "label_type is int, but not all"),
        ({"label_type": "int", "labels": ["1", "9" * 99, "3"]}, "label_type is int, but not all"),
    ],
)
def test_damaged_types_of_labels(folder, change, problem):
    save_model(make_model(), folder)
    edit_json(folder / "model.json", lambda about: about.update(change))
    with pytest.raises(ValueError, match=re.escape(problem)):
        load_model(folder)


def test_models_without_a_type_of_labels_have_strings(folder):
    save_model(make_model(), folder)
    edit_json(folder / "model.json", lambda about: about.pop("label_type") and None)
    assert load_model(folder).classes_.tolist() == ["caf\u00e9 food", "cat", "dog"]


def test_copies_need_no_file(folder):
    TextClassifier(**SMALL).fit(TEXTS, LABELS).save(folder)
    loaded = load_model(folder)
    other = pickle.loads(pickle.dumps(loaded))
    np.testing.assert_array_equal(other.predict_proba(TEXTS), loaded.predict_proba(TEXTS))
    assert other.embedding_.flags.writeable


def test_partial_fit_goes_on_with_a_copy(folder):
    TextClassifier(**SMALL).fit(TEXTS, LABELS).save(folder)
    loaded, untouched = load_model(folder), load_model(folder)
    for _ in range(30):
        loaded.partial_fit(TEXTS, ["food", "food", *LABELS[2:]])
    assert loaded.predict(TEXTS).tolist() == ["food", "food", *LABELS[2:]]
    assert loaded.n_iter_ == 30
    assert untouched.predict(TEXTS).tolist() == LABELS
    loaded.save(folder)
    assert load_model(folder).predict(TEXTS[:1]).tolist() == ["food"]
    assert untouched.predict(TEXTS).tolist() == LABELS


def test_partial_fit_of_a_loaded_model_with_several_labels(folder):
    y = [["cat", "small"], ["cat"], ["dog"], ["dog"], [], ["food"]]
    TextClassifier(**SMALL, loss="ova").fit(TEXTS, y).save(folder)
    loaded = load_model(folder)
    for _ in range(90):
        loaded.partial_fit(TEXTS, y[::-1])
    assert loaded.score(TEXTS, y[::-1]) == 1


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(ValueError, match="is not a model directory: it has no model.json$"):
        load_model(tmp_path)
    with pytest.raises(ValueError, match="^num_threads must be at least 1 or None, got 0$"):
        load_model(tmp_path, num_threads=0)


def test_many_threads_share_a_classifier(folder):
    TextClassifier(**SMALL).fit(TEXTS, LABELS).save(folder)
    loaded = load_model(folder)
    texts = [
        f"{a} and {b} {i}"
        for i, (a, b) in enumerate(zip(TEXTS * 20, TEXTS[::-1] * 20, strict=True))
    ]
    expected = load_model(folder).predict_proba(texts)
    start = threading.Barrier(8)

    def answer(thread):
        start.wait()
        for i in range(thread, len(texts)):
            np.testing.assert_array_equal(loaded.predict_proba(texts[i : i + 1])[0], expected[i])
        np.testing.assert_array_equal(loaded.predict_proba(texts), expected)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(answer, range(8)))


_SAVER = """
import sys
sys.path.insert(0, sys.argv[2])
from support.storage_cases import make_model
from ebagx.io.model_folder import save_model
from pathlib import Path
for seed in range(30):
    save_model(make_model(seed=seed), Path(sys.argv[1]))
"""


def test_a_model_is_loaded_while_another_process_saves(folder):
    save_model(make_model(), folder)
    expected = [make_model(seed=seed).probabilities(TEXTS) for seed in range(30)]
    with subprocess.Popen([sys.executable, "-c", _SAVER, str(folder), str(TESTS)]) as process:
        while process.poll() is None:
            found = load_model(folder).predict_proba(TEXTS)
            assert any(np.array_equal(found, known) for known in expected)
    assert process.returncode == 0
    np.testing.assert_array_equal(load_model(folder).predict_proba(TEXTS), expected[-1])


def test_the_module_without_scikit_learn():
    code = (
        "import sys; sys.modules['sklearn'] = None; import ebagx.text; print(dir(ebagx.text))\n"
        "try: ebagx.text.load_model\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "'TextClassifier'" in done
    assert "needs scikit-learn: pip install 'ebagx[sklearn]'" in done


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="^module 'ebagx.text' has no attribute 'Classifier'$"):
        ebagx.text.Classifier  # noqa: B018

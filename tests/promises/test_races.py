"""Let 8 threads use one object: results are those of one thread, or of one of two models."""

import copy
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

import ebagx
from ebagx.sklearn import EmbeddingBagRecommender
from ebagx.text import TextClassifier, WordVectors, load_model

THREADS = 8
SECONDS = 0.3
TEXTS = ["a small cat", "a cat purrs", "dogs bark", "a big dog barks", "pie", "apples"] * 20
LABELS = ["cat", "cat", "dog", "dog", "food", "food"] * 20
QUESTIONS = ["a cat", "dogs", "pie of apples", "", "small dog"]
X = sparse.csr_array(np.random.default_rng(0).random((30, 12)) < 0.3, dtype=np.float32)


@pytest.fixture(autouse=True)
def many_switches():
    """Let threads take turns 100 times as often as usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(usual)


def at_once(*actions):
    """Repeat actions in 8 threads for some time; raise what one of them raises."""
    until, errors, barrier = time.monotonic() + SECONDS, [], threading.Barrier(THREADS)

    def work(number):
        barrier.wait()
        try:
            while not errors and time.monotonic() < until:
                actions[number % len(actions)]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def classifier():
    return TextClassifier(8, epochs=3, random_state=0, num_threads=2).fit(TEXTS, LABELS)


def test_answers_files_and_copies_of_one_classifier(tmp_path):
    model = classifier()
    wanted, texts = model.predict_proba(QUESTIONS), QUESTIONS * 100
    small = model.quantize(8)
    of_small, nearest = small.predict_proba(QUESTIONS), model.nearest("cat", 3)

    def ask():
        np.testing.assert_array_equal(model.predict_proba(QUESTIONS), wanted)
        np.testing.assert_array_equal(model.predict_proba(texts)[:5], wanted)
        assert model.nearest("cat", 3) == nearest

    def quantise():
        np.testing.assert_array_equal(model.quantize(8).predict_proba(QUESTIONS), of_small)

    def store():
        path = tmp_path / "model"
        model.save(path)
        np.testing.assert_array_equal(load_model(path).predict_proba(QUESTIONS), wanted)

    def go_on():
        """A copy is trained, and takes nothing of this one with it."""
        copy.copy(model).partial_fit(TEXTS[:6], LABELS[:6])

    at_once(ask, quantise, store, go_on)
    ask()


def test_a_classifier_is_replaced_by_one_that_has_learned_more():
    """Servers train a copy and set a name: each answer is that of one of the models."""
    first = classifier()
    second = copy.deepcopy(first).partial_fit(["zebra"] * 6, ["animal"] * 6)
    models, served = [first, second], {"model": first}
    answers = [model.predict_proba(QUESTIONS).tobytes() for model in models]

    def ask():
        assert served["model"].predict_proba(QUESTIONS).tobytes() in answers

    def replace():
        served["model"] = copy.deepcopy(first).partial_fit(["zebra"] * 6, ["animal"] * 6)
        served["model"] = first

    at_once(ask, ask, ask, replace)


def test_a_classifier_that_is_trained_meanwhile_answers_in_one_form():
    """`partial_fit` changes weights in place: answers are between two models, but sound."""
    model, lock = classifier(), threading.Lock()

    def ask():
        found = model.predict_proba(QUESTIONS)
        assert found.shape == (5, 3)
        assert np.isfinite(found).all()
        assert set(model.predict(QUESTIONS)) <= {"cat", "dog", "food"}
        assert np.isfinite(model.quantize(4).vectors(QUESTIONS)).all()

    def train():
        with lock:
            model.partial_fit(TEXTS[:30], LABELS[:30])

    at_once(ask, ask, ask, train)


def test_one_recommender_and_copies_of_it():
    model = EmbeddingBagRecommender(4, max_iter=2, random_state=0, num_threads=2).fit(X)
    ids, scores = model.recommend(X, 3)
    vectors, similar = model.transform(X), model.similar_items([1, 2], 3)[0]

    def ask():
        found = model.recommend(X, 3)
        np.testing.assert_array_equal(found[0], ids)
        np.testing.assert_array_equal(found[1], scores)
        np.testing.assert_array_equal(model.transform(X), vectors)
        np.testing.assert_array_equal(model.similar_items([1, 2], 3)[0], similar)

    at_once(ask, ask, ask, lambda: copy.deepcopy(model).partial_fit(X))
    ask()


def test_a_recommender_that_grows_meanwhile_answers_or_raises():
    """Users and items of two sizes may meet: that is an error, never a read outside an array."""
    wide = sparse.csr_array((X.data, X.indices, X.indptr), shape=(30, 4000))
    base = EmbeddingBagRecommender(4, max_iter=1, random_state=0, batch_size=64).fit(X)
    shared = {"model": copy.deepcopy(base)}

    def ask():
        for matrix in (X, wide):
            with suppress(ValueError):
                ids, scores = shared["model"].recommend(matrix, 3)
                assert ids.max() < 4000
                assert np.isfinite(scores[ids >= 0]).all()

    def grow():
        shared["model"] = model = copy.deepcopy(base)
        model.partial_fit(wide)

    at_once(ask, ask, ask, grow)


def test_one_collection_that_is_read():
    tables = {name: ebagx.EmbeddingBag(50, 8, mode="sum", num_threads=2) for name in "xy"}
    collection = ebagx.EmbeddingBagCollection(tables, {"a": "x", "b": "y", "c": "x"})
    collection.eval()
    bags = {"a": np.arange(20) % 50, "b": np.arange(60).reshape(20, 3) % 50, "c": [[1], []] * 10}
    wanted = collection(bags)
    at_once(lambda: np.testing.assert_array_equal(collection(bags), wanted))


def test_one_table_of_word_vectors(tmp_path):
    words = [f"w{i}" for i in range(200)]
    vectors = WordVectors.of(words, np.random.default_rng(0).standard_normal((200, 16), np.float32))
    texts = ["w1 w2", "w3 unknown", ""] * 30
    wanted, nearest = vectors.embed(texts), vectors.nearest("w5", 3)
    small = vectors.quantize(8).embed(texts)

    def ask():
        np.testing.assert_array_equal(vectors.embed(texts, num_threads=2), wanted)
        assert vectors.nearest("w5", 3) == nearest

    def quantise():
        np.testing.assert_array_equal(vectors.quantize(8).embed(texts), small)

    def store():
        vectors.save(tmp_path / "v.safetensors")
        np.testing.assert_array_equal(
            ebagx.text.load_vectors(tmp_path / "v.safetensors").embed(texts), wanted
        )

    at_once(ask, quantise, store)

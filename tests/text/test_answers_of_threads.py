"""Test when answers give the GIL back: once for a list, and never for one text."""

import os
import sys
import threading
import time

import pytest

pytest.importorskip("sklearn")

from ebagx.datasets import load_langid30
from ebagx.text import TextClassifier, load_model

is_free_threaded = not getattr(sys, "_is_gil_enabled", lambda: True)()
needs_gil = pytest.mark.skipif(is_free_threaded, reason="there is no GIL")
TEXTS = load_langid30()[0][:2000:100]


@pytest.fixture
def folder(tmp_path):
    texts, labels = load_langid30()
    model = TextClassifier(8, char_ngrams=(2, 4), n_buckets=5000, epochs=1, random_state=0)
    model.fit(texts[::20], labels[::20]).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def turns():
    """Yield a list that another thread adds to whenever it has the GIL, which it gives back."""
    usual, turns, stop = sys.getswitchinterval(), [], threading.Event()
    sys.setswitchinterval(20)

    def work():
        while not stop.is_set():
            turns.append(1)
            time.sleep(0)

    thread = threading.Thread(target=work)
    thread.start()
    yield turns
    stop.set()
    thread.join()
    sys.setswitchinterval(usual)


@needs_gil
@pytest.mark.skipif(os.name != "posix", reason="the size of the file is asked for with mmap.size")
@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_top", "vectors"])
def test_one_text_keeps_the_gil(method, folder, turns):
    """To get it back takes longer than the answer. The size of the mapped file is known without."""
    answer = getattr(load_model(folder), method)
    answer(["a"])
    before = len(turns)
    for text in TEXTS * 5:
        answer([text])
    assert len(turns) == before


@needs_gil
def test_a_list_gives_the_gil_back(folder, turns):
    model = load_model(folder)
    model.predict(TEXTS)
    before = len(turns)
    for _ in range(100):
        model.predict(TEXTS)
    assert len(turns) > before


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_no_descriptor_is_left_open(folder):
    load_model(folder).predict(["a"])
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        load_model(folder).predict(["a"])
    assert len(os.listdir("/proc/self/fd")) == len(before)

"""Test that no model is lost, and no load fails, where many processes and threads save and load."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ebagx.io.model_folder import load_model, save_model
from support.hammer import check, hammer, made
from support.storage_cases import FILES, TEXTS, make_model, names

SECONDS = float(os.environ.get("EBAGX_HAMMER_SECONDS", "6"))


@pytest.fixture
def path(tmp_path):
    save_model(made(0), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_four_that_save_four_that_load_and_kills(path):
    counts = hammer(path, SECONDS)
    check(load_model(path))
    save_model(made(0), path)
    assert names(path) == FILES
    assert min(counts.values()) >= 3


def test_threads_that_save_and_load_the_same_folder(path):
    stop = threading.Event()

    def save(seed):
        while not stop.is_set():
            save_model(made(seed), path)

    def load(_):
        while not stop.is_set():
            check(load_model(path))
        return True

    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(save, seed) for seed in range(3)]
        jobs += [pool.submit(load, None) for _ in range(3)]
        stop.wait(0.5)
        stop.set()
        for job in jobs:
            job.result()
    assert names(path) == FILES


def test_one_loaded_model_in_many_threads_while_it_is_replaced(saved):
    model = load_model(saved, num_threads=1)
    expected = make_model().probabilities(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        results = [pool.submit(model.probabilities, TEXTS) for _ in range(50)]
        save_model(make_model(seed=1), saved)
        results += [pool.submit(model.probabilities, TEXTS) for _ in range(50)]
    for result in results:
        np.testing.assert_array_equal(result.result(), expected)
    replaced = load_model(saved).probabilities(TEXTS)
    np.testing.assert_array_equal(replaced, make_model(seed=1).probabilities(TEXTS))

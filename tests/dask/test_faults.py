"""Test what a training survives: lost workers and results, a restart, a lost scheduler."""

import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("distributed")

import distributed

from ebagx.dask import DaskEmbeddingBagClassifier, _driver
from ebagx.dask._cluster import SchedulerLostError
from support import dask_cases as cases
from support.dask_clusters import cluster_of, rows_of, serve

LENGTHS = (250, 40, 0, 310)
# Workers that are killed leave sockets and processes that Python warns of.
pytestmark = [
    pytest.mark.usefixtures("few_rounds"),
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(scope="module")
def data():
    return cases.labelled_bags(num_columns=90)


@pytest.fixture(scope="module")
def client():
    """Yield a client of a cluster of its own, whose workers are killed."""
    with cluster_of(2) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


def fit_watched(model, data, before_round):
    """Fit a model; call `before_round` with the number of each round before it is made."""
    play = _driver.Training._play

    def watched(training):
        before_round(training._number)
        play(training)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_driver.Training, "_play", watched)
        return model.fit(*(rows_of(values, LENGTHS) for values in data))


def make(client):
    return DaskEmbeddingBagClassifier(6, client=client, random_state=0, max_iter=4)


def fit(client, data, before_round):
    return fit_watched(make(client), data, before_round)


def bits(model):
    return cases.fingerprint([*cases.weights_of(model), np.array(model.loss_curve_)])


@pytest.fixture(scope="module")
def expected(client, data):
    return bits(make(client).fit(*(rows_of(values, LENGTHS) for values in data)))


def process_ids(client):
    return sorted(client.run(os.getpid).values())


def once_in_round(number, action):
    """Return a function that acts before the first time that a round is made."""
    done = []

    def before_round(current):
        if current == number and not done:
            done.append(True)
            action()

    return before_round, done


@pytest.mark.parametrize("delay", [0.0, 0.05])
def test_a_killed_worker(client, data, expected, delay):
    def kill():
        victim = process_ids(client)[0]
        threading.Timer(delay, os.kill, (victim, signal.SIGKILL)).start()
        if not delay:
            time.sleep(0.1)

    before_round, done = once_in_round(1, kill)
    assert bits(fit(client, data, before_round)) == expected
    assert done


def test_all_workers_killed(client, data, expected):
    """The model that rounds have scattered is lost, and is scattered again from the driver."""

    def kill():
        for victim in process_ids(client):
            os.kill(victim, signal.SIGKILL)
        time.sleep(0.2)

    before_round, done = once_in_round(2, kill)
    assert bits(fit(client, data, before_round)) == expected
    assert done


def test_a_restarted_cluster(client, data, expected):
    before_round, done = once_in_round(2, client.restart)
    assert bits(fit(client, data, before_round)) == expected
    assert done


def test_scaling(client, data, expected):
    steps = iter((3, 1, 2))
    model = fit(client, data, lambda _: client.cluster.scale(next(steps, 2)))
    assert bits(model) == expected
    client.cluster.scale(2)
    client.wait_for_workers(2)


def test_two_fits_at_once(client, data, expected):
    found = []

    def run():
        found.append(bits(make(client).fit(*(rows_of(values, LENGTHS) for values in data))))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected, expected]


def test_a_fault_that_comes_again_is_raised(client, data):
    """Five attempts are made, and the last error is raised."""
    calls = []

    def fail(number):
        calls.append(number)
        if number == 1:
            raise OSError("no way")

    with pytest.raises(OSError, match="no way"):
        fit(client, data, fail)
    assert calls.count(1) == 6


def test_errors_of_the_data_are_raised_at_once(client, data):
    X, y = data[0].copy(), data[1]
    X.data[3] = np.nan
    calls = []
    with pytest.raises(ValueError, match="contains NaN"):
        fit(client, (X, y), calls.append)
    assert calls == []


def test_a_killed_scheduler(data):
    """It ends in an error within ten seconds, and the last model is kept."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,))
    process.start()
    try:
        address = mine.recv()
        with distributed.Client(address, set_as_default=False, timeout=20) as client:
            killed = []

            def kill():
                killed.append(time.monotonic())
                process.kill()

            before_round, _ = once_in_round(2, kill)
            model = make(client).set_params(n_shards=1)  # then each pass has one round
            with pytest.raises(SchedulerLostError, match="the scheduler of the cluster"):
                fit_watched(model, data, before_round)
            seconds = time.monotonic() - killed[0]
        assert seconds < 10
        assert 1 <= model.n_iter_ <= 2
        assert np.isfinite(model.embedding_).all()
    finally:
        process.kill()
        process.join()

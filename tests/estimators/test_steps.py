"""Test the calls that take the steps of a training: threads, interruptions, one model per seed."""

import hashlib
import os
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

from ebagx._core import cpu
from ebagx._core.bags import Bags
from ebagx._core.levels import available_levels
from ebagx._training import loop, steps as steps_module
from ebagx._training.bags import take
from ebagx._training.steps import Steps, Turns, lookups_of_batch
from ebagx.optim import Adam
from ebagx.sklearn import EmbeddingBagClassifier, EmbeddingBagRegressor
from support.estimator_cases import assert_same_model, make


def fingerprints():
    """Return a line with a hash of each of some fitted models."""
    rng = np.random.default_rng(0)
    X = sparse.random_array((300, 50), density=0.2, rng=rng, dtype=np.float32).tocsr()
    common = {"random_state": 0, "max_iter": 2}
    limits = Adam(0.01, clip_norm=0.5, weight_decay=1e-3)
    models = [
        EmbeddingBagClassifier(20, hidden=9, schedule="cosine", **common),
        EmbeddingBagClassifier(17, mode="sqrtn", optimizer=limits, **common),
        EmbeddingBagClassifier(8, negatives=2, alpha=1e-3, **common),
        EmbeddingBagClassifier(8, negatives=3, **common),
        EmbeddingBagRegressor(16, loss="huber", alpha=1e-3, **common),
        EmbeddingBagRegressor(16, loss="poisson", **common),
    ]
    labels, indicator = rng.integers(0, 5, 300), rng.integers(0, 2, (300, 7))
    counts = rng.poisson(3, (300, 2)).astype(float)
    targets = labels, indicator, labels, indicator, counts, counts
    hashes = []
    for model, y in zip(models, targets, strict=True):
        model.fit(X, y)
        arrays = model.embedding_, model.coef_, model.intercept_, np.array(model.loss_curve_)
        content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
        hashes.append(hashlib.sha256(content).hexdigest()[:16])
    return " ".join(hashes)


OTHER_MACHINES = {
    "baseline": {"EBAGX_LEVEL": "baseline"},
    "reference": {"EBAGX_LEVEL": "reference"},
    "old BLAS": {"OPENBLAS_CORETYPE": "Nehalem", "EBAGX_LEVEL": available_levels()[-1]},
}


@pytest.mark.parametrize("machine", OTHER_MACHINES)
def test_one_seed_gives_one_model_on_every_machine(machine):
    code = "from estimators.test_steps import fingerprints; print(fingerprints())"
    tests = os.path.dirname(os.path.dirname(__file__))
    environment = {**os.environ, **OTHER_MACHINES[machine], "PYTHONPATH": tests}
    command = [sys.executable, "-P", "-c", code]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == fingerprints()


def spy_on_threads(monkeypatch, busy):
    """Note the threads of each call of the kernel, and pretend that processors are busy."""
    seen, kernel = [], steps_module.kernels.train_batches

    def train_batches(*arguments):
        kernel(*arguments)
        seen.append(arguments[-1])
        return arguments[-1] > 1 and busy(len(seen))

    monkeypatch.setattr(steps_module.kernels, "train_batches", train_batches)
    monkeypatch.setattr("ebagx._core.threads.WORK_PER_THREAD", 1)
    monkeypatch.setattr("ebagx._core.threads.default_threads", lambda: 2)
    monkeypatch.setattr("ebagx._core.threads._PROCESSORS", 2)
    monkeypatch.setattr("ebagx._core.cpu.openmp_version", lambda: 201511)
    monkeypatch.setattr(steps_module, "_CALL_SECONDS", 0.0)  # a step a call
    clock = iter(np.arange(0, 1e6, 0.01))  # of 10 ms a call
    monkeypatch.setattr(steps_module.time, "perf_counter", lambda: next(clock))
    return seen


def test_threads_give_way_where_processors_are_busy(monkeypatch):
    seen = spy_on_threads(monkeypatch, lambda _: True)
    model, X, y = make("softmax", max_iter=30)
    model.fit(X, y)
    turns = np.flatnonzero(np.array(seen) == 2)
    assert turns[0] == 1
    np.testing.assert_allclose(np.diff(turns), 17, atol=1)
    monkeypatch.undo()
    assert_same_model(model, make("softmax", max_iter=30)[0].fit(X, y))


def test_threads_come_back(monkeypatch):
    seen = spy_on_threads(monkeypatch, lambda call: call < 20)
    model, X, y = make("softmax", max_iter=30)
    model.fit(X, y)
    assert set(seen[40:]) == {2}


def test_turns():
    turns = Turns(3)
    assert turns.threads == 1
    turns.note(False, 0.1)
    assert turns.threads == 3
    turns.note(True, 0.1)
    turns.note(False, 1.5)
    assert turns.threads == 1
    turns.note(False, 0.2)
    assert turns.threads == 3


@pytest.mark.parametrize(("seconds", "expected"), [(0.01, [16, 24, 40]), (1, [16, 1, 1])])
def test_calls_become_as_long_as_they_should(monkeypatch, seconds, expected):
    counts = []
    take = Steps._take
    monkeypatch.setattr(
        Steps, "_take", lambda self, *args: counts.append(args[-1]) or take(self, *args)
    )
    clock = iter(np.arange(1_000_000) * seconds)  # of so long calls
    monkeypatch.setattr(steps_module.time, "perf_counter", lambda: next(clock))
    model, X, y = make("softmax", batch_size=1)
    model.fit(X[:40], y[:40])
    assert counts[:3] == expected
    assert sum(counts) == 10 * 40


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer")
def test_ctrl_c_during_a_call(monkeypatch):
    """The call ends first, its steps are kept and counted."""
    model, X, y = make("softmax", max_iter=5, warm_start=True)
    kernel = steps_module.kernels.train_batches
    calls = []

    def train_batches(*arguments):
        result = kernel(*arguments)
        calls.append(len(arguments[0][0]))
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(steps_module.kernels, "train_batches", train_batches)
    with pytest.warns(UserWarning, match="interrupted in pass"):
        model.fit(X, y)
    steps = sum(-(-count // 7) for count in calls)
    assert [optimizer.num_steps for optimizer in model._state.optimizers] == [steps] * 2
    assert model.predict(X).shape == (40,)


def with_indices(X, dtype):
    """Return CSR with indices of a dtype, which SciPy's constructor would change."""
    X = sparse.csr_array(X)
    X.indices, X.indptr = X.indices.astype(dtype), X.indptr.astype(dtype)
    return X


@pytest.mark.parametrize("mode", ["mean", "sqrtn", "sum"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_data_in_memory_is_used_in_place(mode, dtype):
    rng = np.random.default_rng(0)
    X = sparse.random_array((2000, 2000), density=0.5, rng=rng, dtype=np.float32)
    X, y = with_indices(X, dtype), rng.integers(0, 3, 2000)
    model = EmbeddingBagClassifier(4, mode=mode, max_iter=1, batch_size=8, random_state=0)
    model.fit(X[:20], y[:20])
    tracemalloc.start()
    model.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2 * (X.data.nbytes + X.indices.nbytes)
    np.testing.assert_array_equal(X.data, with_indices(X, dtype).data)


def test_other_dtypes_are_converted_once():
    rng = np.random.default_rng(0)
    X = sparse.random_array((2000, 2000), density=0.5, rng=rng, dtype=np.float64).tocsr()
    y = rng.integers(0, 3, 2000)
    model = EmbeddingBagClassifier(4, max_iter=1, batch_size=8, random_state=0)
    model.fit(X[:20], y[:20])
    tracemalloc.start()
    model.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.4 * X.nnz * 4


@pytest.mark.parametrize("offsets", [[0, 10**6, 2, 9], [5, -3, 4, 10**6], [0, 9, 9, 3]])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_offsets_that_another_thread_changes_while_bags_are_taken(offsets, dtype):
    bags = Bags(np.arange(9, dtype=dtype), np.array(offsets, dtype), np.ones(9, np.float32))
    taken = take(bags, np.array([0, 2, 1, 0]))
    assert len(taken.indices) == len(taken.weights) == taken.offsets[-1] <= 27
    assert set(taken.indices) <= set(range(9))


def test_data_that_another_thread_changes(monkeypatch):
    """Columns outside the table, during a fit, have wrong results and no wild addresses."""
    model, X, y = make("softmax", max_iter=3)
    X = X.astype(np.float32)
    kernel = steps_module.kernels.train_batches

    def train_batches(*arguments):
        X.indices[::3] = 10**6
        X.indices[1::3] = -1
        return kernel(*arguments)

    monkeypatch.setattr(steps_module.kernels, "train_batches", train_batches)
    model.fit(X, y)
    assert np.isfinite(model.embedding_).all()


@pytest.mark.parametrize("size", [1, 40, 64, 1000])
def test_parts_of_a_pass_give_the_same_model(monkeypatch, size):
    """The sum of the losses is that of the sums of parts, which are whole batches."""
    rng = np.random.default_rng(0)
    X = sparse.random_array((300, 50), density=0.2, rng=rng, dtype=np.float32).tocsr()
    y, weights = rng.integers(0, 5, 300), rng.random(300)
    expected = EmbeddingBagClassifier(4, batch_size=32, random_state=0).fit(X, y, weights)
    monkeypatch.setattr(steps_module, "_EXAMPLES_OF_PART", size)
    found = EmbeddingBagClassifier(4, batch_size=32, random_state=0).fit(X, y, weights)
    assert_same_model(found, expected)
    np.testing.assert_allclose(found.loss_curve_, expected.loss_curve_, rtol=1e-12)


@pytest.mark.parametrize("at_once", [1, 10, 1000])
@pytest.mark.parametrize("batch_size", [1, 7, 99, 100, 500])
def test_lookups_of_a_batch_are_those_of_the_longest_bags(monkeypatch, at_once, batch_size):
    monkeypatch.setattr(steps_module, "_LENGTHS_AT_ONCE", at_once)
    lengths = np.random.default_rng(0).integers(1000, size=100)
    expected = sum(sorted(lengths.tolist())[-batch_size:])
    assert lookups_of_batch(lengths, batch_size) == expected
    assert lookups_of_batch(lengths[:0], batch_size) == 1


@pytest.mark.parametrize(
    ("size", "steps", "expected"), [(0, 0, [True]), (1 << 26, 0, []), (0, 1000, [])]
)
def test_freed_memory_goes_back_before_long_trainings(monkeypatch, size, steps, expected):
    """They are trainings of large tables with many steps."""
    calls = []
    monkeypatch.setattr(loop, "give_back_freed", lambda: calls.append(True))
    monkeypatch.setattr(loop, "_LARGE_TABLE", size)
    monkeypatch.setattr(loop, "_MANY_STEPS", steps)
    EmbeddingBagClassifier(4).fit(np.eye(3), [0, 1, 2])
    assert calls == expected
    assert cpu.give_back_freed() in (True, False)

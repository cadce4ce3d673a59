"""Test processes and threads: fork, spawn, pools, signals and exit."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import ebagx
from ebagx import optim
from ebagx._core import cpu, threads
from support.workers import IDS, TABLE, pooled

METHODS = [m for m in ("spawn", "forkserver") if m in multiprocessing.get_all_start_methods()]


def trained(seed):
    """Return the table of a module after some steps."""
    rng = np.random.default_rng(seed)
    bag = ebagx.EmbeddingBag(500, 64, mode="sum", rng=rng, sparse="rows", num_threads=2)
    optimizer = optim.Adagrad(0.1, num_threads=2)
    for _ in range(10):
        out = bag(rng.integers(0, 500, (100, 20)))
        bag.backward_update(out - 1, optimizer)
    return bag.weight


def run(script, *, timeout=60, flags=(), signal_after=None):
    """Run a script in a separate process; send it SIGINT soon after it has printed a line."""
    process = subprocess.Popen(
        [sys.executable, *flags, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        if signal_after is not None:
            assert process.stdout.readline() == signal_after
            time.sleep(0.5)  # until the call has checked its arguments
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.fixture(autouse=True)
def small_work_is_worth_a_thread(monkeypatch):
    monkeypatch.setattr(threads, "WORK_PER_THREAD", 1)


@pytest.mark.parametrize("method", METHODS)
def test_workers_started_after_use_have_all_threads(method):
    expected = pooled()
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        for result in pool.map(pooled, [1, 2, 2]):
            np.testing.assert_array_equal(result, expected)


@pytest.mark.skipif(not cpu.openmp_version(), reason="built without OpenMP")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_processes_forked_before_use_have_all_threads():
    """Those forked after use have one, see test_threads.py."""
    code, out, err = run("""
        import os
        import numpy as np
        import ebagx
        from ebagx._core import threads
        threads._PROCESSORS, threads.WORK_PER_THREAD = 2, 1
        child = os.fork()
        for _ in range(3):
            ebagx.embedding_bag(np.zeros((400, 10), int), np.ones((100, 64)), num_threads=2)
        assert threads.thread_count(2, 10, takes_turns=False) == 2
        if child:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            print("good")
    """)
    assert (code, out) == (0, "good\n"), err


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib(backend):
    joblib = pytest.importorskip("joblib")
    expected = pooled()
    calls = (joblib.delayed(pooled)(num_threads) for num_threads in (1, 2, None, 2))
    for result in joblib.Parallel(2, backend=backend)(calls):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.dask
def test_dask_threads():
    dask = pytest.importorskip("dask")
    expected = pooled()
    calls = [dask.delayed(pooled)(num_threads) for num_threads in (1, 2, None, 2)]
    for result in dask.compute(*calls, scheduler="threads", num_workers=4):
        np.testing.assert_array_equal(result, expected)


def test_thirty_two_threads_share_one_frozen_table():
    bag = ebagx.EmbeddingBag.from_pretrained(TABLE, mode="max")
    bag.num_threads = 2
    expected, start = bag(IDS), threading.Barrier(32)

    def call(_):
        start.wait()
        return [bag(IDS) for _ in range(5)]

    with ThreadPoolExecutor(32) as pool:
        for results in pool.map(call, range(32)):
            for result in results:
                np.testing.assert_array_equal(result, expected)


def test_tables_trained_side_by_side_are_those_trained_alone():
    alone = [trained(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for table, expected in zip(pool.map(trained, range(8)), alone, strict=True):
            np.testing.assert_array_equal(table, expected)


def test_training_one_table_while_others_are_read():
    expected, done, wrong = pooled(), threading.Event(), []

    def read():
        while not done.is_set():
            if not np.array_equal(pooled(), expected):
                wrong.append(1)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    table = trained(3)
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong
    np.testing.assert_array_equal(table, trained(3))


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent there")
@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize(
    "call",
    [
        "ebagx.embedding_bag(ids, table, [0], mode='sum', out=out, num_threads=threads)",
        "ebagx.embedding_bag(ids, table, [0], mode='max', out=out, num_threads=threads)",
        "ebagx.embedding_bag_backward(np.ones((1, 1 << 15)), ids, table, [0], mode='sum',"
        " out=gradient, num_threads=threads)",
    ],
    ids=["sum", "max", "backward"],
)
def test_ctrl_c_is_heard_in_long_calls(call, num_threads):
    """One call takes longer than the time limit, 5 * 10^11 additions."""
    code, _, err = run(
        f"""
        import signal
        import numpy as np
        import ebagx
        signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
        threads = {num_threads}
        ids, dim = np.zeros(1 << 24, np.int32), 1 << 15
        table, out = np.ones((4, dim), np.float32), np.ones((1, dim), np.float32)
        gradient = np.zeros((4, dim), np.float32)
        print("ready", flush=True)
        {call}
        """,
        signal_after="ready\n",
        timeout=10,
    )
    assert code != 0
    assert err.endswith("KeyboardInterrupt\n"), err


def test_exit_while_a_daemon_thread_runs_a_kernel():
    code, out, err = run("""
        import threading
        import numpy as np
        import ebagx
        table, ids = np.ones((1000, 256), np.float32), np.zeros((20_000, 100), np.int32)
        started = threading.Event()

        def work():
            while True:
                started.set()
                ebagx.embedding_bag(ids, table, num_threads=2)

        threading.Thread(target=work, daemon=True).start()
        started.wait()
        print("done", flush=True)
    """)
    assert (code, out, err) == (0, "done\n", "")

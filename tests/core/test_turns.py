"""Test that one thread works for a while where several lose time, and several where they do not."""

import importlib
import os
import subprocess
import sys
import textwrap
from array import array

import numpy as np
import pytest

from ebagx._core import cpu, threads
from ebagx._core.levels import available_levels
from ebagx._core.threads import MOST_REST, REST, Turns

WORK = 1000  # additions of a call, which take 100 ns on one thread


class Machine:
    """Calls of 1000 additions, and the time that each takes on two threads."""

    def __init__(self):
        self.times = array("q", [0, 0])
        self.turns = Turns(self.times)

    def call(self, taken):
        """Return whether a call has two threads; if so, it takes this time."""
        shared = self.turns.may_share(WORK)
        if shared:
            self.end_region(taken)
        return shared

    def end_region(self, taken):
        self.times[0] += 100 - taken
        self.times[1] += 100

    def calls(self, count, taken):
        return [self.call(taken) for _ in range(count)]


def test_a_long_call_is_shared_after_a_short_one_that_lost():
    machine = Machine()
    assert machine.call(150)  # so one thread works for 50 REST
    assert not machine.turns.may_share(REST * WORK // 4)
    assert not machine.turns.may_share(REST * WORK // 4)  # 25 REST, which end the rest
    assert machine.call(150)
    assert machine.turns.may_share(REST * WORK)


@pytest.mark.parametrize("taken", [50, 99, 100])
def test_calls_that_lose_nothing_are_shared(taken):
    assert all(Machine().calls(1000, taken))


@pytest.mark.parametrize("lost", [25, 100, 4000])
def test_one_thread_works_many_times_as_long_as_was_lost(lost):
    machine = Machine()
    assert machine.call(100 + lost)
    alone = -(-REST * lost // 100)  # calls of 100 ns
    assert machine.calls(alone, 50) == [False] * alone
    assert machine.call(50)


def test_a_process_that_was_stopped_has_several_threads_again():
    machine = Machine()
    assert machine.call(3600 * 10**9)
    assert not machine.turns.may_share(MOST_REST // 100 * WORK)  # which takes `MOST_REST`
    assert machine.call(50)


def test_a_busy_machine_costs_a_sixteenth():
    machine = Machine()
    shared = machine.calls(100_000, 4100)
    time = sum(4100 if several else 100 for several in shared)
    assert time <= (1 + 1 / REST) * 100 * len(shared) + 4100


def test_several_threads_work_again_when_the_machine_is_free():
    machine = Machine()
    assert not all(machine.calls(700, 4100))
    machine.calls(700, 50)
    assert all(machine.calls(1000, 50))


def test_gains_make_up_for_losses():
    machine = Machine()
    assert all(machine.calls(3, 50))
    assert machine.call(250)  # what the calls before it have won
    assert machine.call(200)
    assert not machine.call(50)


def test_a_call_may_have_several_regions():
    machine = Machine()
    assert machine.turns.may_share(WORK)
    machine.end_region(50)
    machine.end_region(140)
    assert machine.call(50)


def test_a_loss_is_forgotten_although_the_rate_is_unknown():
    """The times of a call are read while another thread of Python writes them."""
    machine = Machine()
    machine.turns.may_share(10**6)
    machine.times[0] -= 10_000
    shared = [machine.turns.may_share(10**6) for _ in range(100)]
    assert not shared[0]
    assert shared[-1]


def test_losses_of_several_threads_of_python_add_up():
    machine = Machine()
    assert machine.call(200)
    assert not machine.call(50)
    machine.end_region(200)  # of a call that began before the loss was noted
    alone = 2 * REST - 1  # all calls but the one above
    assert machine.calls(alone, 50) == [False] * alone
    assert machine.call(50)


@pytest.fixture
def two_processors(monkeypatch):
    """A machine with two processors and its turns."""
    machine = Machine()
    monkeypatch.setattr(threads, "_PROCESSORS", 2)
    monkeypatch.setattr(threads, "_TURNS", machine.turns)
    monkeypatch.setattr(cpu, "openmp_version", lambda: 201511)
    return machine


def test_an_explicit_number_of_threads_is_a_limit_too(two_processors):
    large = 2 * threads.WORK_PER_THREAD
    assert threads.thread_count(2, large) == 2
    two_processors.end_region(10**9)
    assert threads.thread_count(2, large) == 1
    assert threads.thread_count(2, large, takes_turns=False) == 2


def test_calls_that_have_one_thread_anyway_do_not_shorten_the_rest(two_processors):
    two_processors.call(200)
    assert threads.thread_count(2, 2 * threads.WORK_PER_THREAD - 1) == 1
    assert threads.thread_count(1, 10**9) == 1
    assert two_processors.calls(REST, 50) == [False] * REST
    assert two_processors.call(50)


@pytest.fixture
def module(request):
    """A module of kernels, which reports nothing after the test, as before it."""
    kernels = importlib.import_module(f"ebagx._kernels._{request.param}")
    yield kernels
    kernels.report_times(None)


modules = pytest.mark.parametrize("module", available_levels(), indirect=True)


@modules
@pytest.mark.parametrize("num_threads", [1, 2])
def test_kernels_report_the_times_of_regions(module, num_threads):
    times = array("q", [0, 0])
    module.report_times(times)
    assert module.indices_valid(np.zeros(10**5, np.int64), 1, num_threads)
    won, alone = times
    if num_threads == 1:
        assert won == alone == 0
    else:
        assert won < alone
        assert alone > 0


@modules
def test_what_threads_win_counts_up_to_a_limit(module):
    limit = 20_000_000
    times = array("q", [10**15, 0])
    module.report_times(times)
    module.indices_valid(np.zeros(10**5, np.int64), 1, 2)
    assert times[0] == limit


@modules
def test_threads_that_lose_time_leave_the_next_regions_to_one(module):
    """One thread wins nothing and loses next to nothing."""
    times = array("q", [-(10**15), 0])
    module.report_times(times)
    for _ in range(10):
        module.indices_valid(np.zeros(10**6, np.int64), 1, 2)
    assert abs(times[0] + 10**15) < times[1] / 4


@modules
def test_nothing_is_reported_any_more(module):
    times = array("q", [0, 0])
    module.report_times(times)
    module.report_times(None)
    module.indices_valid(np.zeros(10**5, np.int64), 1, 2)
    assert list(times) == [0, 0]
    times.append(0)  # no buffer is held


@modules
@pytest.mark.parametrize(
    ("times", "error"),
    [
        (bytes(16), BufferError),
        (array("d", [0, 0]), TypeError),
        (np.zeros((2, 2), np.int64), ValueError),
    ],
    ids=["bytes", "float64", "2-D"],
)
def test_refused_totals_leave_those_before_them(module, times, error):
    totals = array("q", [0, 0])
    module.report_times(totals)
    with pytest.raises(error):
        module.report_times(times)
    module.indices_valid(np.zeros(10**5, np.int64), 1, 2)
    assert totals[1] > 0


BUSY = """
    import os, sys, time
    cpus = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cpus)
    if sys.argv[1] == "spin":
        print(flush=True)
        while True:
            pass
    import numpy as np
    import ebagx

    ids, table = np.arange(600 * 20).reshape(600, 20) % 20_000, np.ones((20_000, 64), np.float32)
    grad = np.ones((600, 64), np.float32)

    def seconds(num_threads, count):
        started = time.perf_counter()
        for _ in range(count):
            ebagx.embedding_bag(ids, table, mode="sum", num_threads=num_threads)
            ebagx.embedding_bag_backward(grad, ids, table, sparse="rows", num_threads=num_threads)
        return time.perf_counter() - started

    seconds(2, 1)
    print(min(seconds(2, 200) / seconds(1, 200) for _ in range(3)))
"""


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.skipif(not cpu.openmp_version(), reason="built without OpenMP")
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes choose processors")
def test_calls_beside_two_busy_processes():
    """Without turns, two threads take more than 20 times as long as one."""
    command = [sys.executable, "-c", textwrap.dedent(BUSY)]
    others = [subprocess.Popen([*command, "spin"], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for process in others:
            process.stdout.readline()
        done = subprocess.run([*command, "time"], capture_output=True, text=True, check=True)
    finally:
        for process in others:
            process.kill()
            process.communicate()
    assert float(done.stdout) < 4

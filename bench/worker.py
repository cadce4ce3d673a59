"""Run a process that times one library with the data of one workload on command."""

import gc
import importlib
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from operations import OPERATIONS
from workloads import WORKLOADS, make_data

SHORTEST_SAMPLE = 100e-6  # seconds; shorter calls are timed several at once
FEWEST_SAMPLES = 2
# Threads of an OpenMP runtime spin for some milliseconds after a parallel region. They must
# stop before the next library is timed.
SETTLING_TIME = 0.02


def time_call(run: Callable[[], Any], budget: float) -> float:
    """Return the shortest time of one call, in seconds, among those that fit in the budget."""
    clock = time.perf_counter
    deadline = clock() + budget
    best, calls, samples = float("inf"), 1, 0
    while samples < FEWEST_SAMPLES or clock() < deadline:
        start = clock()
        for _ in range(calls):
            run()
        elapsed = clock() - start
        if elapsed < SHORTEST_SAMPLE:
            calls *= 2
            continue
        best = min(best, elapsed / calls)
        samples += 1
    return best


def set_up(subject: Any, operation_name: str) -> Callable[[], Any] | None:
    """Return the call to time, after comparing its result with that of plain NumPy."""
    if not hasattr(subject, operation_name):
        return None
    operation = OPERATIONS[operation_name]
    run: Callable[[], Any] = getattr(subject, operation_name)()
    # A library may return fewer arrays (NumPy has no winning rows), so that this is not strict.
    for got, expected in zip(subject.read(run()), operation.expected(subject.data), strict=False):
        np.testing.assert_allclose(
            got, expected, operation.tolerance, operation.tolerance, err_msg=operation_name
        )
    return run


def answer_commands(connection: Connection, subject: Any) -> None:
    """Run the commands of the parent, one at a time, until the connection is closed."""
    run = None
    while True:
        command, argument = connection.recv()
        if command == "set up":
            run = None  # frees the arrays of the last operation before the next are made
            run = set_up(subject, argument)
            gc.collect()
            answer: Any = run is not None
        else:
            answer = time_call(run, argument) if run else None
        time.sleep(SETTLING_TIME)
        connection.send(answer)


def serve(connection: Connection, library: str, workload_name: str) -> None:
    """Run a worker: load library and data, then answer commands."""
    try:
        module = importlib.import_module(f"libraries.with_{library}")
        subject = module.Subject(make_data(WORKLOADS[workload_name]))
        gc.disable()
        gc.freeze()  # the garbage collector skips a library's own objects
        answer_commands(connection, subject)
    except EOFError:
        return
    except Exception as error:
        error.add_note(f"raised while {library} ran {workload_name}")
        connection.send(error)


class Worker:
    """The parent's end of a worker process; several workers load their data in parallel."""

    def __init__(self, library: str, workload_name: str, num_threads: int) -> None:
        # OpenMP runtimes read their variable when they are loaded, so it is set before the start.
        os.environ.update(OMP_NUM_THREADS=str(num_threads), OPENBLAS_NUM_THREADS="1")
        context = multiprocessing.get_context("spawn")
        self.library = library
        self.connection, other_end = context.Pipe()
        self.process = context.Process(
            target=serve, args=(other_end, library, workload_name), daemon=True
        )
        self.process.start()
        other_end.close()

    def ask(self, command: str, argument: object) -> Any:
        """Send a command and return the answer; raise the worker's exception if it is one."""
        self.connection.send((command, argument))
        answer = self.connection.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def set_up(self, operation_name: str) -> bool:
        """Set an operation up and check it; return whether the library has it."""
        return bool(self.ask("set up", operation_name))

    def time(self, budget: float) -> float:
        """Return the shortest time of a call of the operation, in seconds."""
        return float(self.ask("time", budget))

    def close(self) -> None:
        """End the process and wait until its memory is free."""
        self.connection.close()
        self.process.join()

"""Processes that save and load one model at the same time, and are killed at random."""

import os
import random
import signal
import sys
import time
import traceback

import numpy as np

from ebagx.io.model_folder import load_model, save_model
from support.storage_cases import make_model


def hammer(path, seconds, *, writers=4, readers=4, seed=0):
    """Let processes save and load for some seconds, and kill some of them.

    Returns the number of complete saves and loads and of kills. A process that finds no complete
    model, or cannot save, ends all with an error. The folder must hold a model of `made`.
    """
    chooser, jobs = random.Random(seed), {}
    counts = {"saves": 0, "loads": 0, "kills": 0}

    def start(job):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _work(job, path, writing, seed=chooser.randrange(2**31) + os.getpid())
        os.close(writing)
        jobs[child] = job, reading

    def end(child):
        os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        job, reading = jobs.pop(child)
        with os.fdopen(reading, "rb") as pipe:
            counts[job] += len(pipe.read())
        return status == -signal.SIGKILL

    for job in ["saves"] * writers + ["loads"] * readers:
        start(job)
    deadline, good = time.monotonic() + seconds, True
    while good and time.monotonic() < deadline:
        time.sleep(chooser.uniform(0.0, 0.06))
        victim = chooser.choice([child for child, (job, _) in jobs.items() if job == "saves"])
        good = end(victim)
        counts["kills"] += 1
        start("saves")
    results = [end(child) for child in list(jobs)]
    assert good, "a save has failed"
    assert all(results), "a load or a save has failed"
    return counts


def made(seed):
    """Return a model that shows in each array which seed it has."""
    model = make_model(seed=0)
    for array in (model.embedding, model.coef, model.intercept):
        array[...] = seed
    return model


def check(model):
    """Raise unless all arrays are of one seed."""
    values = {
        float(v) for a in (model.embedding, model.coef, model.intercept) for v in np.unique(a)
    }
    assert len(values) == 1, f"a mixture of models: {values}"


def _work(job, path, pipe, seed):
    """Save or load until killed; write one byte for each time that went well."""
    try:
        chooser = random.Random(seed)
        models = [made(chooser.randrange(1000)) for _ in range(4)]
        while True:
            if job == "saves":
                save_model(chooser.choice(models), path)
            else:
                check(load_model(path))
            os.write(pipe, b".")
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)

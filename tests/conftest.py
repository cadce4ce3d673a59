"""Settings of the whole suite."""

import gc
import io
import os
import signal
import sys

import pytest
from hypothesis import settings

from ebagx._core import levels, threads
from ebagx.cli import main
from ebagx.io.model_folder import save_model
from support.cli_cases import write_examples
from support.markers import add_markers, check_ids
from support.storage_cases import make_model

os.environ["MPLBACKEND"] = "agg"  # plots open no window
# A child process takes the installed package, not an unbuilt one in the working directory.
os.environ["PYTHONSAFEPATH"] = "1"
# Jobs in the background of a shell ignore Ctrl-C, as do their children, which some tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("ebagx", deadline=None, derandomize=True, database=None)
settings.load_profile("ebagx")


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(items):
    add_markers(items)
    check_ids(item.nodeid for item in items)
    # Clusters live until the end, and their threads allocate while other tests measure memory.
    items.sort(key=lambda item: item.get_closest_marker("dask") is not None)


def pytest_collection_finish():
    """Keep the objects of the suite out of garbage collections, which took a second each."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def machine_that_is_never_busy():
    """Keep calls from having one thread because processors are busy with other things."""
    levels.report_times(None)
    yield
    levels.report_times(threads.REGION_TIMES)


@pytest.fixture
def saved(tmp_path):
    """Return the folder of a model."""
    path = tmp_path / "model"
    save_model(make_model(), path)
    return path


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in an empty directory; return exit status, output lines, error text."""
    monkeypatch.chdir(tmp_path)

    def run(*argv, stdin=b""):
        text = io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin)), "utf-8")
        monkeypatch.setattr(sys, "stdin", text)
        status = main([str(word) for word in argv])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err

    return run


@pytest.fixture
def trained(run, tmp_path):
    write_examples(tmp_path / "train.tsv")
    assert run("train", "train.tsv", "--epochs", 3)[0] == 0

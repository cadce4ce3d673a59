"""Test the command line as a process: pipes, signals, readers that close the pipe."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

pytest.importorskip("sklearn")


@pytest.fixture
def start(tmp_path):
    """Start a command in an empty directory; kill it if it hangs, or when the test is over."""
    with contextlib.ExitStack() as stack:

        def start(*argv):
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                [sys.executable, "-m", "ebagx", *argv],
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                cwd=tmp_path,
                env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
            )
            watchdog = threading.Timer(60, process.kill)
            watchdog.start()
            for clean_up in (process.communicate, process.kill, watchdog.cancel):
                stack.callback(clean_up)
            return process

        yield start


def test_module_is_runnable(start):
    process = start("predict", "absent")
    out, err = process.communicate()
    message = b"ebagx: absent is not a model directory: it has no model.json"
    assert (process.returncode, out, err.strip()) == (2, b"", message)
    assert re.fullmatch(rb"ebagx \d+\.\d+\.\d+\s*", start("--version").communicate()[0])


@pytest.mark.usefixtures("trained")
def test_predict_answers_a_pipe_at_once(start):
    process = start("predict", "ebagx-model")
    for line, label in ((b"the cat\n", b"animal"), (b"the soup\n", b"food")):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline().strip() == label
    process.communicate()
    assert process.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
@pytest.mark.usefixtures("trained")
def test_reader_of_the_output_goes_away(start, tmp_path):
    (tmp_path / "lines").write_text("the cat\n" * 100_000)
    process = start("predict", "ebagx-model", "lines")
    process.stdout.close()
    assert process.wait() == 141
    assert process.stderr.read() == b""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.usefixtures("trained")
def test_ctrl_c_while_waiting_for_lines(start):
    process = start("predict", "ebagx-model")
    process.stdin.write(b"the cat\n")
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert process.stderr.read() == b"ebagx: interrupted\n"

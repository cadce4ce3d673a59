"""Test what is shown of reading and training, on terminals and elsewhere."""

import io
import re
import sys

import pytest

pytest.importorskip("sklearn")

from ebagx.cli import inputs, progress
from support.cli_cases import write_examples


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Stand for a clock that a test advances."""
    times = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: times[0])
    return times


@pytest.fixture
def without_tqdm(monkeypatch):
    monkeypatch.setattr(progress, "find_spec", lambda _: None)


def shown(monkeypatch, stream, clock, total=2000):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.progress("reading", total, "bytes") as show:
        for i in range(9):
            show(100 * i, f"line {i}")
            clock[0] += 3
    return stream.getvalue()


def test_a_line_every_ten_seconds_where_there_is_no_terminal(monkeypatch, clock):
    text = shown(monkeypatch, io.StringIO(), clock)
    assert text == (
        "reading   400 bytes (20%), 0:48 left, line 4\n"
        "reading   800 bytes (40%), 0:36 left, line 8\n"
    )
    assert shown(monkeypatch, io.StringIO(), clock, None).startswith(
        "reading   400 bytes, line 4\n"
    )


@pytest.mark.usefixtures("without_tqdm")
def test_a_line_that_rewrites_itself_on_a_terminal(monkeypatch, clock):
    monkeypatch.setenv("COLUMNS", "30")
    text = shown(monkeypatch, Terminal(), clock)
    assert "\n" not in text
    first, *others, removed, end = text.split("\r")[1:]
    assert first == f"{'reading   0 bytes (0%), line 0':<29}"[:29]
    assert len(others) == 8
    assert all(len(line) == 29 for line in [first, *others, removed])
    assert (removed.strip(), end) == ("", "")


@pytest.mark.usefixtures("without_tqdm")
def test_more_than_all_is_all(monkeypatch, clock):
    """A file may grow while it is read."""
    assert "800 bytes (100%)" in shown(monkeypatch, Terminal(), clock, total=500)
    assert "%" not in shown(monkeypatch, Terminal(), clock, total=0)


def test_standard_error_may_be_closed(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with progress.progress("reading", 1, "bytes") as show:
        show(1, "")


@pytest.mark.usefixtures("without_tqdm", "clock")
def test_reading_and_training_are_followed(run, tmp_path, monkeypatch):
    write_examples(tmp_path / "train.tsv", copies=300)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setitem(progress._SECONDS, True, 0.0)
    run("train", "train.tsv", "--epochs", 3)
    lines = [line.strip() for line in terminal.getvalue().split("\r")]
    size = (tmp_path / "train.tsv").stat().st_size
    assert f"reading   {size:,} bytes (100%), 3,300 lines" in lines
    training = [line for line in lines if line.startswith("training")]
    assert len(training) >= 3
    assert training[0].endswith(" words/s, lr 0.200")
    assert any(" words/s, epoch 1: loss " in line for line in training)
    last = r"training  8,910 lines \(100%\), [\d,]+ words/s, epoch 2: loss [\d.]+, lr 0.200"
    assert re.match(last, training[-1])
    terminal.truncate(0)
    run("train", "train.tsv", "--epochs", 4)  # the rate falls
    # The line of the terminal may end before the rate.
    rates = [float(rate) for rate in re.findall(r"lr ([\d.]+)", terminal.getvalue())]
    assert rates == sorted(rates, reverse=True)
    assert (rates[0] > 0.1, rates[-1]) == (True, 0.0)
    numbering = [line for line in lines if line.startswith("numbering")]
    assert numbering[-1] == "numbering 5,940 lines (100%)"


def test_times():
    assert [progress._as_time(seconds) for seconds in (0, 59.6, 3599, 3600, 90061)] == [
        "0:00",
        "1:00",
        "59:59",
        "1:00:00",
        "25:01:01",
    ]


def test_standard_input_is_a_training_file(run, tmp_path):
    path = write_examples(tmp_path / "train.tsv")
    status, out, err = run("train", "-", stdin=path.read_bytes())
    assert (status, err) == (0, "")
    assert out[:2] == ["reading   stdin", "          3 labels, 198 lines and 22 held out"]
    assert run("train", "-", stdin=b"a\n")[2] == (
        "ebagx: stdin, line 1: no tab between label and text\n"
    )


def test_ctrl_c_while_reading(run, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    write_examples(tmp_path / "train.tsv")
    monkeypatch.setattr(inputs, "read_lines", interrupt)
    assert run("train", "train.tsv") == (130, [], "ebagx: interrupted\n")

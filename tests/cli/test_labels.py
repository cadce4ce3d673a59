"""Test labels in files and on lines: many, rare, with another prefix, where none are expected."""

import bz2
import lzma
import os
import random
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx.io.model_folder import load_model
from ebagx.text import TextClassifier, sources
from support.cli_cases import write_examples

# Prints the bytes of memory that a command took at its peak.
MEMORY = """
import sys
from ebagx.cli import main

status = main(sys.argv[1:])
with open("/proc/self/status") as file:
    (line,) = [line for line in file if line.startswith("VmHWM:")]
print(int(line.split()[1]) * 1024, status, file=sys.stderr)
"""


def test_more_labels_than_half_the_lines_is_a_warning(run, tmp_path):
    content = "a\tx\nb\ty\n" * 9 + "c\tz\n" + "".join(f"{i}\tz w{i}\n" for i in range(40))
    (tmp_path / "train.tsv").write_text(content)
    status, out, err = run("train", "train.tsv")
    assert status == 0
    assert err == (
        "ebagx: warning: train.tsv: 43 labels for 59 lines; 41 of them have one line each, "
        "which is learned but never held out, so that the accuracy leaves them out\n"
    )
    assert out[1] == "          43 labels, 57 lines and 2 held out"
    assert len(load_model(tmp_path / "ebagx-model").labels) == 43


def test_a_label_for_each_line(run, tmp_path):
    (tmp_path / "train.tsv").write_text("".join(f"{i}\tw{i}\n" for i in range(30)))
    status, out, _ = run("train", "train.tsv", "--epochs", 50)
    assert (status, out[3]) == (0, "accuracy  not measured, no lines are held out")
    assert run("predict", "ebagx-model", stdin=b"w7\n")[1] == ["7"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_memory_with_many_labels(tmp_path):
    """`predict` took 12 bytes for each line and label: 960 MB here."""
    chooser = random.Random(0)
    lines = [f"l{i % 4000} w{chooser.randrange(999)} w{i % 999}\n" for i in range(20_000)]
    (tmp_path / "train.tsv").write_text("".join(line.replace(" ", "\t", 1) for line in lines))
    (tmp_path / "lines").write_text("".join(line.partition(" ")[2] for line in lines))
    options = ("--epochs", "1", "--dim", "4", "--word-ngrams", "1", "--held-out", "0.5")
    for argv in (
        ("train", "train.tsv", "--model", "m", *options),
        ("predict", "m", "lines"),
        ("test", "m", "train.tsv"),
    ):
        command = [sys.executable, "-c", MEMORY, *argv]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        taken, status = done.stderr.split()[-2:]
        assert status == "0"
        assert int(taken) < 250e6


def test_labels_anywhere_in_a_line(run, tmp_path):
    write_examples(tmp_path / "first.txt", "__label__{label} {text}\n")
    write_examples(tmp_path / "last.txt", "{text} __label__{label}\n")
    for name in ("first", "last"):
        assert run("train", f"{name}.txt", "--model", name)[0] == 0
    first, last = load_model(tmp_path / "first"), load_model(tmp_path / "last")
    np.testing.assert_array_equal(first.embedding, last.embedding)
    assert not any("__label__" in word for word in last.features.columns)
    plain = run("predict", "last", "-k", -1, "--prob", stdin=b"the cat number 3\n")
    lines = b"the cat __label__place number 3\n"
    assert run("predict", "last", "-k", -1, "--prob", stdin=lines) == plain
    run("vectors", "last", "-", "a.npy", stdin=lines)
    run("vectors", "last", "-", "b.npy", stdin=b"the cat number 3\n")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@pytest.mark.parametrize("option", ["--label", "-label"])
def test_another_prefix(run, tmp_path, option):
    write_examples(tmp_path / "train.txt", "the @{label} {text}\n")
    assert (
        run("train", "train.txt", option, "@")[1][1]
        == "          3 labels, 198 lines and 22 held out"
    )
    out = run("test", "ebagx-model", "train.txt", option, "@")[1]
    assert out[:2] == ["lines     220", "P@1       1.000"]
    assert run("predict", "ebagx-model", option, "@", stdin=b"cat @food\n")[1] == ["animal"]
    search = ("--autotune-validation", "train.txt", "--autotune-trials", 1)
    assert run("train", "train.txt", option, "@", *search)[0] == 0


def test_the_model_keeps_the_prefix(run, tmp_path):
    write_examples(tmp_path / "train.txt", "the @{label} {text}\n")
    assert run("train", "train.txt", "--label", "@")[0] == 0
    assert run("test", "ebagx-model", "train.txt")[1][1] == "P@1       1.000"
    lines = b"cat @food\n"
    assert run("predict", "ebagx-model", stdin=lines)[1] == ["animal"]
    plain = run("predict", "ebagx-model", "--prob", stdin=b"cat\n")
    assert run("predict", "ebagx-model", "--prob", stdin=lines) == plain
    run("vectors", "ebagx-model", "-", "a.npy", stdin=b"cat @soup\n")
    run("vectors", "ebagx-model", "-", "b.npy", stdin=b"cat\n")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    other = run("predict", "ebagx-model", "--prob", "--label", "#", stdin=b"cat @soup\n")
    assert other != plain


def trained_with(run, *options):
    assert run("train", "train.txt", "--loss", "ova", "--model", "m", *options)[0] == 0
    return "m"


@pytest.mark.parametrize("option", ["--min-count-label", "-minCountLabel"])
def test_rare_labels_are_left_out(run, tmp_path, option):
    path = write_examples(tmp_path / "train.txt", "__label__{label} {text}\n")
    rare = "__label__rare the cat\n__label__food __label__rare pie\n__label__single lake\n"
    path.write_text(rare + path.read_text("utf-8"), "utf-8")
    assert "rare" in run("info", trained_with(run, option, 2))[1][-1]
    status, out, _ = run("train", "train.txt", option, 3)
    assert status == 0
    assert out[1:3] == [
        "          2 rare labels and 2 lines left out",
        "          3 labels, 199 lines and 22 held out",
    ]
    assert load_model(tmp_path / "ebagx-model").labels == ["animal", "food", "place"]
    status, _, err = run("train", "train.txt", option, 99)
    assert (status, err) == (
        2,
        "ebagx: train.txt: no label has at least --min-count-label 99 lines\n",
    )


WARNING = "labels stand before the tabs, and count as words; --labelled drops them\n"


@pytest.mark.usefixtures("trained")
def test_a_labelled_file_is_noticed(run, tmp_path, monkeypatch):
    lines = b"\nfood\tthe cat\n\nplace\ta pie\n"
    (tmp_path / "lines.tsv").write_bytes(lines)
    status, out, err = run("predict", "ebagx-model", "lines.tsv")
    assert (status, len(out), err) == (0, 4, f"ebagx: warning: lines.tsv: {WARNING}")
    with monkeypatch.context() as patch:
        patch.setattr(sources, "_BLOCK_SIZE", 9)  # several lists of lines, and still one warning
        assert (
            run("predict", "ebagx-model", stdin=lines * 9)[2] == f"ebagx: warning: stdin: {WARNING}"
        )
    for others in (b"cat\tdog\n", b"food\n", b"food\tpie\nfood\n"):
        assert run("predict", "ebagx-model", stdin=others)[2] == ""
    status, out, err = run("predict", "ebagx-model", "--labelled", "lines.tsv")
    assert (status, err) == (0, "")
    assert out[1::2] == ["animal", "food"]
    assert run("vectors", "ebagx-model", "lines.tsv", "a.npy")[2].endswith(WARNING)
    assert run("vectors", "ebagx-model", "lines.tsv", "a.npy", "--labelled")[2] == ""


@pytest.mark.usefixtures("trained")
def test_labelled_lines_must_have_a_label(run, monkeypatch):
    monkeypatch.setattr(sources, "_BLOCK_SIZE", 9)
    lines = b"food\tthe cat\n__label__food the pie\nthe lake\n"
    status, _, err = run("predict", "ebagx-model", "--labelled", stdin=lines)
    assert (status, err) == (2, "ebagx: stdin, line 3: no tab between label and text\n")


@pytest.mark.parametrize("compress", [bytes, bz2.compress, lzma.compress])
def test_standard_input_of_all_commands(run, tmp_path, compress):
    content = compress(write_examples(tmp_path / "train.tsv").read_bytes())
    status, out, err = run("train", "-", stdin=content)
    assert (status, out[0], err) == (0, "reading   stdin", "")
    out = run("test", "ebagx-model", "-", stdin=content)[1]
    assert out[:2] == ["lines     220", "P@1       1.000"]
    assert len(run("predict", "ebagx-model", "--labelled", stdin=content)[1]) == 220
    status, _, err = run("test", "ebagx-model", "-", stdin=b"no tab\n")
    assert (status, err) == (2, "ebagx: stdin, line 1: no tab between label and text\n")


@pytest.mark.usefixtures("trained")
def test_damaged_files(run, tmp_path):
    (tmp_path / "train.xz").write_bytes(lzma.compress(b"a\tx\n" * 99)[:-9])
    for argv in (("train", "train.xz"), ("test", "ebagx-model", "train.xz")):
        status, _, err = run(*argv)
        assert (status, err.count("\n")) == (2, 1)
        assert err.startswith("ebagx: train.xz: damaged xz data: ")


def test_output_is_utf8_in_every_locale(run, tmp_path):
    label = "caf\u00e9\u4e2d"
    write_examples(tmp_path / "tr\u00e4in.tsv", label + "{label}\t{text}\n")
    assert run("train", "tr\u00e4in.tsv", "--model", "m")[0] == 0
    locale = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    for argv, expected in (
        (("predict", "m"), f"{label}animal"),
        (("train", "tr\u00e4in.tsv"), "reading   tr\u00e4in.tsv"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ebagx", *argv],
            input=b"the cat\n",
            cwd=tmp_path,
            capture_output=True,
            check=False,
            env={**os.environ, **locale},
        )
        assert done.returncode == 0
        assert done.stdout.decode("utf-8").splitlines()[0] == expected
    (tmp_path / "one.tsv").write_text(f"{label}\tx\n", "utf-8")
    command = [sys.executable, "-m", "ebagx", "train", "one.tsv"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, check=False, env={**os.environ, **locale}
    )
    assert f"ebagx: one.tsv: every line has the label {label!r}" in done.stderr.decode("utf-8")


def test_negatives(run, tmp_path):
    """The command line makes the model of the classifier."""
    lines = [f"label{i % 40}\tword{i % 40} of text {i % 7}" for i in range(200)]
    (tmp_path / "many.tsv").write_text("\n".join(lines) + "\n")
    options = ("--held-out", 0, "--epochs", 2, "--dim", 4, "--negatives", 5)
    assert run("train", "many.tsv", "--model", "m", *options)[0] == 0
    labels, texts = zip(*(line.split("\t") for line in lines), strict=True)
    expected = TextClassifier(4, epochs=2, negatives=5, random_state=0).fit(texts, labels)
    np.testing.assert_array_equal(load_model(tmp_path / "m").coef, expected.coef_)

"""Test the output, the exit status and the one-line errors of the commands, mostly in process."""

import errno
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx._training.steps import Steps
from ebagx.cli import commands, saving
from ebagx.cli.run import main
from ebagx.io.model_folder import load_model
from ebagx.text.model import TextModel
from support.cli_cases import write_examples
from support.storage_cases import make_model, save_format_2


def test_train_without_a_file_learns_wordnet(run):
    status, out, err = run("train", "--seed", 1)
    assert (status, err) == (0, "")
    assert out[:3] == [
        "reading   WordNet topics (come with ebagx)",
        "          10 labels, 8,000 lines and 1,997 held out",
        "training  10 epochs, 32 dimensions",
    ]
    accuracy = re.fullmatch(r"accuracy  (0\.\d\d\d) on the held-out lines", out[3])
    assert float(accuracy[1]) >= 0.80
    assert re.fullmatch(r"speed     [\d,]+ words per second \(\d+\.\d\d s\)", out[4])
    assert out[5:8] == ["saved     ebagx-model", "", "Now classify lines of your own:"]
    assert re.fullmatch(r'  echo "a small striped cat" \| .* predict ebagx-model', out[8])
    assert max(map(len, out[:8])) < 60
    assert run("predict", "ebagx-model", stdin=b"a small striped cat\n") == (0, ["animal"], "")


FASTTEXT = ("-dim", 3, "-lr", 0.2, "-epoch", 9, "-wordNgrams", 1, "-minCount", 1, "-minn", 2)
FASTTEXT += ("-maxn", 3, "-bucket", 999, "-loss", "softmax", "-thread", 1, "-seed", 2)


def test_fasttext_spelling(run, tmp_path):
    write_examples(tmp_path / "train.txt", "__label__{label} {text}\n")
    status, out, err = run("train", "-input", "train.txt", "-output", "x", *FASTTEXT)
    assert (status, err) == (0, "")
    assert out[2] == "training  9 epochs, 3 dimensions"
    assert out[-1].endswith("predict x")
    assert run("info", "x")[1][:4] == [
        "features  33 words; tokenizer: words",
        "          146 of 999 buckets of n-grams",
        "          n-grams of 2 to 3 characters",
        "size      3 dimensions, 0.0 MB",
    ]


@pytest.mark.parametrize("line", ["{label}\t{text}\n", "__label__{label} {text}\n"])
@pytest.mark.parametrize(
    "options",
    [(), ("--word-ngrams", 1), ("--minn", 1, "--maxn", 3, "--buckets", 500), ("--dim", 3)],
)
def test_train_and_predict(run, tmp_path, line, options):
    write_examples(tmp_path / "train.txt", line)
    status, out, err = run("train", "train.txt", "--model", "my model", *options)
    assert (status, err) == (0, "")
    assert out[0] == "reading   train.txt"
    assert out[1] == "          3 labels, 198 lines and 22 held out"
    assert out[3] == "accuracy  1.000 on the held-out lines"
    assert out[-1].endswith("predict 'my model'")
    (tmp_path / "lines").write_text("a pie\nthe dog\n\u00e9 lake")
    assert run("predict", "my model", "lines") == (0, ["food", "animal", "place"], "")


def test_seed_decides_everything(run, tmp_path):
    write_examples(tmp_path / "train.tsv")
    tables = []
    for seed, threads in ((5, 1), (5, 2), (6, 1)):
        run("train", "train.tsv", "--held-out", 0, "--seed", seed, "--threads", threads)
        (path,) = tmp_path.glob("ebagx-model/*/embedding.npy")
        tables.append(path.read_bytes())
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]


def test_nothing_held_out(run, tmp_path):
    write_examples(tmp_path / "train.tsv")
    _, out, _ = run("train", "train.tsv", "--held-out", 0)
    assert out[1] == "          3 labels, 220 lines and 0 held out"
    assert out[3] == "accuracy  not measured, no lines are held out"


@pytest.mark.usefixtures("trained")
def test_predict_keeps_the_lines_in_step(run):
    lines = b"the cat\r\n\nthe soup\n"
    status, out, _ = run("predict", "ebagx-model", "-", stdin=lines)
    assert status == 0
    assert len(out) == 3
    assert out[0] == "animal"
    assert out[2] == "food"


@pytest.mark.usefixtures("trained")
def test_predict_several_labels_with_probabilities(run):
    _, out, _ = run("predict", "ebagx-model", "--prob", "-k", 2, stdin=b"the cat\nthe soup\n")
    rows = [line.split("\t") for line in out]
    assert [row[0] for row in rows] == ["animal", "food"]
    assert all(len(row) == 4 and 1 >= float(row[1]) >= float(row[3]) >= 0 for row in rows)
    assert run("predict", "ebagx-model", "-k", 9, stdin=b"the cat\n")[1][0].count("\t") == 2
    probable = run("predict", "ebagx-model", "-k", 9, "--threshold", 0.5, stdin=b"the cat\n")
    assert probable == (0, ["animal"], "")


@pytest.mark.usefixtures("trained")
def test_test(run):
    status, out, err = run("test", "ebagx-model", "train.tsv")
    assert (status, err) == (0, "")
    assert out == [
        "lines     220",
        "P@1       1.000",
        "R@1       1.000",
        "macro F1  1.000",
        "",
        "label   precision  recall     f1    lines",
        "animal      1.000   1.000  1.000       80",
        "food        1.000   1.000  1.000       80",
        "place       1.000   1.000  1.000       60",
        "",
        "labels of predict -k -1 --threshold:",
        "threshold  precision  recall     f1  per line",
        *out[12:21],
        "",
        "true labels: rows; predicted: columns",
        "          1  2  3",
        "animal 1 80  .  .",
        "food   2  . 80  .",
        "place  3  .  . 60",
    ]
    assert out[16] == "      0.5      1.000   1.000  1.000      1.00"
    assert max(map(len, out)) <= 50
    out = run("test", "ebagx-model", "train.tsv", "-k", 2)[1]
    assert out[1:3] == ["P@2       0.500", "R@2       1.000"]


@pytest.mark.usefixtures("trained")
def test_thresholds_are_those_of_predict(run):
    """Each row of the table has the figures of the labels that predict prints."""
    out = run("test", "ebagx-model", "train.tsv")[1]
    rows = [
        line.split() for line in out[out.index("labels of predict -k -1 --threshold:") + 2 :][:9]
    ]
    lines = Path("train.tsv").read_text("utf-8").splitlines()
    true = [line.partition("\t")[0] for line in lines]
    texts = "\n".join(line.partition("\t")[2] for line in lines).encode()
    for threshold, precision, recall, f1, labels_a_line in rows:
        found = run("predict", "ebagx-model", "-k", -1, "--threshold", threshold, stdin=texts)[1]
        found = [line.split("\t") if line else [] for line in found]
        hits = sum(label in labels for label, labels in zip(true, found, strict=True))
        count = sum(map(len, found))
        assert precision == f"{hits / count:.3f}"
        assert recall == f"{hits / 220:.3f}"
        assert f1 == f"{2 * hits / (count + 220):.3f}"
        assert labels_a_line == f"{count / 220:.2f}"


@pytest.mark.usefixtures("trained")
def test_the_table_has_the_labels_of_the_most_lines(run):
    lines = b"".join(b"%d\tx\n" % (i % 40) for i in range(100)) + b"food\tpie\n" * 9
    out = run("test", "ebagx-model", "-", stdin=lines)[1]
    start = out.index("label  precision  recall     f1    lines") + 1
    assert out[start].split()[0] == "food"
    assert out[start + 1].split() == ["0", "0.000", "0.000", "0.000", "3"]
    more = re.fullmatch(r"and (\d+) labels? more: --labels -1 prints all", out[start + 30])
    out = run("test", "ebagx-model", "-", "--labels", -1, stdin=lines)[1]
    assert out[start + 30 + int(more[1])] == ""
    out = run("test", "ebagx-model", "-", "--labels", 1, stdin=lines)[1]
    assert out[start + 1].startswith("and ")


@pytest.mark.usefixtures("trained")
def test_confusion_as_a_picture(run, tmp_path):
    pytest.importorskip("matplotlib")
    status, out, err = run("test", "ebagx-model", "train.tsv", "--confusion", "c.png")
    assert (status, err, out[-1]) == (0, "", "saved     c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("trained")
def test_vectors(run, tmp_path):
    status, out, err = run("vectors", "ebagx-model", "-", "v.npy", stdin=b"the cat\n\nthe cat")
    assert (status, err, out) == (0, "", ["saved     v.npy: 3 x 32, float32"])
    vectors = np.load(tmp_path / "v.npy")
    assert vectors.dtype == np.float32
    assert vectors[1].tolist() == [0] * 32
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_array_equal(
        load_model(tmp_path / "ebagx-model").vectors(["the cat"])[0], vectors[0]
    )


def test_autotune(run, tmp_path):
    write_examples(tmp_path / "train.tsv")
    write_examples(tmp_path / "valid.tsv", copies=2)
    search = ("--autotune", "--autotune-trials", 3, "--epochs", 1, "--seed", 1)
    status, out, err = run("train", "train.tsv", *search)
    assert (status, err) == (0, "")
    assert out[2] == "autotune  300 s, P@1 of 22 held-out lines"
    assert out[3] == "searching --lr --dim --word-ngrams --minn --maxn"
    assert out[4].split() == ["P@1", "lr", "epochs", "dim", "words", "chars", "s", "left"]
    row = r"  1 [01]\.\d{3}\*    0\.2      1  32     2     -  \d\.\d +(299|300)"
    assert re.fullmatch(row, out[5])
    assert [int(line.split()[3]) for line in out[5:8]] == [1, 1, 1]
    assert re.fullmatch(r"best      --lr \S+ --epochs 1 --dim \d+", out[8])
    assert re.fullmatch(r"          --word-ngrams \d --minn \d --maxn \d", out[9])
    assert re.fullmatch(r"accuracy  [01]\.\d{3} on the held-out lines,", out[10])
    assert out[11] == "          on which the model was chosen"
    assert max(map(len, out[:12])) <= 50
    _, out, _ = run("train", "train.tsv", *search, "--autotune-validation", "valid.tsv")
    assert out[2] == "autotune  300 s, P@1 of 22 validation lines"
    assert "          on which the model was chosen" not in out


def test_metrics_of_autotune(run, tmp_path):
    write_examples(tmp_path / "train.txt", "__label__{label} {text}\n")
    search = ("train", "train.txt", "--autotune", "--autotune-trials", 1)
    for option, metric, heading in (
        ("--autotune-metric", "f1", "F1"),
        ("-autotune-metric", "f1:__label__food", "F1"),
        ("--autotune-metric=f1:food", None, "F1"),
        ("--autotune-metric", "p@1", "P@1"),
    ):
        words = [option] if metric is None else [option, metric]
        status, out, _ = run(*search, *words)
        assert (status, out[2]) == (0, f"autotune  300 s, {heading} of 22 held-out lines")
        assert out[4].split()[0] == heading
        assert out[5].split()[1] == "1.000*"
    assert run(*search, "--autotune-metric", "f1:fod")[2] == (
        "ebagx: --autotune-metric: no line to learn from has the label 'fod'\n"
    )


@pytest.mark.parametrize("metric", ["f2", "p@1:x", "f1:", "precisionAtRecall:30"])
def test_unknown_metrics(run, capsys, metric):
    with pytest.raises(SystemExit):
        run("train", "--autotune", "--autotune-metric", metric)
    assert f": must be p@1, f1 or f1:LABEL, got {metric!r}" in capsys.readouterr().err


def test_nothing_to_search(run):
    given = ("--lr", 0.1, "--epochs", 1, "--dim", 4, "--word-ngrams", 1, "--maxn", 0)
    assert run("train", "--autotune", *given)[2] == (
        "ebagx: --autotune has nothing to search: "
        "--lr --epochs --dim --word-ngrams --minn --maxn are given\n"
    )


def test_early_stopping(run, tmp_path):
    write_examples(tmp_path / "train.tsv", copies=40)
    stop = ("--early-stopping", "--epochs", 60)
    status, out, err = run("train", "train.tsv", *stop)
    assert (status, err) == (0, "")
    line = r"          (\d+) epochs made; the model of epoch (\d+) is kept"
    made, best = map(int, re.fullmatch(line, out[3]).groups())
    assert best < made < 60
    _, out, _ = run("train", "train.tsv", *stop, "--patience", 1)
    assert int(re.fullmatch(line, out[3])[1]) < made
    assert run("train", "train.tsv", "--patience", 2)[2] == (
        "ebagx: --patience needs --early-stopping\n"
    )


@pytest.mark.parametrize("loss", ["softmax", "ova"])
def test_balanced_classes(run, tmp_path, loss):
    """Words that all labels share are as often of the rare label as it weighs."""
    lines = "a\tthe\n" * 180 + "b\tthe\n" * 20
    (tmp_path / "train.tsv").write_text(lines)
    fit = ("train", "train.tsv", "--held-out", 0, "--epochs", 30, "--loss", loss)
    rare = []
    for options in ((), ("--class-weight", "balanced")):
        assert run(*fit, *options)[0] == 0
        _, (line,), _ = run("predict", "ebagx-model", "--prob", "-k", 2, stdin=b"the\n")
        cells = line.split("\t")
        rare.append(dict(zip(cells[::2], map(float, cells[1::2]), strict=True))["b"])
    assert rare[0] == pytest.approx(0.1, abs=0.05)
    assert rare[1] == pytest.approx(0.5, abs=0.1)


@pytest.mark.usefixtures("trained")
def test_info(run):
    status, out, err = run("info", "ebagx-model")
    assert (status, err) == (0, "")
    assert out == [
        "features  33 words; tokenizer: words",
        "          42 of 2,000,000 buckets of n-grams",
        "          n-grams of up to 2 words",
        "size      32 dimensions, 0.0 MB",
        "loss      softmax",
        "format    version 3",
        "labels    3",
        "          animal",
        "          food",
        "          place",
    ]


def test_info_of_a_model_of_format_2(run, tmp_path):
    save_format_2(tmp_path / "older")
    _, out, _ = run("info", "older")
    assert "format    version 2" in out
    assert out[0].endswith("tokenizer: words-1")


def test_words_between_blanks(run, tmp_path):
    """Case and symbols count, as in fastText, also in later commands."""
    (tmp_path / "code.tsv").write_text("a\tC++,\nb\tc#\n" * 20)
    status, out, _ = run("train", "code.tsv", "--model", "m", "--tokenizer", "whitespace")
    assert (status, out[3]) == (0, "accuracy  1.000 on the held-out lines")
    assert load_model(tmp_path / "m").features.columns == {"C++,": 0, "c#": 1}
    assert run("info", "m")[1][0] == "features  2 words; tokenizer: whitespace"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "train.tsv: no labelled lines"),
        (b"no tab\n", "train.tsv, line 1: no tab between label and text"),
        (b"a\tx\nb\t\xff\n", "train.tsv, line 2: not utf-8 text, byte 0xff at position 2"),
        (b"a\tx\na\ty\n", "train.tsv: every line has the label 'a'"),
        (b"a\t!\nb\t?\n" * 9,
         "no word occurs at least min_count = 1 times in the 16 texts, and there are no n-grams"),
        (b"__label__a x\n__label__b __label__a y\n" * 9,
         "train.tsv: a line has the labels b, a; several labels a line need --loss ova"),
    ],
)  # fmt: skip
def test_bad_training_files(run, tmp_path, content, problem):
    (tmp_path / "train.tsv").write_bytes(content)
    status, _, err = run("train", "train.tsv")
    assert (status, err) == (2, f"ebagx: {problem}\n")
    assert not (tmp_path / "ebagx-model").exists()


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["train", "absent.tsv"], "absent.tsv: No such file or directory"),
        (["train", "."], ".: Is a directory"),
        (["train", "--model", "a/b"], "cannot save a model as a/b: No such file or directory"),
        (["train", "--model", "notes"], "notes is not replaced: it holds list.txt, not a model"),
        (["predict", "absent"], "absent is not a model directory: it has no model.json"),
        (["predict", "ebagx-model", "absent.txt"], "absent.txt: No such file or directory"),
        (["predict", "ebagx-model", "bad.txt"], "bad.txt, line 2: not utf-8 text, byte 0xe9 at "),
        (["info", "notes"], "notes is not a model directory: it has no model.json"),
        (["train", "--minn", "3", "--maxn", "2"], "--minn 3 is above --maxn 2"),
        (["train", "--minn", "3"], "--minn 3 has no --maxn"),
        (["train", "train.tsv", "--autotune", "--held-out", "0"], "--autotune needs --held-out ab"),
        (["train", "--autotune-validation", "absent"], "absent: No such file or directory"),
        (["test", "ebagx-model", "absent"], "absent: No such file or directory"),
        (["test", "ebagx-model", "bad.txt"], "bad.txt, line 2: not utf-8 text, byte 0xe9 at "),
        (["vectors", "ebagx-model", "train.tsv", "."], ". is a directory"),
        (["vectors", "ebagx-model", "train.tsv", "a/b"], "cannot write a/b: No such file or dir"),
    ],
)
@pytest.mark.usefixtures("trained")
def test_one_line_errors(run, tmp_path, argv, problem):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "list.txt").touch()
    (tmp_path / "bad.txt").write_bytes(b"fine\nsm\xe9ll\n")
    status, out, err = run(*argv)
    assert status == 2
    assert out == [] or "--autotune-validation" in argv  # the others fail before any work
    assert err.startswith(f"ebagx: {problem}")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("trained")
def test_damaged_model(run, tmp_path):
    (path,) = tmp_path.glob("ebagx-model/*/embedding.npy")
    path.write_bytes(path.read_bytes()[:-1])
    status, out, err = run("predict", "ebagx-model", stdin=b"the cat\n")
    assert (status, out) == (2, [])
    assert re.fullmatch(r"ebagx: .*embedding\.npy: damaged or incomplete: it has .*\n", err)


@pytest.mark.usefixtures("trained")
def test_failed_training_keeps_the_old_model(run, tmp_path):
    (tmp_path / "bad.tsv").write_text("a\tx\n" * 9)
    assert run("train", "bad.tsv")[0] == 2
    assert run("predict", "ebagx-model", stdin=b"the cat\n") == (0, ["animal"], "")


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--dim", "0", "must be an integer from 1 to 65536, got '0'"),
        ("--epochs", "1.5", "must be an integer at least 1, got '1.5'"),
        ("--lr", "nan", "must be a positive number, got 'nan'"),
        ("--lr", "fast", "must be a positive number, got 'fast'"),
        ("--word-ngrams", "9", "must be an integer from 1 to 8, got '9'"),
        ("--buckets", "0", "must be an integer from 1 to 268435456, got '0'"),
        (
            "--loss",
            "hs",
            "hs is not needed: use softmax or ova, with many labels and --negatives 256",
        ),
        (
            "--loss",
            "ns",
            "ns is not needed: use softmax or ova, with many labels and --negatives 256",
        ),
        ("--negatives", "0", "must be an integer at least 1, got '0'"),
        ("--loss", "hinge", "must be softmax or ova, got 'hinge'"),
        ("--maxn", "33", "must be an integer from 0 to 32, got '33'"),
        ("--held-out", "1", "must be a number from 0 to less than 1, got '1'"),
        ("--threads", "0", "must be an integer from 1 to 256, got '0'"),
    ],
)
def test_bad_options(run, capsys, option, value, problem):
    with pytest.raises(SystemExit) as stopped:
        run("train", f"{option}={value}")
    assert stopped.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.search(rf"error: argument {option}(/-\w+)?: ", error)
    assert error.endswith(problem)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bar_on_a_terminal_only(run, tmp_path, monkeypatch):
    pytest.importorskip("tqdm")
    write_examples(tmp_path / "train.tsv")
    assert run("train", "train.tsv")[2] == ""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run("train", "train.tsv")
    assert "bytes/s" in terminal.getvalue()
    assert "lines/s" in terminal.getvalue()


def run_without(module, argv, directory):
    code = f"import sys; sys.modules[{module!r}] = None; import ebagx.cli; ebagx.cli.main({argv})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
    return done.stdout, done.stderr


def test_what_training_needs_is_missing(tmp_path):
    out, err = run_without("threadpoolctl", ["train"], tmp_path)
    assert err == "ebagx: training needs threadpoolctl: pip install 'ebagx[cli]'\n"
    assert out == ""


@pytest.mark.usefixtures("trained")
def test_no_command_needs_scikit_learn(tmp_path):
    for argv in (
        ["train", "train.tsv", "--early-stopping"],
        ["train", "train.tsv", "--continue", "ebagx-model"],
        ["info", "ebagx-model"],
        ["test", "ebagx-model", "train.tsv"],
    ):
        out, err = run_without("sklearn", argv, tmp_path)
        assert err == ""
        assert "labels" in out


@pytest.mark.usefixtures("trained")
def test_ctrl_c(run, monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ebagx.text.learner.Learner.fit", interrupt)
    status, _, err = run("train", "train.tsv")
    assert (status, err) == (130, "ebagx: interrupted\n")
    assert sorted(os.listdir(tmp_path)) == ["ebagx-model", "train.tsv"]


def interrupt_training(monkeypatch, steps):
    """Send Ctrl-C before the call of `fit` that takes the step of this number."""
    take, taken = Steps._take, itertools.count(1)

    def spy(self, losses, order, count):
        if steps in [next(taken) for _ in range(count)]:
            raise KeyboardInterrupt
        return take(self, losses, order, count)

    monkeypatch.setattr(Steps, "_take", spy)


def test_ctrl_c_in_fit_saves_the_model_so_far(run, monkeypatch, tmp_path):
    write_examples(tmp_path / "train.tsv")
    interrupt_training(monkeypatch, 4 * 7 + 3)  # 198 lines are 4 steps
    status, out, err = run("train", "train.tsv", "--batch-size", 64)
    assert status == 130
    problem = "interrupted after 7 of 10 epochs; the model so far is saved as ebagx-model"
    assert err == f"ebagx: {problem}\n"
    assert out[-1] == "saved     ebagx-model"
    assert run("predict", "ebagx-model", stdin=b"the cat\n") == (0, ["animal"], "")


def test_ctrl_c_while_accuracy_is_measured_saves_the_model(run, monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    write_examples(tmp_path / "train.tsv")
    monkeypatch.setattr(TextModel, "precision_at_1", interrupt)
    status, out, err = run("train", "train.tsv")
    problem = "interrupted after 10 of 10 epochs; the model so far is saved as ebagx-model"
    assert (status, out[-1], err) == (130, "saved     ebagx-model", f"ebagx: {problem}\n")
    assert run("predict", "ebagx-model", stdin=b"the cat\n") == (0, ["animal"], "")


def test_ctrl_c_where_the_model_cannot_be_saved(run, monkeypatch, tmp_path):
    write_examples(tmp_path / "train.tsv")
    interrupt_training(monkeypatch, 4 * 7 + 3)
    monkeypatch.setattr(commands, "check_destination", lambda directory: None)
    status, _, err = run("train", "train.tsv", "--batch-size", 64, "--model", "train.tsv")
    (found,) = tmp_path.glob("train.tsv-*")
    problem = f"the model so far is saved as {found}, as train.tsv is not replaced: it is a file"
    assert (status, err) == (
        130,
        f"ebagx: interrupted after 7 of 10 epochs; {problem}, not a model directory\n",
    )
    assert run("predict", found, stdin=b"the cat\n") == (0, ["animal"], "")


@pytest.mark.skipif(os.name == "nt", reason="the working directory cannot be deleted")
@pytest.mark.usefixtures("trained")
def test_a_full_disk_below_the_output(monkeypatch, capsys):
    class Full(io.StringIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    assert main(["info", "ebagx-model"]) == 2
    assert capsys.readouterr().err == "ebagx: standard output: No space left on device\n"


def test_closed_streams(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["info", "absent"]) == 2
    assert capsys.readouterr().err == "ebagx: the standard output is closed\n"
    monkeypatch.undo()
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["info", "absent"]) == 2
    monkeypatch.undo()
    assert capsys.readouterr().out == ""


def test_a_working_directory_that_is_deleted(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    place, problem = saving.save_somewhere(make_model(), tmp_path / "m")
    assert (place, problem) == (tmp_path / "m", "")
    place, problem = saving.save_somewhere(make_model(), Path("m"))
    assert place.parent == tmp_path / "temporary"
    assert "No such file or directory" in problem
    assert load_model(place).labels == make_model().labels


def test_ctrl_c_in_autotune_saves_the_best_so_far(run, monkeypatch, tmp_path):
    write_examples(tmp_path / "train.tsv")
    interrupt_training(monkeypatch, 40 + 2)
    status, _, err = run("train", "train.tsv", "--autotune")
    assert (status, err) == (
        130,
        "ebagx: interrupted; the best model so far is saved as ebagx-model\n",
    )
    assert run("predict", "ebagx-model", stdin=b"the cat\n") == (0, ["animal"], "")


def test_several_labels_a_line(run, tmp_path):
    lines = [
        f"__label__{a} __label__{b} {x} {y} {i}\n"
        for i in range(40)
        for a, x in (("animal", "cat"), ("food", "pie"))
        for b, y in (("big", "huge"), ("small", "tiny"))
    ] + ["__label__big huge\n"] * 20
    (tmp_path / "train.txt").write_text("".join(lines))
    status, out, err = run("train", "train.txt", "--loss", "ova", "--epochs", 30)
    assert (status, err) == (0, "")
    assert out[1] == "          4 labels, 162 lines and 18 held out"
    assert out[3] == "P@1       1.000 on the held-out lines"
    chosen = ("-k", 4, "--threshold", 0.5)
    _, out, _ = run("predict", "ebagx-model", *chosen, stdin=b"tiny pie\nhuge\n")
    assert [sorted(line.split("\t")) for line in out] == [["food", "small"], ["big"]]
    _, out, _ = run("test", "ebagx-model", "train.txt", *chosen)
    assert out[1:3] == ["P@4       1.000", "R@4       1.000"]
    assert "160 lines have several labels and are not in the matrix" in out
    assert run("info", "ebagx-model")[1][4] == "loss      ova"


def test_a_model_that_cannot_be_saved_there_is_saved_elsewhere(run, tmp_path, monkeypatch):
    """A first save works; then the disk is full in one place after the other."""
    write_examples(tmp_path / "train.tsv")
    assert run("train", "train.tsv", "--model", "m", "--seed", 1)[0] == 0
    before = load_model(tmp_path / "m").coef.tobytes()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    forbidden, save = [tmp_path / "m"], saving.save_model

    def save_where_there_is_space(model, directory):
        if directory.resolve() in forbidden or directory.resolve().parent in forbidden:
            raise OSError(28, "No space left on device", str(directory))
        save(model, directory)

    monkeypatch.setattr(saving, "save_model", save_where_there_is_space)
    for place in (tmp_path, temporary):
        status, out, err = run("train", "train.tsv", "--model", "m", "--seed", 2)
        (found,) = place.glob("m-*")
        assert status == 2
        assert err == f"ebagx: m: No space left on device; the model is saved as {found}\n"
        assert out[-4] == f"saved     {found}"
        assert run("predict", found, stdin=b"the cat\n") == (0, ["animal"], "")
        shutil.rmtree(found)
        forbidden.append(place)
    status, out, err = run("train", "train.tsv", "--model", "m", "--seed", 2)
    assert status == 2
    assert err == (
        "ebagx: m: No space left on device; nor can the model be saved beside it or with "
        "temporary files\n"
    )
    assert not list(tmp_path.glob("m-*")) + list(temporary.iterdir())
    assert load_model(tmp_path / "m").coef.tobytes() == before


def test_the_user_is_asked_for_a_place_before_a_model_is_lost(tmp_path, monkeypatch, capsys):
    def fail(**_):
        raise PermissionError

    answers = [str(tmp_path / "missing" / "m"), f" {tmp_path / 'found'} "]
    monkeypatch.setattr(tempfile, "mkdtemp", fail)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answers.pop(0))
    place, problem = saving.save_somewhere(make_model(), tmp_path / "absent" / "m")
    assert (place, problem) == (
        tmp_path / "found",
        f"{tmp_path / 'absent' / 'm'}: No such file or directory",
    )
    assert load_model(place).labels == make_model().labels
    assert capsys.readouterr().err.count("; the model is still in memory\n") == 2
    answers[:] = [""]
    with pytest.raises(OSError, match="nor can the model be saved beside it or with temp"):
        saving.save_somewhere(make_model(), tmp_path / "absent" / "m")


def test_a_loss_that_diverges_saves_and_replaces_nothing(run, tmp_path):
    write_examples(tmp_path / "train.tsv")
    assert run("train", "train.tsv", "--model", "m")[0] == 0
    before = load_model(tmp_path / "m").coef.tobytes()
    for name in ("m", "new"):
        status, _, err = run("train", "train.tsv", "--model", name, "--lr", 1e30)
        assert status == 2
        assert re.fullmatch(
            r"ebagx: the loss diverged in pass \d+ of 10, as the learning rate 1e\+30 is too "
            r"large; no model is saved, and none is replaced\n",
            err,
        )
    assert load_model(tmp_path / "m").coef.tobytes() == before
    assert not (tmp_path / "new").exists()

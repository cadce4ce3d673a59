"""Test trainings that go on with a model, checkpoints, and words that begin with vectors."""

import errno
import itertools
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx._training.steps import Steps
from ebagx.cli import continuing, saving
from ebagx.io.model_folder import load_model
from ebagx.text import TextClassifier
from support.cli_cases import write_examples

MORE = "plant\tthe oak\nplant\tthe fern\nanimal\tthe oak cat\n" * 20


@pytest.fixture
def files(tmp_path):
    write_examples(tmp_path / "train.tsv")
    (tmp_path / "more.tsv").write_text(MORE)
    return tmp_path


def predicted(run, model, *texts):
    return run("predict", model, stdin="".join(f"{text}\n" for text in texts).encode())[1]


def test_continue(run, files):
    run("train", "train.tsv", "--model", "m", "--dim", 8, "--lr", 0.2, "--batch-size", 16)
    before = load_model(files / "m")
    status, out, err = run("train", "--continue", "m", "more.tsv", "--epochs", 12)
    assert (status, err) == (0, "")
    assert out[2] == "training  12 epochs, 8 dimensions"
    assert out[3] == "new       labels: 1; words: 2"
    assert out[6] == "saved     m"
    after = load_model(files / "m")
    assert after.labels == ["animal", "food", "place", "plant"]
    assert after.recipe == before.recipe._replace(epochs=12)
    assert after.features.words.names() == [*before.features.words.names(), "oak", "fern"]
    texts = ("the oak", "the cat", "a pie", "the lake")
    assert predicted(run, "m", *texts) == ["plant", "animal", "food", "place"]


def test_the_result_may_go_to_another_folder(run, files):
    run("train", "train.tsv", "--model", "m")
    content = (files / "m" / "model.json").read_bytes()
    status, out, _ = run("train", "--continue", "m", "more.tsv", "--model", "n")
    assert (status, out[6]) == (0, "saved     n")
    assert (files / "m" / "model.json").read_bytes() == content
    assert len(load_model(files / "n").labels) == 4


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("options", [(), ("--class-weight", "balanced"), ("--early-stopping",)])
def test_lines_of_one_known_label(run, options):
    run("train", "train.tsv", "--model", "m", *options)
    one = "".join(f"animal\tthe whale number {i}\n" for i in range(20)).encode()
    status, _, err = run("train", "--continue", "m", "-", stdin=one)
    assert (status, err) == (0, "")
    assert predicted(run, "m", "the whale", "a pie") == ["animal", "food"]


def test_seed_and_lines_decide_everything(run, files):
    run("train", "train.tsv", "--model", "m")
    tables = []
    for threads, seed in ((1, 0), (2, 0), (1, 3)):
        options = "--model", "n", "--threads", threads, "--seed", seed
        run("train", "--continue", "m", "more.tsv", *options)
        tables.append(load_model(files / "n").embedding.copy())
    np.testing.assert_array_equal(tables[0], tables[1])
    assert (tables[0] != tables[2]).any()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--dim", 16), "m was trained otherwise than --dim 16 (it has 32); leave this out, or t"),
        (
            ("-loss", "ova", "--tokenizer=whitespace"),
            "m was trained otherwise than --loss ova (it has softmax), --tokenizer whitespace (it "
            "has words); leave these out, or train a new model",
        ),
        (("--autotune",), "--autotune searches options, which --continue takes from the model"),
    ],
)
def test_options_that_contradict_the_model(run, files, options, problem):
    run("train", "train.tsv", "--model", "m")
    content = (files / "m" / "model.json").read_bytes()
    status, _, err = run("train", "--continue", "m", "more.tsv", *options)
    assert status == 2
    assert err.startswith(f"ebagx: {problem}")
    assert (files / "m" / "model.json").read_bytes() == content


@pytest.mark.usefixtures("files")
def test_options_that_the_model_has(run):
    run("train", "train.tsv", "--model", "m", "--maxn", 3, "--dim", 8)
    same = ("--dim", 8, "--maxn", 3, "--loss", "softmax")
    assert run("train", "--continue", "m", "more.tsv", *same)[0] == 0


@pytest.mark.usefixtures("files")
def test_bad_calls(run):
    assert run("train", "--continue", "absent", "more.tsv")[2] == (
        "ebagx: absent is not a model directory: it has no model.json\n"
    )
    assert run("train", "--continue", "absent")[2] == (
        "ebagx: --continue needs a file of labelled lines; - is standard input\n"
    )
    assert run("train", "--autotune", "--checkpoint", 1)[2] == (
        "ebagx: --autotune goes neither with --checkpoint nor with --pretrained\n"
    )


@pytest.mark.usefixtures("files")
def test_labels_of_another_type(run, tmp_path):
    TextClassifier(epochs=1).fit(["a b", "c d"], [1, 10]).save(tmp_path / "m")
    status, _, err = run("train", "--continue", "m", "more.tsv")
    problem = "the label 'animal' is no integer, as those of the model are"
    assert (status, err) == (2, f"ebagx: {problem}\n")
    (tmp_path / "numbers.tsv").write_text("2\ta b\n10\tx y\n" * 5)
    assert run("train", "--continue", "m", "numbers.tsv")[0] == 0
    assert load_model(tmp_path / "m").labels == ["1", "2", "10"]


def test_a_failed_training_leaves_the_model(run, files, monkeypatch):
    run("train", "train.tsv", "--model", "m")
    content = (files / "m" / "model.json").read_bytes()
    monkeypatch.setattr(Steps, "make_pass", lambda *_: np.nan)
    status, _, err = run("train", "--continue", "m", "more.tsv")
    assert (status, (files / "m" / "model.json").read_bytes()) == (2, content)
    assert err.endswith("too large; no model is saved, and none is replaced\n")


def spy_on_saves(monkeypatch):
    saved, save = [], saving.save_model

    def spy(model, directory):
        save(model, directory)
        saved.append(model.embedding.copy())

    monkeypatch.setattr(saving, "save_model", spy)
    return saved


@pytest.mark.usefixtures("files")
def test_checkpoints(run, monkeypatch, tmp_path):
    saved = spy_on_saves(monkeypatch)
    train = ("train", "train.tsv", "--loss", "ova")  # whose rate does not fall
    status, _, err = run(*train, "--checkpoint", 2)
    assert (status, err, len(saved)) == (0, "", 5)  # after 2, 4, 6, 8 and all 10 epochs
    expected = load_model(tmp_path / "ebagx-model").embedding
    np.testing.assert_array_equal(saved[4], expected)
    run(*train, "--epochs", 6, "--model", "six")
    np.testing.assert_array_equal(saved[2], load_model(tmp_path / "six").embedding)
    run(*train, "--model", "without")
    np.testing.assert_array_equal(load_model(tmp_path / "without").embedding, expected)


@pytest.mark.usefixtures("files")
def test_checkpoints_by_minutes(run, monkeypatch):
    saved = spy_on_saves(monkeypatch)
    clock = itertools.count(0, 20)  # seconds
    monkeypatch.setattr(continuing.time, "monotonic", lambda: next(clock))
    models = []
    monkeypatch.setattr(
        continuing, "problem_of_saving", lambda model, _: models.append(model) or str(len(models))
    )
    status, _, err = run("train", "train.tsv", "--loss", "ova", "--checkpoint", "1m")
    assert (status, len(saved)) == (0, 1)  # at the end
    assert len(models) >= 4
    assert "the middle of epoch 2 is not saved" in err
    for model in models:
        assert np.isfinite(model.embedding).all()
        assert model.recipe.epochs == 10
        assert model.accumulators is not None


@pytest.mark.parametrize("text", ["0", "m", "0m", "-1m", "1h", "1.5", ""])
def test_wrong_intervals_of_checkpoints(run, capsys, text):
    with pytest.raises(SystemExit):
        run("train", f"--checkpoint={text}")
    problem = f"must be a number of epochs, or of minutes as 10m, at least 1, got {text!r}\n"
    assert capsys.readouterr().err.endswith(problem)


@pytest.mark.usefixtures("files")
def test_checkpoints_keep_the_prefix_of_labels(run, monkeypatch, tmp_path):
    prefixes, save = [], saving.save_model

    def spy(model, directory):
        prefixes.append(model.label_prefix)
        save(model, directory)

    monkeypatch.setattr(saving, "save_model", spy)
    (tmp_path / "lines.txt").write_text("#cat a cat\n#dog a dog\n" * 20)
    assert run("train", "lines.txt", "--label", "#", "--checkpoint", 5)[0] == 0
    assert prefixes == ["#", "#"]


@pytest.mark.usefixtures("files")
def test_a_checkpoint_that_cannot_be_saved(run, monkeypatch):
    save, calls = saving.save_model, itertools.count(1)

    def fail(model, directory):
        if next(calls) in (1, 2):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))
        save(model, directory)

    monkeypatch.setattr(saving, "save_model", fail)
    status, out, err = run("train", "train.tsv", "--checkpoint", 2)
    assert (status, out[5]) == (0, "saved     ebagx-model")
    problem = "epoch 2 is not saved: ebagx-model: No space left on device; the training goes on"
    assert err.count("not saved") == 1
    assert problem in err


@pytest.mark.usefixtures("files")
def test_a_loss_that_diverges_after_a_checkpoint(run, monkeypatch, tmp_path):
    make_pass, passes = Steps.make_pass, itertools.count(1)

    def diverge(self, *args):
        return make_pass(self, *args) * (np.nan if next(passes) == 5 else 1)

    monkeypatch.setattr(Steps, "make_pass", diverge)
    status, _, err = run("train", "train.tsv", "--loss", "ova", "--checkpoint", 2)
    assert status == 2
    assert err.endswith("diverged in pass 5 of 10, as the learning rate 0.2 is too large; the "
                        "model of epoch 4 stays\n")  # fmt: skip
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    run("train", "train.tsv", "--loss", "ova", "--epochs", 4, "--model", "four")
    four, found = (load_model(tmp_path / name) for name in ("four", "ebagx-model"))
    np.testing.assert_array_equal(four.embedding, found.embedding)


@pytest.mark.usefixtures("files")
def test_ctrl_c_while_a_checkpoint_is_saved(run, monkeypatch):
    save, calls = saving.save_model, itertools.count(1)

    def interrupt(model, directory):
        if next(calls) == 2:
            raise KeyboardInterrupt
        save(model, directory)

    monkeypatch.setattr(saving, "save_model", interrupt)
    status, _, err = run("train", "train.tsv", "--checkpoint", 3)
    problem = "interrupted after 6 of 10 epochs; the model so far is saved as ebagx-model"
    assert (status, err) == (130, f"ebagx: {problem}\n")
    assert predicted(run, "ebagx-model", "the cat") == ["animal"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_training_that_is_killed_leaves_a_model_to_continue(run, files):
    command = [sys.executable, "-m", "ebagx", "train", "train.tsv", "--model", "m"]
    command += ["--epochs", "100000", "--checkpoint", "1"]
    with subprocess.Popen(command, cwd=files, stdout=subprocess.DEVNULL) as process:
        while not (files / "m" / "model.json").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert load_model(files / "m").recipe.epochs == 100_000
    assert run("train", "--continue", "m", "train.tsv", "--epochs", 5)[0] == 0
    assert predicted(run, "m", "the cat", "a pie") == ["animal", "food"]


VECTORS = "3 2\ncat 9 8\noak 7 6\nzebra 1 1\n"


@pytest.mark.parametrize("option", ["--pretrained", "-pretrainedVectors"])
def test_pretrained(run, files, option):
    (files / "v.vec").write_text(VECTORS)
    given = (option, "v.vec", "--freeze-pretrained")
    status, out, err = run("train", "train.tsv", "--model", "m", *given)
    assert (status, err) == (0, "")
    assert out[0] == "vectors   3 of 2 numbers"
    assert out[3] == "training  10 epochs, 2 dimensions"
    model = load_model(files / "m")
    assert model.embedding[model.features.columns["cat"]].tolist() == [9, 8]
    assert "zebra" not in model.features.columns
    assert run("train", "--continue", "m", "more.tsv", *given)[0] == 0
    model = load_model(files / "m")
    for word, row in (("cat", [9, 8]), ("oak", [7, 6])):
        assert model.embedding[model.features.columns[word]].tolist() == row
    status, _, err = run("train", "train.tsv", option, "v.vec", "--dim", 3)
    assert err == "ebagx: dim must be that of the pretrained vectors, 2, got 3\n"
    assert run("train", "train.tsv", option, "absent.vec")[0] == 2

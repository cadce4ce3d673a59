"""Test `ebagx quantize`, and searches for a model of a given size."""

import re

import pytest

pytest.importorskip("sklearn")

from ebagx.io.model_folder import load_model as read_model, saved_size
from ebagx.text import load_model
from support.cli_cases import write_examples
from support.fasttext_files import model_path

TEXTS = ["the cat", "a pie", "the lake"]


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("trained")
def test_smaller_model(run, tmp_path):
    status, out, err = run("quantize", "ebagx-model")
    assert (status, err) == (0, "")
    model, small = load_model(tmp_path / "ebagx-model"), load_model(tmp_path / "ebagx-model-small")
    sizes = [size_of(tmp_path / name) for name in ("ebagx-model-small", "ebagx-model")]
    assert out == [
        f"features  {model.n_features_:,} of {model.n_features_:,}",
        f"size      {sizes[0]:,} of {sizes[1]:,} bytes",
        "saved     ebagx-model-small",
    ]
    assert small.embedding_.bits == 4
    expected = model.quantize(4).predict_proba(TEXTS)
    assert small.predict_proba(TEXTS).tolist() == expected.tolist()
    assert any(
        line.endswith("MB, quantised to 4 bits") for line in run("info", "ebagx-model-small")[1]
    )
    assert not any("quantised" in line for line in run("info", "ebagx-model")[1])


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("place", "model"), [("", "ebagx-model/"), ("ebagx-model", "."), ("ebagx-model/below", "..")]
)
def test_the_default_folder_lies_beside_the_model(run, tmp_path, monkeypatch, place, model):
    (tmp_path / "ebagx-model" / "below").mkdir()
    monkeypatch.chdir(tmp_path / place)
    assert run("quantize", model)[0] == 0
    assert load_model(tmp_path / "ebagx-model-small").embedding_.bits == 4


@pytest.mark.usefixtures("trained")
def test_all_commands_take_it(run, tmp_path):
    assert run("quantize", "ebagx-model", "small", "--bits", 8)[0] == 0
    (tmp_path / "texts").write_text("the cat\na pie\n")
    assert run("predict", "small", "texts")[:2] == (0, ["animal", "food"])
    write_examples(tmp_path / "lines")
    assert run("test", "small", "lines")[0] == 0
    assert run("vectors", "small", "texts", "out.npy")[0] == 0
    assert run("similar", "small", "cat")[0] == 0


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("spelling", ["-", "--"])
def test_cutoff_and_lines(run, tmp_path, spelling):
    write_examples(tmp_path / "lines")
    options = [f"{spelling}cutoff", 10, f"{spelling}input", "lines", "--bits", "2"]
    status, out, _ = run("quantize", "ebagx-model", "small", *options)
    assert (status, out[0].startswith("features  10 of ")) == (0, True)
    model, texts = (
        load_model(tmp_path / "ebagx-model"),
        (tmp_path / "lines").read_text().split("\n"),
    )
    expected = model.quantize(2, 10, [text.partition("\t")[2] for text in texts])
    found = read_model(tmp_path / "small").features.words.names()
    assert found == expected._model.features.words.names()


@pytest.mark.usefixtures("trained")
def test_what_cannot_be_done(run, tmp_path):
    write_examples(tmp_path / "lines")
    run("quantize", "ebagx-model")
    message = "ebagx: the model is quantised to 4 bits, and is only read: take the model that "
    for argv in (
        ("quantize", "ebagx-model-small", "x"),
        ("train", "lines", "--continue", "ebagx-model-small"),
    ):
        status, out, err = run(*argv)  # no line has been read then
        assert (status, out, err.startswith(message), err.count("\n")) == (2, [], True, 1)
    assert run("quantize", "ebagx-model", "ebagx-model")[2] == (
        "ebagx: ebagx-model is the model itself, which can be trained: name another folder\n"
    )
    assert run("quantize", "ebagx-model", "--input", "lines")[2] == (
        "ebagx: --input needs --cutoff N: without it, all features are kept\n"
    )
    assert run("quantize", "ebagx-model", "lines")[2] == (
        "ebagx: lines is not replaced: it is a file, not a model directory\n"
    )
    assert run("quantize", "none")[0] == 2
    path = model_path("cbow_h4.bin")
    assert run("quantize", path)[2] == (
        f"ebagx: {path} is a model of fastText: ebagx convert {path} DIR makes a model of it that "
        "ebagx quantize takes\n"
    )
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("size", ["", "0", "-5", "1.5M", "5x", "k", "٣k"])
def test_sizes_that_are_none(run, capsys, size):
    with pytest.raises(SystemExit):
        run("train", f"--autotune-modelsize={size}")
    assert f"must be a number of bytes, 500k or 2M, got '{size}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "num_bytes"), [("4k", 4000), ("-autotune-modelsize", 5000), ("9M", 9_000_000)]
)
def test_search_for_a_model_that_fits(run, tmp_path, size, num_bytes):
    write_examples(tmp_path / "lines")
    option = ["--autotune-modelsize", size]
    if size.startswith("-"):
        option = [size, "5K"]
    options = ["--autotune-trials", 2, "--autotune-duration", 20, "--label", "__a_long_prefix__"]
    status, out, err = run("train", "lines", *option, *options)
    assert (status, err) == (0, "")
    assert size_of(tmp_path / "ebagx-model") <= num_bytes
    model = read_model(tmp_path / "ebagx-model")
    assert model.label_prefix == "__a_long_prefix__"
    (line,) = (line for line in out if re.search(r"\d bits, [\d,]+ features, [\d,]+ bytes$", line))
    assert line.split()[0] == str(model.bits)
    assert int(line.split()[-2].replace(",", "")) <= saved_size(model) <= num_bytes


def test_no_model_fits(run, tmp_path):
    write_examples(tmp_path / "lines")
    options = ["--autotune-modelsize", "500", "--autotune-trials", 1]
    status, _, err = run("train", "lines", *options)
    assert status == 2
    problem = r"no model of 32 dimensions fits in \d+ bytes: one feature and the 3 labels take "
    assert re.search(problem + r"[\d,]+; fewer dimensions take less\n", err)
    assert not (tmp_path / "ebagx-model").exists()

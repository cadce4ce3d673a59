"""Test the commands on models of fastText."""

import numpy as np
import pytest

from support.fasttext_files import GOLDEN, QUERIES, content_of, expected, model_path

pytest.importorskip("sklearn")
from ebagx.text import load_model

LINES = str(GOLDEN / "queries.txt")


def test_predict(run):
    status, out, err = run("predict", model_path("hs_trigram_sub.bin"), LINES, "--prob", "-k", -1)
    assert (status, err, len(out)) == (0, "", 37)
    for line, printed in zip(out, expected("hs_trigram_sub.bin", "predict_all"), strict=True):
        labels, values = line.split("\t")[::2], line.split("\t")[1::2]
        words = printed.split(" ")
        assert [f"__label__{label}" for label in labels] == words[::2]
        assert [float(value) for value in values] == pytest.approx(
            [float(value) for value in words[1::2]], abs=6e-5
        )


def test_test(run, tmp_path):
    labels = load_model(model_path("ns_words.bin")).predict(QUERIES)
    lines = [f"__label__{label} {text}\n" for label, text in zip(labels, QUERIES, strict=True)]
    lines[0] = "__label__absent " + QUERIES[0] + "\n"
    kept = [line for line in lines if line.count("__label__") == 1]
    (tmp_path / "labelled").write_text("".join(kept), "utf-8")
    status, out, err = run("test", model_path("ns_words.bin"), "labelled")
    assert (status, err) == (0, "")
    assert out[:2] == ["lines     35", f"P@1       {34 / 35:.3f}"]


def test_vectors(run):
    name = "q_dsub3_qnorm.ftz"
    assert run("vectors", model_path(name), LINES, "out.npy")[0] == 0
    # The command leaves labels at the beginning of a line out, as fastText does.
    found = load_model(model_path(name)).vectors(QUERIES)
    np.testing.assert_array_equal(np.load("out.npy"), found)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "q_hs_cutoff.ftz",
            [
                "features  38 words; tokenizer: fasttext",
                "          222 of 500 buckets of n-grams",
                "          n-grams of up to 3 words",
                "          n-grams of 3 to 5 characters",
                "size      8 dimensions, 0.0 MB, quantised",
                "loss      hs",
                "format    fastText, version 12, supervised",
                "labels    6",
                "          red",
            ],
        ),
        ("skipgram.bin", ["features  142 words; tokenizer: fasttext"]),
        ("sg_h2.bin", ["features  142 words; tokenizer: fasttext"]),
    ],
)
def test_info(run, name, lines):
    status, out, err = run("info", model_path(name))
    assert (status, err) == (0, "")
    assert out[: len(lines)] == lines


def test_convert(run):
    status, out, err = run("convert", model_path("ns_words.bin"), "new")
    assert (status, out, err) == (0, ["saved     new"], "")
    _, old, _ = run("predict", model_path("ns_words.bin"), LINES)
    _, new, _ = run("predict", "new", LINES)
    assert new == old
    assert run("info", "new")[1][0] == "features  142 words; tokenizer: fasttext"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "q_hs_cutoff.ftz",
            "no: its labels are a tree (loss hs), which models of ebagx do not have",
        ),
        ("ova_sub.bin", "no: it has n-grams, which fastText hashes in another way than ebagx"),
    ],
)
def test_convert_what_cannot_be_trained(run, name, reason):
    out = [f"training  {reason}", "saved     new"]
    assert run("convert", model_path(name), "new") == (0, out, "")
    options = (LINES, "--prob", "-k", -1)
    assert run("predict", "new", *options) == run("predict", model_path(name), *options)
    _, out, _ = run("info", "new")
    _, old, _ = run("info", model_path(name))
    assert [line for line in out if line[:4] not in ("size", "form")] == [
        line for line in old if line[:4] not in ("size", "form")
    ]
    assert "format    version 5, with the features of fastText" in out
    for argv in (("train", LINES, "--continue", "new"), ("similar", "new", "ti")):
        status, out, err = run(*argv)
        assert (status, out, err.count("\n")) == (2, [], 1)
        assert "new has the features and labels of a model of fastText, and is only read" in err


def test_quantize_a_converted_model(run):
    run("convert", model_path("q_hs_cutoff.ftz"), "new")
    status, out, err = run("quantize", "new", "--bits", 8)
    assert (status, err, out[0], out[2]) == (0, "", "features  260 of 260", "saved     new-small")
    assert run("info", "new-small")[1][4] == "size      8 dimensions, 0.0 MB, quantised to 8 bits"
    _, old, _ = run("predict", "new", LINES)
    _, new, _ = run("predict", "new-small", LINES)
    assert sum(one == other for one, other in zip(old, new, strict=True)) >= 35
    assert run("quantize", "new-small", "x")[2] == (
        "ebagx: the model is quantised to 8 bits already\n"
    )
    assert run("quantize", "new", "x", "--cutoff", 5)[2] == (
        "ebagx: --cutoff is for models that ebagx has trained\n"
    )


@pytest.mark.parametrize("command", ["predict", "test", "vectors", "info", "convert"])
def test_damaged(run, tmp_path, command):
    (tmp_path / "cut.bin").write_bytes(content_of("ns_words.bin")[:3000])
    arguments = {"vectors": [LINES, "out.npy"], "info": [], "convert": ["new"]}.get(
        command, [LINES]
    )
    status, out, err = run(command, "cut.bin", *arguments)
    assert (status, out) == (2, [])
    assert err.startswith("ebagx: cut.bin: this is no complete model of fastText: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "absent", "new"], "absent is no file of fastText"),
        (["convert", model_path("skipgram.bin"), "new"], "a skipgram model"),
        (["predict", model_path("sg_h2.bin"), LINES], "which has word vectors and no labels"),
    ],
)
def test_errors(run, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (2, [])
    assert message in err
    assert err.count("\n") == 1

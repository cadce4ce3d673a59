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
        (["convert", model_path("ova_sub.bin"), "new"], "it has n-grams"),
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

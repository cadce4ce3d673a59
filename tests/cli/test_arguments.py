"""Test the errors of arguments, the help, and options that are spelt in several ways."""

import re

import pytest

pytest.importorskip("sklearn")

from ebagx.cli import fasttext


@pytest.fixture
def fail(run, capsys):
    """Run a command that must fail, and return its one line of error."""

    def fail(*argv):
        with pytest.raises(SystemExit) as stopped:
            run(*argv)
        out, err = capsys.readouterr()
        assert (stopped.value.code, out, err.count("\n")) == (2, "", 1)
        return err.rstrip()

    return fail


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["train", "--epocs", "5"], "train: error: unknown option --epocs; did you mean --epochs?"),
        (
            ["train", "x", "--epocs=5"],
            "unknown option --epocs; did you mean --epochs?",
        ),
        (["train", "--wordngrams", "2"], "did you mean --word-ngrams?"),
        (["train", "-epochs", "2"], "unknown option -epochs; did you mean --epochs?"),
        (["train", "-T", "1e-4"], "train: error: unknown option -T"),
        (["train", "-thre", "2"], "unknown option -thre; did you mean --threads?"),
        (["train", "--zzz", "--dim", "0"], "train: error: unknown option --zzz"),
        (
            ["quantize", "-output", "m"],
            "option of fastText; name both folders without it: ebagx quantize MODEL DIR",
        ),
        (["predict", "--prb"], "predict: error: unknown option --prb; did you mean --prob?"),
        (["predict", "m", "-kx"], "predict: error: unknown option -kx; did you mean -k?"),
        (["predict", "-help"], "predict: error: unknown option -help; did you mean --help?"),
        (["--verson"], "ebagx: error: unknown option --verson; did you mean --version?"),
        (["trane", "--x"], "ebagx: error: unknown command trane; did you mean train?"),
        (["xyzzy"], "ebagx: error: unknown command xyzzy"),
        (["predict"], "predict: error: the following arguments are required: model"),
        (["test", "m", "x", "y"], "error: unrecognized arguments: y"),
    ],
)
def test_wrong_arguments_are_named(fail, argv, problem):
    assert fail(*argv).endswith(problem)


@pytest.mark.parametrize("verb", fasttext.COMMANDS)
def test_commands_of_fasttext_are_answered(fail, verb):
    error = fail(verb, "-input", "x", "-output", "y")
    assert error.startswith(f"ebagx: error: {verb} is a command of fastText; use ebagx ")
    assert len(error) < 130


# Those of `fasttext supervised`, and of `fasttext quantize`.
OPTIONS = [
    "-input",
    "-output",
    "-verbose",
    "-minCount",
    "-minCountLabel",
    "-wordNgrams",
    "-bucket",
    "-minn",
    "-maxn",
    "-t",
    "-label",
    "-lr",
    "-lrUpdateRate",
    "-dim",
    "-ws",
    "-epoch",
    "-neg",
    "-loss",
    "-thread",
    "-pretrainedVectors",
    "-saveOutput",
    "-seed",
    "-autotune-validation",
    "-autotune-metric",
    "-autotune-predictions",
    "-autotune-duration",
    "-autotune-modelsize",
    "-cutoff",
    "-retrain",
    "-qnorm",
    "-qout",
    "-dsub",
]


@pytest.mark.parametrize("option", OPTIONS)
def test_options_of_fasttext_are_taken_or_answered(fail, option):
    error = fail("train", option, "0", "--zzz")
    if not error.endswith("unknown option --zzz"):
        assert f"error: {option} is an option of fastText; {fasttext.OPTIONS[option]}" in error
        assert len(error) < 130


def test_commands_that_are_named_instead_exist(run, capsys):
    for text in fasttext.COMMANDS.values():
        name, options = re.match(r"ebagx (\w+)", text)[1], re.findall(r"--[\w-]+", text)
        with pytest.raises(SystemExit):
            run(name, "--help")
        shown = capsys.readouterr().out
        assert all(option in shown for option in options)


def test_no_command_prints_the_help(run, capsys):
    status, out, err = run()
    assert (status, err) == (0, "")
    with pytest.raises(SystemExit):
        run("--help")
    assert capsys.readouterr().out.splitlines() == out
    assert any(line.split()[:1] == ["train"] for line in out)


@pytest.mark.usefixtures("trained")
def test_files_may_stand_anywhere(run, tmp_path):
    (tmp_path / "lines").write_text("the cat\n")
    expected = run("predict", "ebagx-model", "lines", "--prob", "-k", 2)
    assert expected[0] == 0
    for argv in (
        ("--prob", "ebagx-model", "-k", 2, "lines"),
        ("ebagx-model", "-k2", "--prob", "lines"),
        ("ebagx-model", "--prob", "-k=2", "--", "lines"),
        ("ebagx-model", "--prob", "lines", "-k", 2),
    ):
        assert run("predict", *argv) == expected


@pytest.mark.usefixtures("trained")
def test_words_that_are_options_after_two_dashes(run):
    assert run("predict", "ebagx-model", "--", "--epocs")[2].startswith("ebagx: --epocs: No such")


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("k", [["-k", "-1"], ["-k-1"], ["-k=-1"]])
def test_all_labels(run, k):
    out = run("predict", "ebagx-model", *k, "--prob", stdin=b"the cat\n")[1]
    assert sorted(out[0].split("\t")[::2]) == ["animal", "food", "place"]
    out = run("test", "ebagx-model", "train.tsv", *k)[1]
    assert out[1:3] == ["P@all     0.333", "R@all     1.000"]


@pytest.mark.usefixtures("trained")
def test_a_threshold_of_one(run):
    assert run("predict", "ebagx-model", "--threshold", 1, stdin=b"the\n") == (0, [""], "")


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("-k", "0", "argument -k: must be -1 or an integer at least 1, got '0'"),
        ("-k", "-2", "argument -k: must be -1 or an integer at least 1, got '-2'"),
        ("--threshold", "1.01", "argument --threshold: must be a number from 0 to 1, got '1.01'"),
        ("--label", "", "argument --label/-label: must be a word, got ''"),
        ("--label", "a b", "argument --label/-label: must be a word, got 'a b'"),
    ],
)
def test_bad_values(fail, option, value, problem):
    assert fail("predict", "m", option, value).endswith(problem)

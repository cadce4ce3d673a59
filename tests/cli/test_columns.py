"""Test texts and labels from columns of CSV, TSV and JSON lines, in all commands."""

import bz2
import csv
import gzip
import io
import json
import lzma
import re

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx.cli import columns as columns_module
from ebagx.cli.columns import Columns, form_of, read_columns
from ebagx.io.model_folder import load_model
from ebagx.text import sources
from support.cli_cases import WORDS, write_examples
from support.streams import Pieces

BOTH = ("--text-column", "text", "--label-column", "label")
OF_CSV = Columns(("text",), ("label",), form="csv")
OF_JSON = Columns(("text",), ("label",), form="jsonl")


def rows():
    return [
        (label, f'the {word} number {i}, "x"\nend')
        for label, words in WORDS.items()
        for i in range(20)
        for word in words.split()
    ]


def as_csv(delimiter=",", header=("id", "label", "text"), newline="\r\n"):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline)
    writer.writerows([header] if header else [])
    writer.writerows((i, *row) for i, row in enumerate(rows()))
    return text.getvalue().encode()


def as_jsonl():
    lines = [json.dumps({"label": label, "text": text}) for label, text in rows()]
    return "\n".join([*lines, ""]).encode()


FILES = {
    "rows.csv": (as_csv(), ()),
    "rows.CSV.gz": (gzip.compress(as_csv(newline="\n")), ()),
    "rows.tsv.bz2": (bz2.compress(as_csv("\t")), ()),
    "rows.jsonl": (as_jsonl(), ()),
    "rows.ndjson.xz": (lzma.compress(as_jsonl()), ()),
    "rows.txt": (b"\xef\xbb\xbf" + as_csv(";"), ("--delimiter", ";")),
    "rows": (as_csv("\t"), ("--format", "csv", "--delimiter", "\\t")),
}


def read(content, columns=OF_CSV, sizes=1 << 20):
    pieces = [content[i : i + sizes] for i in range(0, len(content), sizes)]
    stream = io.BufferedReader(Pieces(*pieces), 1 << 20)
    return [pair for block in read_columns(stream, "f", columns) for pair in zip(*block)]  # noqa: B905


@pytest.fixture
def embedding(run, tmp_path):
    """Return the embedding of a model of the lines that have the same words."""
    lines = "".join(f"{label}\t{' '.join(text.split())}\n" for label, text in rows())
    (tmp_path / "lines.tsv").write_text(lines)
    assert run("train", "lines.tsv", "--model", "lines")[0] == 0
    return load_model(tmp_path / "lines").embedding


@pytest.mark.parametrize("name", FILES)
def test_each_form_gives_the_model_of_lines(run, tmp_path, embedding, name):
    content, options = FILES[name]
    (tmp_path / name).write_bytes(content)
    status, out, err = run("train", name, *BOTH, *options)
    assert (status, err) == (0, "")
    assert out[1] == "          3 labels, 198 lines and 22 held out"
    np.testing.assert_array_equal(load_model(tmp_path / "ebagx-model").embedding, embedding)
    assert run("test", "ebagx-model", name, *BOTH, *options)[1][:2] == [
        "lines     220",
        "P@1       1.000",
    ]
    text = ("--text-column", "text", *options)
    status, out, err = run("predict", "ebagx-model", name, *text)
    assert (status, out, err) == (0, [label for label, _ in rows()], "")
    assert run("vectors", "ebagx-model", name, "v.npy", *text)[0] == 0
    assert np.load(tmp_path / "v.npy").shape == (220, 32)


@pytest.mark.usefixtures("trained")
def test_standard_input_needs_a_format(run):
    text = ("--text-column", "text")
    out = run("predict", "ebagx-model", *text, "--format", "jsonl", stdin=as_jsonl())
    assert out == (0, [label for label, _ in rows()], "")
    assert run("predict", "ebagx-model", *text)[2] == (
        "ebagx: stdin: its columns need --format csv, tsv, jsonl\n"
    )
    assert run("test", "ebagx-model", "train.x", *BOTH)[2] == (
        "ebagx: train.x: its columns need --format csv, tsv, jsonl\n"
    )


def test_validation_lines_have_the_same_columns(run, tmp_path):
    (tmp_path / "rows.csv").write_bytes(as_csv())
    (tmp_path / "valid.jsonl").write_bytes(as_jsonl())
    search = ("--autotune-validation", "valid.jsonl", "--autotune-trials", 1)
    status, out, _ = run("train", "rows.csv", *BOTH, *search)
    assert (status, out[2]) == (0, "autotune  300 s, P@1 of 220 validation lines")


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (("--text-column", "text"), "--text-column needs --label-column"),
        (("--label-column", "label"), "--label-column needs --text-column"),
        (("--format", "csv"), "--format needs --text-column"),
        (("--no-header",), "--no-header needs --text-column"),
        (("--delimiter", ";"), "--delimiter needs --text-column"),
        (("--label-separator", ";"), "--label-separator needs --text-column"),
        ((*BOTH, "--format", "jsonl", "--no-header"), "--delimiter and --no-header are for CSV an"),
    ],
)
def test_options_that_need_others(run, argv, problem):
    status, _, err = run("train", "rows.csv", *argv)
    assert (status, err.startswith(f"ebagx: {problem}")) == (2, True)


@pytest.mark.usefixtures("trained")
def test_columns_of_no_file_or_of_labelled_lines(run):
    assert run("train", *BOTH)[2] == "ebagx: --text-column needs a file\n"
    assert run("predict", "ebagx-model", "--text-column", "1", "--labelled")[2] == (
        "ebagx: --labelled is for lines of label<TAB>text: leave it out with columns\n"
    )


@pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n"])
def test_bad_delimiters(run, capsys, delimiter):
    with pytest.raises(SystemExit):
        run("train", "rows.csv", *BOTH, "--delimiter", delimiter)
    assert "--delimiter: must be one character, not a quote, got " in capsys.readouterr().err


@pytest.mark.usefixtures("trained")
def test_files_of_columns_are_noticed(run, tmp_path):
    (tmp_path / "rows.csv").write_bytes(as_csv())
    for argv in (("train", "rows.csv"), ("test", "ebagx-model", "rows.csv")):
        assert run(*argv)[2] == (
            "ebagx: rows.csv, line 1: no tab between label and text; --text-column and "
            "--label-column name columns\n"
        )
    assert run("predict", "ebagx-model", "rows.csv")[2] == (
        "ebagx: warning: rows.csv: whole lines are read as texts; --text-column names a column\n"
    )
    write_examples(tmp_path / "fine.csv")
    assert run("train", "fine.csv")[::2] == (0, "")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (Columns(("2",), ("1",)), [("b", ("a",)), ("c", ("b",))]),
        (Columns(("text",), ("label", "more")), [("b", ("a", "x")), ("c", ("b",))]),
        (Columns(("text", "more"), ("label",)), [("b x", ("a",)), ("c ", ("b",))]),
        (Columns(("label",), ("more", "text"), "|"), [("a", ("x", "b")), ("b", ("c",))]),
    ],
)
def test_columns_by_name_and_by_number(columns, expected):
    content = b"label,text,more\n\na,b,x\n   \nb,c,\n"
    assert read(content, columns._replace(form="csv")) == expected
    numbers = {"label": "1", "text": "2", "more": "3"}
    texts, labels = (
        tuple(numbers.get(name, name) for name in names)
        for names in (columns.texts, columns.labels)
    )
    by_number = columns._replace(texts=texts, labels=labels, form="csv", has_header=False)
    assert read(content[16:], by_number) == expected


def test_a_name_counts_before_a_number():
    content = b"2,1\na,b\n"
    assert read(content, Columns(("1",), ("2",), form="csv")) == [("b", ("a",))]


def test_several_labels_in_a_cell():
    columns = OF_CSV._replace(separator=";")
    assert read(b"text,label\nx, a ;;b;a\n", columns) == [("x", ("a", "b"))]
    lines = b'{"text": "x", "label": ["a", 1, true, null, "a"]}\n{"text": "y", "label": 1.5}\n'
    assert read(lines, OF_JSON) == [("x", ("a", "1", "true")), ("y", ("1.5",))]
    assert read(b'{"text": "x", "label": "a;b"}\n', OF_JSON._replace(separator=";")) == [
        ("x", ("a", "b"))
    ]


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_cells_that_arrive_in_pieces(monkeypatch, size):
    content = b'text,label\r\n"a\n\n""b"" ,\xc3\xa9",x\r\n\r\n\xe4\xb8\xad,"y"'
    monkeypatch.setattr(sources, "_BLOCK_SIZE", size)
    expected = [('a\n\n"b" ,\u00e9', ("x",)), ("\u4e2d", ("y",))]
    assert read(content, sizes=size) == expected


def test_rows_come_as_soon_as_they_arrive():
    pieces = [b"text,label\na,x\n", b'b,y\n"c\n', b'd",z\n', b"e,x\n"]
    blocks = read_columns(io.BufferedReader(Pieces(*pieces)), "f", OF_CSV)
    assert [block.texts for block in blocks] == [["a"], ["b", "c\nd"], ["e"]]


PROBLEMS = [
    (b"", "f: there are no rows"),
    (b"text,label\na\n", "f, line 2: 1 cell, but the header has 2; a cell with a delimiter stands"),
    (b"text,label\na,b\n\na,b,c\n", "f, line 4: 3 cells, but the header has 2; a cell"),
    (b'text,label\n"a\n\n",x\n"b" c,x\n', "f, line 5: text follows a quoted cell; a quote in such"),
    (b'text,label\na,x\n"b,x\n\nc,x\n', "f, line 3: a quote is opened and never closed"),
    (b"text,label\na\rb,x\n", "f, line 2: a carriage return stands outside quotes"),
    (b"text,label\na, \n", "f, line 2: there is no label"),
    (b'text,label\na,"b\nc"\n', "f, line 2: 'b\\nc' is not a label"),
    (b"text,label\na,x\n\xe9,x\n", "f, line 3: not utf-8 text, byte 0xe9 at position 0"),
    (b"txt,label\na,x\n", "f, line 1: no column is called 'text'; there are 'txt', 'label'"),
    (b"text,label,text\n", "f, line 1: 2 columns are called 'text'"),
]
PROBLEMS_OF_JSON = [
    (b'{"text": "a", "label": "x"}\n{"text": "a",\n', "f, line 2: not JSON: "),
    (b"[1]\n", "f, line 1: not a JSON object"),
    (b'{"text": "a", "label": NaN}\n', "f, line 1: not JSON: NaN is not a value of JSON"),
    (b"[" * 100_000 + b"\n", "f, line 1: not JSON: "),
    (b'{"label": "x", "t": 1}\n', "f, line 1: there is no key 'text'; there are 'label', 't'"),
    (b'\n{"text": null, "label": "x"}\n', "f, line 2: the text 'text' is null, not a string"),
    (b'{"text": "a", "label": {}}\n', "f, line 1: the label 'label' is an object"),
    (b'{"text": "a"}\n', "f, line 1: there is no label"),
    (b'{"text": "a\\ud800", "label": "x"}\n', "f, line 1: the surrogate '\\ud800' is not a char"),
]


@pytest.mark.parametrize(("content", "problem"), PROBLEMS)
def test_bad_csv(content, problem):
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        read(content)


@pytest.mark.parametrize(("content", "problem"), PROBLEMS_OF_JSON, ids=range(len(PROBLEMS_OF_JSON)))
def test_bad_json(content, problem):
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        read(content, OF_JSON)


def test_numbers_of_columns():
    columns = OF_CSV._replace(texts=("3",), labels=("1",), has_header=False)
    with pytest.raises(
        ValueError, match="^f, line 1: there is no column '3'; a number from 1 to 2"
    ):
        read(b"a,b\n", columns)
    with pytest.raises(ValueError, match="^f, line 2: 1 cell, but the first row has 2"):
        read(b"a,b\nc\n", columns._replace(texts=("2",)))


def test_a_quote_that_is_never_closed_takes_little_memory(monkeypatch):
    monkeypatch.setattr(columns_module, "_LONGEST_CELL", 100_000)
    content = b'text,label\n"' + b"word,x\n" * 100_000
    with pytest.raises(ValueError, match="^f, line 2: a quote is opened and not closed$"):
        read(content)
    assert read(b"text,label\n" + b"w" * 99_999 + b",x\n")[0][1] == ("x",)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.csv", "csv"),
        ("a.b.TSV.xz", "tsv"),
        ("a.ndjson.zip", "jsonl"),
        ("a.zip", None),
        ("-", None),
    ],
)
def test_forms_of_names(tmp_path, name, form):
    assert form_of(tmp_path / name) == form

"""Test that damaged models are refused before memory is allocated, and never misread."""

import os
import random
import re
import tracemalloc

import numpy as np
import pytest

from ebagx.io.fasttext.model import read_file, read_model
from ebagx.io.fasttext.vectors import read_vectors
from ebagx.text.vectors.word_vectors import WordVectors
from fuzz.fasttext import GOLDEN_MODELS, check_case
from support.fasttext_files import OPTIONS, SIZES, content_of, model_path, places_of, with_integer

NAMES = ("hs_trigram_sub.bin", "q_hs_cutoff.ftz", "q_qout_qnorm.ftz", "sg_h2.bin")
HUGE = 2**31 - 1
CUT = "are left in the file; copy|it ends among the words; copy|its first bytes are not those"


@pytest.fixture
def refused(tmp_path):
    """Check that a content is refused for a reason, in one line that names the way out."""
    path = tmp_path / "model.bin"

    def refused(content, reason=": "):
        path.write_bytes(content)
        for read in (read_file, read_vectors):
            with pytest.raises(ValueError, match=re.escape(reason)) as error:
                read(path)
            assert str(error.value).startswith(f"{path}: this is no complete model of fastText: ")
            assert str(error.value).endswith("; copy or download it again")
            assert "\n" not in str(error.value)

    return refused


@pytest.mark.parametrize("name", ["ns_words.bin", *NAMES])
def test_truncated(name, tmp_path):
    """The smallest model is cut at every byte, others near the ends of their parts and on."""
    content, path = content_of(name), tmp_path / "model.bin"
    path.write_bytes(content)
    near = {place + i for place in (0, *places_of(content).values()) for i in range(-30, 120)}
    near |= {*range(0, len(content), 1 if name == "ns_words.bin" else 97)}
    for end in sorted(near & {*range(len(content))}, reverse=True):
        os.truncate(path, end)
        with pytest.raises(ValueError, match=CUT):
            read_file(path)


@pytest.mark.parametrize("name", NAMES)
def test_more_bytes(name, refused):
    refused(content_of(name) + b"\0", "1 bytes follow its end")


@pytest.mark.parametrize("field", [*OPTIONS, *SIZES])
@pytest.mark.parametrize("value", [-2, -HUGE - 1, HUGE])
@pytest.mark.parametrize("name", ["softmax_bigram.bin", "q_cutoff_retrain.ftz"])
def test_absurd_headers(name, field, value, refused, tmp_path):
    """No header causes a large allocation."""
    place = {**OPTIONS, **SIZES}[field]
    content = with_integer(content_of(name), place, value, "q" if field == "pruned" else "i")
    if field == "minn" and value > 0 and name.startswith("softmax"):
        (tmp_path / "model").write_bytes(content)
        read_file(tmp_path / "model")  # without n-grams, their smallest length says nothing
        return
    tracemalloc.start()
    refused(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    ("name", "place", "value", "reason"),
    [
        ("ova_sub.bin", 0, 7, "its first bytes are not those of a model"),
        ("ova_sub.bin", 4, 13, "it has version 13, and 12 is the newest one known"),
        ("ova_sub.bin", 4, -1, "it has version -1"),
        ("ova_sub.bin", 8, 0, "dim is 0, not from 1 to 65,536"),
        ("ova_sub.bin", 28, 256, "wordNgrams is 256, not from 0 to 255"),
        ("ova_sub.bin", 32, 5, "the loss is 5, not from 1 to 4"),
        ("ova_sub.bin", 36, 0, "the kind of model is 0, not from 1 to 3"),
        ("ova_sub.bin", 40, 0, "bucket is 0, not from 1"),
        ("q_hs_cutoff.ftz", 40, 2**28 + 1, "bucket is 268,435,457, not from 0 to 268,435,456"),
        ("ova_sub.bin", 44, 5, "minn is 5, not from 0 to 4"),
        ("ova_sub.bin", 48, 513, "maxn is 513, not from 0 to 512"),
        ("ova_sub.bin", 64, 147, "142 words and 6 labels are not 147"),
        ("sg_h2.bin", 56, 5, "hashCount is 5, not from 1 to 4"),
    ],
)
def test_reasons_of_headers(name, place, value, reason, refused):
    refused(with_integer(content_of(name), place, value), reason)


def test_words(refused):
    content = content_of("ova_sub.bin")
    kind = content.index(b"__label__") - 1  # of the last word
    refused(content[:kind] + b"\1" + content[kind + 1 :], "labels stand among the words")
    second = content.index(b"\xd0\xbb\xd1\x8f\0")
    twice = content.replace(content[second : second + 5], b"</s>\0", 1)
    refused(twice, "a word is empty or occurs twice")
    start = places_of(content)["entries"]
    refused(content[:start] + b"\0" + content[start + 1 :])


def test_huge_counts_of_words(refused):
    """A list of words that the file cannot hold is not allocated."""
    content = content_of("skipgram.bin")
    content = with_integer(with_integer(content, 64, 10**9), 68, 10**9)
    refused(content, "the list of 1,000,000,000 words and labels has 11,000,000,000 bytes")


@pytest.mark.parametrize("count", [-1, 10**15])
def test_counts_of_a_tree(count, tmp_path):
    """A tree of counts that are no counts would never end, or overflow."""
    content = content_of("hs_trigram_sub.bin")
    place = content.index(b"__label__red\0") + 13
    (tmp_path / "m").write_bytes(with_integer(content, place, count, "q"))
    with pytest.raises(ValueError, match="counts of labels are negative or too large; copy"):
        read_model(tmp_path / "m")


class TestPruned:
    name = "q_cutoff_retrain.ftz"

    def changed(self, pair, column, value):
        content = content_of(self.name)
        return with_integer(content, places_of(content)["pairs"] + 8 * pair + 4 * column, value)

    @pytest.mark.parametrize(
        ("pair", "column", "value"),
        [(0, 0, -1), (3, 0, 400), (1, 1, -1), (1, 1, 10**6)],
    )
    def test_out_of_range(self, pair, column, value, refused):
        refused(self.changed(pair, column, value), "a pruned bucket or its row is out of range")

    @pytest.mark.parametrize("column", [0, 1])
    def test_twice(self, column, refused):
        content = content_of(self.name)
        first = places_of(content)["pairs"] + 4 * column
        value = int.from_bytes(content[first : first + 4], "little")
        refused(self.changed(1, column, value), "occurs twice")

    def test_a_table_that_is_not_quantised(self, refused):
        content = content_of(self.name)
        quant = places_of(content)["quant"]
        changed = content[:quant] + b"\0" + content[quant + 1 :]
        refused(changed, "buckets are pruned, but the table is not quantised")


@pytest.mark.parametrize(
    ("shift", "value", "form", "reason"),
    [
        (1, 2, "B", "the sign of norms in the table of words is 2, not 0 or 1"),
        (2, 443, "q", "the table of words has 443 x 8 entries; 442 x 8 fit the words and options"),
        (10, 9, "q", "the table of words has 442 x 9 entries"),
        (18, -4, "i", "the table of words has -4 codes for 442 rows of 8"),
        (18, 442 * 9, "i", "the table of words has 3,978 codes for 442 rows of 8"),
        (22 + 442 * 3, 7, "i", "the quantiser of the table of words does not fit its codes"),
        (26 + 442 * 3, 4, "i", "the quantiser of the table of words does not fit its codes"),
        (30 + 442 * 3, 0, "i", "the quantiser of the table of words does not fit its codes"),
        (34 + 442 * 3, 3, "i", "the quantiser of the table of words does not fit its codes"),
        (38 + 442 * 3, float("nan"), "f", "the table of words holds nan or infinity"),
    ],
)
def test_codes(shift, value, form, reason, refused):
    content = content_of("q_dsub3_qnorm.ftz")
    refused(with_integer(content, places_of(content)["quant"] + shift, value, form), reason)


def test_last_table(refused):
    content = content_of("ns_words.bin")
    last = len(content) - 6 * 7 * 4
    refused(with_integer(content, last, float("inf"), "f"), "the last table holds nan or infinity")
    refused(with_integer(content, last - 17, 2, "B"), "the sign of quantised labels is 2")


@pytest.mark.skipif(os.name == "nt", reason="POSIX files")
def test_other_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, reason in ((tmp_path / "pipe", "not a regular file"), (tmp_path, "not a regular")):
        with pytest.raises(ValueError, match=reason):
            read_file(path)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "absent")
    (tmp_path / "link").symlink_to(model_path("ns_words.bin"))
    assert read_file(tmp_path / "link").header.dim == 7


@pytest.mark.parametrize("shift", range(4))
def test_tables_are_mapped_where_they_are_aligned(shift, tmp_path):
    """An odd place would make loads that the compiled code does not expect."""
    content = content_of("cbow_nosub.bin")
    start = places_of(content)["quant"] + 17
    word = b"x" * ((shift - start) % 4) + b"</s>"
    path = tmp_path / "model.bin"
    path.write_bytes(content.replace(b"</s>", word, 1))
    table = read_file(path).table.dense
    assert table.__array_interface__["data"][0] % 4 == 0
    assert table.flags.writeable == (shift != 0)
    np.testing.assert_array_equal(table, read_file(model_path("cbow_nosub.bin")).table.dense)


@pytest.mark.skipif(os.name == "nt", reason="files that are mapped do not become shorter")
@pytest.mark.parametrize("name", ["q_dsub2.ftz", "aligned"])
def test_a_file_that_becomes_shorter(name, tmp_path):
    """A map without a file behind it would end the process."""
    content = content_of("cbow_nosub.bin" if name == "aligned" else name)
    shift = -(places_of(content)["quant"] + 17) % 4 if name == "aligned" else 0
    path = tmp_path / "model.bin"
    path.write_bytes(content.replace(b"</s>", b"x" * shift + b"</s>", 1))
    vectors = WordVectors(*read_vectors(path))
    os.truncate(path, 100)
    with pytest.raises(ValueError, match="was cut short"):
        vectors.embed(["ti"])
    if name != "aligned":
        path.write_bytes(content)
        model = read_model(path)
        os.truncate(path, 100)
        with pytest.raises(ValueError, match="was cut short"):
            model.predict(["ti"])


@pytest.mark.parametrize("number", range(60))
def test_changed_models(number, tmp_path):
    """The first cases of the fuzzer: a model is refused or has finite answers."""
    check_case(random.Random(number).randbytes(64), tmp_path)


def test_the_fuzzer_changes_all_models():
    assert {name.rpartition(".")[2] for name in GOLDEN_MODELS} == {"bin", "ftz"}

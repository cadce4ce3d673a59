"""Test that damaged, foreign or hostile files of quantised models are rejected with a message."""

import random
import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

import ebagx
from ebagx.io import small_files
from ebagx.io.model_folder import load_model, save_model
from ebagx.io.npy import npy_header
from ebagx.text.small import quantised
from support.storage_cases import TEXTS, edit_json, make_model, place, replace

FILES = ["words.zlib", "buckets.zlib", "embedding.codes", "coef.npy", "intercept.npy"]


@pytest.fixture
def small(tmp_path):
    """Return the folder of a quantised model."""
    save_model(quantised(make_model(), 4), tmp_path / "small")
    return tmp_path / "small"


def refuses(folder, name, problem):
    path = folder / name if name == "model.json" else place(folder, name)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {problem}')}"):
        load_model(folder)


def test_a_former_ebagx_refuses_the_version(small, saved):
    assert '"version": 4' in (small / "model.json").read_text("utf-8")
    assert '"version": 3' in (saved / "model.json").read_text("utf-8")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 3, -1])
def test_truncated(small, name, kept):
    path = place(small, name)
    path.write_bytes(path.read_bytes()[:kept])
    refuses(small, name, "damaged or incomplete: it has ")


@pytest.mark.parametrize("name", FILES)
def test_any_flipped_bit(small, name):
    content = bytearray(place(small, name).read_bytes())
    for _ in range(10):
        position, bit = random.randrange(len(content)), 1 << random.randrange(8)
        content[position] ^= bit
        place(small, name).write_bytes(content)
        refuses(small, name, "damaged: the checksum is not the one in model.json")
        content[position] ^= bit


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (None, "quantised does not consist of bits, word_bytes"),
        ({"bits": 4}, "quantised does not consist of bits, word_bytes"),
        ({"bits": 3, "word_bytes": 1}, "bits is 3, not 8, 4 or 2"),
        ({"bits": True, "word_bytes": 1}, "bits is True, not 8, 4 or 2"),
        ({"bits": 4.0, "word_bytes": 1}, "bits is 4.0, not 8, 4 or 2"),
        ({"bits": [], "word_bytes": 1}, "bits is [], not 8, 4 or 2"),
        ({"bits": 4, "word_bytes": -1}, "word_bytes is -1, not an integer from 0 to "),
        ({"bits": 4, "word_bytes": 2**31}, "word_bytes is 2147483648, not an integer from 0 to "),
    ],
)
def test_wrong_description(small, change, problem):
    edit_json(small / "model.json", lambda about: about.update({"quantised": change}))
    refuses(small, "model.json", problem)


@pytest.mark.parametrize("version", [3, 4])
def test_files_of_another_version(small, saved, version):
    folder = small if version == 3 else saved
    edit_json(folder / "model.json", lambda about: about.update({"version": version}))
    problem = "files does not consist of words.txt, " if version == 3 else "quantised does not "
    refuses(folder, "model.json", problem)


def test_missing_record(small):
    edit_json(small / "model.json", lambda about: about["files"].pop("words.zlib") and None)
    refuses(small, "model.json", "files does not consist of words.zlib, buckets.zlib, ")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "damaged: this is not a compressed text of up to 56 bytes"),
        (b"words", "damaged: Error -3 while decompressing data"),
        (zlib.compress(b"a\nb\n"), "this is not a list of 12 words, a line each"),
        (zlib.compress(b"a\n" * 12)[:-1], "damaged: this is not a compressed text of up to 56 "),
        (zlib.compress(b"a\n" * 12) + b"x", "damaged: this is not a compressed text of up to 56 "),
        (zlib.compress(b"\xff\n" * 12), "not utf-8 text"),
        (zlib.compress(b"a" * 60), "damaged: this is not a compressed text of up to 56 bytes"),
    ],
)
def test_wrong_words(small, content, problem):
    replace(place(small, "words.zlib"), content)
    refuses(small, "words.zlib", problem)


def test_words_that_unfold_to_far_more(small):
    resource = pytest.importorskip("resource")
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(100)]
    replace(place(small, "words.zlib"), b"".join([*parts, packer.flush()]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refuses(small, "words.zlib", "damaged: this is not a compressed text of up to 56 bytes")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


BUCKETS = st.sets(st.integers(0, 5000), max_size=200).map(sorted)


@given(BUCKETS)
def test_buckets_are_packed(buckets):
    content = small_files._pack_buckets(np.array(buckets, np.int32))
    limit = max(buckets, default=0) + 1
    found = small_files._unpack_buckets(content, len(buckets), limit, Path("x"))
    assert (found.dtype, found.tolist()) == (np.int32, buckets)


@pytest.mark.parametrize("last", [254, 255, 256, 509, 510, 2**28 - 1])
def test_large_gaps(last):
    for buckets in ([last], [0, last], [last - 1, last]):
        content = small_files._pack_buckets(np.array(buckets, np.int32))
        found = small_files._unpack_buckets(content, len(buckets), last + 1, Path("x"))
        assert found.tolist() == buckets
        with pytest.raises(ValueError, match=f"a bucket is {last}, not below {last}|damaged"):
            small_files._unpack_buckets(content, len(buckets), last, Path("x"))


@pytest.mark.parametrize("given", [b"\0", b"\0\0\0", b"\0\xff", b"\0\0\xff", b"\xff\xff", b""])
def test_wrong_bytes_of_buckets(given):
    with pytest.raises(ValueError, match="^x: (these are not 2 numbers of buckets|damaged: )"):
        small_files._unpack_buckets(zlib.compress(given), 2, 1000, Path("x"))


def test_no_buckets():
    assert small_files._unpack_buckets(zlib.compress(b""), 0, 0, Path("x")).size == 0
    with pytest.raises(ValueError, match="these are not 0 numbers"):
        small_files._unpack_buckets(zlib.compress(b"\xff"), 0, 1000, Path("x"))


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (np.ones((5, 4)), "the table has shape (5, 4) and 4 bits, not ("),
        (None, "the table has shape ("),
    ],
)
def test_another_table(small, tmp_path, table, problem):
    rows = load_model(small).embedding.toarray() if table is None else table
    ebagx.quantize(rows, 8 if table is None else 4).save(tmp_path / "other")
    replace(place(small, "embedding.codes"), (tmp_path / "other").read_bytes())
    refuses(small, "embedding.codes", problem)


@pytest.mark.parametrize("kept", [0, 10, 63, 64, 70, -1])
def test_truncated_table_with_its_checksum(small, kept):
    content = place(small, "embedding.codes").read_bytes()[:kept]
    replace(place(small, "embedding.codes"), content)
    path = place(small, "embedding.codes")
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} is no file of a QuantizedTable"):
        load_model(small)


def test_scales_that_are_not_finite(small):
    content = place(small, "embedding.codes").read_bytes()
    replace(place(small, "embedding.codes"), content[:-4] + b"\x00\x7c\x00\x7c")
    with pytest.raises(ValueError, match="is damaged: a scale or bias is not finite"):
        load_model(small)


def test_a_head_that_is_not_finite(small):
    values = np.full((3, 4), np.inf, np.float16)
    replace(place(small, "coef.npy"), npy_header((3, 4), values.dtype) + values.tobytes())
    refuses(small, "coef.npy", "the array holds nan or infinity")
    replace(place(small, "coef.npy"), npy_header((3, 4), np.dtype(np.float32)) + bytes(48))
    refuses(small, "coef.npy", "this is not a float16 array of shape (3, 4) in C order")


def test_damage_with_its_checksum_is_an_error_or_harmless(small, tmp_path):
    chooser = random.Random(0)
    for trial in range(100):
        folder = tmp_path / f"copy{trial}"
        shutil.copytree(small, folder)
        path = place(folder, chooser.choice(FILES))
        content = bytearray(path.read_bytes())
        if path.suffix == ".zlib":
            content = bytearray(zlib.decompress(content))
        for _ in range(chooser.randint(1, 4)):
            content[chooser.randrange(len(content))] = chooser.randrange(256)
        replace(path, zlib.compress(content) if path.suffix == ".zlib" else bytes(content))
        problem = ""
        try:
            assert len(load_model(folder).predict(TEXTS)) == len(TEXTS)
        except ValueError as error:
            problem = str(error)
        assert problem == "" or str(folder) in problem
        shutil.rmtree(folder)

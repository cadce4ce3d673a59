"""Test that models with damaged, foreign or hostile files are rejected with a message."""

import os
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from ebagx.io import checked_file
from ebagx.io.model_folder import load_model, save_model
from support.storage_cases import (
    ARRAYS,
    FILES,
    STATE,
    TEXTS,
    WORDS,
    edit_json,
    make_model,
    place,
    replace,
)


def test_not_a_model(saved, tmp_path):
    for path in (tmp_path, tmp_path / "absent", place(saved, "coef.npy")):
        message = f"{path} is not a model directory: it has no model.json"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            load_model(path)


@pytest.mark.parametrize("name", sorted(FILES - {"model.json"}))
def test_missing_file(saved, name):
    place(saved, name).unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(name)):
        load_model(saved)


def refuses(saved, name, problem):
    folder = next(saved.glob("data-*"))
    message = f"{saved if name == 'model.json' else folder}{os.sep}{name}: {problem}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        load_model(saved)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("kept", [0, 3, 0.5, -1])
def test_truncated_file(saved, name, kept):
    content = place(saved, name).read_bytes()
    place(saved, name).write_bytes(
        content[: int(kept * len(content)) if isinstance(kept, float) else kept]
    )
    refuses(saved, name, "damaged or incomplete: ")


@pytest.mark.parametrize("name", sorted(FILES - {"model.json"}))
def test_longer_file(saved, name):
    size = place(saved, name).stat().st_size
    with place(saved, name).open("ab") as file:
        file.write(b"\0")
    refuses(saved, name, f"damaged or incomplete: it has {size + 1:,} bytes, not {size:,}")


@pytest.mark.parametrize("name", sorted(FILES - {"model.json"}))
def test_any_flipped_bit(saved, name):
    content = bytearray(place(saved, name).read_bytes())
    chooser = random.Random(0)
    for _ in range(20):
        position, bit = chooser.randrange(len(content)), 1 << chooser.randrange(8)
        content[position] ^= bit
        place(saved, name).write_bytes(content)
        refuses(saved, name, "damaged: the checksum is not the one in model.json")
        content[position] ^= bit


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_file_of_another_model(saved, tmp_path, name):
    save_model(make_model(WORDS, seed=1), tmp_path / "other")
    shutil.copy(place(tmp_path / "other", name), place(saved, name))
    refuses(saved, name, "damaged")


def test_swapped_files(saved):
    contents = {name: place(saved, name).read_bytes() for name in ("embedding.npy", "coef.npy")}
    replace(place(saved, "embedding.npy"), contents["coef.npy"])
    replace(place(saved, "coef.npy"), contents["embedding.npy"])
    refuses(saved, "embedding.npy", "this is not a float32 array of shape")


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("format", "pickle", "this is not the description of an ebagx text classifier"),
        ("version", 1, "the model has format version 1, this ebagx reads 2 to 5; train it again"),
        (
            "version",
            6,
            "the model has format version 6, this ebagx reads 2 to 5; "
            "a newer ebagx wrote it: pip install -U ebagx",
        ),
        ("version", True, "the model has format version True, this ebagx reads 2 to 5; train it "),
        ("labels", None, "labels is not a list of at least 2 labels"),
        ("labels", ["cat"], "labels is not a list of at least 2 labels"),
        ("labels", ["cat", "dog", 3], "labels is not a list of at least 2 labels"),
        ("labels", ["cat", "dog", "a\nb"], "labels is not a list of at least 2 labels"),
        ("labels", ["cat", "dog", "cat"], "a label occurs twice"),
        ("loss", "hs", "loss is 'hs', not softmax or ova"),
        ("loss", ["ova"], "loss is ['ova'], not softmax or ova"),
        ("embedding_dim", 0, "embedding_dim is 0, not an integer from 1 to 65536"),
        ("embedding_dim", 4.0, "embedding_dim is 4.0, not an integer from 1 to 65536"),
        ("words", -1, "words is -1, not an integer from 0 to 2147483647"),
        ("buckets", None, "buckets is None, not an integer from 0 to "),
        ("buckets", 2**31, "buckets is 2147483648, not an integer from 0 to "),
        ("tokenizer", None, "tokenizer does not have name and lowercase"),
        ("tokenizer", {"name": "words"}, "tokenizer does not have name and lowercase"),
        (
            "tokenizer",
            {"name": "bpe", "lowercase": True},
            "tokenizer is {'name': 'bpe', 'lowercase",
        ),
        ("tokenizer", {"name": [], "lowercase": True}, "tokenizer is {'name': [], 'lowercase': "),
        ("tokenizer", {"name": "words", "lowercase": 1}, "tokenizer is {'name': 'words', 'lowerc"),
        ("folder", "../elsewhere", "folder is '../elsewhere', not data- and 16 hexadecimal digits"),
        ("folder", None, "folder is None, not data- and 16 hexadecimal digits"),
        ("files", [], "files does not consist of words.txt, buckets.npy, "),
        ("files", {"../../secret": {}}, "files does not consist of words.txt, buckets.npy, "),
        ("ngrams", {"word_ngrams": 2}, "ngrams does not consist of word_ngrams, min_chars, "),
        ("ngrams", "os.system", "ngrams does not consist of word_ngrams, min_chars, "),
    ],
)
def test_wrong_description(saved, key, value, problem):
    edit_json(saved / "model.json", lambda about: about.update({key: value}))
    refuses(saved, "model.json", problem)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("word_ngrams", 9, "word_ngrams is 9, not an integer from 1 to 8"),
        ("min_chars", 4, "min_chars is 4, above max_chars"),
        ("max_chars", 33, "max_chars is 33, not an integer from 0 to 32"),
        ("n_buckets", 0, "n_buckets is 0, not an integer from 1 to 268435456"),
        ("n_buckets", 2**40, "n_buckets is 1099511627776, not an integer from 1 to 268435456"),
    ],
)
def test_wrong_ngrams(saved, key, value, problem):
    edit_json(saved / "model.json", lambda about: about["ngrams"].update({key: value}))
    refuses(saved, "model.json", problem)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ("x", "coef.npy does not have bytes and sha256"),
        ({"bytes": 1}, "coef.npy does not have bytes and sha256"),
        ({"bytes": -1, "sha256": ""}, "bytes is -1, not an integer from 0 to "),
    ],
)
def test_wrong_record(saved, record, problem):
    edit_json(saved / "model.json", lambda about: about["files"].update({"coef.npy": record}))
    refuses(saved, "model.json", problem)


def test_no_rows_at_all(saved):
    edit_json(saved / "model.json", lambda about: about.update({"words": 0, "buckets": 0}))
    refuses(saved, "model.json", "buckets is 0, not an integer from 1 to ")


@pytest.mark.parametrize("change", [lambda w: w[1:], lambda w: [*w, "a"], lambda w: [*w[:-1], ""]])
def test_wrong_number_of_words(saved, change):
    words = change(place(saved, "words.txt").read_text("utf-8").split())
    replace(place(saved, "words.txt"), "".join(f"{word}\n" for word in words).encode())
    refuses(saved, "words.txt", "this is not a list of 12 words, a line each")


def test_words_that_are_not_utf8(saved):
    replace(place(saved, "words.txt"), b"\xff\n" * 12)
    refuses(saved, "words.txt", "not utf-8 text")


def test_word_twice(saved):
    replace(place(saved, "words.txt"), b"a\n" * 12)
    with pytest.raises(ValueError, match=f"^{re.escape(str(saved))}: a word occurs twice$"):
        load_model(saved)


def test_buckets_in_disorder(saved):
    content = bytearray(place(saved, "buckets.npy").read_bytes())
    content[-8:] = content[-4:] + content[-8:-4]
    replace(place(saved, "buckets.npy"), bytes(content))
    with pytest.raises(ValueError, match="the buckets do not ascend from 0 or more to less"):
        load_model(saved)


def test_deeply_nested_json(saved):
    (saved / "model.json").write_text("[" * 100_000)
    refuses(saved, "model.json", "damaged or incomplete: ")


def npy(array, **options):
    path = Path("x.npy")
    np.save(path, array, **options)
    return path.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda coef: coef.astype(np.float64),
        lambda coef: coef.astype(">f4"),
        lambda coef: coef[:2],
        lambda coef: coef.T.copy(),
        lambda coef: np.asfortranarray(coef),
    ],
)
def test_wrong_array(saved, tmp_path, monkeypatch, change):
    monkeypatch.chdir(tmp_path)
    replace(place(saved, "coef.npy"), npy(change(np.load(place(saved, "coef.npy")))))
    refuses(saved, "coef.npy", "this is not a float32 array of shape (3, 4) in C order")


@pytest.mark.parametrize("name", ["embedding.npy", "coef.npy", "intercept.npy"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(saved, monkeypatch, name, value):
    monkeypatch.setattr(checked_file, "_CHECKED_AT_ONCE", 5)
    content = place(saved, name).read_bytes()
    replace(place(saved, name), content[:-4] + np.float32(value).tobytes())
    refuses(saved, name, "the array holds nan or infinity")


class Bomb:
    """Leaves a mark if it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_no_code_is_run(saved, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    bomb = np.array([Bomb(tmp_path / "mark")], dtype=object)
    replace(place(saved, name), npy(bomb, allow_pickle=True))
    refuses(saved, name, "this is not a")
    assert not (tmp_path / "mark").exists()


def test_archive_in_place_of_an_array(saved, tmp_path):
    np.savez(tmp_path / "x.npz", coef=np.zeros((3, 4), np.float32))
    replace(place(saved, "coef.npy"), (tmp_path / "x.npz").read_bytes())
    refuses(saved, "coef.npy", "this is not a float32 array of shape (3, 4) in C order")


@pytest.mark.parametrize("shape", ["(-1,)", "(10**30,)", "(True,)", "(3,)+()", "'x'", "(" * 500])
def test_hostile_header(saved, shape):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)
    replace(place(saved, "intercept.npy"), content)
    refuses(saved, "intercept.npy", "this is not a float32 array of shape (3,) in C order")


@pytest.mark.parametrize("claims", [{"embedding_dim": 2**16}, {"words": 2**30}, {"buckets": 2**30}])
def test_nothing_is_allocated_because_it_is_claimed(saved, claims):
    resource = pytest.importorskip("resource")
    edit_json(saved / "model.json", lambda about: about.update(claims))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="^.*: this is not a"):
        load_model(saved)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_pipe_in_place_of_a_file_does_not_hang(saved):
    place(saved, "coef.npy").unlink()
    os.mkfifo(place(saved, "coef.npy"))
    refuses(saved, "coef.npy", "this is not a regular file")


def test_damage_anywhere_is_an_error_or_harmless(saved, tmp_path):
    chooser = random.Random(0)
    for trial in range(300):
        copy = tmp_path / f"copy{trial}"
        shutil.copytree(saved, copy)
        path = place(copy, chooser.choice(["model.json", *sorted(FILES)]))
        content = bytearray(path.read_bytes())
        for _ in range(chooser.randint(1, 4)):
            content[chooser.randrange(len(content))] = chooser.randrange(256)
        path.write_bytes(content)
        problem = ""
        try:
            assert len(load_model(copy).predict(TEXTS)) == len(TEXTS)
        except ValueError as error:
            problem = str(error)
        assert problem == "" or problem.startswith(str(copy))
        shutil.rmtree(copy)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"lr": 0}, "lr must be positive and finite, got 0"),
        ({"lr": "x"}, "lr must be a"),
        ({"lr": None}, "lr must be a"),
        ({"lr": float("nan")}, "lr must be positive"),
        ({"epochs": 0}, "epochs is 0, not an integer from 1 to"),
        ({"batch_size": 2.0}, "batch_size is 2.0, not an integer from 1 to"),
        ({"min_count": True}, "min_count is True, not an integer from 1 to"),
        ({"patience": 0}, "patience is 0, not an integer from 1 to"),
        ({"class_weight": {}}, "class_weight is {} and early_stopping False, not None or"),
        ({"early_stopping": 1}, "class_weight is None and early_stopping 1, not None or"),
        ({"seed": -1}, "seed is -1, not an integer from 0 to 4294967295"),
        (
            {"more": 1},
            "training does not consist of lr, epochs, batch_size, min_count, s",
        ),
    ],
)
def test_damaged_options_of_the_training(saved, change, problem):
    edit_json(saved / "model.json", lambda about: about["training"].update(change))
    refuses(saved, "model.json", problem)


@pytest.mark.parametrize("value", [np.nan, -1.0, -np.inf])
@pytest.mark.parametrize("name", sorted(STATE))
def test_sums_of_squares_that_no_training_has(saved, name, value):
    array = np.load(place(saved, name))
    array.flat[-1] = value
    np.save(saved / "new.npy", array)
    replace(place(saved, name), (saved / "new.npy").read_bytes())
    refuses(saved, name, "the array holds nan or negative numbers")


def test_one_of_two_files_of_the_state(saved):
    edit_json(saved / "model.json", lambda about: about["files"].pop("row_squares.npy") and None)
    refuses(saved, "model.json", "files does not consist of")

"""Models on disk: what is written comes back, and what is damaged says so."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import stat
from pathlib import Path

import numpy as np
import pytest

from ebagx import _storage
from ebagx._features import Features
from ebagx._model import TextModel
from ebagx._ngrams import Ngrams
from ebagx._storage import check_destination, load_model, save_model

TEXTS = ["a small cat", "a cat purrs", "dogs bark", "a big dog barks", "pie of \u00e4pfel", "pie"]
NGRAMS = Ngrams(2, 2, 3, 1000)
WORDS = Ngrams(1, 0, 0, 1000)
ARRAYS = {"buckets.npy", "embedding.npy", "coef.npy", "intercept.npy"}
FILES = {"model.json", "words.txt", *ARRAYS}


def make_model(ngrams=NGRAMS, seed=0, loss="softmax", min_count=1):
    rng = np.random.default_rng(seed)
    features, _ = Features.learn(TEXTS, ngrams, min_count)
    shapes = (features.n_columns, 4), (3, 4), (3,)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    return TextModel(features, ["caf\u00e9 food", "cat", "dog"], loss, *weights)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model"
    save_model(make_model(), path)
    return path


def place(model, name):
    """Return where a model has a file."""
    if name == "model.json":
        return model / name
    return model / json.loads((model / "model.json").read_text("utf-8"))["folder"] / name


def edit_json(path, change):
    value = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(change(value) or value), "utf-8")


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(model):
    """Return the names of a model's files; there is nothing but those and their one folder."""
    (folder,) = set(os.listdir(model)) - {"model.json"}
    return {"model.json", *os.listdir(model / folder)}


def replace(path, content):
    """Write a file of a model, and have `model.json` agree."""
    path.write_bytes(content)
    record = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit_json(
        path.parent.parent / "model.json", lambda about: about["files"].update({path.name: record})
    )


@pytest.mark.parametrize(
    ("ngrams", "loss", "min_count"), [(NGRAMS, "softmax", 1), (WORDS, "ova", 1), (NGRAMS, "ova", 9)]
)
def test_round_trip(tmp_path, ngrams, loss, min_count):
    model = make_model(ngrams, loss=loss, min_count=min_count)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model", num_threads=1)
    assert loaded.features.ngrams == ngrams
    assert loaded.features.columns == model.features.columns
    assert (loaded.labels, loaded.loss) == (model.labels, loss)
    texts = [*TEXTS, "", "unknown"]
    np.testing.assert_array_equal(loaded.probabilities(texts), model.probabilities(texts))


def test_files(saved, tmp_path):
    assert names(saved) == FILES
    assert os.listdir(tmp_path) == ["model"]
    model = make_model()
    assert place(saved, "words.txt").read_text("utf-8").split() == list(model.features.columns)
    assert np.load(place(saved, "buckets.npy")).tolist() == model.features.table.buckets().tolist()
    for name in ("embedding", "coef", "intercept"):
        np.testing.assert_array_equal(np.load(place(saved, f"{name}.npy")), getattr(model, name))


def test_a_row_for_what_training_touched_only(saved):
    n_words, n_buckets = (
        json.loads((saved / "model.json").read_text())[k] for k in ("words", "buckets")
    )
    assert (
        len(np.load(place(saved, "embedding.npy"))) == n_words + n_buckets < NGRAMS.n_buckets / 10
    )


def test_directory_of_version_1_is_replaced(saved):
    (saved / "vocabulary.json").touch()
    (saved / "coef.npy").touch()
    save_model(make_model(), saved)
    assert names(saved) == FILES


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_others_may_read_the_model_as_far_as_the_umask_says(saved):
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o777 & ~umask
    assert stat.S_IMODE(place(saved, "coef.npy").stat().st_mode) == 0o666 & ~umask


def test_table_is_mapped(saved):
    table = load_model(saved).embedding
    assert not table.flags.writeable
    base = table
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)


def test_failing_save_keeps_the_old_model(saved, tmp_path, monkeypatch):
    before = contents(saved)

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_storage.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_model(make_model(seed=1), saved)
    assert contents(saved) == before
    assert os.listdir(tmp_path) == ["model"]


def test_failing_replacement_keeps_the_old_model(saved, tmp_path, monkeypatch):
    before = contents(saved)

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(_storage.Path, "replace", fail)
    with pytest.raises(OSError, match="Input/output error"):
        save_model(make_model(seed=1), saved)
    assert contents(saved) == before
    with pytest.raises(OSError, match="Input/output error"):
        save_model(make_model(seed=1), tmp_path / "other")
    assert os.listdir(tmp_path) == ["model"]


class Killer:
    """Lets so many calls of file functions pass, and kills the process at the next."""

    def __init__(self, calls_left):
        self.calls_left = calls_left
        for owner, names in (
            (os, ("fsync", "mkdir", "replace", "rename", "unlink", "rmdir", "open")),
            (Path, ("mkdir", "replace", "unlink", "open")),
        ):
            for name in names:
                setattr(owner, name, self.watched(getattr(owner, name)))

    def watched(self, function):
        def run(*args, **options):
            if self.calls_left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.calls_left -= 1
            return function(*args, **options)

        return run


def save_in_a_child(model, directory, calls_left):
    """Return whether the child lived to the end."""
    child = os.fork()
    if child == 0:
        Killer(calls_left)
        save_model(model, directory)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_at_any_step_there_is_the_old_model_or_the_new_one(saved, tmp_path):
    coefs = [make_model(seed=seed).coef for seed in (0, 1)]
    found, done = [], False
    while not done:
        copy = tmp_path / "copy"
        shutil.copytree(saved, copy)
        done = save_in_a_child(make_model(seed=1), copy, calls_left=len(found))
        coef = load_model(copy).coef
        found.append([np.array_equal(coef, expected) for expected in coefs].index(True))
        save_model(make_model(), copy)  # over what was left behind
        assert names(copy) == FILES
        shutil.rmtree(copy)
    assert len(found) > 15
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0, 1)


def test_a_model_that_is_replaced_while_it_is_loaded(saved, monkeypatch):
    """The files of the description that was read are gone: the new ones are read."""
    read, calls = _storage._read_description, []

    def read_and_replace(path):
        about = read(path)
        if not calls:
            calls.append(path)
            save_model(make_model(seed=1), saved)
        return about

    monkeypatch.setattr(_storage, "_read_description", read_and_replace)
    np.testing.assert_array_equal(load_model(saved).coef, make_model(seed=1).coef)


def test_link_to_a_model_stays_a_link(saved, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(saved)
    before = place(saved, "embedding.npy").read_bytes()
    save_model(make_model(seed=1), link)
    assert link.is_symlink()
    assert place(saved, "embedding.npy").read_bytes() != before


@pytest.mark.usefixtures("saved")
def test_destination_may_be_new_empty_or_a_model(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty", "model"):
        check_destination(tmp_path / name)
        save_model(make_model(), tmp_path / name)
        assert load_model(tmp_path / name).labels == ["caf\u00e9 food", "cat", "dog"]


def test_nothing_but_a_model_is_replaced(saved, tmp_path):
    (saved / "notes.txt").write_text("precious")
    with pytest.raises(ValueError, match=r"model is not replaced: it holds notes\.txt, not a mod"):
        save_model(make_model(), saved)
    with pytest.raises(ValueError, match="is not replaced: it is a file, not a model directory$"):
        save_model(make_model(), saved / "notes.txt")
    assert (saved / "notes.txt").read_text() == "precious"
    with pytest.raises(ValueError, match="^cannot save a model as .*: No such file or directory$"):
        check_destination(tmp_path / "missing" / "model")


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
        (
            "version",
            1,
            "the model has format version 1, this ebagx reads version 2; train it again",
        ),
        (
            "version",
            3,
            "the model has format version 3, this ebagx reads version 2; train it again",
        ),
        ("version", True, "the model has format version True, this ebagx reads version 2"),
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
    monkeypatch.setattr(_storage, "_CHECKED_AT_ONCE", 5)
    content = place(saved, name).read_bytes()
    replace(place(saved, name), content[:-4] + np.float32(value).tobytes())
    refuses(saved, name, "the array holds nan or infinity")


class Bomb:
    """Leaves a mark if it is ever unpickled."""

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


@pytest.mark.parametrize("place", [".", "", ".."])
def test_the_working_directory_is_never_replaced(tmp_path, monkeypatch, place):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ValueError, match="it is, or holds, the working directory$"):
        check_destination(Path(place))

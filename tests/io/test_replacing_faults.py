"""Test all formats but that of models in full: killed at any call, on full disks, and in errors."""

import errno
import functools
import os
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("sklearn")  # text models need it, and rounds what comes with it

import ebagx
from ebagx.dask._checkpoint import Checkpoint, Record
from ebagx.dask._round import Block
from ebagx.dask._storage import opened, stored
from ebagx.io.model_folder import load_model, save_model
from ebagx.io.safetensors import read_safetensors, write_safetensors
from ebagx.text import WordVectors, load_vectors
from ebagx.text.small import quantised
from support.faults import Faults, fill, in_a_child, kill_this_process, mounted_disk
from support.storage_cases import make_model

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
without_fork_warning = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
ROWS = {seed: np.random.default_rng(seed).standard_normal((40, 8), np.float32) for seed in (0, 1)}
WORDS = [f"word{i}" for i in range(40)]


class Format(NamedTuple):
    """A format of files has a name for its file or folder, and functions of that path."""

    name: str
    save: Any  # of a path and a seed
    load: Any  # of a path; returns numbers
    files: int = 1  # entries of the folder after a save


def save_checkpoint(path, seed):
    """Write the model after a round as a training does: first the blocks, then what names them."""
    keeper = Checkpoint(path, {"seed": 0})
    block = stored(Block(0, (ROWS[seed], ROWS[seed])), keeper.folder_of(1 + seed), "block-00000")
    layers = [Block(0, (ROWS[seed][:3],))]
    keeper.write(Record(1 + seed, [block], layers, [float(seed)], [], 0))


def load_checkpoint(path):
    record = Checkpoint(path, {"seed": 0}).read()
    (block,), (layer,) = map(opened, record.blocks), record.layers
    np.testing.assert_array_equal(layer.arrays[0], block.arrays[0][:3])
    np.testing.assert_array_equal(block.arrays[1], block.arrays[0])
    assert record.number == 1 + record.losses[0]
    return np.array(block.arrays[0])


SMALL = {seed: quantised(make_model(seed=seed), 4) for seed in (0, 1)}
TABLES = {seed: ebagx.quantize(rows, 4) for seed, rows in ROWS.items()}
VECTORS = {seed: WordVectors.of(WORDS, rows) for seed, rows in ROWS.items()}


def save_vectors(path, seed):
    VECTORS[seed].save(path)


def load_vectors_of(path):
    loaded = load_vectors(path)
    return np.array([loaded[word] for word in WORDS])


def load_small(path):
    return load_model(path).embedding.toarray()


FORMATS = {
    "quantised table": Format(
        "table.ebagx",
        lambda path, seed: TABLES[seed].save(path),
        lambda path: ebagx.QuantizedTable.load(path, mmap=False).toarray(),
    ),
    "safetensors": Format(
        "a.safetensors",
        lambda path, seed: write_safetensors(path, {"rows": ROWS[seed]}, {}),
        lambda path: np.array(read_safetensors(path).arrays["rows"]),
    ),
    "vectors in one file": Format("v.safetensors", save_vectors, load_vectors_of),
    "vectors as text": Format("v.vec", save_vectors, load_vectors_of),
    "vectors in a folder": Format("v", save_vectors, load_vectors_of, 2),
    "small model": Format("m", lambda path, seed: save_model(SMALL[seed], path), load_small, 2),
    "checkpoint": Format("c", save_checkpoint, load_checkpoint, 2),
}
formats = pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch):
    """Leave the files to the system, as the loss of power is not tested."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """Return for each format the numbers that each seed leaves."""
    folder = tmp_path_factory.mktemp("contents")
    found = {}
    for name, form in FORMATS.items():
        for seed in (0, 1):
            form.save(folder / form.name, seed)
            found[name, seed] = form.load(folder / form.name)
        assert (found[name, 0] != found[name, 1]).any()
    return found


@pytest.fixture
def seed_in(form, contents):
    """Return a function that tells which seed's numbers a path has, all of them."""
    name = next(name for name, other in FORMATS.items() if other is form)

    def seed_in(path):
        numbers = form.load(path)
        (seed,) = [s for s in (0, 1) if np.array_equal(numbers, contents[name, s])]
        return seed

    return seed_in


def check_that_all_is_well(form, path, seed_in):
    """The next save works."""
    form.save(path, 0)
    assert seed_in(path) == 0


def leftovers(form, path):
    """Return entries that no save should leave, beside the file or in the folder."""
    beside = set(os.listdir(path.parent)) - {form.name}
    return beside if form.files == 1 else beside | set(sorted(os.listdir(path))[form.files :])


@formats
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
def test_an_error_in_any_call_leaves_the_old_or_the_new(form, seed_in, tmp_path, code):
    def fail():
        raise OSError(code, os.strerror(code), "a file")

    path, outcomes, number, has_struck = tmp_path / form.name, set(), 0, True
    form.save(path, 0)
    while has_struck:
        with Faults(number, fail) as faults:
            try:
                form.save(path, 1)
                returned = True
            except OSError:
                returned = False
        has_struck = faults.has_struck
        outcomes.add((returned, seed_in(path)))
        check_that_all_is_well(form, path, seed_in)
        number += 1
    assert number > 3
    assert (True, 0) not in outcomes
    assert {(True, 1), (False, 0)} <= outcomes


@needs_fork
@without_fork_warning
@formats
def test_killed_in_any_call_there_is_the_old_or_the_new(form, seed_in, tmp_path):
    path, outcomes, ended = tmp_path / form.name, [], False
    form.save(path, 0)

    def save(number):
        with Faults(number, kill_this_process):
            form.save(path, 1)

    while not ended:
        ended = in_a_child(functools.partial(save, len(outcomes)))
        outcomes.append(seed_in(path))
        check_that_all_is_well(form, path, seed_in)
    assert len(outcomes) > 3
    assert outcomes == sorted(outcomes)
    assert (outcomes[0], outcomes[-1]) == (0, 1)


@formats
def test_full_disk(form, seed_in, tmp_path):
    with mounted_disk(tmp_path / "disk") as disk:
        path = disk / form.name
        form.save(path, 0)
        fill(disk, 0)
        with pytest.raises(OSError, match="No space left on device") as caught:
            form.save(path, 1)
        assert str(disk) in str(caught.value)
        assert seed_in(path) == 0
        (disk / "ballast").unlink()
        form.save(path, 1)
        assert seed_in(path) == 1
        assert not leftovers(form, path)

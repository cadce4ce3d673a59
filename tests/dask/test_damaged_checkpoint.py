"""Test that damaged files of a checkpoint are refused with one line that names the file."""

import json
from pathlib import Path

import numpy as np
import pytest

from ebagx.dask._checkpoint import Checkpoint, Record, unfinished
from ebagx.dask._round import Block
from ebagx.dask._storage import opened, stored

WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def keeper(tmp_path):
    keeper = Checkpoint(tmp_path, {"seed": 5})
    block = stored(Block(0, (WEIGHTS, WEIGHTS[:, :1])), keeper.folder_of(3), "block-00000")
    keeper.write(Record(3, [block], [Block(0, (WEIGHTS[:2],))], [1.0, 0.5, 0.25], [], 0))
    return keeper


def read(keeper):
    record = keeper.read()
    return [opened(block) for block in record.blocks], record.layers


def test_sound_files(keeper):
    (block,), (layer,) = read(keeper)
    np.testing.assert_array_equal(block.arrays[0], WEIGHTS)
    np.testing.assert_array_equal(layer.arrays[0], WEIGHTS[:2])


FILES = ("state.json", "round-00003/layers.npz", "round-00003/block-00000.0.npy")


def check_refusal(keeper, path):
    with pytest.raises(ValueError, match="damaged") as caught:
        read(keeper)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.99])
def test_files_that_were_cut(keeper, tmp_path, name, part):
    path = Path(tmp_path, name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    check_refusal(keeper, path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("finished", 0),
        ("number", -1),
        ("number", "3"),
        ("best", None),
        ("signature", []),
        ("losses", [None]),
        ("scores", {}),
        ("blocks", [[0, [4, 3], ["../../secret.npy"]]]),
        ("blocks", [[0, [4, 3], ["round-00003/block-00000.0.npy/../../x"]]]),
        ("blocks", [[0, [4, 3], []]]),
        ("blocks", [[0, [4, -3], ["round-00003/block-00000.0.npy"]]]),
        ("blocks", [[0, 4, ["round-00003/block-00000.0.npy"]]]),
        ("blocks", [5]),
    ],
)
def test_wrong_entries_of_the_state(keeper, tmp_path, name, value):
    path = tmp_path / "state.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, name: value}))
    check_refusal(keeper, path)


@pytest.mark.parametrize("text", ["[]", "3", "[" * 10**5, '{"format": 1}', "\xff"])
def test_states_that_are_none(keeper, tmp_path, text):
    (tmp_path / "state.json").write_text(text, "latin-1")
    check_refusal(keeper, tmp_path / "state.json")


def test_a_state_of_another_version(tmp_path):
    (tmp_path / "state.json").write_text('{"format": 2}')
    with pytest.raises(ValueError, match="has format 2, this version reads 1$"):
        unfinished(tmp_path)


@pytest.mark.parametrize(
    "array", [WEIGHTS.astype("f8"), WEIGHTS[:3], WEIGHTS[:, :2], WEIGHTS[0], np.array([{}])]
)
def test_other_arrays_in_the_place_of_a_block(keeper, tmp_path, array):
    path = Path(tmp_path, FILES[2])
    np.save(path, array)
    check_refusal(keeper, path)


@pytest.mark.parametrize("arrays", [{"x.0": WEIGHTS}, {"0.0": WEIGHTS.astype(int)}])
def test_other_arrays_in_the_place_of_layers(keeper, tmp_path, arrays):
    path = Path(tmp_path, FILES[1])
    np.savez(path, **arrays)
    check_refusal(keeper, path)

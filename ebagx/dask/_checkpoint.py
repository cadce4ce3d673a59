"""A folder that all machines see keeps the model of the last round, so that a fit can be resumed.

=========================  ==================================================================
state.json                 the last complete round, and what belongs to the training
round-00012/               the model before round 12
round-00012/block-*.npy    arrays of the blocks, which workers write
round-00012/layers.npz     arrays of the layers, which the driver writes
=========================  ==================================================================

``state.json`` is written last, and replaced in one step: it names a complete model at all times.
"""

import json
import re
import shutil
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ebagx.dask._round import Block
from ebagx.dask._storage import StoredBlock, first_line
from ebagx.io.replaced_file import replaced_file

_FORMAT = 1
_STATE = "state.json"
_ENTRIES = {
    **{"finished": bool, "signature": dict, "number": int, "best": int},
    **dict.fromkeys(("blocks", "losses", "scores"), list),
}
# The names of blocks that a state may have lead nowhere else.
_BLOCK = re.compile(r"round-[0-9]{5,}/block-[0-9]{5,}\.[0-9]+\.npy", re.ASCII)
# Errors of damaged archives: of their ends, entries, checksums, compression and arrays.
_DAMAGE = (
    *(EOFError, KeyError, NotImplementedError, OSError, RuntimeError, SyntaxError, ValueError),
    *(struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


class Record(NamedTuple):
    """The state of a training after a round."""

    number: int  # rounds made
    blocks: list[StoredBlock]
    layers: list[Block]
    losses: list[float]  # one for each round
    scores: list[float]  # one for each pass
    best: int  # the round before which the best model stood; 0: none

    def __repr__(self) -> str:
        return f"Record(round {self.number})"


class Checkpoint:
    """The folder of a training.

    Parameters
    ----------
    folder : path
        It is made if there is none.
    signature : dict
        Parameters and sizes on which the result depends.
    """

    def __init__(self, folder: Any, signature: dict[str, Any]) -> None:
        self._folder = Path(folder).absolute()
        self._signature = json.loads(json.dumps(signature))

    def folder_of(self, number: int) -> str:
        """Return the folder of the model before a round."""
        return str(self._folder / f"round-{number:05}")

    def read(self) -> Record | None:
        """Return the state of an unfinished training, or None if there is none.

        Raises
        ------
        ValueError
            If it is that of a training with other parameters or data, or if a file is damaged.
        """
        state = unfinished(self._folder)
        if state is None:
            return None
        before = state["signature"]
        changed = [name for name in self._signature if before.get(name) != self._signature[name]]
        if changed:
            name = changed[0]
            raise ValueError(
                f"checkpoint {self._folder} has an unfinished fit with {name} = {before.get(name)},"
                f" not {self._signature[name]}: set it back to go on, or give an empty folder"
            )
        blocks = [self._block_of(entry) for entry in state["blocks"]]
        layers = self._read_layers(state["number"])
        own = (state[name] for name in ("losses", "scores", "best"))
        return Record(state["number"], blocks, layers, *own)

    def write(self, record: Record, is_finished: bool = False) -> None:
        """Make a model, whose blocks are complete, the last one; remove earlier ones."""
        self._write_layers(record.number, record.layers)
        state = {
            "format": _FORMAT,
            "finished": is_finished,
            "signature": self._signature,
            "number": record.number,
            "blocks": [
                [block.first, block.shape, [self._relative(path) for path in block.paths]]
                for block in record.blocks
            ],
            "losses": record.losses,
            "scores": record.scores,
            "best": record.best,
        }
        with replaced_file(self._folder / _STATE) as file:
            file.write(json.dumps(state).encode())
        self._remove_all_but({record.number, record.best or record.number})

    def layers_of(self, number: int) -> list[Block]:
        """Return the layers of the model before a round."""
        return self._read_layers(number)

    def blocks_of(self, number: int, like: Iterable[StoredBlock]) -> list[StoredBlock]:
        """Return the blocks of the model before another round."""
        folder = Path(self.folder_of(number))
        return [
            block._replace(paths=tuple(str(folder / Path(path).name) for path in block.paths))
            for block in like
        ]

    def _block_of(self, entry: Any) -> StoredBlock:
        try:
            first, (num_rows, dim), paths = entry
            sizes = first, num_rows, dim
            is_sound = all(type(size) is int and size >= 0 for size in sizes) and paths
            is_sound = is_sound and all(_BLOCK.fullmatch(path) for path in paths)
        except (TypeError, ValueError):
            is_sound = False
        if not is_sound:
            raise ValueError(f"{self._folder / _STATE}: damaged: {entry!r:.80} is no block")
        return StoredBlock(first, (num_rows, dim), tuple(str(self._folder / p) for p in paths))

    def _relative(self, path: str) -> str:
        return Path(path).relative_to(self._folder).as_posix()

    def _write_layers(self, number: int, layers: Sequence[Block]) -> None:
        path = Path(self.folder_of(number))
        path.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"{layer}.{place}": array
            for layer, block in enumerate(layers)
            for place, array in enumerate(block.arrays)
        }
        with replaced_file(path / "layers.npz") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def _read_layers(self, number: int) -> list[Block]:
        path = Path(self.folder_of(number), "layers.npz")
        found: dict[int, list[Any]] = {}
        try:
            # NumPy leaves a damaged archive open that it has opened itself.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                for name in arrays.files:
                    found.setdefault(int(name.partition(".")[0]), []).append(arrays[name])
            if not all(a.dtype == np.float32 and a.ndim == 2 for of in found.values() for a in of):
                raise ValueError("its arrays are no weights")
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.filename is not None:  # not of a place in it
                raise
            raise ValueError(f"{path}: damaged or incomplete: {first_line(error)}") from error
        return [Block(0, tuple(found[layer])) for layer in sorted(found)]

    def _remove_all_but(self, numbers: set[int]) -> None:
        kept = {self.folder_of(number) for number in numbers}
        for path in self._folder.glob("round-*"):
            if str(path) not in kept:
                shutil.rmtree(path, ignore_errors=True)


def check_folder(folder: Any) -> None:
    """Make a folder if there is none; raise OSError at once if no file can be written there."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise type(error)(f"checkpoint {str(folder)!r} cannot be written: {reason}") from error


def unfinished(folder: Any) -> dict[str, Any] | None:
    """Return the state of the unfinished training in a folder, or None.

    Raises
    ------
    ValueError
        If the file with the state is damaged, or of another version.
    """
    path = Path(folder) / _STATE
    if not path.exists():
        return None
    try:
        state = json.loads(path.read_bytes())
    except (RecursionError, ValueError) as error:
        raise _no_state(path, first_line(error)) from error
    if not isinstance(state, dict) or "format" not in state:
        raise _no_state(path, "this is not the state of a training")
    if state["format"] != _FORMAT:
        raise ValueError(f"{path} has format {state['format']!r:.30}, this version reads {_FORMAT}")
    for name, kind in _ENTRIES.items():
        if type(state.get(name)) is not kind:
            raise _no_state(path, f"{name} is {state.get(name)!r:.30}")
    numbers = [*state["losses"], *state["scores"]]
    if state["number"] < 0 or not all(type(number) in (float, int) for number in numbers):
        raise _no_state(path, "its rounds and losses are wrong")
    return None if state["finished"] else state


def _no_state(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"{path}: damaged or incomplete: {reason}; remove it, or give checkpoint another folder"
    )

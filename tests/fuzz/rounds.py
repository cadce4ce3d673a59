"""Rounds of training without Dask, against a slow definition, and damaged checkpoints."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ebagx._kernels.combine_reference import SHARE_MEAN, SHARE_ROOT, SHARE_SQUARES
from ebagx._training.losses import Sigmoid, Softmax
from ebagx.dask._checkpoint import Checkpoint, Record
from ebagx.dask._combine import Sharing, combine
from ebagx.dask._round import Block, Piece, initial_states
from ebagx.dask._storage import opened, stored
from ebagx.optim import SGD, Adagrad, Adam, AdamW, RowwiseAdagrad
from fuzz.readers import MOST_CHANGES, changed
from fuzz.source import Source
from support import dask_cases as cases

FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None
OPTIMIZERS = (
    *(Adagrad(0.1), Adagrad(0.1, initial_accumulator_value=0.1), RowwiseAdagrad(0.1), SGD(0.5)),
    *(SGD(0.1, momentum=0.9), Adam(0.01), AdamW(0.01, weight_decay=0.1)),
    *(Adagrad(0.1, weight_decay=0.01), SGD(0.1, weight_decay=0.2)),
)
VALUES = np.array([0, -0.0, 1, 1e-20, -1e-30, 1e18, -3e4, 1e-45])


class RoundError(AssertionError):
    """A round broke a promise."""


def run(source: Source) -> str:
    """Combine pieces, train for some rounds, or read a damaged checkpoint."""
    return source.choice((_combine, _combine, _train, _read))(source)


def _combine(source: Source) -> str:
    """Compare the block after a round with its formula, row by row."""
    rng, optimizer = source.rng, source.choice(OPTIMIZERS)
    num_rows, dim = source.choice((5, 1, 3000)), source.choice((3, 1, 70))
    weights = _numbers(source, num_rows, dim)
    states = [np.abs(_numbers(source, *s.shape)) for s in initial_states(optimizer, weights)]
    block = Block(0, (weights, *states))
    pieces = []
    for _ in range(source.choice((2, 0, 1, 5))):
        rows = np.flatnonzero(rng.random(num_rows) < source.choice((0.5, 0, 1)))
        factor = source.choice((1.0, 1.0, 0.5))
        before = weights[rows]
        new = before + _numbers(source, len(rows), dim)
        own = [state[rows] + np.abs(_numbers(source, *state[rows].shape)) for state in states]
        uses = rng.integers(1, source.choice((3, 100)), len(rows)).astype(np.float32)
        pieces.append(Piece(rows, (new, *own), uses, factor))
    sharing = Sharing.of(optimizer)
    if source.one_in(3):
        sharing = sharing.of_last_round()
    given = [block, *pieces]
    before_all = [array.tobytes() for each in given for array in each.arrays]
    found = combine(block, sharing, source.choice((None, 1, 2)), *pieces)
    if before_all != [array.tobytes() for each in given for array in each.arrays]:
        raise RoundError("combine has changed its arguments")
    if num_rows <= 5:
        for number, expected in enumerate(by_definition(block, sharing, pieces)):
            largest = max(
                (float(np.abs(p.arrays[number]).max(initial=0)) for p in pieces), default=0
            )
            largest = max(largest, float(np.abs(block.arrays[number]).max(initial=0)))
            np.testing.assert_allclose(
                found.arrays[number], expected, 1e-5, 1e-6 * largest + 2e-45, err_msg=repr(pieces)
            )
    if not pieces:
        for one, other in zip(found.arrays, block.arrays, strict=True):
            np.testing.assert_array_equal(one, other)
    return "rounds combine"


def _numbers(source: Source, *shape: int) -> np.ndarray:
    numbers = source.rng.standard_normal(shape)
    return (numbers * source.choice((1, 0, 1e-3, *VALUES))).astype(np.float32)


def by_definition(block: Block, sharing: Sharing, pieces: list[Piece]) -> list[np.ndarray]:
    """Return the arrays of a block after a round, by the formula in `_combine`."""
    decayed = np.prod([piece.decayed for piece in pieces]) if pieces else 1.0
    arrays = [array.astype("f8") for array in block.arrays]
    for row in range(block.num_rows):
        here = [(p, int(np.flatnonzero(p.rows == row)[0])) for p in pieces if row in p.rows]
        changes = [
            [p.arrays[number][i] - (p.decayed if number == 0 else 1) * array[row] for p, i in here]
            for number, array in enumerate(arrays)
        ]
        added = [sum(of_array, np.zeros(1)) for of_array in changes]
        scales = [_scale(rule, len(here)) for rule in sharing.rules]
        if len(here) > 1 and sharing.rules[0] in (SHARE_ROOT, SHARE_SQUARES):
            uses = sum(float(p.uses[i]) for p, i in here) / len(here)
            scales[0] = scales[0] * _restraint(changes[0], uses)
        if len(here) > 1 and sharing.rules[0] == SHARE_SQUARES:
            scales[0] = scales[0] * _slowdown(arrays[1][row], added[1], len(here))
        for number, array in enumerate(arrays):
            array[row] = (
                array[row] * (decayed if number == 0 else 1) + added[number] * scales[number]
            )
    return arrays


def _scale(rule: int, count: int) -> Any:
    """Return 1 / m^p of the formula."""
    return {SHARE_MEAN: 1 / max(count, 1), SHARE_ROOT: max(count, 1) ** -0.5}.get(rule, 1.0)


def _restraint(changes: list[np.ndarray], uses: float) -> float:
    """Return the factor of s for changes that are alike."""
    tiny, total = np.finfo(np.float64).tiny, sum(changes)
    lengths = sum(float(change @ change) for change in changes) + tiny
    likeness = np.sqrt(min(1.0, lengths / (float(total @ total) + tiny)))
    return (8 + uses * likeness) / (8 + uses)


def _slowdown(squares: np.ndarray, added: np.ndarray, count: int) -> np.ndarray:
    """Return the factor of s for squares that grow."""
    tiny = np.finfo(np.float64).tiny
    return np.sqrt((squares + added / 2 / count + tiny) / (squares + added / 2 + tiny))


def _train(source: Source) -> str:
    """Train on shards of any sizes: blocks change no bit."""
    rng, optimizer = source.rng, source.choice(OPTIMIZERS)
    num_columns, num_classes = source.choice((40, 90)), source.choice((2, 3))
    lengths = [source.choice((4, 0, 1, 30)) for _ in range(source.between(1, 4))]
    X, y = cases.labelled_bags(max(sum(lengths), 1), num_columns, num_classes, source.below(99))
    lengths[0] += 1 if not sum(lengths) else 0
    weights = rng.random(len(y), np.float32) if source.below(2) else None
    options = {
        "num_rounds": source.between(1, 3),
        "rounds_per_pass": source.choice((1, 3)),
        "optimizer": optimizer,
        "loss": source.choice((Softmax(), Sigmoid())),
        "hidden": source.choice((None, 4)),
        "negatives": source.choice((None, None, 1)),
        "ends": bool(source.below(2)),
    }
    bits = set()
    for num_blocks in (1, source.choice((2, 7, 50))):
        shards = cases.shards_of(X, cases.one_hot(y, num_classes), lengths, weights)
        model, losses = cases.trained(shards, num_columns, num_blocks, **options)
        bits.add(cases.fingerprint([*cases.joined(model), np.array(losses)]))
    if len(bits) > 1:
        raise RoundError(f"{num_blocks} blocks of {num_columns} rows have other bits: {options}")
    return "rounds train"


@cache
def checkpoint() -> dict[str, bytes]:
    """Return the files of a checkpoint."""
    with tempfile.TemporaryDirectory() as root:
        keeper = Checkpoint(root, {"seed": 5})
        weights = np.arange(12, dtype=np.float32).reshape(4, 3)
        block = stored(Block(0, (weights, weights[:, :1])), keeper.folder_of(3), "block-00000")
        keeper.write(Record(3, [block], [Block(0, (weights[:2], weights[:2]))], [1.0], [0.5], 0))
        paths = [path for path in Path(root).rglob("*") if path.is_file()]
        return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def _read(source: Source) -> str:
    """Read a checkpoint one file of which is damaged: one line that names it, or a sound model."""
    files = dict(checkpoint())
    name = source.choice(sorted(files))
    for _ in range(source.below(MOST_CHANGES)):
        files[name] = changed(source, files[name])
    with tempfile.TemporaryDirectory(dir=FOLDER) as root:
        for path, content in files.items():
            Path(root, path).parent.mkdir(exist_ok=True)
            Path(root, path).write_bytes(content)
        try:
            record = Checkpoint(root, {"seed": 5}).read()
            if record is None:
                return "rounds read nothing"
            blocks = [opened(block) for block in record.blocks]
        except (ValueError, OSError) as error:
            if root not in str(error) or len(str(error).splitlines()) != 1:
                raise RoundError(f"the message is {error}") from error
            return "rounds refuse a checkpoint"
        for block in (*blocks, *record.layers):
            if not all(array.dtype == np.float32 and array.ndim == 2 for array in block.arrays):
                raise RoundError(f"{record} has {block}")
    return "rounds read a checkpoint"

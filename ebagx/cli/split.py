"""Divide labelled lines into those to learn from and those that are held out."""

import random
from argparse import Namespace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx.cli.inputs import name_of, read_training_lines
from ebagx.cli.layout import Layout
from ebagx.cli.report import report, warn
from ebagx.datasets import load_wordnet10
from ebagx.text.lines import Lines
from ebagx.text.model import Settings, TextModel

_WORDNET_TRAINING_LINES = 8000

_Bools = npt.NDArray[np.bool_]
_Integers = npt.NDArray[np.integer[Any]]
_Intp = npt.NDArray[np.intp]


class Split(NamedTuple):
    """The lines to learn from, and those that are held out."""

    training: Lines
    held_out: Lines
    example: str


def split_wordnet(settings: Settings) -> Split:
    """Return the lines of WordNet, which always have the same division."""
    report("reading", "WordNet topics (come with ebagx)")
    texts, labels = load_wordnet10()
    lines = Lines.of(texts, [(label,) for label in labels], settings.cutter)
    training, held_out = (
        lines.select(part)
        for part in (slice(_WORDNET_TRAINING_LINES), slice(_WORDNET_TRAINING_LINES, None))
    )
    return Split(training, held_out, '"a small striped cat"')


def split_file(
    args: Namespace, settings: Settings, layout: Layout, former: TextModel | None = None
) -> Split:
    """Read the lines of ``args.file`` and hold some of them out.

    A model that goes on with them, `former`, decides on the words.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it has a bad line, only one label (unless `former` has others) or, with softmax, a line
        with several labels.
    """
    tokenizer = settings.cutter if former is None else former.features.tokenizer
    lines, source = read_training_lines(args.file, tokenizer, layout), name_of(args.file)
    report("reading", source)
    lines = _with_frequent_labels(lines, args.min_count_label, source)
    names, (labels, offsets) = lines.label_names(), lines.labels()
    if len(names) == 1 and former is None:
        raise ValueError(f"{source}: every line has the label {names[0]!r:.40}")
    if settings.loss == "softmax" and len(labels) > lines.num_lines:
        several = int(np.argmax(np.diff(offsets) > 1))
        in_order = lines.store.label_names.names()
        shown = ", ".join(in_order[i] for i in labels[offsets[several] : offsets[several + 1]])
        raise ValueError(
            f"{source}: a line has the labels {shown:.40}; several labels a line need --loss ova"
        )
    _warn_of_rare_labels(labels, len(names), lines.num_lines, source)
    is_held_out = hold_out(labels, offsets, args.held_out, settings.seed)
    return Split(lines.select(~is_held_out), lines.select(is_held_out), '"some words"')


def hold_out(labels: _Integers, offsets: _Integers, fraction: float, seed: int) -> _Bools:
    """Choose lines at random, the same fraction of each label; return which, (B,).

    Parameters
    ----------
    labels : ndarray of int, shape (L,)
        The numbers of the labels of all lines, one after the other.
    offsets : ndarray of int32 or int64, shape (B + 1,)
        Where the labels of each line start, and the last ones end. A line counts to its first.
    fraction : float
        At least 0 and less than 1.
    seed : int
        The seed of the choice, which is the same on every platform.

    Notes
    -----
    Where a fraction of a label's lines is not whole, it is rounded up or down at random, up with
    its decimals as the probability, so that the total differs from the fraction by less than a
    line: one random number is added to all sums of fractions so far, which are then rounded down.
    After that, a label without a line to learn from takes back the first of its lines.
    """
    chooser = random.Random(seed)
    is_held_out = np.zeros(len(offsets) - 1, bool)
    if not fraction:
        return is_held_out
    first_labels = labels[offsets[:-1]]
    _, first, counts = np.unique(first_labels, return_index=True, return_counts=True)
    lines_of_label = np.split(np.argsort(first_labels, kind="stable"), np.cumsum(counts)[:-1])
    offset, n_lines, n_chosen = chooser.random(), 0, 0
    for i in np.argsort(first):  # labels by first occurrence
        lines = lines_of_label[i]
        n_lines += len(lines)
        n_wanted = int(fraction * n_lines + offset) - n_chosen
        n_wanted = min(n_wanted, len(lines))  # the sum is rounded
        chosen = chooser.sample(range(len(lines)), n_wanted)
        is_held_out[lines[np.array(chosen, np.intp)]] = True
        n_chosen += n_wanted
    is_held_out[_only_lines(labels, offsets, is_held_out)] = False
    return is_held_out


def _only_lines(labels: _Integers, offsets: _Integers, is_held_out: _Bools) -> _Intp:
    """Return the first line of each label whose lines are all held out."""
    lines = np.repeat(np.arange(len(is_held_out)), np.diff(offsets))
    names, first, place = np.unique(labels, return_index=True, return_inverse=True)
    n_training = np.bincount(place[~is_held_out[lines]], minlength=len(names))
    only: _Intp = lines[first[n_training == 0]]
    return only


def _with_frequent_labels(lines: Lines, min_count: int, source: str) -> Lines:
    if min_count == 1:
        return lines
    n_labels = lines.store.drop_rare_labels(min_count)
    kept = lines.labelled()
    if not kept.num_lines:
        raise ValueError(f"{source}: no label has at least --min-count-label {min_count} lines")
    if n_labels:
        n_lines = lines.num_lines - kept.num_lines
        report("", f"{n_labels:,} rare labels and {n_lines:,} lines left out")
    return kept


def _warn_of_rare_labels(labels: _Integers, n_labels: int, n_lines: int, source: str) -> None:
    if 2 * n_labels <= n_lines:
        return
    counts = np.bincount(labels)
    n_single = int(np.count_nonzero(counts == 1))
    warn(
        f"{source}: {n_labels:,} labels for {n_lines:,} lines; {n_single:,} of them have one line "
        "each, which is learned but never held out, so that the accuracy leaves them out"
    )

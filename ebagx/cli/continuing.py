"""A training that goes on with a model, or starts from vectors, and saves checkpoints."""

import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ebagx.cli.report import report, warn
from ebagx.cli.saving import problem_of_saving
from ebagx.io.model_folder import load_model
from ebagx.text.model import Recipe, Settings, TextModel
from ebagx.text.pretrained import GivenVectors, as_vectors

_OPTIONS = {*Recipe._fields, "threads"}  # that may change


def model_to_continue(args: Namespace) -> TextModel | None:
    """Return the model of ``--continue``, None without it.

    Raises
    ------
    OSError, ValueError
        If it cannot be loaded, or if there is no file of lines, or a search for options.
    """
    if args.continue_from is None:
        return None
    if args.file is None:
        raise ValueError("--continue needs a file of labelled lines; - is standard input")
    if args.autotune:
        raise ValueError("--autotune searches options, which --continue takes from the model")
    model = load_model(args.continue_from, args.threads)
    model.trainable_weights()  # raises here for a quantised model
    return model


def settings_to_continue(path: Path, given: Mapping[str, Any], model: TextModel) -> Settings:
    """Return the settings of the model at a path, with the given options that may change.

    Raises
    ------
    ValueError
        If other options that are given contradict the model. The message names all of them.
    """
    settings = Settings.of(model)
    wrong = [
        f"--{name.replace('_', '-')} {value} (it has {getattr(settings, name)})"
        for name, value in given.items()
        if name not in _OPTIONS and value != getattr(settings, name)
    ]
    if wrong:
        raise ValueError(
            f"{path} was trained otherwise than {', '.join(wrong)}; leave "
            f"{'this' if len(wrong) == 1 else 'these'} out, or train a new model"
        )
    return settings._replace(**{name: given[name] for name in _OPTIONS & given.keys()})


def report_growth(before: TextModel, after: TextModel) -> None:
    """Print how many labels and words are new."""
    labels = len(after.labels) - len(before.labels)
    words = after.features.words.count - before.features.words.count
    report("new", f"labels: {labels:,}; words: {words:,}")


def given_vectors(args: Namespace) -> GivenVectors | None:
    """Return the vectors of ``--pretrained``; their length is that of embeddings without --dim."""
    if args.pretrained is None:
        return None
    vectors = as_vectors(args.pretrained)
    if not hasattr(args, "dim") and args.continue_from is None:
        args.dim = vectors.table.shape[1]
    report("vectors", f"{len(vectors.words):,} of {vectors.table.shape[1]} numbers")
    return GivenVectors(vectors, args.freeze_pretrained)


class Interval(NamedTuple):
    """The time between two checkpoints: a number of epochs, or of minutes."""

    number: int
    is_minutes: bool = False


class Checkpoints:
    """Saves the model every now and then; where that fails, the training goes on.

    Parameters
    ----------
    directory : Path
        The folder of the model, which has a complete one at every moment.
    every : Interval
        What lies between two saves.
    prefix : str
        The prefix of labels, which the model keeps.
    """

    def __init__(self, directory: Path, every: Interval, prefix: str) -> None:
        self._directory, self._every, self._prefix = directory, every, prefix
        self._problem = ""
        self._tried = time.monotonic()

    def is_due(self, epochs: int, is_complete: bool) -> bool:
        """Return whether to save now, also within an epoch if minutes count."""
        if self._every.is_minutes:
            return time.monotonic() - self._tried >= 60 * self._every.number
        return is_complete and epochs % self._every.number == 0

    def save(self, model: TextModel, epochs: int, is_complete: bool) -> bool:
        """Save the model; return whether it has been saved."""
        model = replace(model, label_prefix=self._prefix)
        problem = problem_of_saving(model, self._directory)
        if problem and problem != self._problem:
            model_of = f"epoch {epochs}" if is_complete else f"the middle of epoch {epochs + 1}"
            warn(f"{model_of} is not saved: {problem}; the training goes on")
        self._problem, self._tried = problem, time.monotonic()
        return not problem

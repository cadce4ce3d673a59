"""Save a trained model, at another place if it cannot be saved where it was asked for."""

import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ebagx.io.model_folder import save_model
from ebagx.text.model import TextModel


class Saved(NamedTuple):
    """The place of a model, and what was wrong with the one that was asked for, if anything."""

    place: Path
    problem: str


def save_somewhere(model: TextModel, directory: Path) -> Saved:
    """Save a model as `directory`, else in a new folder beside it, else in one for temporary files.

    On a terminal, the user is then asked for a place until there is one or the answer is empty.

    Raises
    ------
    OSError
        If the model cannot be saved.
    """
    problem = problem_of_saving(model, directory)
    if not problem:
        return Saved(directory, "")
    for parent in (directory.parent, None):
        with suppress(OSError):
            beside = parent and parent.resolve()
            place = Path(tempfile.mkdtemp(dir=beside, prefix=f"{directory.name[:50]}-"))
            if not problem_of_saving(model, place):
                return Saved(place, problem)
            place.rmdir()
    text = f"{problem}; nor can the model be saved beside it or with temporary files"
    if sys.stdin is not None and sys.stdin.isatty():
        return Saved(_save_where_the_user_says(model, text), problem)
    raise OSError(text)


def problem_of_saving(model: TextModel, directory: Path) -> str:
    """Save a model; return "" or, in one line, the reason why this cannot be done."""
    try:
        save_model(model, directory)
    except OSError as error:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except ValueError as error:
        return str(error)
    return ""


def _save_where_the_user_says(model: TextModel, problem: str) -> Path:
    first = problem
    while True:
        print(f"ebagx: {problem}; the model is still in memory", file=sys.stderr)
        try:
            answer = input("save it as (empty: give up): ").strip()
        except EOFError:
            answer = ""
        if not answer:
            raise OSError(first)
        problem = problem_of_saving(model, Path(answer))
        if not problem:
            return Path(answer)

"""Show on standard error how far reading or training is.

On a terminal there is a bar of tqdm or, without tqdm, a line that rewrites itself; elsewhere there
is a line every ten seconds.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TextIO

_SECONDS = {True: 0.2, False: 10.0}  # between two lines on a terminal, and elsewhere

Show = Callable[[int, str], object]


@contextmanager
def progress(heading: str, total: int | None, unit: str) -> Iterator[Show]:
    """Yield a function that shows how much is done of `total`, and a note.

    Parameters
    ----------
    heading : str
        First word of a line.
    total : int, optional
        What there is to do, if it is known.
    unit : str
        What is counted.
    """
    stream = sys.stderr
    if stream is None:
        yield lambda *_: None
    elif stream.isatty() and find_spec("tqdm") is not None:
        with _bar(heading, total, unit) as show:
            yield show
    else:
        lines = _Lines(stream, heading, total, unit)
        try:
            yield lines.show
        finally:
            lines.clear()


@contextmanager
def _bar(heading: str, total: int | None, unit: str) -> Iterator[Show]:
    from tqdm import tqdm

    with tqdm(total=total, desc=heading, unit=unit, unit_scale=True, leave=False) as bar:

        def show(done: int, note: str) -> None:
            bar.set_postfix_str(note, refresh=False)
            bar.update(done - bar.n)

        yield show


class _Lines:
    """Lines of text: on a terminal each replaces the one before."""

    def __init__(self, stream: TextIO, heading: str, total: int | None, unit: str) -> None:
        self._stream, self._heading, self._total, self._unit = stream, heading, total, unit
        self._rewrites = stream.isatty()
        self._width = shutil.get_terminal_size().columns - 1 if self._rewrites else 0
        self._start = time.monotonic()
        self._next = 0.0 if self._rewrites else self._start + _SECONDS[False]

    def show(self, done: int, note: str) -> None:
        """Write a line, unless the one before is too new."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _SECONDS[self._rewrites]
        part = min(done / self._total, 1) if self._total else 0.0
        shown = f" ({part:.0%})" if self._total else ""
        left = _as_time((now - self._start) * (1 / part - 1)) + " left" if 0 < part < 1 else ""
        notes = "".join(f", {text}" for text in (left, note) if text)
        self._write(f"{self._heading:<10}{done:,} {self._unit}{shown}{notes}")

    def clear(self) -> None:
        """Remove the line from a terminal."""
        if self._rewrites:
            self._write("")
            print(end="\r", file=self._stream, flush=True)

    def _write(self, text: str) -> None:
        if self._rewrites:
            text = f"\r{text[: self._width]:<{self._width}}"
        print(text, end="" if self._rewrites else "\n", file=self._stream, flush=True)


def _as_time(seconds: float) -> str:
    """Return a time as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

"""The content of a file of vectors in blocks, plain or compressed, with limits."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ebagx.io.versioned_folder import naming
from ebagx.text.sources import Source

BLOCK_SIZE = 1 << 22
LONGEST_RECORD = 1 << 24  # bytes: a word and its row
HEAD_SIZE = 1 << 16
# Text of numbers becomes three times as small, with equal rows perhaps twenty times. Archives that
# expand a thousand times fill a disk or a memory on purpose.
_MOST_EXPANSION = 100
_ALWAYS_ALLOWED = 1 << 26

Progress = Callable[[int, int], object]


class Stream:
    """The content of a file from the start, with a look at its first bytes.

    Attributes
    ----------
    path : Path
        The file, for messages.
    head : bytes
        The first bytes: `HEAD_SIZE`, or more until two lines of text are whole, or all.
    form : str
        The compression, such as "gzip"; "" for plain content.
    """

    def __init__(
        self, path: Path, source: Source, done: Callable[[], int], size: int, progress: Progress
    ) -> None:
        self.path, self.form = path, source.form
        self._source, self._done, self._size, self._progress = source, done, size, progress
        self._count = 0
        self._most = max(_MOST_EXPANSION * size, _ALWAYS_ALLOWED) if source.form else size
        self.head = b""
        while self._is_short(self.head) and (piece := self._read(max(HEAD_SIZE, len(self.head)))):
            self.head += piece
        self._pending = self.head

    def blocks(self) -> Iterator[bytes]:
        """Yield all bytes, in pieces of about `BLOCK_SIZE`.

        Raises
        ------
        ValueError
            If compressed data is damaged or expands too much.
        """
        pieces, count = [self._pending], len(self._pending)
        while piece := self._read(BLOCK_SIZE):
            pieces.append(piece)
            count += len(piece)
            if count >= BLOCK_SIZE:
                yield b"".join(pieces)
                pieces, count = [], 0
                self._progress(self._done(), self._size)
        if count:
            yield b"".join(pieces)
        self._progress(self._size, self._size)

    def lines(self) -> Iterator[bytes]:
        """Yield whole lines, in pieces of about `BLOCK_SIZE`.

        Raises
        ------
        ValueError
            If a line is too long, or if the last one has no end.
        """
        pending = b""
        for block in self.blocks():
            end = block.rfind(b"\n") + 1
            if end:
                yield pending + block[:end]
                pending = b""
            pending += block[end:]
            if len(pending) > LONGEST_RECORD:
                raise ValueError(f"{self.path}: a line has more than {LONGEST_RECORD:,} bytes")
        if pending:
            raise ValueError(
                f"{self.path}: damaged or incomplete: the last line has no end; if the file is "
                "complete, add a newline"
            )

    def error(self, problem: str) -> ValueError:
        """Return an error about the file."""
        return ValueError(f"{self.path}: {problem}")

    @staticmethod
    def _is_short(head: bytes) -> bool:
        """Return whether a head does not tell enough: of text, two lines should be whole."""
        if len(head) < HEAD_SIZE:
            return True
        return len(head) < LONGEST_RECORD and b"\0" not in head and head.count(b"\n") < 2

    def _read(self, size: int) -> bytes:
        with naming(self.path):
            piece = self._source.read1(size)
        self._count += len(piece)
        if self._source.form and self._count > self._most:
            raise ValueError(
                f"{self.path}: the compressed file expands to more than {_MOST_EXPANSION} times "
                "its size; if it is to be trusted, decompress it first"
            )
        return piece


@contextmanager
def open_stream(path: Path, progress: Progress | None = None) -> Iterator[Stream]:
    """Yield the content of a regular file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no regular file, or damaged in its compression.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe could take for ever
        raise ValueError(f"{path}: this is not a regular file")
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        size = os.fstat(file.fileno()).st_size
        source = Source(file, str(path), stack)
        yield Stream(path, source, file.tell, size, progress or _show_nothing)


def _show_nothing(done: int, total: int) -> None:
    """Do nothing."""

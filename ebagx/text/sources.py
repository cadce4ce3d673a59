"""Read files in blocks of whole lines, plain or compressed: their first bytes tell which.

gzip, bzip2, xz, and zip archives with one file in them are known, all by the standard library.
"""

import gzip
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from typing import IO, Protocol, cast
from zipfile import ZipFile

_BLOCK_SIZE = 1 << 20
# bzip2 has only three letters of its own, with which a text may begin: more bytes are compared.
_FORMATS = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "bzip2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
    "zip": re.compile(rb"PK(\x03\x04|\x05\x06)"),
}
_LONGEST_MAGIC = 10
_NOTES = "__MACOSX/"  # macOS adds its notes on the files of an archive in this folder


class _Reader(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class _UnfitArchiveError(ValueError):
    """An archive is sound, but has not one file."""


class Source:
    """The content of a stream, plain or compressed.

    Parameters
    ----------
    stream : BufferedReader
        A file, or a pipe.
    name : str
        Its name in error messages.
    stack : ExitStack
        It closes what is opened here.

    Raises
    ------
    ValueError
        If compressed data is damaged, or if a zip archive has not one file: then, or by `read1`.
    """

    def __init__(self, stream: BufferedReader, name: str, stack: ExitStack) -> None:
        self.form = _format_of(stream)
        self._name = name
        with self._naming_damage():
            self._reader = _opened(stream, self.form, stack)

    def read1(self, size: int) -> bytes:
        """Return some bytes that have arrived, at most `size`; none at the end."""
        with self._naming_damage():
            return self._reader.read1(size)

    @contextmanager
    def _naming_damage(self) -> Iterator[None]:
        try:
            yield
        except _UnfitArchiveError as error:
            raise ValueError(f"{self._name}: {error}") from None
        except Exception as error:
            # Each format has errors of its own. Those of the system have a number.
            is_other = isinstance(error, MemoryError | ModuleNotFoundError)
            if not self.form or is_other or getattr(error, "errno", None) is not None:
                raise
            raise ValueError(f"{self._name}: damaged {self.form} data: {error}") from error


def read_blocks(stream: BufferedReader, name: str) -> Iterator[bytes]:
    """Yield the lines that have arrived, each with its newline, which the last one gets.

    Raises
    ------
    ValueError
        If compressed data is damaged, or if a zip archive has not one file. Messages call the
        stream `name`.
    """
    pieces: list[bytes] = []  # of a line without its end
    with ExitStack() as stack:
        source = Source(stream, name, stack)
        while block := source.read1(_BLOCK_SIZE):
            end = block.rfind(b"\n") + 1
            if end:
                yield b"".join([*pieces, block[:end]])
                pieces = []
            if end < len(block):
                pieces.append(block[end:])
    if pieces:
        yield b"".join([*pieces, b"\n"])


def _format_of(stream: BufferedReader) -> str:
    start = stream.peek(_LONGEST_MAGIC)[:_LONGEST_MAGIC]
    return next((name for name, magic in _FORMATS.items() if magic.match(start)), "")


def _opened(stream: BufferedReader, form: str, stack: ExitStack) -> _Reader:
    """Return what reads the content; its modules, which Python may lack, are imported if needed."""
    if form == "gzip":
        return gzip.GzipFile(fileobj=stream)
    if form == "bzip2":
        import bz2

        return bz2.BZ2File(stream)
    if form == "xz":
        import lzma

        return lzma.LZMAFile(stream)
    return _only_member(stream, stack) if form else stream


def _only_member(stream: BufferedReader, stack: ExitStack) -> _Reader:
    """Return the reader of the one file of a zip archive, whose directory is at its end."""
    archive: IO[bytes] = stream
    if not stream.seekable():
        archive = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it is one
        shutil.copyfileobj(stream, archive)
    zipped = ZipFile(archive)
    names = [name for name in zipped.namelist() if not name.endswith("/")]
    names = [name for name in names if not name.startswith(_NOTES)]
    if len(names) != 1:
        raise _UnfitArchiveError(f"the zip archive has {len(names)} files; it must have one")
    return cast(_Reader, zipped.open(names[0]))

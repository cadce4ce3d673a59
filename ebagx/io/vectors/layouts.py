"""Tell the format of a file of vectors by its first bytes: suffixes say little."""

import re
from enum import Enum
from typing import NamedTuple

from ebagx.io.vectors.stream import Stream
from ebagx.io.vectors.text import MAX_DIM, Header, fields_of

_HEADER = re.compile(rb"(\d{1,18}) (\d{1,9}) ?\r?\Z")
_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\Z")
_FLORET = re.compile(rb"\d{1,18}( \d{1,18}){5} \S+ \S+ ?\r?\Z")
_FASTTEXT = b"\xba\x16\x4f\x2f"
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_SAFETENSORS = re.compile(rb".{8}[ \t\n\r]*\{", re.DOTALL)
_LFS = b"version https://git-lfs.github.com/spec/"
_PAGE = re.compile(rb"\s*<(!doctype|html)", re.IGNORECASE)


class Layout(Enum):
    """The formats of files, apart from folders."""

    FASTTEXT = "fastText .bin"
    SAFETENSORS = "safetensors"
    FLORET = "floret"
    TEXT = "text with a header"
    BINARY = "word2vec binary"
    GLOVE = "text without a header"


class Found(NamedTuple):
    """A format, and the header of word2vec's formats."""

    layout: Layout
    header: Header | None = None


def layout_of(stream: Stream) -> Found:
    """Return the format of a file.

    Raises
    ------
    ValueError
        If the file is empty, of another kind, or has an absurd header.
    """
    head = stream.head
    if head.startswith(_FASTTEXT):
        return Found(Layout.FASTTEXT)
    _refuse_others(stream)
    if _SAFETENSORS.match(head) and int.from_bytes(head[:8], "little") < 1 << 32:
        return Found(Layout.SAFETENSORS)
    first, end, rest = head.partition(b"\n")
    if end and _FLORET.match(first):
        return Found(Layout.FLORET)
    found = _HEADER.match(first) if end else None
    if found is None:
        return Found(Layout.GLOVE)
    count, dim = int(found[1]), int(found[2])
    second = fields_of(rest.partition(b"\n")[0])
    if len(second) >= dim + 1 and all(map(_NUMBER.match, second[len(second) - dim :])):
        return Found(Layout.TEXT, _checked(stream, count, dim))
    return Found(Layout.BINARY, _checked(stream, count, dim))


def _checked(stream: Stream, count: int, dim: int) -> Header:
    if not (1 <= dim <= MAX_DIM and 1 <= count < 1 << 31):
        raise stream.error(f"the header says {count:,} words of dimension {dim:,}")
    return Header(count, dim)


def _refuse_others(stream: Stream) -> None:
    head = stream.head
    if not head:
        raise stream.error("the file is empty")
    if _PICKLE.match(head):
        raise stream.error(
            "this is a pickle, which could run any code; in gensim, save with "
            "vectors.save_word2vec_format('vectors.bin', binary=True) and load that"
        )
    if head.startswith(_LFS):
        raise stream.error("this is a pointer of Git LFS, not the file: git lfs pull fetches it")
    if _PAGE.match(head):
        raise stream.error("this is a page of the web, not the file: the download failed")

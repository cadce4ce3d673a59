"""Read floret's text format: a header with the hashing, then numbered rows."""

import numpy as np

from ebagx._core.table import Table
from ebagx.io.vectors.stream import Stream
from ebagx.io.vectors.text import MAX_DIM, Options, add_rows, check_count, parsed_rows
from ebagx.text.vectors.floret import FloretHashing, FloretLookup
from ebagx.text.words import spans_of_lines


def read_floret(stream: Stream, options: Options) -> tuple[FloretLookup, Table]:
    """Read all rows.

    Raises
    ------
    ValueError
        If the header is absurd, or rows are missing or not in order.
    """
    if options.limit is not None:
        raise stream.error("limit must be None for floret: its rows are buckets, not words")
    header = stream.head.partition(b"\n")[0].decode(errors="replace").split(" ")
    dim = int(header.pop(1))
    if not 1 <= dim <= MAX_DIM:
        raise stream.error(f"the header says dimension {dim:,}")
    try:
        hashing = FloretHashing.of(header)
    except (TypeError, ValueError) as error:
        raise stream.error(f"the header is damaged: {error}") from None
    rows = options.rows(dim)
    for part, text in enumerate(stream.lines()):
        spans = spans_of_lines(text)[1 if part == 0 else 0 :]
        words = np.empty_like(spans)
        values = parsed_rows(stream, dim, words, spans, text, rows.count + 1)
        for number, (start, end) in enumerate(words.tolist(), rows.count):
            if text[start:end] != str(number).encode():
                raise stream.error(f"line {number + 2:,}: the row is not numbered {number:,}")
        add_rows(stream, rows, values)
    check_count(stream, hashing.n_buckets, rows.count)
    return FloretLookup(hashing), rows.table()

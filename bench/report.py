"""Lay out the figures of a run in aligned tables."""

from collections.abc import Iterable, Mapping, Sequence

from figures import SUBJECT, Row, Summary
from limits import Limit


def significant(value: float | None, digits: int = 3) -> str:
    """Format a number to so many digits, never in exponential notation.

    Examples
    --------
    >>> significant(0.013523), significant(2.5), significant(99.96), significant(None)
    ('0.0135', '2.50', '100', '')
    """
    if value is None:
        return ""
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])  # after rounding: 99.96 is 100
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def align(lines: Sequence[Sequence[str]]) -> str:
    """Lay cells out in columns: text to the left in the first two, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        " ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def times_table(
    rows: Iterable[Row], libraries: Sequence[str], bandwidths: Mapping[int, float]
) -> str:
    """Lay out every time in ms and its ratio to that of ebagx.

    Parameters
    ----------
    rows : iterable of Row
    libraries : sequence of str
        Columns; of the first one also the bytes gathered per second.
    bandwidths : mapping of int to float
        Bytes per second that so many threads read sequentially.
    """
    peers = libraries[1:] if libraries[0] == SUBJECT else ()
    header = ["operation", "workload", "thr"]
    for library in libraries:
        header += [library, "ratio"] if library in peers else [library]
        header += ["target"] if library in peers and library == "torch" else []
    lines = [[*header, "GB/s", "read"]]
    for row in rows:
        line = [row.operation.name, row.workload, str(row.threads)]
        for library in libraries:
            seconds = row.seconds(library)
            line.append(significant(seconds and seconds * 1e3))
            line += [significant(row.ratio(library))] if library in peers else []
            if library in peers and library == "torch":
                target = row.operation.target
                line.append(f"{target.worst:g}" if target and row.ratio(library) else "")
        lines.append(line + gather_cells(row, libraries[0], bandwidths[row.threads]))
    return align(lines)


def gather_cells(row: Row, library: str, read_bandwidth: float) -> list[str]:
    """Return the cells for bytes gathered per second and their share of a sequential read."""
    seconds = row.seconds(library)
    if seconds is None:
        return ["", ""]
    bandwidth = row.gathered / seconds
    return [significant(bandwidth / 1e9), f"{bandwidth / read_bandwidth:.0%}"]


def summary_table(summaries: Sequence[Summary]) -> str:
    """Lay out geometric means and worst workloads beside their targets."""
    lines = [["operation", "peer", "thr", "mean", "target", "worst", "target", ""]]
    for summary in summaries:
        target = summary.target
        lines.append(
            [
                summary.operation,
                summary.peer,
                str(summary.threads),
                significant(summary.mean),
                f"{target.mean:g}" if target else "",
                significant(summary.worst),
                f"{target.worst:g}" if target else "",
                summary.verdict,
            ]
        )
    return align(lines)


def limits_table(limits: Sequence[Limit]) -> str:
    """Lay out the figures of ebagx beside the limits of the machine."""
    lines = [["limit", "of", "thr", "value", "target", "", "from"]]
    for limit in limits:
        bound = f"{'<=' if limit.at_most else '>='} {limit.target:g}"
        value = significant(limit.value)
        line = [limit.name, limit.subject, str(limit.threads), value, bound]
        lines.append([*line, limit.verdict, limit.source])
    return align(lines)

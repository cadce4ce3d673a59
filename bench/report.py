"""The figures of a run, as rows, as an aligned table and as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any

from operations import OPERATIONS, SCIPY_TARGET, Operation, Target

SUBJECT = "ebagx"


@dataclass
class Row:
    """Times of one operation on one workload with one number of threads.

    ``gathered`` counts the bytes of the rows looked up; ``rounds`` has, for each library, the
    shortest time of each of its turns in seconds.
    """

    operation: Operation
    workload: str
    threads: int
    gathered: int
    rounds: dict[str, list[float]]

    def seconds(self, library: str) -> float | None:
        """Return the shortest time of a library, if it has the operation."""
        return min(self.rounds[library]) if self.rounds.get(library) else None

    def ratio(self, peer: str) -> float | None:
        """Return how many times longer than ebagx a peer takes."""
        ours, theirs = self.seconds(SUBJECT), self.seconds(peer)
        return theirs / ours if ours and theirs else None

    def as_dict(self) -> dict[str, Any]:
        """Return the row in JSON's types."""
        return {
            "operation": self.operation.name,
            "workload": self.workload,
            "threads": self.threads,
            "gathered_bytes": self.gathered,
            "target": vars(self.operation.target),
            "seconds": {library: self.seconds(library) for library in self.rounds},
            "rounds": self.rounds,
        }


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
                line.append(f"{row.operation.target.worst:g}")
        lines.append(line + gather_cells(row, libraries[0], bandwidths[row.threads]))
    return align(lines)


def gather_cells(row: Row, library: str, read_bandwidth: float) -> list[str]:
    """Return the cells for bytes gathered per second and their share of a sequential read."""
    seconds = row.seconds(library)
    if seconds is None:
        return ["", ""]
    bandwidth = row.gathered / seconds
    return [significant(bandwidth / 1e9), f"{bandwidth / read_bandwidth:.0%}"]


def summary_table(rows: Sequence[Row]) -> str:
    """Lay out geometric means and worst workloads beside what is wanted of them."""
    lines = [["operation", "peer", "thr", "mean", "target", "worst", "target", ""]]
    keys = dict.fromkeys((row.operation.name, row.threads) for row in rows)
    for peer in ("torch", "scipy", "numpy"):
        for name, threads in keys:
            chosen = [row for row in rows if (row.operation.name, row.threads) == (name, threads)]
            ratios = [ratio for row in chosen if (ratio := row.ratio(peer))]
            if ratios:
                lines.append(summary_line(name, peer, threads, ratios))
    return align(lines) if len(lines) > 1 else ""


def summary_line(name: str, peer: str, threads: int, ratios: list[float]) -> list[str]:
    """Compare the ratios of one operation with its target."""
    target = target_against(peer, name, threads)
    mean, worst = geometric_mean(ratios), min(ratios)
    line = [name, peer, str(threads), significant(mean), "", significant(worst), "", ""]
    if target:
        line[4], line[6] = f"{target.mean:g}", f"{target.worst:g}"
        line[7] = "met" if mean >= target.mean and worst >= target.worst else "MISSED"
    return line


def target_against(peer: str, operation_name: str, threads: int) -> Target | None:
    """Return what is wanted of an operation against a peer."""
    if peer == "torch":
        return OPERATIONS[operation_name].target
    is_forward_product = operation_name in ("sum", "weighted_sum", "mean")
    return SCIPY_TARGET if peer == "scipy" and threads == 1 and is_forward_product else None

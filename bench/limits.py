"""Compare ebagx with the limits of the machine, independent of other libraries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from figures import SUBJECT, Row
from workloads import FLAT

READ_SHARE = 0.7
FLATNESS = 1.5
SPEEDUP = 1.8


@dataclass(frozen=True)
class Limit:
    """One figure that the machine bounds, and its target.

    ``subject`` names its operation and workload, ``source`` its inputs; with ``at_most``, a small
    value is good.
    """

    name: str
    subject: str
    threads: int
    value: float
    target: float
    source: str
    at_most: bool = False

    @property
    def verdict(self) -> str:
        """The word "met" or "MISSED"."""
        met = self.value <= self.target if self.at_most else self.value >= self.target
        return "met" if met else "MISSED"

    def as_dict(self) -> dict[str, Any]:
        """Return the limit in JSON's types."""
        return asdict(self) | {"verdict": self.verdict}


def find_limits(rows: Sequence[Row], bandwidths: Mapping[int, float]) -> list[Limit]:
    """Compare the measured rows with the limits of the machine.

    Parameters
    ----------
    rows : sequence of Row
    bandwidths : mapping of int to float
        Bytes per second that so many threads read sequentially.
    """
    ours = [row for row in rows if row.seconds(SUBJECT)]
    return [*read_shares(ours, bandwidths), *flatnesses(ours), *speedups(ours)]


def read_shares(rows: Sequence[Row], bandwidths: Mapping[int, float]) -> Iterator[Limit]:
    """Compare gathering rows that no cache holds with reading as many bytes in sequence."""
    for row in rows:
        if (row.operation.name, row.workload) == ("sum", "uni128"):
            gathered, read = row.gathered / row.seconds(SUBJECT), bandwidths[row.threads]
            yield Limit(
                name="gathered / read",
                subject="sum uni128",
                threads=row.threads,
                value=gathered / read,
                target=READ_SHARE,
                source=f"{gathered / 1e9:.1f} / {read / 1e9:.1f} GB/s",
            )


def flatnesses(rows: Sequence[Row]) -> Iterator[Limit]:
    """Compare the costs of one lookup in tables of different size."""
    costs: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if row.workload in FLAT:
            cost = row.seconds(SUBJECT) / row.lookups * 1e9
            costs.setdefault((row.operation.name, row.threads), []).append(cost)
    for (operation, threads), of_tables in costs.items():
        if len(of_tables) == len(FLAT):
            yield Limit(
                name="dearest / cheapest lookup",
                subject=f"{operation} {', '.join(FLAT)}",
                threads=threads,
                value=max(of_tables) / min(of_tables),
                target=FLATNESS,
                source=f"{', '.join(f'{cost:.2f}' for cost in of_tables)} ns",
                at_most=True,
            )


def speedups(rows: Sequence[Row]) -> Iterator[Limit]:
    """Compare the times of the sum with one thread and with two."""
    times = {(row.operation.name, row.workload, row.threads): row.seconds(SUBJECT) for row in rows}
    for (operation, workload, threads), seconds in times.items():
        doubled = times.get((operation, workload, 2))
        if operation in ("sum", "sum_giant") and threads == 1 and doubled:
            yield Limit(
                name="1 thread / 2 threads",
                subject=f"{operation} {workload}",
                threads=2,
                value=seconds / doubled,
                target=SPEEDUP,
                source=f"{seconds * 1e3:.3g} / {doubled * 1e3:.3g} ms",
            )

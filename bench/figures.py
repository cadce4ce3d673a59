"""Collect the times of a run, and their ratios over the workloads beside the targets."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import geometric_mean
from typing import Any

from operations import OPERATIONS, SCIPY_TARGET, Operation, Target
from workloads import WORKLOADS

SUBJECT = "ebagx"
PEERS = ("torch", "scipy", "numpy")


@dataclass
class Row:
    """Times of one operation on one workload with one number of threads.

    ``rounds`` has, for each library, the shortest time of each of its turns in seconds.
    """

    operation: Operation
    workload: str
    threads: int
    rounds: dict[str, list[float]]

    @property
    def lookups(self) -> int:
        """Lookups of one call."""
        return self.operation.count_lookups(WORKLOADS[self.workload])

    @property
    def gathered(self) -> int:
        """Bytes of the rows that one call looks up."""
        return self.lookups * WORKLOADS[self.workload].embedding_dim * self.operation.itemsize

    def seconds(self, library: str) -> float | None:
        """Return the shortest time of a library, if it has the operation."""
        return min(self.rounds[library]) if self.rounds.get(library) else None

    def ratio(self, peer: str) -> float | None:
        """Return how many times longer than ebagx a peer takes."""
        ours, theirs = self.seconds(SUBJECT), self.seconds(peer)
        return theirs / ours if ours and theirs else None

    def as_dict(self) -> dict[str, Any]:
        """Return the row in JSON's types."""
        target = self.operation.target
        return {
            "operation": self.operation.name,
            "workload": self.workload,
            "threads": self.threads,
            "lookups": self.lookups,
            "gathered_bytes": self.gathered,
            "target": target and asdict(target),
            "seconds": {library: self.seconds(library) for library in self.rounds},
            "rounds": self.rounds,
        }


@dataclass
class Summary:
    """Ratios of one peer's times to those of ebagx, for one operation and number of threads."""

    operation: str
    peer: str
    threads: int
    ratios: dict[str, float]

    @property
    def mean(self) -> float:
        """Geometric mean over the workloads."""
        return geometric_mean(self.ratios.values())

    @property
    def worst(self) -> float:
        """Smallest ratio of all workloads."""
        return min(self.ratios.values())

    @property
    def target(self) -> Target | None:
        """The target of the operation against this peer."""
        if self.peer == "torch":
            return OPERATIONS[self.operation].target
        is_product = self.operation in ("sum", "weighted_sum", "mean")
        return SCIPY_TARGET if self.peer == "scipy" and self.threads == 1 and is_product else None

    @property
    def verdict(self) -> str:
        """The word "met" or "MISSED"; empty without a target."""
        return self.target.verdict(self.mean, self.worst) if self.target else ""

    def as_dict(self) -> dict[str, Any]:
        """Return the summary in JSON's types."""
        target = self.target and asdict(self.target)
        derived = {"mean": self.mean, "worst": self.worst, "verdict": self.verdict}
        return asdict(self) | derived | {"target": target}


def summarize(rows: Sequence[Row]) -> list[Summary]:
    """Collect the ratios over the workloads for each peer, operation and number of threads."""
    ratios: dict[tuple[str, str, int], dict[str, float]] = {}
    for peer in PEERS:
        for row in rows:
            if ratio := row.ratio(peer):
                key = (row.operation.name, peer, row.threads)
                ratios.setdefault(key, {})[row.workload] = ratio
    return [Summary(*key, of_workloads) for key, of_workloads in ratios.items()]

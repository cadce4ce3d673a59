"""Time ebagx against PyTorch, scipy and NumPy. README.md says how to read the figures."""

import argparse
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import machine
from figures import SUBJECT, Row, summarize
from libraries import LIBRARIES
from limits import find_limits
from operations import OPERATIONS, Operation
from report import limits_table, summary_table, times_table
from worker import Worker
from workloads import COMPARED, WORKLOADS

ROUNDS, BUDGET = 5, 0.1
QUICK_ROUNDS, QUICK_BUDGET = 2, 0.01
QUICK_WORKLOADS = ("small64", "zipf100")
IDLE_LOAD = 0.5


def positive(text: str) -> int:
    """Read a count from the command line."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, names in (
        ("--operations", tuple(OPERATIONS)),
        ("--workloads", tuple(WORKLOADS)),
        ("--libraries", LIBRARIES),
    ):
        some = "some of " + ", ".join(names)
        parser.add_argument(flag, nargs="+", choices=names, default=names, metavar="X", help=some)
    parser.add_argument("--threads", nargs="+", type=positive, default=(1, 2), metavar="N")
    parser.add_argument("--rounds", type=positive, default=ROUNDS, help="turns of each library")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds of one turn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    quick = f"{', '.join(QUICK_WORKLOADS)} in short turns: less than a minute, but noisy"
    parser.add_argument("--quick", action="store_true", help=quick)
    if "--quick" in (sys.argv[1:] if arguments is None else arguments):
        parser.set_defaults(workloads=QUICK_WORKLOADS, rounds=QUICK_ROUNDS, budget=QUICK_BUDGET)
    return parser.parse_args(arguments)


def find_versions(libraries: Sequence[str]) -> dict[str, str]:
    """Return the versions of the installed libraries; print which are missing."""
    versions = {}
    for library in libraries:
        if importlib.util.find_spec(library):
            versions[library] = importlib.metadata.version(library)
        else:
            print(f"{library} is not installed: its column is left out")
    if not versions:
        raise SystemExit("nothing to time")
    return versions


def time_in_turns(
    workers: Sequence[Worker], operation: Operation, rounds: int, budget: float
) -> dict[str, list[float]]:
    """Time the libraries in turn, so that a slow moment of the machine affects all of them."""
    able = [worker for worker in workers if worker.set_up(operation.name)]
    times: dict[str, list[float]] = {worker.library: [] for worker in able}
    for _ in range(rounds):
        for worker in able:
            times[worker.library].append(worker.time(budget))
    return times


def measure_workload(
    workload: str, num_threads: int, libraries: Sequence[str], options: argparse.Namespace
) -> Iterator[Row]:
    """Time the operations on one workload, with new processes."""
    operations = [OPERATIONS[name] for name in options.operations]
    operations = [operation for operation in operations if workload in operation.workloads]
    if not operations:
        return
    timed = libraries if workload in COMPARED else [name for name in libraries if name == SUBJECT]
    workers = [Worker(library, workload, num_threads) for library in timed]
    for operation in operations:
        show_progress(f"{workload}, {num_threads} threads: {operation.name}")
        times = time_in_turns(workers, operation, options.rounds, options.budget)
        yield Row(operation, workload, num_threads, times)
    for worker in workers:
        worker.close()


def show_progress(text: str) -> None:
    """Show what is being timed, if the output is a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables and write the JSON file."""
    options = parse_arguments(arguments)
    versions = find_versions(options.libraries)
    about = machine.describe() | versions
    print("\n".join(f"{key}: {value}" for key, value in about.items()), flush=True)
    if machine.load_average() > IDLE_LOAD:
        print("NOTE: other processes are running; times with several threads will be unreliable")
    bandwidths, rows = measure(list(versions), options)
    for num_threads, bandwidth in bandwidths.items():
        print(f"sequential read, {num_threads} threads: {bandwidth / 1e9:.1f} GB/s")
    print(f"\nTimes in ms\n{times_table(rows, list(versions), bandwidths)}")
    if summaries := summarize(rows):
        print("\nTimes as multiples of that of ebagx, over the workloads")
        print(summary_table(summaries))
    if limits := find_limits(rows, bandwidths):
        print(f"\nebagx against the limits of the machine\n{limits_table(limits)}")
    if options.json:
        content = {
            "about": about,
            "read_bandwidths": bandwidths,
            "rows": [row.as_dict() for row in rows],
            "summaries": [summary.as_dict() for summary in summaries],
            "limits": [limit.as_dict() for limit in limits],
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n")


def measure(
    libraries: Sequence[str], options: argparse.Namespace
) -> tuple[dict[int, float], list[Row]]:
    """Measure the memory for each number of threads, then all rows, sorted by operation."""
    bandwidths = {threads: machine.read_bandwidth(threads) for threads in options.threads}
    rows: list[Row] = []
    for num_threads in options.threads:
        for workload in options.workloads:
            rows += measure_workload(workload, num_threads, libraries, options)
            # Other processes can only slow the memory down, so that the best figure is kept.
            again = machine.read_bandwidth(num_threads)
            bandwidths[num_threads] = max(again, bandwidths[num_threads])
    show_progress("")
    order = list(OPERATIONS)
    return bandwidths, sorted(rows, key=lambda row: order.index(row.operation.name))


if __name__ == "__main__":
    main()

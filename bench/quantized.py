"""Time sums over quantised tables against PyTorch's operators, and against float32 tables.

    python bench/quantized.py --workloads small64 zipf100 uni128

PyTorch's are ``torch.ops.quantized.embedding_bag_{byte,4bit,2bit}_rowwise_offsets``. Libraries have
processes of their own, which take turns; the shortest time of all turns counts. ``ratio`` is
PyTorch's time divided by that of ebagx. PyTorch's operators for 4 and 2 bits run on one thread.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from worker import time_call
from workloads import WORKLOADS, Data, make_data

BUDGET = 1.0  # seconds for each call and turn
LIBRARIES = ("ebagx", "torch")
NAMES = {8: "byte", 4: "4bit", 2: "2bit"}
# Times do not depend on the codes, and so the rows of large tables repeat.
DISTINCT_ROWS = 20_000

Calls = dict[str, Callable[[], Any]]


def calls_of_ebagx(data: Data, threads: int) -> Calls:
    """Return the sums of ebagx by name."""
    import ebagx
    from ebagx._core.memory import aligned_empty

    def summed(table: Any) -> Callable[[], Any]:
        bags = data.indices, table, data.offsets
        return lambda: ebagx.embedding_bag(*bags, mode="sum", num_threads=threads)

    weight = aligned_empty(data.weight.shape, data.weight.dtype)
    weight[...] = data.weight
    calls = {"float32": summed(weight)}
    for bits, name in NAMES.items():
        packed = ebagx.quantize(weight[:DISTINCT_ROWS], bits).to_packed(f"torch_{name}")
        repeated = aligned_empty((len(weight), packed.shape[1]), packed.dtype)
        for start in range(0, len(weight), len(packed)):
            repeated[start : start + len(packed)] = packed[: len(weight) - start]
        table = ebagx.QuantizedTable.from_packed(repeated, f"torch_{name}")
        calls[f"{bits} bits"] = summed(table)
    return calls


def calls_of_torch(data: Data, threads: int) -> Calls:
    """Return the sums of PyTorch by name."""
    import torch

    torch.set_num_threads(threads)
    weight, indices, offsets = map(torch.from_numpy, (data.weight, data.indices, data.offsets))

    def summed(operator: Any, table: Any) -> Callable[[], Any]:
        return lambda: operator(table, indices, offsets, mode=0)

    calls: Calls = {
        "float32": lambda: torch.nn.functional.embedding_bag(indices, weight, offsets, mode="sum")
    }
    for bits, name in NAMES.items():
        pack = getattr(torch.ops.quantized, f"embedding_bag_{name}_prepack")
        operator = getattr(torch.ops.quantized, f"embedding_bag_{name}_rowwise_offsets")
        calls[f"{bits} bits"] = summed(operator, pack(weight))
    return calls


def run_library(library: str, workload: str, threads: int) -> None:
    """Time the calls of one library, and print nanoseconds for each lookup."""
    make = {"ebagx": calls_of_ebagx, "torch": calls_of_torch}[library]
    data = make_data(WORKLOADS[workload])
    scale = 1e9 / len(data.indices)
    calls = make(data, threads)
    print(json.dumps({name: scale * time_call(call, BUDGET) for name, call in calls.items()}))


def turn(library: str, workload: str, threads: int) -> dict[str, float]:
    """Time one library in a process of its own."""
    command = [sys.executable, __file__, "--library", library, "--threads", str(threads)]
    command += ["--workloads", workload]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    times: dict[str, float] = json.loads(done.stdout)
    return times


def main() -> int:
    """Print a line for each workload and kind of table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="+", default=["small64", "zipf100", "uni128"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1], metavar="N")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each library")
    parser.add_argument("--library", choices=LIBRARIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        run_library(options.library, options.workloads[0], options.threads[0])
        return 0
    libraries = [name for name in LIBRARIES if importlib.util.find_spec(name) is not None]
    heads = "".join(f"{name + ' ns':>12}" for name in libraries)
    print(f"{'workload':10}{'table':9}{'threads':>8}{heads}{'ratio':>8}{'float32 /':>11}")
    for workload in options.workloads:
        for threads in options.threads:
            best: dict[str, dict[str, float]] = {name: {} for name in libraries}
            for _ in range(options.rounds):
                for library in libraries:
                    for kind, ns in turn(library, workload, threads).items():
                        best[library][kind] = min(best[library].get(kind, ns), ns)
            for kind, ns in best["ebagx"].items():
                times = "".join(f"{best[name][kind]:12.2f}" for name in libraries)
                ratio = f"{best['torch'][kind] / ns:8.2f}" if "torch" in best else f"{'':8}"
                gain = best["ebagx"]["float32"] / ns
                print(f"{workload:10}{kind:9}{threads:8}{times}{ratio}{gain:11.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

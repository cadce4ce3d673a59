"""Time whole training steps of a PyTorch model, with and without `ebagx.torch.accelerate`.

    python bench/torch_steps.py                                    # all workloads, 1 and 2 threads
    python bench/torch_steps.py --workloads small64 --threads 2 --hidden 256

A step is: bag, head, cross-entropy, backward, and the steps of all optimizers. ``torch`` is
``nn.EmbeddingBag(sparse=True)`` with ``optim.Adagrad`` or ``optim.SparseAdam``, ``plain`` the same
after ``accelerate(model)``, ``fused`` after ``accelerate(model, optimizer=...)``. The head is a
linear layer of 10 classes, with ``--hidden`` behind a layer of so many units, and has the same
optimizer of PyTorch in all ways. Each way runs in processes of its own, which take turns; the
median time of a step counts, and of the turns the shortest median.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from workloads import COMPARED, make_data

WAYS = ("torch", "plain", "fused")
WORKLOADS = ("small64", "zipf100", "uni128")
RULES = ("Adagrad", "Adam")
NUM_CLASSES, RATE = 10, 0.01
WARM_UP = 3  # steps that are not timed


def make_step(workload: str, way: str, rule: str, hidden: int) -> Callable[[], Any]:
    """Return a training step."""
    import torch

    import ebagx.torch

    torch.sparse.check_sparse_tensor_invariants.disable()  # else PyTorch warns of its optimizers
    torch.manual_seed(0)
    data = make_data(COMPARED[workload])
    num_rows, dim = data.weight.shape
    table = torch.from_numpy(data.weight)
    bag = torch.nn.EmbeddingBag(num_rows, dim, mode="sum", sparse=True, _weight=table)
    sizes = [dim, hidden, NUM_CLASSES] if hidden else [dim, NUM_CLASSES]
    layers: list[Any] = []
    for inputs, outputs in pairwise(sizes):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    head = torch.nn.Sequential(*layers[:-1])
    of_head = getattr(torch.optim, rule)(head.parameters(), RATE)
    optimizers = [of_head]
    if way == "plain":
        ebagx.torch.accelerate(bag)
    if way == "fused":
        ebagx.torch.accelerate(bag, lambda: getattr(ebagx.optim, rule)(RATE))
    else:
        of_table = {"Adagrad": torch.optim.Adagrad, "Adam": torch.optim.SparseAdam}[rule]
        optimizers.append(of_table(bag.parameters(), RATE))
    ids, offsets = torch.from_numpy(data.indices), torch.from_numpy(data.offsets)
    labels = torch.randint(NUM_CLASSES, (len(offsets),))

    def step() -> None:
        for optimizer in optimizers:
            optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(bag(ids, offsets)), labels).backward()
        for optimizer in optimizers:
            optimizer.step()

    return step


def median_time(step: Callable[[], Any], seconds: float) -> float:
    """Return the median time of a step, of those that fit in so many seconds."""
    for _ in range(WARM_UP):
        step()
    times: list[float] = []
    deadline = time.perf_counter() + seconds
    while len(times) < WARM_UP or time.perf_counter() < deadline:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def turn(workload: str, way: str, rule: str, threads: int, options: argparse.Namespace) -> float:
    """Return the milliseconds of a step, from a process of its own."""
    order = [workload, way, rule, str(options.hidden), str(options.seconds)]
    command = [sys.executable, __file__, "--turn", *order]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return 1e3 * float(json.loads(done.stdout))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--optimizers", nargs="+", choices=RULES, default=RULES)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn")
    parser.add_argument("--hidden", type=int, default=0, help="units of a hidden layer; 0: none")
    parser.add_argument("--turn", nargs=5, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Print a line for each workload, optimizer and number of threads."""
    options = parse_arguments()
    if options.turn:
        workload, way, rule, hidden, seconds = options.turn
        print(median_time(make_step(workload, way, rule, int(hidden)), float(seconds)))
        return 0
    columns = "".join(f"{way:>9}" for way in WAYS)
    print(f"{'workload':9}{'optimizer':>10}{'threads':>8}{columns}{'torch/plain':>13}{'/fused':>8}")
    for workload in options.workloads:
        for rule in options.optimizers:
            for threads in options.threads:
                best = dict.fromkeys(WAYS, float("inf"))
                for _ in range(options.rounds):
                    for way in WAYS:
                        best[way] = min(best[way], turn(workload, way, rule, threads, options))
                times = "".join(f"{best[way]:9.2f}" for way in WAYS)
                plain, fused = (best["torch"] / best[way] for way in WAYS[1:])
                line = f"{workload:9}{rule:>10}{threads:8}{times}{plain:13.2f}{fused:8.2f}"
                print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

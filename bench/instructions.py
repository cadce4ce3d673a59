"""Count instructions of a lookup in each hot kernel and of small calls; fail if they are more now.

    python bench/instructions.py             # compare with instructions.json
    python bench/instructions.py --update    # write instructions.json

Unlike times, counts are the same on every machine and in every run: a kernel that grew is found on
a busy CI machine. They do not show what memory costs. valgrind's callgrind counts; its Debian
package is ``valgrind``. All operations run in one process, at the level avx2 and in one thread.

Limits hold for what they were counted with: those of lookups for a compiler, those of small calls
for a version of Python and of NumPy, too. With others, counts over a limit are warnings.
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LIMITS = HERE / "instructions.json"
TOLERANCE = 0.10  # another patch release of a compiler changes less, a lost vector much more

NUM_ROWS = 10_000
BAG_LENGTH = 32
LOOKUPS = 4_000  # in the short run; the long one has twice as many
# Validation takes two instructions per lookup; with few lookups, those around the call count.
VALIDATED = 200_000
SMALL_CALLS = 50
# callgrind writes its counters and restarts from 0 when this function of libc is called. No other
# code calls it, and it needs no library of our own in C.
MARK = "getppid"

Run = Callable[[int], Any]
Counts = dict[str, dict[str, float]]  # of each group, of each operation


def make_operations() -> dict[str, tuple[int, Run]]:
    """Return for each operation the lookups of its short run, and a call of n lookups."""
    import numpy as np

    import ebagx
    from ebagx._core.levels import kernels

    rng = np.random.default_rng(0)
    indices = rng.integers(NUM_ROWS, size=2 * LOOKUPS)
    many_indices = rng.integers(NUM_ROWS, size=2 * VALIDATED)
    offsets = np.arange(0, 2 * LOOKUPS, BAG_LENGTH)
    weights = rng.random(2 * LOOKUPS, dtype=np.float32)
    rows = np.arange(2 * LOOKUPS)
    table = rng.standard_normal((NUM_ROWS, 64), dtype=np.float32)
    wide_table = rng.standard_normal((NUM_ROWS, 100), dtype=np.float32)
    grad = rng.standard_normal((2 * LOOKUPS, 64), dtype=np.float32)
    optimizer = ebagx.optim.Adagrad(num_threads=1)

    def forward(weight: np.ndarray, mode: str, per_sample_weights: Any = None) -> Run:
        def run(n: int) -> Any:
            given = None if per_sample_weights is None else per_sample_weights[:n]
            bags = offsets[: n // BAG_LENGTH]
            return ebagx.embedding_bag(
                indices[:n], weight, bags, mode=mode, per_sample_weights=given, num_threads=1
            )

        return run

    def backward(n: int) -> Any:
        bags = offsets[: n // BAG_LENGTH]
        return ebagx.embedding_bag_backward(
            grad[: len(bags)], indices[:n], table, bags, mode="sum", sparse="rows", num_threads=1
        )

    def adagrad(n: int) -> None:
        optimizer.update(table, ebagx.RowGradient(rows[:n], grad[:n], table.shape))

    fit = training(indices, offsets, weights, table, optimizer)

    def validate(n: int) -> bool:
        return bool(kernels.indices_valid(many_indices[:n], NUM_ROWS, 1))

    return {
        "sum": (LOOKUPS, forward(table, "sum")),
        "sum D=100": (LOOKUPS, forward(wide_table, "sum")),
        "weighted sum": (LOOKUPS, forward(table, "sum", weights)),
        "sum float64": (LOOKUPS, forward(table.astype(np.float64), "sum")),
        "sum float16": (LOOKUPS, forward(table.astype(np.float16), "sum")),
        "max": (LOOKUPS, forward(table, "max")),
        "backward, rows": (LOOKUPS, backward),
        "adagrad, per row": (LOOKUPS, adagrad),
        "training": (LOOKUPS, fit),
        "index validation": (VALIDATED, validate),
        **of_texts(),
    }


def of_texts() -> dict[str, tuple[int, Run]]:
    """Return the numbering of words of lines, and the bags of lines with pairs of words."""
    import numpy as np

    from ebagx.text.features import Features, LineBags
    from ebagx.text.lines import Lines
    from ebagx.text.ngrams import Ngrams

    words = [f"word{i}" for i in np.random.default_rng(0).integers(1000, size=2 * LOOKUPS)]
    texts = [" ".join(words[i : i + 10]) for i in range(0, len(words), 10)]
    lines = Lines.of(texts)
    bags = LineBags(Features.learn(lines, Ngrams(2, 0, 0, 100_000)), lines, 1)
    return {
        "words of lines": (LOOKUPS, lambda n: Lines.of(texts[: n // 10])),
        # Lines of ten words have nineteen lookups.
        "bags of lines": (LOOKUPS, lambda n: bags.take(np.arange(n // 19))),
    }


def make_small_calls() -> dict[str, tuple[int, Run]]:
    """Return for each small call how many the short run makes, and a function that makes n."""
    import numpy as np
    from scipy import sparse

    import ebagx

    rng = np.random.default_rng(0)
    table = rng.standard_normal((1000, 64), dtype=np.float32)
    indices, offsets = rng.integers(1000, size=10), np.zeros(1, np.int64)
    row, bags, grad = indices.reshape(1, 10), [indices.tolist()], np.ones((1, 64), np.float32)
    parts = np.ones(10, np.float32), indices, np.array([0, 10])
    matrix = sparse.csr_array(parts, (1, len(table)))
    module = ebagx.EmbeddingBag.from_pretrained(table, mode="sum").eval()
    trained = ebagx.EmbeddingBag(1000, 64, mode="sum", sparse="rows", rng=0)
    optimizer = ebagx.optim.Adagrad(num_threads=1)

    def step() -> None:
        trained(indices, offsets)
        trained.backward_update(grad, optimizer)

    calls: dict[str, Callable[[], Any]] = {
        "module": lambda: module(indices, offsets),
        "module, 2-D": lambda: module(row),
        "module, CSR": lambda: module(matrix),
        "module, list": lambda: module(bags),
        "function": lambda: ebagx.embedding_bag(indices, table, offsets, mode="sum"),
        "Adagrad step": step,
    }
    return {name: (SMALL_CALLS, partial(repeat, call)) for name, call in calls.items()}


def repeat(call: Callable[[], Any], n: int) -> None:
    """Make a call n times."""
    for _ in range(n):
        call()


def counted() -> dict[str, dict[str, tuple[int, Run]]]:
    """Return all that is counted: lookups or calls of the short run, and the function to call."""
    return {"lookups": make_operations(), "small calls": make_small_calls()}


def counted_with(compiler: str) -> dict[str, str]:
    """Return for each group what its counts depend on."""
    import numpy as np

    python, numpy = platform.python_version_tuple()[:2], np.__version__.split(".")[:2]
    versions = f"Python {'.'.join(python)}, NumPy {'.'.join(numpy)}"
    return {"lookups": compiler, "small calls": f"{compiler}, {versions}"}


def training(indices: Any, offsets: Any, weights: Any, table: Any, optimizer: Any) -> Run:
    """Return a pass of a classifier of 10 classes over batches of 16 bags, without its set-up."""
    import numpy as np
    from scipy import sparse

    from ebagx._core.bags import Bags
    from ebagx._training.examples import Examples
    from ebagx._training.losses import Softmax
    from ebagx._training.network import Layer, Network
    from ebagx._training.steps import Steps

    num_bags = len(offsets)
    bags = Bags(indices, np.append(offsets, len(indices)), weights)
    classes = np.arange(num_bags) % 10
    ones = np.ones(num_bags, np.int8)
    targets = sparse.csr_array((ones, classes, np.arange(num_bags + 1)), (num_bags, 10))
    head = Layer(np.zeros((10, table.shape[1]), np.float32), np.zeros(10, np.float32))
    optimizers = [optimizer.fresh(), optimizer.fresh()]
    network = Network(table.copy(), [head], optimizers, np.arange(len(table)), 1)
    steps = Steps(network, Softmax(), Examples(bags, targets, None), 16)

    def run(n: int) -> Any:
        count = n // (16 * BAG_LENGTH)
        return steps._take(np.empty(16 * count), np.arange(16 * count), count)

    return run


def run_operations() -> None:
    """Call each operation with few and with many lookups, and mark in between."""
    import gc

    gc.disable()
    for count, run in chain(*(group.values() for group in counted().values())):
        for n in (count, 2 * count):  # looks kernels up, and lets malloc find its sizes
            run(n)
        os.getppid()
        run(count)
        os.getppid()
        run(2 * count)
        os.getppid()


def count_between_marks() -> list[int]:
    """Return the instructions executed before each mark since the one before."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "EBAGX_LEVEL", "PYTHONHASHSEED")
    environment = os.environ | dict(zip(names, ("1", "1", "avx2", "0"), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--dump-before={MARK}", f"--callgrind-out-file={folder}/counts"]
        command = ["valgrind", "--tool=callgrind", *options, sys.executable, __file__, "--run"]
        finished = subprocess.run(command, env=environment, capture_output=True, text=True)
        if finished.returncode:
            raise SystemExit(f"instructions: the process failed:\n{finished.stderr}")
        dumps = sorted(Path(folder).glob("counts.*"), key=lambda path: int(path.suffix[1:]))
        totals = [re.search(r"^totals: (\d+)$", dump.read_text(), re.M) for dump in dumps]
    return [int(total[1]) for total in totals if total]


def measure() -> Counts:
    """Return the instructions of each operation per lookup, and of each small call."""
    groups, marks = counted(), count_between_marks()
    size = sum(map(len, groups.values()))
    if len(marks) != 3 * size:
        raise SystemExit(f"instructions: {len(marks)} marks of {3 * size} were counted")
    runs = zip(marks[1::3], marks[2::3], strict=True)
    # The difference of the two runs leaves out the instructions of the call itself.
    return {
        group: {
            name: (long - short) / count
            for (name, (count, _)), (short, long) in zip(operations.items(), runs, strict=False)
        }
        for group, operations in groups.items()
    }


def find_compiler() -> str:
    """Return name and major version of the compiler, which it writes into the kernels."""
    spec = importlib.util.find_spec("ebagx")
    if spec is None or spec.origin is None:
        raise SystemExit("instructions: ebagx is not installed; run `pip install .`")
    for module in (Path(spec.origin).parent / "_kernels").glob("_avx2.*so"):
        # Start-up files come from GCC even in modules of clang, so that clang is searched first.
        for pattern in (rb"(clang) version (\d+)", rb"(GCC): \(.*?\) (\d+)"):
            if found := re.search(pattern, module.read_bytes()):
                return b" ".join(found.groups()).decode()
    return "unknown"


def has_avx2() -> bool:
    """Return whether the level was built and this machine runs it."""
    from ebagx._core.levels import available_levels

    return "avx2" in available_levels()


def report(counts: Mapping[str, float], limits: Mapping[str, float]) -> list[str]:
    """Print the table; return the operations that are over their limit or have none."""
    print(f"{'instructions':<24}{'now':>11}{'limit':>11}{'change':>8}")
    failures = []
    for name, count in counts.items():
        if name not in limits:
            failures.append(name)
            print(f"{name:<24}{count:>11.2f}{'none':>11}")
            continue
        change = count / limits[name] - 1
        grown = change > TOLERANCE
        failures += [name] * grown
        print(f"{name:<24}{count:>11.2f}{limits[name]:>11.2f}{change:>8.1%}{'  GROWN' * grown}")
    return failures


def compare(counts: Counts, versions: Mapping[str, str]) -> int:
    """Compare with the file; return 1 if counts grew with the same versions, else 0."""
    known = json.loads(LIMITS.read_text())
    grown = 0
    for group, operations in counts.items():
        limits = known[group]
        failures = ", ".join(report(operations, limits["instructions"]))
        print(f"counted with {versions[group]}, limits with {limits['counted with']}")
        if failures and versions[group] != limits["counted with"]:
            print(f"warning: over the limits of other versions: {failures}")
        elif failures:
            print(f"instructions: more than {TOLERANCE:.0%} over their limits: {failures}")
            grown = 1
    if grown:
        print("If that is as it must be, run `python bench/instructions.py --update`.")
    return grown


def update(counts: Counts, versions: Mapping[str, str]) -> int:
    """Write the file."""
    content = {}
    for group, operations in counts.items():
        rounded = {name: round(count, 2) for name, count in operations.items()}
        content[group] = {"counted with": versions[group], "instructions": rounded}
        report(operations, rounded)
    LIMITS.write_text(json.dumps(content, indent=2) + "\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="write instructions.json")
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        run_operations()
        return 0
    if not has_avx2():
        print("instructions: skipped, they are counted where the level avx2 runs")
        return 0
    if shutil.which("valgrind") is None:
        print("instructions: valgrind is missing, it is in Debian's package valgrind")
        return 2
    return (update if options.update else compare)(measure(), counted_with(find_compiler()))


if __name__ == "__main__":
    sys.exit(main())

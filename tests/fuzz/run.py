"""Run many cases in child processes: ``PYTHONPATH=tests python -P -m fuzz.run``.

A child that crashes or hangs is one more failure; a shared file has the number of its case. Failing
cases are made small, with a new process for each attempt, and printed.
"""

import argparse
import collections
import mmap
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NoReturn

CASE_BYTES = 160
BATCH = 2000
SECONDS_PER_CASE = 60
DATA_LIMIT = 3 << 30  # larger allocations raise MemoryError, as they should


def case_of(seed: int) -> bytes:
    """Return the bytes of a numbered case."""
    return random.Random(seed).randbytes(CASE_BYTES)


def limit_memory() -> None:
    """Limit the memory of a case. Sanitizers have their own limit and huge maps."""
    if "ASAN_OPTIONS" not in os.environ:
        import resource  # Windows has no `resource`, but imports this module in the tests

        resource.setrlimit(resource.RLIMIT_DATA, (DATA_LIMIT, DATA_LIMIT))


def run_batch(first: int, count: int, note: str, target: str | None = None) -> NoReturn:
    """Run cases in this process, noting each before it runs, and exit: with 1 after a failure."""
    from fuzz.oracle import run_case

    limit_memory()
    kinds: collections.Counter[str] = collections.Counter()
    failed = False
    with open(note, "r+b") as file, mmap.mmap(file.fileno(), 8) as current:
        for seed in range(first, first + count):
            current[:] = seed.to_bytes(8, "little")
            try:
                kinds[run_case(case_of(seed), target)] += 1
            except Exception:
                traceback.print_exc()
                failed = True
                break
    for kind, times in kinds.items():
        print(f"{times} {kind}")
    sys.exit(failed)


def options_of(target: str | None) -> list[str]:
    """Return the command line's options for a target."""
    return [] if target is None else ["--target", target]


def run_one(data: bytes, target: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run one case in a separate process; a hang counts as a failure, too."""
    command = [sys.executable, "-P", "-X", "faulthandler", "-m", "fuzz.run", "--case", data.hex()]
    command += options_of(target)
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_PER_CASE)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, -1, "", f"hangs: {SECONDS_PER_CASE} s")


def smaller(data: bytes, target: str | None = None, attempts: int = 120) -> bytes:
    """Return a case that still fails, with fewer bytes or more zeros, after a few attempts."""
    left = attempts

    def fails(candidate: bytes) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and run_one(candidate, target).returncode != 0

    size = len(data)
    while size > 1 and fails(data[: size // 2]):
        size //= 2
    data = data[:size]
    step = max(len(data) // 2, 1)
    while step and left > 0:
        for start in range(0, len(data), step):
            zeroed = data[:start] + bytes(len(data[start : start + step])) + data[start + step :]
            if zeroed != data and fails(zeroed):
                data = zeroed
        step //= 2
    return data.rstrip(b"\0")


def report(seed: int, code: int, seen: str, target: str | None) -> None:
    """Print a failing case and how to run it again."""
    data = case_of(seed)
    if run_one(data, target).returncode:
        data = smaller(data, target)
        seen = run_one(data, target).stderr
    else:  # a race, or something left by an earlier case
        seen = f"not again when it runs alone; with others:\n{seen}"
    again = " ".join(["--case", data.hex(), *options_of(target)])
    print(f"\nFAILED case {seed} (exit code {code}): {again}", flush=True)
    print(seen[-4000:], flush=True)


def main() -> int:
    """Run what the command line asks for; return the number of failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--failures", type=int, default=100, help="stop after so many")
    parser.add_argument("--target", help="run cases of this target alone: a name in TARGETS")
    parser.add_argument("--case", help="run this one, given in hex")
    parser.add_argument("--batch", nargs=2, metavar=("COUNT", "NOTE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        from fuzz.oracle import run_case

        limit_memory()
        print(run_case(bytes.fromhex(options.case), options.target))
        return 0
    if options.batch:
        run_batch(options.first, int(options.batch[0]), options.batch[1], options.target)
    return run_all(options.first, options.cases, options.failures, options.target)


def run_all(first: int, cases: int, stop_after: int, target: str | None = None) -> int:
    """Run numbered cases in children; return the number of failures, after which to stop."""
    began, failures = time.monotonic(), 0
    kinds: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder, "current")
        seed, end = first, first + cases
        while seed < end:
            note.write_bytes(bytes(8))
            count = min(BATCH, end - seed)
            command = [sys.executable, "-P", "-m", "fuzz.run", "--first", str(seed)]
            command += ["--batch", str(count), str(note), *options_of(target)]
            try:
                result = subprocess.run(
                    command, capture_output=True, text=True, timeout=SECONDS_PER_CASE * 10
                )
                code, lines, seen = result.returncode, result.stdout.splitlines(), result.stderr
            except subprocess.TimeoutExpired:
                code, lines, seen = -1, [], "timed out"
            for line in lines:
                times, _, kind = line.partition(" ")
                kinds[kind] += int(times)
            if code:
                failures += 1
                bad = int.from_bytes(note.read_bytes(), "little")
                report(bad, code, seen, target)
                seed = bad + 1
            else:
                seed += count
            if failures >= stop_after:
                break
    done = seed - first
    print(f"{done} cases, {failures} failures, {time.monotonic() - began:.0f} s")
    for kind, times in sorted(kinds.items()):
        print(f"{times:10} {kind}")
    return min(failures, 100)  # as a status, 256 would be 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(main())

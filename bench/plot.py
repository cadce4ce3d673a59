"""Draw the speed ratios against PyTorch from a JSON file of compare.py. Needs matplotlib."""

import argparse
import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from report import significant

PEER = "torch"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # colour-blind readers can distinguish these
TARGET_COLOR = "#444444"
WIDTH, ROW_HEIGHT, MARGIN = 7.3, 0.36, 1.7  # inches: 700 pixels wide in a browser
NOTE_WIDTH = 105  # characters of the small text that fit
STYLE = {
    "font.size": 10,
    "svg.fonttype": "path",  # looks the same with any fonts
    "svg.hashsalt": "ebagx",  # ids are random otherwise
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
}


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", type=Path, help="what compare.py --json wrote")
    parser.add_argument("image", type=Path, help="file to write: .svg, or .png to look at")
    return parser.parse_args(arguments)


def draw_ratios(axes: Axes, summaries: Sequence[Mapping[str, Any]]) -> None:
    """Draw one row per operation: mean, range over the workloads, and target per thread count."""
    operations = list(dict.fromkeys(summary["operation"] for summary in summaries))
    thread_counts = sorted({summary["threads"] for summary in summaries})
    step = 0.36 / max(1, len(thread_counts) - 1)
    for summary in summaries:
        place = thread_counts.index(summary["threads"])
        y = operations.index(summary["operation"]) + place * step - 0.18
        ratios, color = summary["ratios"].values(), COLORS[place % len(COLORS)]
        axes.plot([min(ratios), max(ratios)], [y, y], color=color, linewidth=1.2, alpha=0.75)
        axes.plot(summary["mean"], y, "o", color=color, markersize=5.5, zorder=4)
        value = significant(summary["mean"])
        right_of_plot = axes.get_yaxis_transform()
        axes.text(1.02, y, value, color=color, fontsize=8, va="center", transform=right_of_plot)
    for row, operation in enumerate(operations):
        target = next(s["target"] for s in summaries if s["operation"] == operation)
        if target:
            axes.plot([target["mean"]] * 2, [row - 0.34, row + 0.34], color=TARGET_COLOR, lw=1.6)
    axes.set_yticks(range(len(operations)), operations)
    axes.set_ylim(len(operations) - 0.4, -0.6)  # the first on top


def set_up_axes(axes: Axes) -> None:
    """Make the x axis logarithmic around the line at 1, with plain numbers."""
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=1, zorder=1)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("times faster than PyTorch")


def add_legend(figure: Figure, thread_counts: Sequence[int]) -> None:
    """Explain the marks under the title."""
    handles = [
        Line2D([], [], color=COLORS[place % len(COLORS)], marker="o", markersize=5.5, linewidth=1.2)
        for place in range(len(thread_counts))
    ]
    labels = [f"{threads} thread{'s' * (threads > 1)}" for threads in thread_counts]
    handles.append(
        Line2D([], [], color=TARGET_COLOR, marker="|", markersize=10, mew=1.6, linestyle="")
    )
    figure.legend(
        handles,
        [*labels, "target of the mean"],
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - 0.33 / figure.get_figheight()),
        ncols=len(handles),
        frameon=False,
    )


def describe(about: Mapping[str, str]) -> str:
    """Return the small text: what the marks are, the machine and the versions."""
    versions = f"ebagx {about['ebagx']}, PyTorch {about[PEER]}"
    marks = (
        "Dots and numbers: geometric mean over the workloads. Lines: from worst to best workload."
    )
    machine = f"{about['processor']}. {about['system']}. {versions}."
    return f"{marks}\n{textwrap.fill(machine, NOTE_WIDTH)}"


def draw(content: Mapping[str, Any]) -> Figure:
    """Draw the figure of one run."""
    summaries = [summary for summary in content["summaries"] if summary["peer"] == PEER]
    if not summaries:
        raise SystemExit("the file has no times of PyTorch beside those of ebagx")
    num_rows = len({summary["operation"] for summary in summaries})
    height = num_rows * ROW_HEIGHT + MARGIN
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    axes = figure.add_axes((0.235, 1.0 / height, 0.69, num_rows * ROW_HEIGHT / height))
    set_up_axes(axes)
    draw_ratios(axes, summaries)
    figure.suptitle("Speed of ebagx against PyTorch", y=1 - 0.1 / height, va="top", fontsize=13)
    add_legend(figure, sorted({summary["threads"] for summary in summaries}))
    figure.text(0.02, 0.1 / height, describe(content["about"]), fontsize=8, color="#444444")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the JSON file and write the image, the same bytes for the same figures."""
    options = parse_arguments(arguments)
    with mpl.rc_context(STYLE):
        figure = draw(json.loads(options.figures.read_text()))
        is_svg = options.image.suffix == ".svg"
        metadata = {"Date": None, "Creator": None} if is_svg else None
        figure.savefig(options.image, metadata=metadata, dpi=150)


if __name__ == "__main__":
    main()

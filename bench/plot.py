"""Draw how many times as fast as other libraries ebagx does what users do. Needs matplotlib.

python bench/plot.py speed.svg --compare FILE --classify FILE --recommend FILE
"""

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from jobs import Files, Job, add_files, all_jobs, machine, read_files
from report import significant

# Colour-blind readers can distinguish these; numbers in them have a contrast of 4.5 to white.
COLORS = ("#0072b2", "#bf5500", "#007d5c", "#a8528a")
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
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("image", type=Path, help="file to write: .svg, or .png to look at")
    add_files(parser)
    return parser.parse_args(arguments)


def name_of(job: Job) -> str:
    """Return the name of a job with its peer."""
    return f"{job.name} ({job.peer})"


def draw_ratios(axes: Axes, jobs: Sequence[Job]) -> None:
    """Draw one row per job: mean, and range over the workloads, per thread count."""
    names = list(dict.fromkeys(map(name_of, jobs)))
    thread_counts = sorted({job.threads for job in jobs})
    step = 0.36 / max(1, len(thread_counts) - 1)
    for job in jobs:
        place = thread_counts.index(job.threads)
        y = names.index(name_of(job)) + place * step - 0.18
        mean, color = geometric_mean(job.ratios), COLORS[place % len(COLORS)]
        ends = min(job.ratios), max(job.ratios)
        axes.plot(ends, [y, y], color=color, linewidth=1.2, alpha=0.75)
        axes.plot(mean, y, "o", color=color, markersize=5.5, zorder=4)
        right_of_plot = axes.get_yaxis_transform()
        axes.text(
            *(1.02, y, significant(mean)),
            color=color,
            fontsize=8,
            va="center",
            transform=right_of_plot,
        )
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)  # the first on top


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
    axes.set_xlabel("times as fast as the library in brackets")


def add_legend(figure: Figure, thread_counts: Sequence[int]) -> None:
    """Explain the marks under the title."""
    handles = [
        Line2D([], [], color=COLORS[place % len(COLORS)], marker="o", markersize=5.5, linewidth=1.2)
        for place in range(len(thread_counts))
    ]
    labels = [f"{threads} thread{'s' * (threads > 1)}" for threads in thread_counts]
    figure.legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - 0.33 / figure.get_figheight()),
        ncols=len(handles),
        frameon=False,
    )


def draw(files: Files) -> Figure:
    """Draw the figure of runs on one machine."""
    jobs = all_jobs(files)
    num_rows = len(set(map(name_of, jobs)))
    height = num_rows * ROW_HEIGHT + MARGIN
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    axes = figure.add_axes((0.36, 1.0 / height, 0.565, num_rows * ROW_HEIGHT / height))
    set_up_axes(axes)
    draw_ratios(axes, jobs)
    figure.suptitle("Speed of ebagx", y=1 - 0.1 / height, va="top", fontsize=13)
    add_legend(figure, sorted({job.threads for job in jobs}))
    marks = "Dots and numbers: geometric mean over workloads. Lines: from worst to best workload."
    note = f"{marks}\n{textwrap.fill(machine(files), NOTE_WIDTH)}"
    figure.text(0.02, 0.1 / height, note, fontsize=8, color="#444444")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the JSON files and write the image, the same bytes for the same figures."""
    options = parse_arguments(arguments)
    with mpl.rc_context(STYLE):
        figure = draw(read_files(options))
        is_svg = options.image.suffix == ".svg"
        metadata = {"Date": None, "Creator": None} if is_svg else None
        figure.savefig(options.image, metadata=metadata, dpi=150)


if __name__ == "__main__":
    main()

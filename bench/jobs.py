"""Write into the README what users do, and how many times as fast as others ebagx does it.

python bench/jobs.py README.md --compare FILE --classify FILE --recommend FILE --accuracy FILE
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean, mean
from typing import Any, NamedTuple

from report import significant

# Operations of compare.py.
OPERATIONS = {
    "step_adagrad": "training step, Adagrad",
    "grad_sparse": "sparse gradient",
    "sum": "pool bags: sum",
    "weighted_sum": "pool bags: weighted sum",
    "mean": "pool bags: mean",
    "max": "pool bags: max",
    "bag_of_ten": "pool one bag of ten",
}
PEERS = {"fasttext": "fastText", "sgd": "SGDClassifier", "torch": "PyTorch"}
START, END = "<!-- figures: bench/jobs.py -->\n", "<!-- end of figures -->\n"


class Job(NamedTuple):
    """The times of a peer divided by those of ebagx, one for each workload."""

    name: str
    peer: str
    threads: int
    ratios: list[float]


def words_per_second(figures: Mapping[str, Any]) -> float:
    """Return the best speed of a program of classify.py."""
    return float(figures["training_words"] / min(figures["training_seconds"]))


def trainings(rows: Sequence[Mapping[str, Any]]) -> Iterator[Job]:
    """Yield the trainings of text classifiers against each peer."""
    for peer in ("fasttext", "sgd"):
        for threads in sorted({row["threads"] for row in rows}):
            ratios = [
                words_per_second(row["ebagx"]) / words_per_second(row[peer])
                for row in rows
                if row["threads"] == threads and row.get(peer, {}).get("training_seconds")
            ]
            if ratios:
                yield Job("train a text classifier", PEERS[peer], threads, ratios)


def operations(summaries: Sequence[Mapping[str, Any]]) -> Iterator[Job]:
    """Yield the operations against PyTorch."""
    for operation, name in OPERATIONS.items():
        for summary in summaries:
            if (summary["operation"], summary["peer"]) == (operation, "torch"):
                yield Job(name, PEERS["torch"], summary["threads"], [*summary["ratios"].values()])


def recommenders(rows: Sequence[Mapping[str, Any]]) -> Iterator[Job]:
    """Yield the training of a recommender with a row for each user, by WARP, against LightFM."""
    speeds = {
        (row["model"], row["threads"]): max(r["positives"] / r["seconds"] for r in row["results"])
        for row in rows
        if all(result.get("seconds") for result in row["results"])
    }
    for threads in (1, 2):
        ratio = speeds["ebagx ids", threads] / speeds["LightFM warp", threads]
        yield Job("train a recommender", "LightFM", threads, [ratio])


class Files(NamedTuple):
    """Results of compare.py, classify.py and recommend.py."""

    compare: Mapping[str, Any]
    classify: Mapping[str, Any]
    recommend: Mapping[str, Any]


def all_jobs(files: Files) -> list[Job]:
    """Return the jobs of runs on one machine.

    Raises
    ------
    ValueError
        If they are of different machines.
    """
    if len({file["about"]["processor"] for file in files}) > 1:
        raise ValueError("the files have figures of different machines")
    texts = trainings(files.classify["rows"])
    return [
        *texts,
        *recommenders(files.recommend["rows"]),
        *operations(files.compare["summaries"]),
    ]


def machine(files: Files) -> str:
    """Return the machine and the versions."""
    about = files.compare["about"]
    versions = f"ebagx {about['ebagx']}, PyTorch {about['torch']}"
    versions += f", fastText {files.classify['about']['fasttext']}, rectools-lightfm 1.17.3"
    return f"{about['processor']}. {about['system']}. {versions}."


def accuracies(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence about the accuracy of text classifiers on all data sets."""
    gaps = [mean(row["ebagx"]["accuracies"]) - mean(row["fasttext"]["accuracies"]) for row in rows]
    means = [mean(mean(row[name]["accuracies"]) for row in rows) for name in ("ebagx", "fasttext")]
    better = sum(gap >= 0 for gap in gaps)
    return (
        f"The accuracy of text classifiers is at least that of fastText on {better} of {len(rows)} "
        f"data sets, at most {-min(gaps):.3f} below on the others, and on average {means[0]:.3f} "
        f"to {means[1]:.3f}."
    )


def table(files: Files, accuracy: Mapping[str, Any]) -> str:
    """Return a table for the README: a row for each job, a column for each number of threads."""
    cells: dict[tuple[str, str], dict[int, str]] = {}
    for job in all_jobs(files):
        text = significant(geometric_mean(job.ratios), 2)
        if len(job.ratios) > 1:
            text += f" ({significant(min(job.ratios), 2)})"
        cells.setdefault((job.name, job.peer), {})[job.threads] = text
    lines = ["| times as fast as | | 1 thread | 2 threads |", "|---|---|---|---|"]
    for (name, peer), of_threads in cells.items():
        numbers = " | ".join(of_threads.get(threads, "") for threads in (1, 2))
        lines.append(f"| {peer} | {name} | {numbers} |")
    notes = machine(files), accuracies(accuracy["rows"])
    return "\n".join([*lines, "", *notes, ""])


def replaced(text: str, figures: str) -> str:
    """Return a page with the figures between its two marks."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{figures}\n{END}{after}"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("page", type=Path, help="file with the two marks, which is rewritten")
    add_files(parser)
    parser.add_argument("--accuracy", type=Path, required=True, help="the same, for accuracies")
    return parser.parse_args(arguments)


def add_files(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the files of results."""
    add = parser.add_argument
    add("--compare", type=Path, required=True, help="what compare.py --json wrote")
    add("--classify", type=Path, required=True, help="what classify.py --json wrote")
    add("--recommend", type=Path, required=True, help="what recommend.py --json wrote")


def read_files(options: argparse.Namespace) -> Files:
    """Return what the files of results hold."""
    paths = options.compare, options.classify, options.recommend
    return Files(*(json.loads(path.read_text("utf-8")) for path in paths))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table into the page."""
    options = parse_arguments(arguments)
    text = options.page.read_text("utf-8")
    accuracy = json.loads(options.accuracy.read_text("utf-8"))
    figures = table(read_files(options), accuracy)
    options.page.write_text(replaced(text, figures), "utf-8")


if __name__ == "__main__":
    main()

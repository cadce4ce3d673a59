"""Time predictions of few texts at a time: ebagx and fastText.

    python bench/latency.py --fasttext PYTHON

Both learn the training lines of langid30 with the same options. The columns are the microseconds of
a call on one thread, and thousands of texts per second when so many threads of Python predict with
one model: one text a call, or a list of 20. Each is the best of several turns. Calls go through the
public door, ``ebagx.text.load_model(folder).predict``, whose table is mapped.

``--fasttext`` names a Python that has the module of fastText, which fails with NumPy 2: one that
``python3 -m venv folder`` and ``folder/bin/pip install fasttext-wheel "numpy<2"`` have made. It is
timed in a process of its own.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import rates
from corpora import TASKS, Lines
from ebagx.io.model_folder import save_model
from ebagx.text import TextClassifier, load_model
from ebagx.text.lines import Lines as Labelled
from ebagx.text.model import Settings
from ebagx.text.training import train_model


def train(lines: Lines, folder: Path) -> TextClassifier:
    """Train and save a model; return it as a server loads it."""
    settings = Settings(
        dim=rates.DIM,
        epochs=rates.EPOCHS,
        word_ngrams=1,
        minn=rates.CHARS[0],
        maxn=rates.CHARS[1],
        buckets=rates.BUCKETS,
    )
    training = Labelled.of(lines.texts, [(label,) for label in lines.labels])
    save_model(train_model(training, settings).model, folder)
    model = load_model(folder, num_threads=1)
    assert isinstance(model, TextClassifier)
    return model


def report_ebagx(model: TextClassifier, texts: list[str], threads: list[int]) -> None:
    """Print the lines of ebagx."""
    for name in ("predict", "predict_proba", "predict_top"):
        method = getattr(model, name)
        rates.report(f"ebagx {name}", lambda text, f=method: f([text]), method, texts, threads)


def main() -> int:
    """Print lines for each library."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2, 4, 8], help="threads of Python"
    )
    parser.add_argument("--fasttext", metavar="PYTHON", help="a Python with the module fasttext")
    args = parser.parse_args()
    (task,) = (task for task in TASKS if task.name == "langid30")
    corpus, threads = task.load(None), sorted({1, *args.threads})
    heads = "".join(f"{count:>10}" for count in threads)
    print(f"{'':<22}{'':<12}{'us a call':>10}{heads}", flush=True)
    with TemporaryDirectory() as folder:
        model = train(corpus.training, Path(folder, "model"))
        report_ebagx(model, corpus.held_out.texts, threads)
        if args.fasttext:
            lines, texts = Path(folder, "lines.txt"), Path(folder, "texts.json")
            corpus.training.write(lines)
            texts.write_text(json.dumps(corpus.held_out.texts[: rates.LIST]), "utf-8")
            command = [args.fasttext, rates.__file__, lines, texts, *threads]
            sys.stdout.flush()
            subprocess.run([*map(str, command)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Save a smaller model."""

from argparse import Namespace
from pathlib import Path

from ebagx.cli.inputs import read_training_lines
from ebagx.cli.layout import layout_of
from ebagx.cli.report import report
from ebagx.io.fasttext.model import is_fasttext
from ebagx.io.model_folder import check_destination, load_model, save_model, saved_size
from ebagx.text.small import quantised


def quantize(args: Namespace) -> None:
    """Save a model with embeddings of few bits, and say how large both are."""
    if is_fasttext(args.model):
        raise ValueError(
            f"{args.model} is a model of fastText: ebagx convert {args.model} DIR makes a model of "
            "it that ebagx quantize takes"
        )
    if args.input is not None and args.cutoff is None:
        raise ValueError("--input needs --cutoff N: without it, all features are kept")
    model = load_model(args.model)
    model.trainable_weights()  # raises here if the model is quantised already
    folder = args.folder or _folder_beside(args.model)
    if folder.resolve() == args.model.resolve():
        raise ValueError(f"{folder} is the model itself, which can be trained: name another folder")
    check_destination(folder)
    lines = None
    if args.input is not None:
        layout = layout_of(args, args.label or model.label_prefix)
        lines = read_training_lines(args.input, model.features.tokenizer, layout)
    small = quantised(model, args.bits, args.cutoff, lines)
    save_model(small, folder)
    before, after = model.features.n_columns, small.features.n_columns
    report("features", f"{after:,} of {before:,}")
    report("size", f"{saved_size(small):,} of {saved_size(model):,} bytes")
    report("saved", str(folder))


def _folder_beside(model: Path) -> Path:
    """Return MODEL-small; the names of the folders ``.`` and ``..`` are looked up."""
    named = model.resolve() if model.name in ("", "..") else model
    return named.with_name(f"{named.name}-small")

"""Save a smaller model."""

from argparse import Namespace
from pathlib import Path

from ebagx.cli.inputs import read_training_lines
from ebagx.cli.layout import layout_of
from ebagx.cli.report import report
from ebagx.io.fasttext.model import is_fasttext
from ebagx.io.model_folder import check_destination, load_any_model, save_model, saved_size
from ebagx.text.fasttext.model import FastTextModel
from ebagx.text.model import TextModel
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
    model = load_any_model(args.model)
    _check_not_small(model, args)
    folder = args.folder or _folder_beside(args.model)
    if folder.resolve() == args.model.resolve():
        raise ValueError(f"{folder} is the model itself, which can be trained: name another folder")
    check_destination(folder)
    small = _smaller(model, args)
    save_model(small, folder)
    report("features", f"{_count(small):,} of {_count(model):,}")
    report("size", f"{saved_size(small):,} of {saved_size(model):,} bytes")
    report("saved", str(folder))


def _check_not_small(model: TextModel | FastTextModel, args: Namespace) -> None:
    if isinstance(model, TextModel):
        model.trainable_weights()
    elif args.cutoff is not None:
        raise ValueError("--cutoff is for models that ebagx has trained")


def _smaller(model: TextModel | FastTextModel, args: Namespace) -> TextModel | FastTextModel:
    if isinstance(model, FastTextModel):
        return model.quantize(args.bits)
    lines = None
    if args.input is not None:
        layout = layout_of(args, args.label or model.label_prefix)
        lines = read_training_lines(args.input, model.features.tokenizer, layout)
    return quantised(model, args.bits, args.cutoff, lines)


def _count(model: TextModel | FastTextModel) -> int:
    """Return the number of features that have a row."""
    if isinstance(model, FastTextModel):
        return model.features.num_rows
    return model.features.n_columns


def _folder_beside(model: Path) -> Path:
    """Return MODEL-small; the names of the folders ``.`` and ``..`` are looked up."""
    named = model.resolve() if model.name in ("", "..") else model
    return named.with_name(f"{named.name}-small")

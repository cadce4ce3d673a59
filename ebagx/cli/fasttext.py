"""The commands and options of fastText that have no counterpart here, and what to use instead."""

COMMANDS = {
    "supervised": "ebagx train FILE --model DIR",
    "predict-prob": "ebagx predict MODEL FILE --prob",
    "test-label": "ebagx test MODEL FILE, which prints the figures of each label",
    "skipgram": "ebagx train FILE, which needs lines with labels",
    "cbow": "ebagx train FILE, which needs lines with labels",
    "print-word-vectors": "ebagx vectors MODEL FILE OUT.npy, with a word in each line",
    "print-sentence-vectors": "ebagx vectors MODEL FILE OUT.npy",
    "print-ngrams": "ebagx vectors MODEL FILE OUT.npy, with a word in each line",
    "nn": "ebagx similar MODEL WORD",
    "analogies": "ebagx vectors MODEL FILE OUT.npy, to compare the vectors of words",
    "dump": "ebagx info MODEL",
}

_OF_WORD_VECTORS = "leave it out: it is for word vectors from text without labels"
_OF_QUANTIZE = "leave it out: ebagx quantize --bits 4 or 2 is smaller without it"

OPTIONS = {
    "-t": _OF_WORD_VECTORS,
    "-ws": _OF_WORD_VECTORS,
    "-lrUpdateRate": "leave it out: the rate is up to date in each step",
    "-neg": "use --negatives 256, which all lines of a step share",
    "-verbose": "leave it out: 2>/dev/null hides the progress",
    "-saveOutput": "leave it out: the model has all that was learned",
    "-autotune-predictions": "leave it out: f1 counts what predict prints",
    "-cutoff": "use ebagx quantize MODEL --cutoff N",
    "-output": "name both folders without it: ebagx quantize MODEL DIR",
    "-retrain": "use ebagx quantize MODEL --cutoff N --input FILE, which counts features",
    "-qnorm": _OF_QUANTIZE,
    "-qout": _OF_QUANTIZE,
    "-dsub": _OF_QUANTIZE,
}

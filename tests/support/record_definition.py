"""Define labelled lines in plain Python; `ebagx.text.corpus` must read the same."""

import re

PREFIX = "__label__"


def records_of(blocks):
    """Return (labels, text) of each line that is not blank, or raise ValueError.

    Each block has whole lines. Errors of its encoding come before others.
    """
    split, records, number = None, [], 0
    for i, block in enumerate(blocks):
        lines = (block.removeprefix(b"\xef\xbb\xbf") if i == 0 else block).split(b"\n")[:-1]
        texts = [at_line(number + j, decoded, line) for j, line in enumerate(lines, 1)]
        for text in texts:
            number += 1
            if text.strip():
                split = split or (split_prefix if is_prefixed(text) else split_tab)
                records.append(at_line(number, split, text))
    if not records:
        raise ValueError("no labelled lines")
    return records


def at_line(number, function, line):
    try:
        return function(line)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None


def decoded(line):
    try:
        return line.decode().removesuffix("\r")
    except UnicodeDecodeError as error:
        byte, place = line[error.start], error.start
    is_utf_16 = line[:2] in (b"\xff\xfe", b"\xfe\xff")
    way_out = ": it seems to be UTF-16, save it as UTF-8" if is_utf_16 else ""
    raise ValueError(f"not utf-8 text, byte {byte:#04x} at position {place}{way_out}")


def split_tab(line):
    label, tab, text = line.partition("\t")
    if not tab:
        raise ValueError("no tab between label and text")
    return (checked(label.strip()),), text


def is_prefixed(line):
    """Return whether a word before the first tab begins with the prefix."""
    return any(word.startswith(PREFIX) for word in line.partition("\t")[0].split())


def split_prefix(line):
    """Return the labels, and the text without them and the white space after each."""
    labels = [word for word in line.split() if word.startswith(PREFIX)]
    if not labels:
        raise ValueError(f"no word begins with {PREFIX}")
    names = [checked(label.removeprefix(PREFIX)) for label in labels]
    return tuple(dict.fromkeys(names)), re.sub(rf"(?<!\S){PREFIX}\S*\s*", "", line)


def checked(label):
    if not label:
        raise ValueError("the label is empty")
    if min(label) < " ":
        raise ValueError(f"{label!r:.40} is not a label")
    return label

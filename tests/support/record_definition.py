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
                split = split or (split_prefix if text.startswith(PREFIX) else split_tab)
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
    raise ValueError(f"not utf-8 text, byte {byte:#04x} at position {place}")


def split_tab(line):
    label, tab, text = line.partition("\t")
    if not tab:
        raise ValueError("no tab between label and text")
    return (checked(label.strip()),), text


def split_prefix(line):
    labels, position = [], 0
    while match := re.compile(rf"{PREFIX}(\S*)\s*").match(line, position):
        labels.append(checked(match[1]))
        position = match.end()
    if not labels:
        raise ValueError(f"no {PREFIX} at the start")
    return tuple(dict.fromkeys(labels)), line[position:]


def checked(label):
    if not label:
        raise ValueError("the label is empty")
    if min(label) < " ":
        raise ValueError(f"{label!r:.40} is not a label")
    return label

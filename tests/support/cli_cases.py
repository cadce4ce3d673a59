"""Provide the lines from which the command line learns in tests."""

WORDS = {"animal": "cat dog bird fish", "food": "pie cake soup bread", "place": "town lake hill"}


def write_examples(path, line="{label}\t{text}\n", copies=20):
    lines = [
        line.format(label=label, text=f"the {word} number {i}")
        for label, words in WORDS.items()
        for i in range(copies)
        for word in words.split()
    ]
    path.write_text("".join(lines), "utf-8")
    return path

"""`CommandParser` names the argument that is wrong, in one line, and the one that may be meant."""

import argparse
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

FASTTEXT_COMMANDS = {
    "supervised": "ebagx train FILE --model DIR",
    "predict-prob": "ebagx predict MODEL FILE --prob",
    "test-label": "ebagx test MODEL FILE, which prints the figures of each label",
    "quantize": "ebagx train --dim N --min-count N, which makes a smaller model",
    "skipgram": "ebagx train FILE, which needs lines with labels",
    "cbow": "ebagx train FILE, which needs lines with labels",
    "print-word-vectors": "ebagx vectors MODEL FILE OUT.npy, with a word in each line",
    "print-sentence-vectors": "ebagx vectors MODEL FILE OUT.npy",
    "print-ngrams": "ebagx vectors MODEL FILE OUT.npy, with a word in each line",
    "nn": "ebagx vectors MODEL FILE OUT.npy, to compare the vectors of words",
    "analogies": "ebagx vectors MODEL FILE OUT.npy, to compare the vectors of words",
    "dump": "ebagx info MODEL",
}
_NUMBER = re.compile(r"-\d*\.?\d+")


class CommandParser(argparse.ArgumentParser):
    """A parser that takes options as they are spelt, and prints errors without its usage.

    `argparse` alone takes ``-t`` for ``-thread``, and finds missing arguments before unknown ones.
    """

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str], namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments, after a look at the options and at the command among them."""
        commands = self._commands()
        for word in _words_before_dashes(args):
            if commands and not word.startswith("-"):
                self._check_command(word, commands)
                break  # what follows belongs to the command
            self._check_option(word)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """End the process with one line on standard error."""
        self.exit(2, f"{self.prog}: error: {message}\n")

    def _commands(self) -> list[str]:
        return [name for action in self._actions for name in _choices_of(action)]

    def _check_command(self, word: str, commands: Sequence[str]) -> None:
        if word in commands:
            return
        if word in FASTTEXT_COMMANDS:
            self.error(f"{word} is a command of fastText; use {FASTTEXT_COMMANDS[word]}")
        self.error(f"unknown command {word}{_meant(word, {name: name for name in commands})}")

    def _check_option(self, word: str) -> None:
        option, known = word.partition("=")[0], self._option_string_actions
        if not word.startswith("-") or word == "-" or option in known or _NUMBER.fullmatch(word):
            return
        if word[:2] in known and _NUMBER.fullmatch(f"-{word[2:].removeprefix('-')}"):
            return  # as in -k5
        names = {_plain(name): action.option_strings[0] for name, action in known.items()}
        self.error(f"unknown option {option}{_meant(_plain(option), names)}")


def _words_before_dashes(args: Sequence[str]) -> Iterator[str]:
    for word in args:
        if word == "--":
            return
        yield word


def _choices_of(action: argparse.Action) -> list[str]:
    choices: Any = action.choices
    return list(choices) if isinstance(action, argparse._SubParsersAction) else []


def _plain(option: str) -> str:
    """Return an option without dashes in lower case: --word-ngrams and -wordNgrams are one."""
    return option.replace("-", "").lower()


def _meant(word: str, names: dict[str, str]) -> str:
    close = get_close_matches(word, names, n=1)
    return f"; did you mean {names[close[0]]}?" if close else ""

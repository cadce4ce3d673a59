"""`CommandParser` names the argument that is wrong, in one line, and the one that may be meant."""

import argparse
import itertools
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from ebagx.cli import fasttext

_NUMBER = re.compile(r"-?\d+")


class CommandParser(argparse.ArgumentParser):
    """A parser that takes options as they are spelt, and prints errors without its usage.

    `argparse` alone takes ``-t`` for ``-thread``, and names missing arguments before unknown ones.
    """

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments, after a look at the options and at the command among them."""
        words = sys.argv[1:] if args is None else list(args)
        commands = self._commands()
        if commands:
            place = next((i for i, word in enumerate(words) if word[:1] != "-"), len(words))
            for option in words[:place]:
                self._check_option(option)
            for command in words[place : place + 1]:
                self._check_command(command, commands)
        else:
            words = self._files_last(words)
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """End the process with one line on standard error."""
        self.exit(2, f"{self.prog}: error: {message}\n")

    def _commands(self) -> list[str]:
        return [name for action in self._actions for name in _choices_of(action)]

    def _check_command(self, word: str, commands: Sequence[str]) -> None:
        if word in commands:
            return
        if word in fasttext.COMMANDS:
            self.error(f"{word} is a command of fastText; use {fasttext.COMMANDS[word]}")
        self.error(f"unknown command {word}{_meant(word, {name: name for name in commands})}")

    def _files_last(self, words: Sequence[str]) -> list[str]:
        """Check options, and move the words that belong to none behind them.

        Before Python 3.13, an option in front of an optional file hides the file from argparse.
        """
        options: list[str] = []
        files: list[str] = []
        rest = iter(words)
        for word in rest:
            if word == "--":
                files += rest
            elif not word.startswith("-") or word == "-":
                files.append(word)
            else:
                self._check_option(word)
                options.append(word)
                action = self._option_string_actions.get(word)
                if action is not None and action.nargs is None:
                    options += itertools.islice(rest, 1)
        return [*options, *(["--"] if any(name[:1] == "-" for name in files) else []), *files]

    def _check_option(self, word: str) -> None:
        option, known = word.partition("=")[0], self._option_string_actions
        if option in known or (word[:2] in known and _NUMBER.fullmatch(word[2:])):  # as in -k5
            return
        if option in fasttext.OPTIONS:
            self.error(f"{option} is an option of fastText; {fasttext.OPTIONS[option]}")
        names = {_plain(name): _long_name(action) for name, action in known.items()}
        self.error(f"unknown option {option}{_meant(_plain(option), names)}")


def _choices_of(action: argparse.Action) -> list[str]:
    choices: Any = action.choices
    return list(choices) if isinstance(action, argparse._SubParsersAction) else []


def _long_name(action: argparse.Action) -> str:
    return max(action.option_strings, key=lambda name: name.startswith("--"))  # the first such


def _plain(option: str) -> str:
    """Return an option without dashes in lower case: --word-ngrams and -wordNgrams are one."""
    return option.replace("-", "").lower()


def _meant(word: str, names: dict[str, str]) -> str:
    close = get_close_matches(word, names, n=1)
    return f"; did you mean {names[close[0]]}?" if close else ""

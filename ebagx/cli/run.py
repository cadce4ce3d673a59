"""Run one command, and report in one line an error that the user can correct."""

import errno
import io
import os
import sys
from collections.abc import Sequence

from ebagx.cli.commands import TrainingInterrupted
from ebagx.cli.parser import make_parser

_SIGINT_STATUS = 130
_SIGPIPE_STATUS = 141


def main(argv: Sequence[str] | None = None, prog: str = "ebagx") -> int:
    """Run one command, or print the help if there is none. Output is UTF-8 in every locale.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments, by default those of the process.
    prog : str, default="ebagx"
        Name of the command.

    Returns
    -------
    int
        Exit status: 0; 2 for an error that the user can correct, with one line on standard error,
        also if a model had to be saved at another place than the one that was asked for;
        130 after Ctrl-C; 141 if the reader of the output has closed it.

    Examples
    --------
    >>> main(["predict", "no-such-model"])
    2
    """
    if sys.stderr is None:  # closed by the caller; print would write to the output
        sys.stderr = io.StringIO()
    if sys.stdout is None:
        return _fail("the standard output is closed")
    _use_utf8()
    args = make_parser(prog).parse_args(argv)
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes its buffer at exit, and would report an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _SIGPIPE_STATUS
    except KeyboardInterrupt:
        return _fail("interrupted", _SIGINT_STATUS)
    except TrainingInterrupted as error:
        return _fail(str(error), _SIGINT_STATUS)
    except OSError as error:
        return _fail(_about(error))
    except (MemoryError, ModuleNotFoundError, ValueError) as error:
        return _fail(str(error) or "out of memory")
    return 0


def _use_utf8() -> None:
    """Write UTF-8 in every locale; names of files are written as they are."""
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)


def _about(error: OSError) -> str:
    """Return the message of an error; only those of the standard output have no file there."""
    if error.filename:
        return f"{error.filename}: {error.strerror}"
    is_full = error.errno in (errno.ENOSPC, errno.EFBIG)
    return f"standard output: {error.strerror}" if is_full else str(error)


def _fail(message: str, status: int = 2) -> int:
    print("ebagx:", " ".join(message.split()), file=sys.stderr)
    return status

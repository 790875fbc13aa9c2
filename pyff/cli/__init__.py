"""The command `pyff`. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and leave Python with its exit code."""
    raise SystemExit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Run one command; the exit code. Errors become one sentence on stderr, with --debug a traceback."""
    import typer

    from pyff.cli.commands import app

    usage_error = typer.BadParameter.__mro__[1]  # click's, which typer ships under names that change
    if not argv:
        argv = ["--help"]
    try:
        return app(args=argv, prog_name="pyff", standalone_mode=False) or 0
    except usage_error as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted", INTERRUPTED)
    except Exception as error:
        if "--debug" in argv:
            raise
        return _complain(_sentence(error), 1)


def _usage(error) -> int:
    command = error.ctx.command_path if getattr(error, "ctx", None) else "pyff"
    return _complain(f"{error.format_message().rstrip('.')}. See `{command} --help`.", 2)


def _sentence(error: Exception) -> str:
    from pyff.errors import PyffError

    expected = (PyffError, ValueError, OSError, RuntimeError, ImportError, NotImplementedError)
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"no such file or folder: {error.filename}"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}"
    text = " ".join(str(error).split()) if not isinstance(error, PyffError) else str(error)
    if isinstance(error, expected) and text:
        return text
    return f"unexpected {type(error).__name__}: {text}. Run again with --debug and report the traceback"


def _complain(sentence: str, code: int) -> int:
    print(f"pyff: {sentence}", file=sys.stderr)
    return code

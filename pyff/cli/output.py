"""Where commands write. What cannot be written is refused before anything is computed, so that no work is lost."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pyff.errors import PyffError

__all__ = ["PICTURES", "XYZ", "require_folder", "require_output"]

XYZ = (".xyz", ".extxyz")
PICTURES = (".png", ".pdf", ".svg")


def require_output(
    out: Path,
    suffixes: Sequence[str],
    *,
    overwrite: bool,
    option: str = "--out",
    beside: Sequence[Path] = (),
    inputs: Sequence[Path] = (),
    ways: str = "--overwrite",
) -> None:
    """Raise PyffError if a command must not, or cannot, write `out` and the files `beside` it.

    option: the user's name for `out`. inputs: files the command reads, which none beside may replace, whatever
    --overwrite says: nobody named them as output. ways: what the user may add where a file exists.
    """
    if out.suffix not in suffixes:
        endings = " or ".join(filter(None, (", ".join(suffixes[:-1]), suffixes[-1])))
        raise PyffError(f"{option} must end in {endings}; received {out}")
    if not out.parent.is_dir():
        raise PyffError(f"{option} must lie in a folder that exists; received {out}")
    if not os.access(out.parent, os.W_OK):
        raise PyffError(f"{option} must lie in a folder that can be written; received {out}")
    read = {path.resolve() for path in inputs}
    for path in beside:
        if path.resolve() in read:
            raise PyffError(f"{option} {out} would replace {path}, which is read: choose another name")
    for path in () if overwrite else (out, *beside):
        if path.exists():
            raise PyffError(f"{path} exists already: add {ways} or choose another {option}")


def require_folder(folder: Path) -> None:
    """Raise PyffError unless a run can be written into `folder`, which need not exist."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise PyffError(f"--out must be a folder; received {folder}, and {nearest} is a file: choose another name")
    if not os.access(nearest, os.W_OK):
        raise PyffError(f"--out must be a folder that can be written; received {folder}, and {nearest} cannot be")

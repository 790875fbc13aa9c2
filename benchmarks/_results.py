"""Result files: the rows, and where and with what they were measured."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pyff import __version__, _core

__all__ = ["write_results"]


def write_results(
    path: str | Path, rows: list[dict[str, Any]], *, threads: int, packages: tuple[str, ...], **about: Any
) -> None:
    """Write rows with processor, instruction set, threads, revision, versions (pyff, `packages`) and `about`."""
    environment = {
        "processor": _processor(), "isa": _core.isa(), "threads": threads, "pyff": __version__,
        "revision": _revision(), "versions": {name: _version(name) for name in packages}, **about,
    }  # fmt: skip
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"environment": environment, "rows": rows}, indent=1, default=str) + "\n")


def _processor() -> str:
    facts = Path("/proc/cpuinfo")  # platform.processor() is empty on Linux
    lines = facts.read_text().splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _revision() -> str:
    """Of the checkout the script is in, with -dirty after it where files differ."""
    words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"

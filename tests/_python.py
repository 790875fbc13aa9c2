"""Python in a process of its own, for what must not touch the test session: imports, forks, environment variables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def run_python(*args: str | Path, cwd: Path, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess:
    """`python *args` in folder cwd, with these environment variables added. Warnings are errors, as in the session.

    As in a user's shell, what lies in cwd can be imported; helper modules of tests/ can, too.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(HERE)]))
    return subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=cwd,
        env={**inherited, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def output_of(*args: str | Path, cwd: Path, **environment: str) -> str:
    """Standard output of run_python; a failed run fails the test with what it wrote."""
    done = run_python(*args, cwd=cwd, **environment)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from pyff._atomic import atomic_write


def test_atomic_write_replaces_the_content(tmp_path):
    path = tmp_path / "a.txt"
    atomic_write(path, "one")
    atomic_write(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_atomic_write_keeps_the_old_file_when_the_new_one_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    atomic_write(path, "old")
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(PermissionError("no")))
    with pytest.raises(PermissionError):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_atomic_write_gives_usual_permissions_and_keeps_those_of_the_old_file(tmp_path):
    usual, path = tmp_path / "usual", tmp_path / "a"
    usual.write_text("x")
    atomic_write(path, "x")
    assert path.stat().st_mode == usual.stat().st_mode
    path.chmod(0o640)
    atomic_write(path, "y")
    assert path.stat().st_mode & 0o777 == 0o640


def test_atomic_write_does_not_touch_the_umask_of_other_threads(tmp_path, monkeypatch):
    previous = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lambda mask: pytest.fail("the umask belongs to the whole process"))
            atomic_write(tmp_path / "a", "x")
    finally:
        os.umask(previous)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_atomic_write_killed_at_any_moment_leaves_a_whole_file(tmp_path):
    path = tmp_path / "a.bin"
    code = (
        "import itertools, sys; from pyff._atomic import atomic_write\n"
        "for k in itertools.count(): atomic_write(sys.argv[1], bytes([k % 256]) * 3_000_000)\n"
    )
    for delay in (0.01, 0.03, 0.05, 0.08):
        path.unlink(missing_ok=True)
        child = subprocess.Popen([sys.executable, "-c", code, str(path)])
        for _ in range(600):
            if path.exists() or child.poll() is not None:
                break
            time.sleep(0.05)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        content = path.read_bytes()
        assert len(content) == 3_000_000 and len(set(content)) == 1

"""Free memory of the machine and of the control groups around the process."""

from __future__ import annotations

import pytest
import torch

from pyff._memory import free_bytes, free_bytes_on

GIB = 2**30


@pytest.fixture
def machine(tmp_path):
    """A machine with 8 GiB available; the process is in the group /slurm/job."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable: {8 * 2**20} kB\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/slurm/job\n")
    (tmp_path / "groups/slurm/job").mkdir(parents=True)

    def limit(group: str, most: str, used: int, files: int = 0) -> None:
        folder = tmp_path / "groups" / group
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {files}\n")

    return limit, lambda: free_bytes(tmp_path / "proc", tmp_path / "groups")


def test_without_limits_it_is_what_the_machine_has(machine):
    limit, free = machine
    assert free() == 8 * GIB
    limit("slurm/job", "max", 3)
    assert free() == 8 * GIB


def test_the_narrowest_group_decides_and_cached_files_can_go(machine):
    limit, free = machine
    limit("slurm", str(6 * GIB), GIB)
    assert free() == 5 * GIB
    limit("slurm/job", str(4 * GIB), 3 * GIB, files=GIB)
    assert free() == 2 * GIB
    limit("slurm/job", str(4 * GIB), 5 * GIB)
    assert free() == 0


def test_of_this_machine():
    assert free_bytes() > 0


def test_of_a_gpu_what_the_allocator_keeps_counts(monkeypatch):
    asked = torch.device("cuda:1")
    numbers = {"mem_get_info": (3 * GIB, 80 * GIB), "memory_reserved": 5 * GIB, "memory_allocated": GIB}
    for name, value in numbers.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value if device == asked else None)
    assert free_bytes_on(asked) == 7 * GIB


def test_of_the_cpu_it_is_the_machines(monkeypatch):
    monkeypatch.setattr("pyff._memory.free_bytes", lambda: 42)
    assert free_bytes_on(torch.device("cpu")) == 42

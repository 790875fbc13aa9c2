"""How much memory can be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["free_bytes", "free_bytes_on"]


def free_bytes_on(device: torch.device) -> int:
    """Memory that can be had now where tensors of this device live.

    On a GPU what torch's allocator keeps for later tensors counts.
    """
    if device.type != "cuda":
        return free_bytes()
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def free_bytes(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that can be had now: of the machine, and of the containers or batch job that the process runs in.

    What the system can reclaim counts. Limits of control groups are those of version 2.
    """
    return max(0, min([_of_machine(proc), *_of_control_groups(proc, groups)]))


def _of_machine(proc: Path) -> int:
    try:
        for line in (proc / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_control_groups(proc: Path, groups: Path) -> Iterator[int]:
    """What is left in the process's group and in those around it, of each that has a limit."""
    try:
        names = [line[3:] for line in (proc / "self/cgroup").read_text().splitlines() if line.startswith("0::")]
    except OSError:
        return
    for name in names:
        inner = Path(name.lstrip("/"))
        for group in (inner, *inner.parents):
            try:
                limit = (groups / group / "memory.max").read_text().strip()
                used = int((groups / group / "memory.current").read_text())
                stat = dict(line.split() for line in (groups / group / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):
                continue
            if limit != "max":
                yield int(limit) - used + int(stat.get("inactive_file", 0))

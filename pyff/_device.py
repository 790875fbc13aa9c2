"""Devices by the name a user gives."""

from __future__ import annotations

import torch

__all__ = ["usable_device"]


def usable_device(device: str | torch.device) -> torch.device:
    """The device; ValueError, with the way out, where there is none of this name or torch cannot use it here."""
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device must be cpu, cuda or cuda:NUMBER; received {device!r}") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {device} must be a GPU that torch {torch.__version__} can use here; it finds "
            f"{torch.cuda.device_count()} of them (`pyff info` says why). cpu works everywhere"
        )
    return found

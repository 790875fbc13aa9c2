"""Which model a record was made with, so that it is not continued with another one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyff.errors import PyffError

if TYPE_CHECKING:
    from pyff.models.base import EnergyModel

__all__ = ["IDENTITY", "model_identity", "require_same_model"]

IDENTITY = ("model", "model_sha256", "long_range_cutoff", "ewald")  # names in records


def model_identity(path: str | os.PathLike, model: EnergyModel) -> dict[str, Any]:
    """Name and sha256 of a model file, and the long range of the model that was loaded from it, where it ends or is
    summed over the lattice."""
    path = Path(path)
    found = {"model": path.name, "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    for name in ("long_range_cutoff", "ewald"):
        if value := getattr(model.config, name, None):
            found[name] = value
    return found


def require_same_model(before: Mapping[str, Any], now: Mapping[str, Any], record: str | os.PathLike) -> None:
    """Raise PyffError if a record was made with another model. Records that do not say are taken as they are."""
    if "model_sha256" not in before:
        return
    if str(before["model_sha256"]) != now["model_sha256"]:
        same_name = before.get("model") == now["model"]
        received = "a file of this name with other contents" if same_name else now["model"]
        raise PyffError(
            f"{record} was made with the model {before.get('model')} (sha256 {str(before['model_sha256'])[:12]}...); "
            f"received {received}. Continue with that model, or start anew with another --out"
        )
    for name in ("long_range_cutoff", "ewald"):
        if before.get(name) != now.get(name):
            option = "--" + name.replace("_", "-")
            was, given = (x.get(name, "none") for x in (before, now))
            raise PyffError(
                f"{option} must stay as it was to continue {record}: {was}; received {given}. Keep it, or start anew "
                "with another --out"
            )

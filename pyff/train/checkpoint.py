"""Checkpoints: model files (pyff.models.file) with more JSON, a checksum, and tensors named `training.*`.

`pyff.load` reads the model in them, which has the averaged weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pyff._atomic import atomic_write
from pyff.errors import PyffError
from pyff.models.schema import ModelHeader

__all__ = ["CheckpointError", "load_checkpoint", "save_checkpoint"]

SCHEMA = 2
_KEY = "pyff_checkpoint"


class CheckpointError(PyffError):
    """A checkpoint that is damaged, or belongs to something else."""


def save_checkpoint(path: str | Path, header: ModelHeader, tensors: Mapping[str, Tensor], content: dict) -> None:
    """Write a model's description, tensors and JSON content atomically.

    Raises CheckpointError rather than write NaN or infinity.
    """
    from safetensors.torch import save

    stored = {name: t.detach().cpu().contiguous().clone() for name, t in sorted(tensors.items())}
    bad = [name for name, t in stored.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    if bad:
        raise CheckpointError(f"the checkpoint was not written: {', '.join(bad[:3])} hold NaN or infinity")
    texts = {"pyff": header.model_dump_json(), _KEY: json.dumps({"schema": SCHEMA, **content}, allow_nan=False)}
    atomic_write(path, save(stored, metadata={**texts, "sha256": _digest(stored, texts)}))


def load_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """(tensors on the CPU, content, in which `model` is the description).

    Raises CheckpointError where the file is damaged, FileNotFoundError if absent.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            meta, header = (json.loads(metadata.get(key, "null")) for key in (_KEY, "pyff"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {error}") from None
    if not isinstance(meta, dict):
        raise CheckpointError(f"{path} is no checkpoint of pyff")
    if meta.get("schema") != SCHEMA:
        raise CheckpointError(f"{path} has checkpoint schema {meta.get('schema')}; this pyff reads {SCHEMA}")
    if metadata.pop("sha256", None) != _digest(tensors, metadata):
        raise CheckpointError(f"{path} is damaged: its checksum does not match")
    return tensors, {**meta, "model": header}


def _digest(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for name in sorted(tensors):
        t = tensors[name]
        digest.update(f"{name} {t.dtype} {tuple(t.shape)}".encode())
        digest.update(t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

"""What `pyff fit` knows of each architecture: one entry per architecture, and nothing elsewhere."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyff.errors import PyffError

__all__ = ["ARCHITECTURES", "Architecture", "architecture_of"]


@dataclass(frozen=True)
class Architecture:
    """A model class by name and module; published sets of its options; options: what --features and the like set;
    gives: label -> hyper-parameters that make the model predict it."""

    name: str
    module: str
    presets: tuple[str, ...]
    options: Mapping[str, str]
    gives: Mapping[str, Mapping[str, Any]]

    @property
    def model(self) -> type:
        return getattr(importlib.import_module(self.module), self.name)

    @property
    def config(self) -> type:
        return self.model.Config

    def hyperparameters(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Of options of the command line, those that were given, by the names of the config."""
        return {self.options[name]: value for name, value in options.items() if value is not None}


ARCHITECTURES = {
    "schnet": Architecture(
        name="SchNet",
        module="pyff.models.schnet",
        presets=("schnetpack1", "schnetpack2", "schnet2017"),
        options={"cutoff": "cutoff", "features": "n_features", "layers": "n_interactions"},
        gives={"dipole": {"dipole": True}, "charges": {"dipole": True}, "target": {"output": "intensive"}},
    ),
    "so3krates": Architecture(
        name="SO3krates",
        module="pyff.models.so3krates",
        presets=("so3lr", "so3lr-v2-s", "so3lr-v2-m", "so3lr-v2-l"),
        options={"cutoff": "cutoff", "features": "n_features", "layers": "n_layers"},
        gives={"dipole": {"charges": True}, "charges": {"charges": True}, "hirshfeld": {"hirshfeld": True}},
    ),
}


def architecture_of(name: str) -> tuple[str, str | None]:
    """(architecture, preset) that --model names."""
    if name in ARCHITECTURES:
        return name, None
    presets = {preset: key for key, a in ARCHITECTURES.items() for preset in a.presets}
    if name not in presets:
        raise PyffError(f"--model must be {', '.join([*ARCHITECTURES, *presets])}; received {name!r}")
    return presets[name], name

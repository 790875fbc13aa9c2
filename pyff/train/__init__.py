"""Training: settings, trainer, errors, pictures. Works with any energy model."""

from __future__ import annotations

import importlib

from pyff.train.checkpoint import CheckpointError, load_checkpoint
from pyff.train.config import TrainConfig
from pyff.train.finetune import FineTuned, finetune
from pyff.train.loop import NonFiniteLossError
from pyff.train.metrics import Metrics, Predictions, evaluate, predict
from pyff.train.plots import epoch_curve, parity, save_figure, size_curve, training_panels
from pyff.train.report import Report, read_history
from pyff.train.trainer import Trainer

__all__ = [
    "CheckpointError",
    "FineTuned",
    "Metrics",
    "NonFiniteLossError",
    "Predictions",
    "Report",
    "TrainConfig",
    "Trainer",
    "epoch_curve",
    "evaluate",
    "finetune",
    "load_checkpoint",
    "parity",
    "predict",
    "read_history",
    "save_figure",
    "size_curve",
    "training_panels",
]

_SUBMODULES = ("gdml", "krr")  # of kernel models; networks need neither


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(f"pyff.train.{name}")
    raise AttributeError(f"module 'pyff.train' has no attribute {name!r}")

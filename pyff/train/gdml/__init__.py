"""Training of GDML models: one linear system, whose only hyper-parameters are a length scale and a ridge."""

from __future__ import annotations

from pyff.train.gdml.data import GdmlData
from pyff.train.gdml.errors import GdmlErrors, prediction_errors
from pyff.train.gdml.fit import GdmlReport, fit
from pyff.train.gdml.sampling import stratified_sample
from pyff.train.gdml.task import GdmlTask, Source, Start, create_task
from pyff.train.gdml.training import Trained, train_task

__all__ = [
    "GdmlData",
    "GdmlErrors",
    "GdmlReport",
    "GdmlTask",
    "Source",
    "Start",
    "Trained",
    "create_task",
    "fit",
    "prediction_errors",
    "stratified_sample",
    "train_task",
]

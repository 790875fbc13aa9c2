"""sgdml.train: tasks and models of sGDML as dicts of arrays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from pyff.compat.sgdml import DONE, NOT_DONE
from pyff.interfaces.sgdml.files import dataset_md5
from pyff.interfaces.sgdml.training import (
    arrays_of_task,
    arrays_of_trained,
    data_of_arrays,
    task_from_model,
    task_of_arrays,
)
from pyff.models.gdml import GDMLConfig
from pyff.train.gdml import Trained, create_task, stratified_sample, train_task

__all__ = ["GDMLTrain"]

Arrays = Mapping[str, Any]
STAGES = {"assembling": "Assembling kernel matrix", "factoring": "Solving linear system (Cholesky factorization)"}


class GDMLTrain:
    """Training of sGDML models; any number of instances may live at once.

        gdml_train = GDMLTrain()
        task = gdml_train.create_task(dataset, 200, dataset, 1000, sig=10, lam=1e-10)
        np.savez_compressed("model.npz", **gdml_train.train(task))

    Random choices use numpy's global generator, as sgdml's do: `np.random.seed` repeats them.

    Args:
        max_memory: GiB that a solver may use; beyond, the iterative one is taken. None: what is free.
        max_processes: number of threads; None leaves it to torch.
        use_torch: accepted and not used: training runs on the CPU.
    """

    def __init__(
        self, max_memory: float | None = None, max_processes: int | None = None, use_torch: bool = False
    ) -> None:
        self.log = logging.getLogger(__name__)
        self._max_memory, self._max_processes = max_memory, max_processes

    def create_task(
        self, train_dataset: Arrays, n_train: int, valid_dataset: Arrays, n_valid: int, sig: float, lam: float = 1e-10,
        perms: np.ndarray | None = None, use_sym: bool = True, use_E: bool = True, use_E_cstr: bool = False,
        callback: Callable | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """A task: training points drawn by their energies, symmetries, hyper-parameters.

        Fingerprints are those of the arrays given, whatever "md5" says. sig may be any positive number. Images of
        periodic data are found as sgdml finds them, by rounding; `pyff gdml create` and `pyff.train.gdml` take the
        nearest in skewed cells, too.

        Raises:
            ValueError: too few points, or energies wanted that the data set does not have.
        """
        report = callback or (lambda *args, **kwargs: None)
        report(NOT_DONE, disp_str="Sampling training and validation subsets")
        task = create_task(
            data_of_arrays({**train_dataset, "md5": dataset_md5(train_dataset)}), n_train, n_valid,
            GDMLConfig(sigma=float(sig), lam=float(lam), images="round"),
            valid_data=data_of_arrays({**valid_dataset, "md5": dataset_md5(valid_dataset)}), perms=perms,
            use_sym=use_sym, use_energy=("constraints" if use_E_cstr else "constant") if use_E else "none",
            rng=_global_generator(),
        )  # fmt: skip
        report(DONE, disp_str="Sampling training and validation subsets")
        return _as_numpy_loads(arrays_of_task(task) | {"use_sym": use_sym})

    def create_task_from_model(self, model: Arrays, dataset: Arrays) -> dict[str, Any]:
        """The task that goes on from a model's coefficients, with the frames of its data set."""
        return _as_numpy_loads(arrays_of_task(task_from_model(dict(model), dataset)))

    def train(
        self, task: Arrays, save_progr_callback: Callable | None = None, callback: Callable | None = None
    ) -> dict[str, Any]:
        """The model of a task.

        Args:
            save_progr_callback: called with an unfinished model now and then, by the iterative solver.
            callback: called as callback(done, total, disp_str=...).
        """

        def progress(stage: str, done: float, total: float) -> None:
            if callback is not None:
                callback(done, total, disp_str=STAGES.get(stage, stage))

        def save(trained: Trained) -> None:
            save_progr_callback(_as_numpy_loads(arrays_of_trained(trained)))

        with _threads(self._max_processes):
            trained = train_task(
                task_of_arrays(dict(task)), max_memory=self._max_memory, progress=progress,
                say=self.log.info, checkpoint=save if save_progr_callback else None,
            )  # fmt: skip
        for text in trained.labels.warnings() if trained.labels else ():
            self.log.warning(text)
        return _as_numpy_loads(arrays_of_trained(trained))

    def draw_strat_sample(self, T: np.ndarray, n: int, excl_idxs: np.ndarray | None = None) -> np.ndarray:
        """Indices of n values of T that have its distribution; excl_idxs are not drawn."""
        return stratified_sample(T, n, _global_generator(), excl_idxs)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """At most `count` threads for torch and the kernels, then as many as before; None: as many as there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _global_generator() -> np.random.Generator:
    """Seeded by numpy's global generator."""
    return np.random.default_rng(np.random.randint(2**31, size=4))


def _as_numpy_loads(arrays: dict[str, Any]) -> dict[str, Any]:
    """Texts as arrays, as programs expect that read them from files; errors stay dicts, as sgdml returns them."""
    return {k: np.array(v) if isinstance(v, (str, bytes)) else v for k, v in arrays.items()}

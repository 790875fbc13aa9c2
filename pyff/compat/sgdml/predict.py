"""sgdml.predict: energies and forces of sGDML models."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import numpy as np
import torch

from pyff import ops
from pyff.compat.sgdml.utils.desc import Desc
from pyff.interfaces.sgdml import kind_of
from pyff.models.gdml import GDML
from pyff.models.gdml.sgdml_file import DEFAULT_UNITS, model_of_arrays

__all__ = ["GDMLPredict", "numbers_of"]

# units: numbers in, numbers out; the others are Python objects, which numpy refuses to load unless told otherwise
_UNREAD = ("r_unit", "e_unit", "f_err", "e_err", "md5_test")


def numbers_of(model: Mapping) -> dict:
    """The arrays of a model that predictions need."""
    return {k: model[k] for k in model if k not in _UNREAD}


class GDMLPredict:
    """Predictions of an sGDML model, in the units of its data.

        model = np.load("model.npz")
        energy, forces = GDMLPredict(model).predict(R)

    Args:
        model: the arrays of a model file, as a dict or as numpy loads them.
        use_torch: run on the first CUDA device where there is one.
        log_level: of this module's logger.
        batch_size, num_workers, max_memory, max_processes: accepted and not used. There are no worker processes:
            threads come from OMP_NUM_THREADS, and memory does not grow with the number of geometries.

    Raises:
        ValueError: not a model.
    """

    def __init__(
        self, model: Mapping, batch_size: int | None = None, num_workers: int | None = None,
        max_memory: int | None = None, max_processes: int | None = None, use_torch: bool = False,
        log_level: int | None = None,
    ) -> None:  # fmt: skip
        self.log = logging.getLogger(__name__)
        if log_level is not None:
            self.log.setLevel(log_level)
        arrays = numbers_of(model)
        if kind_of(arrays) != "m":
            raise ValueError(f"model must be of type 'm'; received {kind_of(arrays)!r}")
        self.use_torch = use_torch
        self._device = torch.device("cuda" if use_torch and torch.cuda.is_available() else "cpu")
        self.model = model_of_arrays(arrays, DEFAULT_UNITS).to(self._device)
        self.n_atoms, self.n_train = len(self.model.Z), self.model.n_train
        self.std, self.c = float(self.model.std), float(self.model.constant)
        self.tril_perms_lin = arrays.get("tril_perms_lin")
        self.desc = Desc(self.n_atoms)
        lattice = arrays.get("lattice")
        self.lat_and_inv = None if lattice is None else (np.asarray(lattice), np.linalg.inv(lattice))
        self.R_desc: np.ndarray | None = None
        self.R_d_desc: np.ndarray | None = None

    def set_R_desc(self, R_desc: np.ndarray) -> None:
        """Keep descriptors [M, D] of the training geometries, for `predict` without arguments."""
        self.R_desc = R_desc

    def set_R_d_desc(self, R_d_desc: np.ndarray) -> None:
        """Keep their Jacobians [M, D, 3], for `set_alphas` and for `predict` without arguments."""
        self.R_d_desc = R_d_desc

    def set_alphas(self, alphas_F: np.ndarray, alphas_E: np.ndarray | None = None) -> None:
        """Other coefficients [3NM] of the forces and [M] of the energies. `set_R_d_desc` comes first."""
        if self.R_d_desc is None:
            raise ValueError("set_R_d_desc must be called before set_alphas")
        old = self.model
        coef = self.desc.d_desc_dot_vec(self.R_d_desc, np.reshape(alphas_F, (-1, 3 * self.n_atoms)))
        coef_energy = old.coef_energy if alphas_E is None else self._tensor(alphas_E).reshape(-1)
        self.model = GDML(
            old.config, old.Z, train=old.points, coef=self._tensor(coef), perms=old.perms, coef_energy=coef_energy,
            constant=old.constant, std=old.std,
        ).eval()  # fmt: skip

    def prepare_parallel(
        self, n_bulk: int = 1, n_reps: int = 1, return_is_from_cache: bool = False
    ) -> float | tuple[float, bool]:
        """Geometries per second, measured on n_bulk of them. There is nothing to be tuned."""
        R = np.random.default_rng(0).uniform(0.0, 5.0, (n_bulk, 3 * self.n_atoms))
        self.predict(R)
        began = time.perf_counter()
        for _ in range(n_reps):
            self.predict(R)
        rate = n_bulk * n_reps / (time.perf_counter() - began)
        return (rate, False) if return_is_from_cache else rate

    def get_GPU_batch(self) -> int | None:
        """Geometries that are worth predicting together on a GPU; None without one."""
        return 4096 if self.use_torch else None

    def predict(self, R: np.ndarray | None = None, return_E: bool = True) -> tuple[np.ndarray, ...]:
        """Energies [B] and forces [B, 3N] of positions [B, 3N] or [3N]; forces alone, as a tuple, without return_E.

        R left out: those of the descriptors of `set_R_desc` and `set_R_d_desc`.
        """
        if R is None:
            energy, forces = self._predict_training()
        else:
            if np.size(R) % (3 * self.n_atoms):
                raise ValueError(f"R must have shape [B, {3 * self.n_atoms}]; received {list(np.shape(R))}")
            pos = self._tensor(R).reshape(-1, self.n_atoms, 3)
            energy, forces = self.model.predict(pos)
        F = forces.cpu().numpy().reshape(len(forces), -1)
        return (energy.cpu().numpy(), F) if return_E else (F,)

    def _predict_training(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self.R_desc is None or self.R_d_desc is None:
            raise ValueError("set_R_desc and set_R_d_desc must be called before predict without arguments")
        m = self.model
        perms = ops.descriptor_permutations(m.perms)
        x, g = self._tensor(self.R_desc), self._tensor(self.R_d_desc)
        f, energy = ops.gdml_product(x, m.points, m.coef, perms, m.config.kernel(), m.coef_energy)
        return m.std * energy + m.constant, m.std * ops.jacobian_transpose_product(g, f)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64)).to(self._device)

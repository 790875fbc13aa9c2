"""sgdml.utils.desc: inverse-distance descriptors of numpy arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from pyff import ops

__all__ = ["Desc"]


class Desc:
    """Descriptors of N atoms and their compressed Jacobians [D, 3], D = N (N - 1) / 2.

    max_processes is accepted and not used: threads come from OMP_NUM_THREADS.
    """

    def __init__(self, n_atoms: int, max_processes: int | None = None) -> None:
        self.n_atoms, self.max_processes = n_atoms, max_processes
        self.dim_i = 3 * n_atoms
        self.dim = n_atoms * (n_atoms - 1) // 2
        self.dim_range = np.arange(self.dim)
        self.tril_indices = np.tril_indices(n_atoms, k=-1)

    def from_R(
        self, R: np.ndarray, lat_and_inv: tuple[np.ndarray, np.ndarray] | None = None,
        max_processes: int | None = None, callback: Callable | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Descriptors [M, D] and Jacobians [M, D, 3] of positions [M, 3N]; without the first axis where M is 1.

        lat_and_inv: lattice vectors as columns, and the inverse matrix.
        """
        pos = torch.from_numpy(np.ascontiguousarray(R, dtype=np.float64)).reshape(-1, self.n_atoms, 3)
        cell = None if lat_and_inv is None else torch.from_numpy(np.array(lat_and_inv[0].T, dtype=np.float64))
        x, g = (t.numpy() for t in ops.inverse_distances(pos, cell, "round"))
        if callback is not None:
            callback(len(x), len(x), sec_disp_str="")
        return (x[0], g[0]) if len(x) == 1 else (x, g)

    def d_desc_dot_vec(self, R_d_desc: np.ndarray, vecs: np.ndarray, overwrite_vecs: bool = False) -> np.ndarray:
        """J v [M, D] of vectors [M, 3N]."""
        vecs = np.reshape(vecs, (-1, self.n_atoms, 3))
        i, j = self.tril_indices
        return (_batched(R_d_desc, 3) * (vecs[:, j] - vecs[:, i])).sum(-1)

    def vec_dot_d_desc(self, R_d_desc: np.ndarray, vecs: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """J^T u [M, 3N] of vectors [M, D]."""
        terms = _batched(R_d_desc, 3) * _batched(vecs, 2)[..., None]
        result = np.zeros((len(terms), self.n_atoms, 3))
        i, j = self.tril_indices
        np.add.at(result, (slice(None), j), terms)
        np.subtract.at(result, (slice(None), i), terms)
        return result.reshape(len(terms), -1)

    def d_desc_from_comp(self, R_d_desc: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Full Jacobians [M, D, 3N] of compressed ones [M, D, 3]."""
        R_d_desc = _batched(R_d_desc, 3)
        full = np.zeros((len(R_d_desc), self.dim, self.n_atoms, 3))
        i, j = self.tril_indices
        full[:, self.dim_range, j] = R_d_desc
        full[:, self.dim_range, i] = -R_d_desc
        return full.reshape(len(R_d_desc), self.dim, self.dim_i)

    def d_desc_to_comp(self, R_d_desc: np.ndarray) -> np.ndarray:
        """Compressed Jacobians [M, D, 3] of full ones [M, D, 3N]."""
        full = _batched(R_d_desc, 3).reshape(-1, self.dim, self.n_atoms, 3)
        return full[:, self.dim_range, self.tril_indices[1]]

    @staticmethod
    def perm(perm: np.ndarray) -> np.ndarray:
        """What a permutation of atoms [N] does to descriptors: indices [D]."""
        return ops.descriptor_permutations(torch.from_numpy(np.array(perm, dtype=np.int64))[None])[0].numpy()


def _batched(array: np.ndarray, dimensions: int) -> np.ndarray:
    """With a first axis of length 1 where it is missing."""
    return array[None] if array.ndim < dimensions else array

"""A small sGDML model with numbers from formulas, so that sgdml 1.0.3 could be asked what it predicts."""

from __future__ import annotations

import numpy as np

LATTICE = np.array([[5.0, 0.6, -0.3], [0.0, 4.5, 0.4], [0.0, 0.0, 6.0]])  # columns are lattice vectors


def wave(*shape: int, k: float = 1.0) -> np.ndarray:
    """Numbers between -1 and 1."""
    return np.sin(1.0 + k * np.arange(np.prod(shape, dtype=int), dtype=float)).reshape(shape)


def positions(n: int) -> np.ndarray:
    """n geometries of water; in a periodic model some bonds cross the faces of the cell."""
    water = np.array([[0.1, 0.2, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
    return water + 0.1 * wave(n, 3, 3, k=3.0)


def model_arrays(lattice: np.ndarray | None = None, energies: bool = False, sig: float = 3) -> dict[str, np.ndarray]:
    """All arrays of a model file as sgdml 1.0.3 writes them, n_train 4, two permutations."""
    perms, on_pairs = np.array([[0, 1, 2], [0, 2, 1]]), np.array([[0, 1, 2], [1, 0, 2]])
    md5 = b"0123456789abcdef0123456789abcdef"
    arrays = {
        "type": "m", "code_version": "1.0.3", "dataset_name": "water", "dataset_theory": "formula",
        "solver_name": "analytic", "z": np.array([8, 1, 1], np.uint8), "idxs_train": np.arange(4), "md5_train": md5,
        "idxs_valid": np.arange(4, 6), "md5_valid": md5, "n_test": 0, "md5_test": None,
        "f_err": {"mae": np.nan, "rmse": np.nan}, "R_desc": 0.8 + 0.2 * wave(3, 4, k=2.0),
        "R_d_desc_alpha": 5.0 * wave(4, 3, k=5.0), "c": -76.4, "std": 2.5, "sig": sig, "lam": 1e-10,
        "alphas_F": wave(36), "perms": perms, "tril_perms_lin": (on_pairs + 3 * np.arange(2)[:, None]).flatten("F"),
        "use_E": True, "e_err": {"mae": np.nan, "rmse": np.nan}, "r_unit": "Ang", "e_unit": "kcal/mol",
    }  # fmt: skip
    if lattice is not None:
        arrays["lattice"] = lattice
    if energies:
        arrays["alphas_E"] = wave(4, k=7.0)
    return {k: np.asanyarray(v) if not isinstance(v, dict) else np.array(v, dtype=object) for k, v in arrays.items()}

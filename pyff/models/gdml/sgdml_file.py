"""GDML models in the npz files of sGDML (Chmiela et al., Comput. Phys. Commun. 240, 38, 2019), layouts of 2018 to now.

Descriptors of the training points are stored transposed [D, M], permutations of descriptors flattened column by column
with an offset of D per permutation, lattice vectors as columns. Signs are those of `pyff.ops.gdml`: the file's
coefficients R_d_desc_alpha and alphas_E enter as they are.

sGDML finds images by rounding fractional coordinates, which gives the nearest in orthogonal cells only. Tasks and
models of pyff in other cells take the true nearest image and say so by one more array, images = "search", which sgdml
ignores.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pyff._npz import read_npz, write_npz
from pyff.errors import PyffError
from pyff.models.gdml.model import GDML, GDMLConfig
from pyff.models.schema import ModelFileError
from pyff.ops import descriptor_permutations
from pyff.units import Units

__all__ = [
    "CODE_VERSION",
    "DEFAULT_UNITS",
    "arrays_of_cell",
    "arrays_of_model",
    "cell_and_images",
    "is_skewed",
    "load_sgdml",
    "model_of_arrays",
    "rounding_is_nearest",
    "save_sgdml",
    "text_of",
    "with_names_of_today",
]

_log = logging.getLogger("pyff")

CODE_VERSION = "1.0.3"  # of the layout that is written
DEFAULT_UNITS = Units("kcal/mol", "Angstrom")  # sGDML's documentation: what files without units are in
# name today <- names of older files
_OLD_NAMES = {
    "R_desc": ("Rt_desc", "trainPts_D"),
    "R_d_desc_alpha": ("Rt_d_desc_alpha", "r_d_desc_alpha"),
    "dataset_name": ("dataset",),
}
_UNKNOWN_ERROR = {"mae": float("nan"), "rmse": float("nan")}
# cosine between lattice vectors: up to the first, rounding finds every nearest image but for the rounding of the cell
# itself; from the second it misses images within half of the cell
_ORTHOGONAL, _SKEWED = 1e-6, 0.05


def load_sgdml(path: str | os.PathLike, units: Units | str | None = None) -> GDML:
    """The model in an sGDML file; nothing in the file is executed.

    Args:
        units: "energy,length", of files that state none; then the default is kcal/mol and Angstrom.

    Raises:
        FileNotFoundError: no such file.
        ModelFileError: not an sGDML model, arrays that do not fit, or units that contradict those of the file.
    """
    name = str(path)
    try:
        return model_of_arrays(read_npz(path), units, name)
    except ModelFileError:
        raise
    except (PyffError, ValueError) as error:
        raise ModelFileError(f"{name}: {error}" if name not in str(error) else str(error)) from None


def model_of_arrays(arrays: Mapping[str, np.ndarray], units: Units | str | None = None, name: str = "model") -> GDML:
    """The model whose npz arrays these are; see `load_sgdml`."""
    arrays = with_names_of_today(arrays)
    missing = [k for k in ("z", "R_desc", "R_d_desc_alpha", "sig", "c") if k not in arrays]
    if missing:
        kind = {"d": "a data set", "t": "a training task"}.get(text_of(arrays.get("type")) or "", "no sGDML model")
        raise ModelFileError(f"{name} is {kind}: a model holds R_desc, R_d_desc_alpha and more; missing {missing}")
    known, note = _units(arrays, units, name)
    config = GDMLConfig(
        sigma=float(np.squeeze(arrays["sig"])), lam=float(np.squeeze(arrays.get("lam", 1e-10))),
        **cell_and_images(arrays), energy_unit=known.energy, length_unit=known.length,
    )  # fmt: skip
    if config.cell is not None and config.images == "round":
        _warn_of_skewed(config.cell, name)
    points = np.asarray(arrays["R_desc"], float).T
    coef_energy = arrays.get("alphas_E")
    model = GDML(
        config, np.squeeze(arrays["z"]).astype(np.int64), train=_tensor(points),
        coef=_tensor(np.asarray(arrays["R_d_desc_alpha"], float).reshape(points.shape)),
        perms=torch.from_numpy(_permutations(arrays, points.shape[1], name)),
        coef_energy=None if coef_energy is None else _tensor(np.ravel(coef_energy)),
        constant=float(np.squeeze(arrays["c"])), std=float(np.squeeze(arrays.get("std", 1.0))),
    )  # fmt: skip
    model.info = _record(arrays, note)
    return model.eval()


def arrays_of_model(model: GDML) -> dict[str, Any]:
    """What a model knows of itself, by sGDML's names.

    A file needs more: the points it was trained and validated on, errors (`pyff.interfaces.sgdml`).

    Raises:
        ValueError: a kernel that sGDML does not have.
    """
    config = model.config
    if config.profile != "matern52":
        raise ValueError(f"sGDML has the matern52 kernel only; this model has {config.profile}. Save .safetensors")
    perms = model.perms.cpu()
    linear = descriptor_permutations(perms) + model.points.shape[1] * torch.arange(len(perms))[:, None]
    sigma = int(config.sigma) if config.sigma.is_integer() else config.sigma  # sgdml prints with %d
    arrays = {
        "z": model.Z.cpu().numpy().astype(np.uint8), "R_desc": model.points.T.cpu().numpy(),
        "R_d_desc_alpha": model.coef.cpu().numpy(), "c": model.constant.item(), "std": model.std.item(), "sig": sigma,
        "lam": config.lam, "perms": perms.numpy(), "tril_perms_lin": linear.T.reshape(-1).numpy(),
        "r_unit": config.length_unit, "e_unit": config.energy_unit, **arrays_of_cell(config),
    }  # fmt: skip
    if model.coef_energy is not None:
        arrays["alphas_E"] = model.coef_energy.cpu().numpy()
    return arrays


def arrays_of_cell(config: GDMLConfig) -> dict[str, Any]:
    """Lattice vectors, and which images are meant where sGDML's rounding finds others; nothing of open structures."""
    if config.cell is None:
        return {}
    cell = np.array(config.cell)
    own = config.images == "search" and not rounding_is_nearest(cell)
    return {"lattice": cell.T} | ({"images": "search"} if own else {})


def cell_and_images(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """`cell` and `images` of the GDMLConfig of a task or model; files that do not name the images round, as sGDML.

    Raises PyffError for images that are neither "search" nor "round".
    """
    lattice, images = arrays.get("lattice"), text_of(arrays.get("images", "round"))
    if images not in ("search", "round"):
        raise PyffError(f"images must be search or round; received {images or arrays['images']!r}")
    cell = None if lattice is None else tuple(map(tuple, np.asarray(lattice, float).T.tolist()))
    return {"cell": cell, "images": images}


def save_sgdml(model: GDML, path: str | os.PathLike) -> None:
    """Write a model as a file that sgdml 1.0.3 reads; `load_sgdml` returns it bit for bit.

    In cells that are not orthogonal sgdml rounds, and gives wrong numbers for models with images="search", which are
    warned of.

    Which points it was trained and validated on, and its errors, are written as far as `model.info` knows them.

    Raises ValueError for what sGDML does not have, see `arrays_of_model`.
    """
    info, own = model.info, arrays_of_model(model)
    if "images" in own:
        _log.warning(
            "%s: this model takes the true nearest images, which the file says and pyff reads. The cell is not "
            "orthogonal: sgdml itself would round fractional coordinates and give wrong numbers",
            path,
        )
    if info.get("units") == _note_of_default():
        del own["r_unit"], own["e_unit"]  # an assumption does not become a statement
    md5 = {f"md5_{k}": info[f"md5_{k}"].encode() for k in ("train", "valid", "test") if info.get(f"md5_{k}")}
    errors = {"f_err": info.get("forces_error", _UNKNOWN_ERROR)}
    if use_energy := info.get("use_energy") != "none":
        errors["e_err"] = info.get("energy_error", _UNKNOWN_ERROR)
    points = {k: np.array(info.get(k, ()), dtype=np.int64) for k in ("idxs_train", "idxs_valid")}
    about = {
        "type": "m", "code_version": CODE_VERSION, "dataset_name": info.get("data", "unknown"),
        "dataset_theory": info.get("theory", "unknown"), "solver_name": info.get("solver", "unknown"),
        "n_test": info.get("n_test", 0), "use_E": use_energy,
    }  # fmt: skip
    write_npz(path, about | points | {"md5_train": b"", "md5_valid": b"", "md5_test": None} | md5 | errors | own)


def text_of(value: Any) -> str | None:
    """Text of an array of one string, bytes or unicode; None for anything else and for nothing."""
    item = np.asarray(value).reshape(-1)[0] if value is not None and np.size(value) == 1 else None
    return item.decode(errors="replace") if isinstance(item, bytes) else str(item) if isinstance(item, str) else None


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float64))


def with_names_of_today(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a file of any year by the names that sgdml 1.0.3 uses."""
    renamed = {old: name for name, names in _OLD_NAMES.items() for old in names}
    return {renamed.get(k, k): value for k, value in arrays.items()}


def _units(arrays: Mapping[str, np.ndarray], given: Units | str | None, name: str) -> tuple[Units, str]:
    """Units of the numbers and how they are known."""
    given = Units.parse(given) if isinstance(given, str) else given
    energy, length = text_of(arrays.get("e_unit")), text_of(arrays.get("r_unit"))
    if energy and length:
        stated = _stated(energy, length, given, name)
        if given not in (None, stated):
            raise ModelFileError(f"{name} states the units {stated}; received {given}. Leave units out")
        return stated, f"{stated}, stated in the file"
    if given is not None:
        return given, f"{given}, as given: the file states none"
    _log.warning("%s states no units: taken as %s, sGDML's default; say units=... if they are others", name,
                 DEFAULT_UNITS)  # fmt: skip
    return DEFAULT_UNITS, _note_of_default()


def _note_of_default() -> str:
    return f"{DEFAULT_UNITS}, sGDML's default: the file states none"


def _stated(energy: str, length: str, given: Units | None, name: str) -> Units:
    """The units that a file names; those given where it has names that mean nothing to pyff."""
    try:
        return Units(energy, length)
    except PyffError as error:
        if given is not None:
            return given
        raise ModelFileError(f"{name}: {error}. Say units='energy,length'") from None


def _permutations(arrays: Mapping[str, np.ndarray], n_pairs: int, name: str) -> np.ndarray:
    """Permutations of the atoms [P, N], counted from 0; they act on descriptors as the file says."""
    n_atoms = np.size(arrays["z"])
    if "tril_perms_lin" in arrays:
        linear = np.asarray(arrays["tril_perms_lin"], dtype=np.int64).reshape(n_pairs, -1).T
        on_pairs = linear - n_pairs * np.arange(len(linear))[:, None]
    elif "train_perms" in arrays:
        on_pairs = np.asarray(arrays["train_perms"], dtype=np.int64).reshape(-1, n_pairs)
    else:
        on_pairs = np.arange(n_pairs)[None]
    perms = np.asarray(arrays.get("perms", _of_atoms(on_pairs, n_atoms)), dtype=np.int64)
    if perms.ndim == 2 and perms.size and perms.min() == 1:  # files of 2018
        perms = perms - 1
    ordered = perms.ndim == 2 and np.array_equal(np.sort(perms, 1), np.tile(np.arange(n_atoms), (len(perms), 1)))
    if not ordered or not np.array_equal(descriptor_permutations(torch.from_numpy(perms)).numpy(), on_pairs):
        raise ModelFileError(f"{name}: the permutations of atoms and of descriptors (tril_perms_lin) must agree")
    return perms


def _of_atoms(on_pairs: np.ndarray, n_atoms: int) -> np.ndarray:
    """Permutations of atoms from what they do to pairs: atom a becomes the one that all its pairs get in common."""
    a, b = np.tril_indices(n_atoms, -1)
    if n_atoms < 3:
        return np.tile(np.arange(n_atoms), (len(on_pairs), 1))
    perms = np.empty((len(on_pairs), n_atoms), dtype=np.int64)
    for p, row in enumerate(on_pairs % len(a)):
        for atom in range(n_atoms):
            of_atom = row[(a == atom) | (b == atom)]
            perms[p, atom] = np.bincount(np.concatenate([a[of_atom], b[of_atom]]), minlength=n_atoms).argmax()
    return perms


@functools.cache  # once for a file
def _warn_of_skewed(cell: tuple[tuple[float, ...], ...], name: str) -> None:
    if is_skewed(np.array(cell)):
        _log.warning(
            "%s: the cell is skewed, where sGDML's rounding does not always find the nearest image: energies jump when "
            "it finds another one. The model was trained so and is computed so",
            name,
        )


def is_skewed(cell: np.ndarray) -> bool:
    """Whether rounding of fractional coordinates misses nearest images within half of the cell [3, 3]."""
    return _skewness(cell) > _SKEWED


def rounding_is_nearest(cell: np.ndarray) -> bool:
    """Whether rounding of fractional coordinates finds every nearest image: in orthogonal cells [3, 3] only."""
    return _skewness(cell) <= _ORTHOGONAL


def _skewness(cell: np.ndarray) -> float:
    """Largest cosine between two lattice vectors; 0 in orthogonal cells."""
    directions = cell / np.linalg.norm(cell, axis=1, keepdims=True)
    return float(np.abs(directions @ directions.T - np.eye(3)).max())


def _record(arrays: Mapping[str, np.ndarray], units_note: str) -> dict[str, Any]:
    """What the file remembers, as JSON values."""
    texts = {"data": "dataset_name", "theory": "dataset_theory", "solver": "solver_name", "sgdml": "code_version"}
    texts |= {name: name for name in ("md5_train", "md5_valid", "md5_test")}
    info: dict[str, Any] = {k: text for k, name in texts.items() if (text := text_of(arrays.get(name)))}
    for name in ("idxs_train", "idxs_valid", "n_test"):
        if name in arrays and arrays[name].dtype.kind in "iu":
            info[name] = arrays[name].tolist()
    if not np.squeeze(arrays.get("use_E", True)):
        info["use_energy"] = "none"
    info["units"] = units_note
    for label, key in (("energy", "e_err"), ("forces", "f_err")):
        value = arrays[key].item() if key in arrays and np.size(arrays[key]) == 1 else None
        if isinstance(value, dict):
            info[f"{label}_error"] = {k: float(v) for k, v in value.items() if np.isfinite(v)}
    return info

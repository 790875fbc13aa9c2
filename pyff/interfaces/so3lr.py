"""SO3LR's published parameters: a pickled tree of numpy arrays and a JSON file of options, turned into a pyff model.

The pickle is read as data, without executing anything; array names are those of the flax program (mlff, branch
v1.0-lrs-gems). Flax matrices are (in, out); pyff's are (out, in).
Source: Kabylda et al., J. Am. Chem. Soc. 2025; repository general-molecular-simulations/so3lr, MIT licence.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyff.errors import PyffError
from pyff.interfaces.pickle_machine import Name, PickleError, Record, read_pickle

if TYPE_CHECKING:
    from pyff.models.so3krates import SO3krates

__all__ = ["SO3LR", "ConversionError", "is_so3lr", "read_so3lr", "to_pyff"]

LONG_RANGE_CUTOFF = 12.0  # A, the published calculator's; the training had none
ROWS = 119  # of pyff's element tables; SO3LR's tables for charges and Hirshfeld ratios have 100
MAX_BYTES = 256 * 2**20
_NUMPY = {"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype"}
_MARK = b"feature_embeddings_0"

CUTOFFS = {"phys": "polynomial3", "cosine": "cosine", "exponential": "mollifier", "polynomial": "polynomial6"}
BASES = {"bernstein": "bernstein", "phys": "exp_gaussian", "physnet": "exp_gaussian"}
NORMALIZATIONS = {"sqrt_num_features": "sqrt_head_size", "identity": "none"}


class ConversionError(PyffError):
    """Parameters that have no exact counterpart in pyff, or that do not fit their options."""


@dataclass(frozen=True)
class SO3LR:
    """Published parameters: arrays by their path in the tree, such as layers_0/attention_block/Wq1, and the options."""

    arrays: Mapping[str, np.ndarray]
    options: Mapping[str, Any]  # section `model` of hyperparameters.json
    avg_num_neighbors: float | None

    @property
    def elements(self) -> list[int]:
        """Atomic numbers the weights were trained on: their scale factors have moved from where training starts, 1."""
        scales = self.arrays.get("observables_0/atomic_scales")
        return [] if scales is None else [int(z) for z in np.flatnonzero(scales.ravel() != 1) if z > 0]


def is_so3lr(path: str | os.PathLike) -> bool:
    """Whether a file looks like SO3LR's params.pkl."""
    with open(path, "rb") as file:
        start = file.read(4096)
    return start[:1] == b"\x80" and _MARK in start


def read_so3lr(path: str | os.PathLike, options: str | os.PathLike | None = None) -> SO3LR:
    """Read params.pkl and, from beside it unless given, hyperparameters.json.

    Raises:
        PickleError: damaged, or naming anything but numpy arrays.
        ConversionError: options missing or not those of a SO3krates model.
    """
    path = Path(path)
    if path.stat().st_size > MAX_BYTES:
        raise PickleError(f"{path}: larger than any parameters of SO3LR")
    try:
        with open(path, "rb") as file:
            tree = read_pickle(file, lambda name: str(name) in _NUMPY)
        arrays = dict(_arrays(tree.get("params") if isinstance(tree, dict) else None, "", set()))
    except PickleError as error:
        raise PickleError(f"{path}: {error}") from None
    except (RecursionError, MemoryError) as error:
        raise PickleError(f"{path}: damaged pickle: {type(error).__name__}") from None
    if not arrays:
        raise PickleError(f"{path}: must hold a tree of parameters under 'params'; received {type(tree).__name__}")
    options = Path(options) if options is not None else path.with_name("hyperparameters.json")
    if not options.exists():
        raise ConversionError(f"{options.name} must lie beside {path}: the parameters do not say what they belong to")
    try:
        hyper = json.loads(options.read_text())
        model, data = dict(hyper["model"]), dict(hyper.get("data", {}))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConversionError(f"{options}: must be SO3LR's hyperparameters.json, with a section `model`") from None
    average = data.get("avg_num_neighbors")
    return SO3LR(arrays, model, float(average) if isinstance(average, (int, float)) else None)


def _arrays(node: Any, path: str, seen: set[int]) -> Iterable[tuple[str, np.ndarray]]:
    # a dict that holds itself has no end, and one that holds another twice, forty times over, none in a lifetime
    if node is not None and id(node) in seen:
        raise PickleError(f"parameter {path[:80]} must appear once in the tree; it is there twice")
    seen.add(id(node))
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _arrays(value, f"{path}/{name}" if path else str(name), seen)
    elif isinstance(node, Record) and node.cls.name == "_reconstruct":
        yield path, _array(node, path)
    elif node is not None:
        raise PickleError(f"parameter {path} must be an array; received {type(node).__name__}")


def _array(record: Record, path: str) -> np.ndarray:
    """The array of a pickled numpy array: its state is (version, shape, dtype, Fortran order, bytes)."""
    try:
        _, shape, dtype, fortran, data = record.raw_state
        kind = np.dtype({"f4": np.float32, "f8": np.float64}[dtype.args[0]]).newbyteorder(dtype.raw_state[1])
        if dtype.cls != Name("numpy", "dtype") or not isinstance(data, bytes):
            raise TypeError
        # one shape for the bytes there are: frombuffer and reshape check it
        return np.frombuffer(data, kind).reshape(shape, order="F" if fortran else "C").astype(kind.newbyteorder("="))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise PickleError(f"parameter {path} must be an array of floats; its description is damaged") from None


def to_pyff(
    source: SO3LR, elements: Iterable[int] | None = None, *, long_range_cutoff: float | None = None
) -> SO3krates:
    """The same function as a pyff model.

    Args:
        elements: atomic numbers the model may be used on; None: those it was trained on.
        long_range_cutoff: of electrostatics and dispersion, A; infinity sums over all pairs of open structures; None
            takes the file's own, or where the file has none the 12 A of the published calculator.

    Raises:
        ConversionError: an option that pyff's SO3krates does not have, or arrays that do not fit the options.
    """
    import torch

    from pyff.models.so3krates import SO3krates

    elements = sorted(set(source.elements if elements is None else elements))
    if not elements:
        raise ConversionError("elements must list what the model was trained on, such as H,C,O: the file does not say")
    config = _config(source, long_range_cutoff)
    model = SO3krates(config, elements)
    state = {name: torch.from_numpy(np.array(x, np.float32, order="C")) for name, x in _state(source, config).items()}
    own = model.state_dict()
    for name in own:
        if name not in state or state[name].shape != own[name].shape:
            received = tuple(state[name].shape) if name in state else "none"
            raise ConversionError(f"{name} must have shape {tuple(own[name].shape)}; received {received}")
    model.load_state_dict(state)
    model.info = {"origin": "SO3LR", "level of theory": "PBE0+MBD", "energies": "relative; forces were trained on"}
    return model.eval()


def _config(source: SO3LR, long_range_cutoff: float | None):
    from pydantic import ValidationError

    from pyff.models.so3krates import SO3kratesConfig

    o = source.options
    try:
        fields = _fields(source, long_range_cutoff)
    except KeyError as error:
        raise ConversionError(f"option {error} of SO3LR is missing or has no counterpart: {_known(o, error)}") from None
    try:
        return SO3kratesConfig(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConversionError(f"options of SO3LR: {'.'.join(map(str, first['loc']))} {first['msg']}") from None


def _known(options: Mapping, error: KeyError) -> str:
    return f"received {options}"[:200] if error.args[0] not in options else f"received {options[error.args[0]]!r}"


def _fields(source: SO3LR, long_range_cutoff: float | None) -> dict[str, Any]:
    """SO3kratesConfig's fields."""
    o = source.options
    norms = {True: "layer", False: "none"}
    normalization = o["message_normalization"]
    if normalization == "avg_num_neighbors":
        attention = source.avg_num_neighbors or 0.0
    else:
        attention = NORMALIZATIONS[normalization]
    cutoff = long_range_cutoff or o.get("cutoff_lr") or LONG_RANGE_CUTOFF
    return {
        "n_features": o["num_features"],
        "n_heads": o["num_heads"],
        "degrees": tuple(o["degrees"]),
        "n_layers": o["num_layers"],
        "n_rbf": o["num_radial_basis_fn"],
        "cutoff": o["cutoff"],
        "cutoff_function": CUTOFFS[o["cutoff_fn"]],
        "radial_basis": BASES[o["radial_basis_fn"]],
        "attention_normalization": attention,
        "qk_activation": o["qk_non_linearity"],
        "norm_1": norms[o["layer_normalization_1"]],
        "norm_2": norms[o["layer_normalization_2"]],
        "residual_mlp_1": o["residual_mlp_1"],
        "residual_mlp_2": o["residual_mlp_2"],
        "activation": o["activation_fn"],
        "charge_embedding": o["use_charge_embed"],
        "spin_embedding": o["use_spin_embed"],
        "readout_features": o["energy_regression_dim"],
        "readout_activation": o["energy_activation_fn"],
        "element_scale": True,
        "element_shift": True,
        "zero_init_output": o["output_is_zero_at_init"],
        "charges": True,
        "hirshfeld": True,
        "zbl": o["zbl_repulsion_bool"],
        "electrostatics": o["electrostatic_energy_bool"],
        "dispersion": o["dispersion_energy_bool"],
        "electrostatics_sigma": o["electrostatic_energy_scale"],
        "dispersion_scale": o["dispersion_energy_scale"],
        "dispersion_width": o.get("dispersion_energy_cutoff_lr_damping") or 2.0,
        "long_range_cutoff": None if math.isinf(cutoff) else cutoff,
    }


class _Tree:
    """Arrays under one path, by the names of the flax program."""

    def __init__(self, arrays: Mapping[str, np.ndarray], path: str) -> None:
        self.arrays, self.path = arrays, path

    def __call__(self, name: str) -> np.ndarray:
        key = f"{self.path}/{name}"
        if key not in self.arrays:
            raise ConversionError(f"parameter {key} must be there for these options; it is missing")
        return self.arrays[key]

    def matrix(self, name: str) -> np.ndarray:
        return self(f"{name}/kernel").T

    def bias(self, name: str) -> np.ndarray:
        return self(f"{name}/bias")

    def table(self, name: str) -> np.ndarray:
        """Rows by atomic number, filled up with zeros."""
        rows = self(f"{name}/embedding") if f"{self.path}/{name}/embedding" in self.arrays else self(name)
        full = np.zeros((ROWS, *rows.shape[1:]), np.float32)
        full[: len(rows)] = rows[:ROWS]
        return full


def _state(source: SO3LR, config) -> dict[str, np.ndarray]:
    """pyff's state dict."""
    root = source.arrays
    state = {"embedding": _Tree(root, "feature_embeddings_0").table("Embed_0")}
    modules = [name for name in ("charge", "spin") if getattr(config, f"{name}_embedding")]
    for k, name in enumerate(modules, 1):
        state |= _prefixed(
            f"{name}_embedding", _electrons(_Tree(root, f"feature_embeddings_{k}/ChargeSpinEmbedSparse_0"))
        )
    for k in range(config.n_layers):
        state |= _prefixed(f"layers.{k}", _layer(_Tree(root, f"layers_{k}"), config))
    energy = _Tree(root, "observables_0")
    state |= _prefixed("readout", _readout(energy, "energy_dense_regression", "energy_dense_final"))
    state["element_scale"], state["element_shift"] = energy.table("atomic_scales"), energy.table("energy_offset")
    charges = _Tree(root, "observables_0/electrostatic_energy/partial_charges")
    state |= _prefixed("charge_readout", _readout(charges, "charge_dense_regression_vec", "charge_dense_final_vec"))
    state["charge_shift"] = charges.table("Embed_0")[:, 0]
    hirshfeld = _Tree(root, "observables_2")
    parts = _readout(hirshfeld, "hirshfeld_ratios_dense_regression", "hirshfeld_ratios_dense_final")
    parts |= {"shift": hirshfeld.table("Embed_0")[:, 0], "query": hirshfeld.table("Embed_1")}
    state |= _prefixed("hirshfeld_readout", parts)
    if config.zbl:
        state |= _prefixed("terms.zbl", _zbl(_Tree(root, "observables_0/zbl_repulsion")))
    return state


def _prefixed(prefix: str, parts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}.{name}": value for name, value in parts.items()}


def _electrons(t: _Tree) -> dict[str, np.ndarray]:
    return {
        "query": t.table("Embed_0"),
        "key": t("Embed_1/embedding"),
        "value": t("Embed_2/embedding"),
        "w1": t.matrix("Residual_0/layers_0"),
        "w2": t.matrix("Residual_0/layers_1"),
    }


def _readout(t: _Tree, first: str, last: str) -> dict[str, np.ndarray]:
    return {"w1": t.matrix(first), "b1": t.bias(first), "w2": t.matrix(last), "b2": t.bias(last)}


def _layer(t: _Tree, config) -> dict[str, np.ndarray]:
    parts = {}
    for ours, theirs in (("radial", "radial_filter"), ("spherical", "spherical_filter")):
        for k in (1, 2):
            names = [f"attention_block/{theirs}{block}_layer_{k}" for block in (1, 2)]
            parts[f"{ours}_w{k}"] = np.stack([t.matrix(name) for name in names])
            parts[f"{ours}_b{k}"] = np.stack([t.bias(name) for name in names])
    for name in ("q1", "k1", "v1", "q2", "k2"):
        parts[f"w_{name}"] = t(f"attention_block/W{name}")
    parts["exchange_w"], parts["exchange_b"] = (
        t.matrix("exchange_block/mlp_layer_2"),
        t.bias("exchange_block/mlp_layer_2"),
    )
    for k in (1, 2):
        if getattr(config, f"norm_{k}") == "layer":
            parts[f"norm_{k}_scale"] = t(f"layer_normalization_{k}/scale")
            parts[f"norm_{k}_bias"] = t(f"layer_normalization_{k}/bias")
        if getattr(config, f"residual_mlp_{k}"):
            mlp = _readout(t, f"res_mlp_{k}_layer_1", f"res_mlp_{k}_layer_2")
            parts |= {f"mlp_{k}_{name}": value for name, value in mlp.items()}
    return parts


def _zbl(t: _Tree) -> dict[str, np.ndarray]:
    four = lambda name: np.concatenate([t(f"{name}{k}").ravel() for k in range(1, 5)])  # noqa: E731
    power, inverse_length = (t(name).reshape(()) for name in ("p", "d"))
    return {"exponents": four("a"), "weights": four("c"), "power": power, "inverse_length": inverse_length}

"""SO3LR's published parameters: a pickled tree of numpy arrays and a JSON file of options, turned into a pyff model.

The pickle is read as data, without executing anything; array names are those of the flax program (mlff, branch
v1.0-lrs-gems). Flax matrices are (in, out); pyff's are (out, in).
Source: Kabylda et al., J. Am. Chem. Soc. 2025; repository general-molecular-simulations/so3lr, MIT licence.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyff._pickle_machine import Name, PickleError, Record, read_pickle
from pyff.errors import ConversionError

if TYPE_CHECKING:
    from pyff.models.so3krates import SO3krates

__all__ = ["SO3LR", "is_so3lr", "read_so3lr", "to_pyff"]

LONG_RANGE_CUTOFF = 12.0  # A, the published calculator's; the training had none
ROWS = 119  # of pyff's element tables; SO3LR's tables for charges and Hirshfeld ratios have 100
MAX_WIDTH, MAX_CUTOFF = 4096, 10_000  # of SO3kratesConfig's features, and of its long-range cutoff in A
MAX_BYTES = 256 * 2**20
_NUMPY = {"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype"}
_MARK = b"feature_embeddings_0"

CUTOFFS = {"phys": "polynomial3", "cosine": "cosine", "exponential": "mollifier", "polynomial": "polynomial6"}
BASES = {"bernstein": "bernstein", "phys": "exp_gaussian", "physnet": "exp_gaussian"}
NORMALIZATIONS = {"sqrt_num_features": "sqrt_head_size", "identity": "none"}
# field of SO3kratesConfig -> option of SO3LR
OPTIONS = {
    "n_features": "num_features",
    "n_heads": "num_heads",
    "degrees": "degrees",
    "n_layers": "num_layers",
    "n_rbf": "num_radial_basis_fn",
    "cutoff": "cutoff",
    "qk_activation": "qk_non_linearity",
    "residual_mlp_1": "residual_mlp_1",
    "residual_mlp_2": "residual_mlp_2",
    "activation": "activation_fn",
    "charge_embedding": "use_charge_embed",
    "spin_embedding": "use_spin_embed",
    "readout_features": "energy_regression_dim",
    "readout_activation": "energy_activation_fn",
    "zero_init_output": "output_is_zero_at_init",
    "zbl": "zbl_repulsion_bool",
    "electrostatics": "electrostatic_energy_bool",
    "dispersion": "dispersion_energy_bool",
    "electrostatics_sigma": "electrostatic_energy_scale",
    "dispersion_scale": "dispersion_energy_scale",
    "attention_normalization": "message_normalization",
    "dispersion_width": "dispersion_energy_cutoff_lr_damping",
}
DERIVED = {"attention_normalization", "dispersion_width"}  # not copied


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
    return SO3LR(arrays, model, _number(data, "avg_num_neighbors", 0.0) or None)


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

    config = _config(source, long_range_cutoff)
    state = {name: torch.from_numpy(_single(name, x)) for name, x in _state(source, config).items()}
    elements = sorted(set(source.elements if elements is None else elements))
    if not elements:
        raise ConversionError("elements must list what the model was trained on, such as H,C,O: the file does not say")
    with torch.device("meta"):  # without memory: a small file must not ask for a huge network
        _require_own(SO3krates(config, elements), state)
    model = SO3krates(config, elements)
    model.load_state_dict(state)
    model.info = {"origin": "SO3LR", "level of theory": "PBE0+MBD", "energies": "relative; forces were trained on"}
    return model.eval()


def _single(name: str, x: np.ndarray) -> np.ndarray:
    """A copy in single precision."""
    with np.errstate(over="ignore"):
        x = np.array(x, np.float32, order="C")
    if not np.isfinite(x).all():
        raise ConversionError(f"{name} must be finite in single precision; received NaN, infinity or a larger number")
    return x


def _require_own(model: SO3krates, state: Mapping[str, Any]) -> None:
    for name, own in model.state_dict().items():
        if name not in state or state[name].shape != own.shape:
            received = tuple(state[name].shape) if name in state else "none"
            raise ConversionError(f"{name} must have shape {tuple(own.shape)}; received {received}")


def _config(source: SO3LR, long_range_cutoff: float | None):
    from pydantic import ValidationError

    from pyff.models.schema import first_problem
    from pyff.models.so3krates import SO3kratesConfig

    fields = _fields(source)
    width = fields["dispersion_width"] if fields["dispersion"] is True else 0.0
    fields["long_range_cutoff"] = _long_range(source.options, long_range_cutoff, width)
    try:
        config = SO3kratesConfig(**fields)
    except ValidationError as error:
        where = error.errors()[0]["loc"]
        option = OPTIONS.get(where[0], where[0]) if where else None
        of = f"option {option} of SO3LR" if option else "options of SO3LR"
        raise ConversionError(f"{of}: {first_problem(error)}") from None
    try:
        config.basis()
    except ValueError as error:
        raise ConversionError(f"option num_radial_basis_fn of SO3LR: {error}") from None
    return config


def _long_range(o: Mapping[str, Any], given: float | None, width: float) -> float | None:
    """SO3kratesConfig.long_range_cutoff, A; None: all pairs."""
    cutoff = given if given is not None else _number(o, "cutoff_lr", LONG_RANGE_CUTOFF)
    if cutoff == math.inf:
        return None
    if not width < cutoff <= MAX_CUTOFF:
        faded = f"the {width:g} A over which the dispersion energy fades (dispersion_width)" if width else "0"
        name = "option cutoff_lr of SO3LR" if given is None else "long_range_cutoff"
        raise ConversionError(
            f"{name} must be larger than {faded} and at most {MAX_CUTOFF} A, or infinite for all pairs; received "
            f"{cutoff:g} A. Choose another with --long-range-cutoff (in Python long_range_cutoff), such as 12"
        )
    return cutoff


def _number(o: Mapping[str, Any], name: str, default: float) -> float:
    """An option that may be absent, null or 0."""
    value = o.get(name)
    try:
        if not isinstance(value, (int, float, type(None))):
            raise TypeError
        return float(value or default)
    except (TypeError, OverflowError):
        raise ConversionError(f"option {name} of SO3LR must be a number or null; received {_short(value)}") from None


def _choice(o: Mapping[str, Any], name: str, choices: Mapping) -> Any:
    value = _required(o, name)
    if not isinstance(value, (str, bool)) or value not in choices:
        known = ", ".join(map(str, choices))
        raise ConversionError(
            f"option {name} of SO3LR must be one of {known}, which have a counterpart; received {_short(value)}"
        )
    return choices[value]


def _required(o: Mapping[str, Any], name: str) -> Any:
    if name not in o:
        raise ConversionError(f"option {name} of SO3LR must be there; the section `model` holds {_short(sorted(o))}")
    return o[name]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _fields(source: SO3LR) -> dict[str, Any]:
    """SO3kratesConfig's fields but the long-range cutoff."""
    o = source.options
    norms = {True: "layer", False: "none"}
    average = "avg_num_neighbors"
    normalization = _choice(o, "message_normalization", {**NORMALIZATIONS, average: average})
    return {
        **{field: _required(o, name) for field, name in OPTIONS.items() if field not in DERIVED},
        "cutoff_function": _choice(o, "cutoff_fn", CUTOFFS),
        "radial_basis": _choice(o, "radial_basis_fn", BASES),
        "attention_normalization": source.avg_num_neighbors or 0.0 if normalization == average else normalization,
        "norm_1": _choice(o, "layer_normalization_1", norms),
        "norm_2": _choice(o, "layer_normalization_2", norms),
        "element_scale": True,
        "element_shift": True,
        "charges": True,
        "hirshfeld": True,
        "dispersion_width": _number(o, "dispersion_energy_cutoff_lr_damping", 2.0),
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

    def of(self, name: str, ndim: int) -> np.ndarray:
        array = self(name)
        if array.ndim != ndim:
            raise ConversionError(
                f"parameter {self.path}/{name} must have {ndim} dimensions; received an array of shape {array.shape}"
            )
        return array

    def matrix(self, name: str) -> np.ndarray:
        return self.of(f"{name}/kernel", 2).T

    def bias(self, name: str) -> np.ndarray:
        return self.of(f"{name}/bias", 1)

    def number(self, name: str) -> np.ndarray:
        if self(name).size != 1:
            raise ConversionError(f"parameter {self.path}/{name} must be one number; received {self(name).size}")
        return self(name).reshape(())

    def stack(self, parts: Sequence[np.ndarray], names: Sequence[str]) -> np.ndarray:
        if len({x.shape for x in parts}) > 1:
            shapes = " and ".join(str(x.shape) for x in parts)
            raise ConversionError(f"parameters {self.path}/({', '.join(names)}) must have one shape; received {shapes}")
        return np.stack(parts)

    def table(self, name: str) -> np.ndarray:
        """Rows [n, columns] of an embedding by atomic number, filled up with zeros."""
        return self._filled(f"{name}/embedding", 2)

    def numbers(self, name: str) -> np.ndarray:
        """Numbers [n] by atomic number, filled up with zeros."""
        return self._filled(name, 1)

    def column(self, name: str) -> np.ndarray:
        """An embedding of one number."""
        table = self.table(name)
        if table.shape[1] != 1:
            raise ConversionError(f"parameter {self.path}/{name} must have one column; received {table.shape[1]}")
        return table[:, 0]

    def _filled(self, name: str, ndim: int) -> np.ndarray:
        rows = self.of(name, ndim)
        if len(rows) > ROWS or any(n > MAX_WIDTH for n in rows.shape):
            raise ConversionError(
                f"parameter {self.path}/{name} must have at most {ROWS} rows, of at most {MAX_WIDTH} numbers; received "
                f"an array of shape {rows.shape}"
            )
        full = np.zeros((ROWS, *rows.shape[1:]), rows.dtype)
        full[: len(rows)] = rows
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
    state["element_scale"], state["element_shift"] = energy.numbers("atomic_scales"), energy.numbers("energy_offset")
    charges = _Tree(root, "observables_0/electrostatic_energy/partial_charges")
    state |= _prefixed("charge_readout", _readout(charges, "charge_dense_regression_vec", "charge_dense_final_vec"))
    state["charge_shift"] = charges.column("Embed_0")
    hirshfeld = _Tree(root, "observables_2")
    parts = _readout(hirshfeld, "hirshfeld_ratios_dense_regression", "hirshfeld_ratios_dense_final")
    parts |= {"shift": hirshfeld.column("Embed_0"), "query": hirshfeld.table("Embed_1")}
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
            parts[f"{ours}_w{k}"] = t.stack([t.matrix(name) for name in names], names)
            parts[f"{ours}_b{k}"] = t.stack([t.bias(name) for name in names], names)
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
    power, inverse_length = (t.number(name) for name in ("p", "d"))
    return {"exponents": four("a"), "weights": four("c"), "power": power, "inverse_length": inverse_length}

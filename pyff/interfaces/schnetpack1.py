"""SchNet models of SchNetPack 1.x: whole pickled modules, read as data and turned into pyff models.

SchNetPack 1 saves the Python object itself, so its files break whenever its classes move, and loading one runs
whatever the file says. Here the module tree is read without executing anything; only weights and options are kept.
Source of the layout: SchNetPack v1.0.1, `representation/schnet.py`, `nn/cfconv.py`, `atomistic/output_modules.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pyff._pickle_machine import Record
from pyff.errors import ConversionError
from pyff.interfaces.torch_file import StoredTensor, read_torch_file
from pyff.units import ENERGY, LENGTH, parse_energy_unit, parse_length_unit

if TYPE_CHECKING:
    from pyff.models.schnet import SchNet

__all__ = ["Interaction", "SchNetPack1", "read_schnetpack1", "to_pyff"]

CUTOFFS = {"HardCutoff": "none", "CosineCutoff": "cosine", "MollifierCutoff": "mollifier"}


@dataclass(frozen=True)
class Interaction:
    """Weights of one interaction block; matrices are (out, in), as torch stores them."""

    W1: np.ndarray
    b1: np.ndarray
    W2: np.ndarray
    b2: np.ndarray
    in2f: np.ndarray
    f2out: tuple[np.ndarray, np.ndarray]
    dense: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class SchNetPack1:
    """A SchNetPack 1 SchNet in its own units.

    E = sum_i (stddev * net(x_i) + mean + atomref[Z_i]), or the mean over atoms where pooling is "mean".
    """

    cutoff: float
    cutoff_function: str  # of pyff: none (hard), cosine, mollifier
    centers: np.ndarray
    widths: np.ndarray
    embedding: np.ndarray  # [100, F], row Z
    interactions: list[Interaction]
    shared: bool  # the same weights in every block
    aggregation: str  # over neighbors: sum or mean
    readout: list[tuple[np.ndarray, np.ndarray]]
    mean: float
    stddev: float
    pooling: str
    property: str
    atomref: np.ndarray | None = field(default=None)  # [Z_max]


def read_schnetpack1(path: str | os.PathLike) -> SchNetPack1:
    """Read a pickled SchNetPack 1 model without executing anything in it.

    Raises:
        PickleError: not a torch file, damaged, or naming something outside torch.nn and schnetpack.
        ConversionError: a model that is not a SchNet with one Atomwise output.
    """
    root = read_torch_file(path, ("schnetpack.",))
    if not isinstance(root, Record) or str(root.cls) != "schnetpack.atomistic.model.AtomisticModel":
        kind = root.cls if isinstance(root, Record) else type(root).__name__
        raise ConversionError(
            f"{path}: must be a whole model saved by SchNetPack 1 (an AtomisticModel); this file holds a {kind}"
        )
    net, head = _child(root, "representation"), _output(root)
    if net.cls.name != "SchNet" or net.state.get("charged_systems"):
        raise ConversionError(f"{path}: only SchNet without charge embedding can be converted; this is {net.cls.name}")
    expansion = _child(net, "distance_expansion")
    if expansion.cls.name != "GaussianSmearing" or expansion.state.get("centered"):
        raise ConversionError(f"{path}: distances must be expanded in Gaussians on a grid; this uses {expansion.cls}")
    blocks = list(_modules(_child(net, "interactions")).values())
    conv = _child(blocks[0], "cfconv")
    cutoff = _child(conv, "cutoff_network")
    if cutoff.cls.name not in CUTOFFS:
        raise ConversionError(f"{path}: cutoff function must be one of {', '.join(CUTOFFS)}; this is {cutoff.cls.name}")
    return SchNetPack1(
        cutoff=float(_tensor(cutoff, "cutoff").item()),
        cutoff_function=CUTOFFS[cutoff.cls.name],
        centers=_tensor(expansion, "offsets"),
        widths=_tensor(expansion, "width"),
        embedding=_tensor(_child(net, "embedding"), "weight"),
        interactions=[_interaction(block) for block in blocks],
        shared=len(blocks) > 1 and all(block is blocks[0] for block in blocks),
        aggregation=_aggregation(_child(conv, "agg")),
        **_head(head),
    )


def to_pyff(
    source: SchNetPack1,
    elements: Iterable[int],
    *,
    energy_unit: str,
    length_unit: str,
    cutoff_function: str | None = None,
) -> SchNet:
    """The same function as a pyff SchNet, in eV and A.

    The per-atom mean and the atomic references become reference energies in float64; the standard deviation becomes
    the output scale; the weights stay as they are. Gaussians scale with the cutoff, so a model in Bohr is exact too.

    Args:
        elements: atomic numbers the model was trained on; SchNetPack 1 files do not record them.
        energy_unit, length_unit: units the model was trained in; the files do not record them either.
        cutoff_function: None keeps the file's own; else "none", "cosine" or "mollifier" (another function!).

    Raises:
        ConversionError: a shape or option that pyff's SchNet does not have.
        PyffError: an unknown unit.
    """
    import torch

    from pyff.models.schnet import SchNet, SchNetConfig

    per_energy, per_length = ENERGY[parse_energy_unit(energy_unit)], LENGTH[parse_length_unit(length_unit)]
    _require_convertible(source)
    config = SchNetConfig(
        n_features=source.embedding.shape[1],
        n_interactions=len(source.interactions),
        n_rbf=len(source.centers),
        cutoff=source.cutoff * per_length,
        cutoff_function=cutoff_function or source.cutoff_function,
        aggregation=source.aggregation,
        shared_interactions=source.shared,
        output_scale=source.stddev * per_energy,
    )
    elements = sorted(set(elements))
    model = SchNet(config, elements, {z: _reference(source, z) * per_energy for z in elements})
    model.load_state_dict({name: torch.from_numpy(value) for name, value in _state(source, model).items()})
    model.info = {"origin": "SchNetPack 1", "property": source.property}
    return model.eval()


def _reference(source: SchNetPack1, Z: int) -> float:
    if source.atomref is None:
        return source.mean
    if len(source.atomref) <= Z:
        raise ConversionError(f"the file's atomic references end at Z = {len(source.atomref) - 1}; asked for {Z}")
    return source.mean + float(source.atomref[Z])


def _require_convertible(source: SchNetPack1) -> None:
    n, features = len(source.centers), source.embedding.shape[1]
    grid = np.linspace(0.0, source.cutoff, n)
    spacing = source.cutoff / max(1, n - 1)
    single = 4e-7 * source.cutoff  # the file's numbers are float32
    if np.abs(source.centers - grid).max() > single or np.abs(source.widths - spacing).max() > single:
        raise ConversionError("the Gaussians must sit on a regular grid from 0 to the cutoff, one spacing wide")
    if source.pooling != "sum":
        raise ConversionError("the output must be a sum over atoms, as an energy is; this model takes their mean")
    shapes = [w.shape for w, _ in source.readout]
    if shapes != [(max(1, features // 2), features), (1, max(1, features // 2))]:
        raise ConversionError(f"the readout must be F -> F/2 -> 1 with F = {features}; this model has {shapes}")
    if source.interactions[0].in2f.shape != (features, features):
        raise ConversionError("the numbers of filters and of features must be equal")


def _state(source: SchNetPack1, model: SchNet) -> dict[str, np.ndarray]:
    """The weights by the names of pyff's SchNet."""
    embedding = np.zeros(tuple(model.embedding.weight.shape), np.float32)
    embedding[: len(source.embedding)] = source.embedding[: len(embedding)]
    (w1, b1), (w2, b2) = source.readout
    state = {"embedding.weight": embedding, "readout.w1": w1, "readout.b1": b1, "readout.w2": w2, "readout.b2": b2}
    for k, block in enumerate(source.interactions[:1] if source.shared else source.interactions):
        names = {
            "w_in": block.in2f,
            "filter_w1": block.W1,
            "filter_b1": block.b1,
            "filter_w2": block.W2,
            "filter_b2": block.b2,
            "w_a": block.f2out[0],
            "b_a": block.f2out[1],
            "w_b": block.dense[0],
            "b_b": block.dense[1],
        }
        state |= {f"interactions.{k}.{name}": value for name, value in names.items()}
    return state


def _output(root: Record) -> Record:
    heads = _modules(_child(root, "output_modules"))
    if len(heads) != 1 or next(iter(heads.values())).cls.name != "Atomwise":
        found = ", ".join(head.cls.name for head in heads.values())
        raise ConversionError(f"the model must have one Atomwise output; this one has {found or 'none'}")
    return next(iter(heads.values()))


def _head(head: Record) -> dict[str, Any]:
    layers = _child(_child(_child(head, "out_net"), "1"), "out_net")
    denses = list(_modules(layers).values())
    active = [dense.state.get("activation") is not None for dense in denses]
    if active != [True] * (len(denses) - 1) + [False]:
        raise ConversionError("the readout must be shifted softplus layers with a linear last one")
    for dense in denses[:-1]:
        _require_shifted_softplus(dense)
    scale, atomref = _child(head, "standardize"), _modules(head).get("atomref")
    return {
        "readout": [(_tensor(dense, "weight"), _tensor(dense, "bias")) for dense in denses],
        "mean": float(_tensor(scale, "mean").item()) if scale.cls.name == "ScaleShift" else 0.0,
        "stddev": float(_tensor(scale, "stddev").item()) if scale.cls.name == "ScaleShift" else 1.0,
        "pooling": _aggregation(_child(head, "atom_pool")),
        "property": str(head.state.get("property")),
        "atomref": _tensor(atomref, "weight")[:, 0] if atomref is not None else None,
    }


def _interaction(block: Record) -> Interaction:
    conv, filters = _child(block, "cfconv"), _child(block, "filter_network")
    first, second = _child(filters, "0"), _child(filters, "1")
    out, dense = _child(conv, "f2out"), _child(block, "dense")
    _require_shifted_softplus(first)
    _require_shifted_softplus(out)
    if second.state.get("activation") is not None or dense.state.get("activation") is not None:
        raise ConversionError("the last layer of a filter network and of an interaction block must be linear")
    return Interaction(
        *(_tensor(first, "weight"), _tensor(first, "bias"), _tensor(second, "weight"), _tensor(second, "bias")),
        in2f=_tensor(_child(conv, "in2f"), "weight"),
        f2out=(_tensor(out, "weight"), _tensor(out, "bias")),
        dense=(_tensor(dense, "weight"), _tensor(dense, "bias")),
    )


def _require_shifted_softplus(dense: Record) -> None:
    activation = dense.state.get("activation")
    if getattr(activation, "name", None) != "shifted_softplus":
        raise ConversionError(f"the activation must be shifted_softplus; this model uses {activation}")


def _aggregation(module: Record) -> str:
    return "mean" if module.state.get("average") else "sum"


def _modules(record: Record) -> dict[str, Record]:
    modules = record.state.get("_modules")
    if not isinstance(modules, dict) or not all(isinstance(m, Record) for m in modules.values() if m is not None):
        raise ConversionError(f"{record.cls} has no readable submodules")
    return {str(name): module for name, module in modules.items() if module is not None}


def _child(record: Record, name: str) -> Record:
    modules = _modules(record)
    if name not in modules:
        raise ConversionError(f"{record.cls} must have a part {name!r}; it has {', '.join(modules) or 'none'}")
    return modules[name]


def _tensor(record: Record, name: str) -> np.ndarray:
    stored = record.state.get("_parameters", {}).get(name)
    if stored is None:
        stored = record.state.get("_buffers", {}).get(name)
    if not isinstance(stored, StoredTensor):
        raise ConversionError(f"{record.cls} must hold an array {name!r}")
    return stored.numpy()

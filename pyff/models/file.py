"""One file per model, nothing executable in it: safetensors weights, and a JSON header that says what they are.

The file's metadata has the key `pyff`. The class is chosen by name from the registry, never by the file. Checkpoints of
a training are such files too; what they hold beyond the model is named `training.*` and not read here.
"""

from __future__ import annotations

import importlib
import json
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError
from torch import Tensor

from pyff import __version__
from pyff._atomic import atomic_write
from pyff._device import usable_device
from pyff.models.base import DirectModel
from pyff.models.registry import ARCHITECTURES
from pyff.models.schema import FileUnits, ModelFileError, ModelHeader, first_problem, parse_header

if TYPE_CHECKING:
    from pyff.models.base import EnergyModel

__all__ = [
    "TRAINING",
    "ModelFileError",
    "load",
    "model_from_header",
    "model_header",
    "read_header",
    "save",
    "set_long_range",
]

TRAINING = "training."  # no model has such weights: `training` is an attribute of every torch module
MAX_HEADER_BYTES = 16 * 2**20  # a header is kilobytes; more is damage or an attack on memory
_BUILT_IN = {  # name -> its module
    "coulomb_krr": "pyff.models.coulomb_krr",
    "gdml": "pyff.models.gdml.model",
    "schnet": "pyff.models.schnet",
    "so3krates": "pyff.models.so3krates",
}
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def save(model: EnergyModel | DirectModel, path: str | os.PathLike) -> None:
    """Write `model` to `path` (.safetensors) so that `load` returns it bit for bit.

    GDML models can also be written as .npz, which sgdml 1.0.3 reads, too. The file appears under its name only when it
    is complete; a failed save leaves an older file untouched.

    Raises:
        ValueError: path does not end in .safetensors, or in .npz for a model that sGDML has; or a weight is not finite.
        ModelFileError: the model's description does not fit the schema.
    """
    path = Path(path)
    if path.suffix == ".npz":
        _save_npz(model, path)
        return
    if path.suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors; received {str(path)!r}")
    from safetensors.torch import save as to_bytes

    if ARCHITECTURES.get(model.architecture) is not type(model):
        raise ModelFileError(
            f"model class {type(model).__name__} must be registered with pyff.models.register; "
            "models of Python functions (ADGDML) cannot be saved: fit them again"
        )
    header = model_header(model)
    # copies: safetensors refuses tensors that share memory (tied weights) or are not contiguous
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    _require_finite(tensors, str(path))
    atomic_write(path, to_bytes(tensors, metadata={"pyff": header.model_dump_json()}))


def _save_npz(model: EnergyModel | DirectModel, path: Path) -> None:
    if model.architecture != "gdml":
        raise ValueError(
            f"path must end in .safetensors; received {str(path)!r}, and .npz is for GDML models only, not for "
            f"{type(model).__name__}"
        )
    from pyff.models.gdml.sgdml_file import save_sgdml

    _require_finite(model.state_dict(), str(path))
    save_sgdml(model, path)


def load(
    path: str | os.PathLike, device: str | torch.device = "cpu", *, long_range_cutoff: float | None = None,
    ewald: bool | None = None, units: str | None = None,
) -> EnergyModel | DirectModel:  # fmt: skip
    """Read a model file, pyff's (.safetensors) or sGDML's (.npz): weights bit for bit, in eval mode, on `device`.

    Args:
        long_range_cutoff: of the model's electrostatics and dispersion (A) instead of the file's own; infinity sums
            over all pairs, which open structures allow.
        ewald: True: sum the Coulomb energy over the whole lattice (periodic structures only) instead of cutting it.
        units: "energy,length" of an sGDML file that states none; without it, kcal/mol and Angstrom.

    Raises:
        FileNotFoundError: no such file.
        ValueError: long_range_cutoff or ewald for a model without such terms; units for a file that states them; a
            device that torch cannot use.
        ModelFileError: not a pyff model, truncated, of an unknown architecture, or written by a newer pyff.
    """
    if Path(path).suffix == ".npz":
        from pyff.models.gdml.sgdml_file import load_sgdml

        model = load_sgdml(path, units)
    elif units is not None:
        raise ValueError(f"units must be left out for {path}, which states them; received {units!r}")
    else:
        model = _load_safetensors(path)
    set_long_range(model, long_range_cutoff, ewald)
    return model.to(usable_device(device)).eval()


def _load_safetensors(path: str | os.PathLike) -> EnergyModel | DirectModel:
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    name, data = str(path), Path(path).read_bytes()
    header = parse_header(_metadata(data[:8], lambda size: data[8 : 8 + size], len(data), name), name)
    try:
        tensors = {key: value for key, value in from_bytes(data).items() if not key.startswith(TRAINING)}
    except SafetensorError as error:
        raise ModelFileError(f"{name}: damaged or truncated ({error})") from None
    if issubclass(_architecture(header.architecture, name), DirectModel):
        return _kernel_model(header, tensors, name)
    return _network(header, tensors, name)


def _network(header: ModelHeader, tensors: dict[str, Tensor], name: str) -> EnergyModel:
    if header.architecture in _BUILT_IN:
        with torch.device("meta"):  # without memory: a small file must not ask for a huge network
            _require_own(model_from_header(header, name), tensors, name)
    model = model_from_header(header, name)
    _fill(model, tensors, name)
    return model


def _kernel_model(header: ModelHeader, tensors: dict[str, Tensor], name: str) -> DirectModel:
    """A model whose sizes are those of its tensors."""
    _require_finite(tensors, name)
    cls = _architecture(header.architecture, name)
    try:
        model = cls.from_tensors(_config(cls, header, name), tensors)
    except (ValueError, TypeError) as error:
        raise ModelFileError(f"{name}: {error}") from None
    model.info = dict(header.info)
    return model


def set_long_range(model: EnergyModel, cutoff: float | None, ewald: bool | None) -> None:
    """Change how far a model's long-range terms reach, where not None; ValueError where it has none."""
    if cutoff is None and ewald is None:
        return
    change = getattr(model, "set_long_range", None)
    if change is None:
        name = "long_range_cutoff" if cutoff is not None else "ewald"
        raise ValueError(f"{name} needs a model with long-range terms; {type(model).__name__} has none")
    change(cutoff, ewald)


def read_header(path: str | os.PathLike) -> ModelHeader:
    """The description in a model file, without reading its weights."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        return parse_header(_metadata(file.read(8), file.read, size, str(path)), str(path))


def model_header(model: EnergyModel | DirectModel) -> ModelHeader:
    """The description that `save` and checkpoints hold of a model."""
    from ase.data import chemical_symbols

    fields = {
        "pyff_version": __version__,
        "architecture": model.architecture,
        "hyperparameters": model.config.model_dump(mode="json"),
        "dtype": str(model.dtype).removeprefix("torch."),
        "units": _units(model.config),
        "cutoff": model.needs.cutoff,
        "elements": [chemical_symbols[z] for z in model.elements],
        "reference_energy": {chemical_symbols[z]: e for z, e in model.reference_energy.items()},
        "info": model.info,
        "citations": list(getattr(model, "citations", ())),
    }
    try:
        header = ModelHeader(**fields)
        json.dumps(header.info, allow_nan=False)
    except ValidationError as error:
        raise ModelFileError(f"model cannot be saved: {first_problem(error)}") from None
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"model.info must hold finite JSON values only: {error}") from None
    return header


def model_from_header(header: ModelHeader, path: str = "model file") -> EnergyModel:
    """An untrained model of the architecture, precision and elements that a header describes."""
    from ase.data import atomic_numbers

    cls = _architecture(header.architecture, path)
    config = _config(cls, header, path)
    reference = {atomic_numbers[s]: e for s, e in header.reference_energy.items()}
    model = cls(config, [atomic_numbers[s] for s in header.elements], reference)
    model.info = dict(header.info)
    return model.to(_DTYPES[header.dtype])


def _config(cls: type, header: ModelHeader, path: str) -> Any:
    """The validated hyper-parameters, which must say what the header says of cutoff and units."""
    try:
        config = cls.Config.model_validate(header.hyperparameters)
    except ValidationError as error:
        raise ModelFileError(f"{path}: hyperparameters.{first_problem(error)}") from None
    cutoff = getattr(config, "cutoff", None)
    if cutoff != header.cutoff:
        raise ModelFileError(f"{path}: cutoff {header.cutoff} and hyperparameters.cutoff {cutoff} must agree")
    if _units(config) != header.units:
        raise ModelFileError(f"{path}: units {header.units} and those of the hyperparameters must agree")
    return config


def _units(config) -> FileUnits:
    """eV and A unless the hyper-parameters name others."""
    return FileUnits(energy=getattr(config, "energy_unit", "eV"), length=getattr(config, "length_unit", "Angstrom"))


def _architecture(name: str, path: str) -> type:
    if name in _BUILT_IN and name not in ARCHITECTURES:
        importlib.import_module(_BUILT_IN[name])
    if name not in ARCHITECTURES:
        known = ", ".join(sorted({*_BUILT_IN, *ARCHITECTURES}))
        raise ModelFileError(f"{path}: architecture must be one of {known}; received {name!r}")
    return ARCHITECTURES[name]


def _metadata(prefix: bytes, read, file_size: int, path: str) -> Any:
    """The decoded `pyff` entry of a safetensors header; read(n) returns the n bytes after the 8-byte prefix."""
    size = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else None
    if size is None or not 2 <= size <= MAX_HEADER_BYTES:
        raise ModelFileError(f"{path}: not a safetensors file (pyff models end in .safetensors)")
    if 8 + size > file_size:
        raise ModelFileError(f"{path}: truncated; the header alone needs {8 + size} bytes, the file has {file_size}")
    header = _decode(read(size), path)
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("pyff"), str):
        raise ModelFileError(f"{path}: a safetensors file, but not a pyff model (its metadata has no entry `pyff`)")
    return _decode(metadata["pyff"], path)


def _decode(text: bytes | str, path: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ModelFileError(f"{path}: the header is not valid JSON ({error})") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict:
    # with a name twice, this parser and that of safetensors could read two different models
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a name appears twice")
    return keys


def _no_constant(text: str):
    raise ValueError(f"{text} is not JSON")


def _fill(model: EnergyModel, tensors: dict[str, Tensor], path: str) -> None:
    """Copy the tensors into the model."""
    _require_own(model, tensors, path)
    _require_finite(tensors, path)
    model.load_state_dict(tensors)


def _require_own(model: EnergyModel, tensors: dict[str, Tensor], path: str) -> None:
    """Raise ModelFileError unless names, shapes and dtypes are the model's own."""
    own = model.state_dict()
    missing, unexpected = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    if missing or unexpected:
        raise ModelFileError(f"{path}: weights must be those of the model; missing {missing}, unexpected {unexpected}")
    for name, value in tensors.items():
        if value.shape != own[name].shape or value.dtype != own[name].dtype:
            raise ModelFileError(
                f"{path}: {name} must be {own[name].dtype} {tuple(own[name].shape)}; "
                f"received {value.dtype} {tuple(value.shape)}"
            )


def _require_finite(tensors: dict[str, Tensor], path: str) -> None:
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ModelFileError(f"{path}: weight {name} must be finite; received NaN or infinity")

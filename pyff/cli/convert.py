"""`pyff convert`: published models to pyff model files."""

from __future__ import annotations

from pathlib import Path

from ase.data import atomic_numbers, chemical_symbols

from pyff.cli.console import Console
from pyff.cli.output import require_output
from pyff.errors import PyffError
from pyff.interfaces import so3lr
from pyff.interfaces.schnetpack1 import read_schnetpack1, to_pyff
from pyff.models.file import save
from pyff.units import Units

__all__ = ["run_convert"]


def run_convert(
    console: Console,
    source: Path,
    target: Path,
    *,
    units: str | None,
    elements: str | None,
    cutoff_function: str | None,
    long_range_cutoff: float | None,
    overwrite: bool,
) -> int:
    """Read, translate, write; the exit code."""
    require_output(target, (".safetensors",), option="TARGET", overwrite=overwrite)
    if not source.is_file():
        raise PyffError(f"{source}: no such file")
    if source.suffix in (".safetensors", ".npz"):
        raise PyffError(
            f"{source} needs no conversion: pyff.Calculator and the commands read .safetensors and sGDML's .npz"
        )
    if so3lr.is_so3lr(source):
        if units or cutoff_function:
            raise PyffError("--units and --cutoff-function are for SchNetPack models; SO3LR's are known")
        return _so3lr(console, source, target, elements, long_range_cutoff)
    if long_range_cutoff is not None:
        raise PyffError("--long-range-cutoff is for SO3LR; this model has no terms of long range")
    return _schnetpack1(console, source, target, units, elements, cutoff_function)


def _so3lr(console: Console, source: Path, target: Path, elements: str | None, long_range_cutoff: float | None) -> int:
    found = so3lr.read_so3lr(source)
    numbers = _numbers(elements) if elements else None
    model = so3lr.to_pyff(found, numbers, long_range_cutoff=long_range_cutoff)
    model.info["file"] = source.name
    save(model, target)
    c, n = model.config, sum(p.numel() for p in model.parameters())
    reach = "all pairs" if c.long_range_cutoff is None else f"{c.long_range_cutoff:g} A"
    terms = ", ".join(model.terms)
    console.say(
        f"{source.name}: SO3LR, {n:,} parameters, {c.n_features} features, {c.n_layers} layers, degrees "
        f"{' '.join(map(str, c.degrees))}, cutoff {c.cutoff:g} A; {terms}, long range {reach}"
    )
    symbols = [chemical_symbols[z] for z in model.elements]
    console.say(f"for {' '.join(symbols)}; model in {target}: pyff.Calculator('{target}')")
    console.result(model=target, config=c.model_dump(), elements=",".join(symbols))
    return 0


def _schnetpack1(
    console: Console, source: Path, target: Path, units: str | None, elements: str | None, cutoff_function: str | None
) -> int:
    if not units:
        raise PyffError(
            "--units must say what the model was trained in, for example --units kcal/mol,Angstrom: the file does not"
        )
    if not elements:
        raise PyffError("--elements must list what the model was trained on, for example H,C,O: the file does not")
    declared = Units.parse(units)
    found = read_schnetpack1(source)
    model = to_pyff(
        found,
        _numbers(elements),
        energy_unit=declared.energy,
        length_unit=declared.length,
        cutoff_function=cutoff_function,
    )
    model.info["file"] = source.name
    save(model, target)
    c = model.config
    console.say(
        f"{source.name}: SchNet, {c.n_features} features, {c.n_interactions} interactions, {c.n_rbf} Gaussians, cutoff "
        f"{c.cutoff:g} A ({c.cutoff_function}), {declared.energy} and {declared.length} converted to eV and A"
    )
    if c.cutoff_function == "none":
        console.warn(
            "this model has no cutoff function (SchNetPack's HardCutoff): its energy jumps when two atoms come within "
            f"{c.cutoff:g} A of each other. Use it for molecules smaller than that"
        )
    console.say(f"model in {target}: pyff.Calculator('{target}')")
    console.result(model=target, config=c.model_dump(), elements=elements)
    return 0


def _numbers(elements: str) -> list[int]:
    symbols = [symbol.strip() for symbol in elements.split(",") if symbol.strip()]
    unknown = [symbol for symbol in symbols if symbol == "X" or symbol not in atomic_numbers]
    if unknown or not symbols:
        raise PyffError(f"--elements must be symbols such as H,C,O; received {elements!r}")
    return [atomic_numbers[symbol] for symbol in symbols]

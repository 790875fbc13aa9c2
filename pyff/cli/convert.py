"""`pyff convert`: SchNetPack 1 models to pyff model files."""

from __future__ import annotations

from pathlib import Path

from ase.data import atomic_numbers

from pyff.cli.console import Console
from pyff.errors import PyffError
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
    overwrite: bool,
) -> int:
    """Read, translate, write; the exit code."""
    if not units:
        raise PyffError(
            "--units must say what the model was trained in, for example --units kcal/mol,Angstrom: the file does not"
        )
    if not elements:
        raise PyffError("--elements must list what the model was trained on, for example H,C,O: the file does not")
    if target.suffix != ".safetensors":
        raise PyffError(f"the model file must end in .safetensors; received {target}")
    if target.exists() and not overwrite:
        raise PyffError(f"{target} exists already: add --overwrite or choose another name")
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

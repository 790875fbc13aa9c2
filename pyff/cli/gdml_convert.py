"""pyff gdml convert: labelled frames as sGDML's data sets, and the other way round."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyff.cli.app import Debug, EnergyKey, ForcesKey, Json, Quiet, Units, _examples
from pyff.cli.console import Console
from pyff.cli.gdml import Overwrite, gdml
from pyff.cli.gdml_group import app
from pyff.cli.output import XYZ, require_output

__all__ = ["app"]


@gdml.command(
    epilog=_examples("""
        pyff gdml convert frames.extxyz ethanol.npz --units eV,Angstrom
        pyff gdml all ethanol.npz 200 100
        # and back
        pyff gdml convert ethanol.npz frames.extxyz
    """)
)
def convert(
    source: Annotated[
        Path, typer.Argument(help="Labelled frames (.extxyz(.gz), .xyz, .db), or data set (.npz).", show_default=False)
    ],
    target: Annotated[Path, typer.Argument(help="Data set (.npz), or frames (.extxyz).", show_default=False)],
    units: Units = None, energy_key: EnergyKey = None, forces_key: ForcesKey = None,
    theory: Annotated[str, typer.Option(help="Of the labels; becomes part of the names of files.")] = "unknown",
    overwrite: Overwrite = False, quiet: Quiet = False, json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """Labelled frames as a data set of sGDML, or a data set as an extended xyz file.

    All frames must have the same atoms in the same order, and the same cell. Numbers stay in their units.
    """
    console = Console(quiet, json)
    require_output(target, (".npz", *XYZ), option="TARGET", overwrite=overwrite)
    if target.suffix == ".npz":
        n = _to_npz(source, target, theory, {"units": units, "energy_key": energy_key, "forces_key": forces_key})
    else:
        n = _to_extxyz(source, target)
    after = f"; next: pyff gdml all {target} N_TRAIN N_VALID" if target.suffix == ".npz" else ""
    console.say(f"wrote {n} frames to {target}{after}")
    console.result(file=target, frames=n)
    return 0


def _to_npz(source: Path, target: Path, theory: str, options: dict) -> int:
    from pyff.data import read
    from pyff.interfaces.sgdml import dataset_arrays, write_sgdml
    from pyff.train.gdml import GdmlData

    data = GdmlData.from_dataset(read(source, **options), name=target.stem)
    write_sgdml(target, dataset_arrays(
        data.Z, data.pos, data.forces, data.energy, name=data.name, theory=theory, cell=data.cell,
        e_unit=data.energy_unit, r_unit=data.length_unit,
    ))  # fmt: skip
    return len(data)


def _to_extxyz(source: Path, target: Path) -> int:
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    from pyff.interfaces.sgdml import read_sgdml
    from pyff.interfaces.sgdml.training import data_of_arrays
    from pyff.md import write_frames

    data = data_of_arrays(read_sgdml(source, "d"))
    stated = {"energy_unit": data.energy_unit, "length_unit": data.length_unit}
    frames = []
    for k in range(len(data)):
        frame = Atoms(data.Z, data.pos[k], cell=data.cell, pbc=data.cell is not None)
        frame.info = {name: unit for name, unit in stated.items() if unit}
        labels = {} if data.energy is None else {"energy": data.energy[k]}
        frame.calc = SinglePointCalculator(frame, forces=data.forces[k], **labels)
        frames.append(frame)
    write_frames(target, frames)
    return len(data)

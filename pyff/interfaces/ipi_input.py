"""An input file for i-PI, ready to run with a client of pyff."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from ase import Atoms

from pyff._atomic import atomic_write
from pyff.errors import PyffError
from pyff.interfaces.ipi import PREFIX, Address

__all__ = ["PathIntegral", "ipi_command", "ipi_structure", "structure_path", "write_ipi_input"]

_OPEN_EDGE = 500.0  # A: i-PI wants a cell also where there is none

_TEMPLATE = """\
<simulation verbosity='medium'>
  <output prefix='{prefix}'>
    <properties stride='{every}' filename='out'> {properties} </properties>
    <trajectory stride='{every}' filename='centroid' format='ase'> x_centroid{{ase}} </trajectory>
    <checkpoint stride='1000' filename='checkpoint' overwrite='true'/>
  </output>
  <total_steps> {steps} </total_steps>
  <prng> <seed> {seed} </seed> </prng>
  <ffsocket name='pyff' mode='{mode}' pbc='false'>
    <address> {address} </address>{port}
    <latency> 1e-4 </latency>
  </ffsocket>
  <system>
    <initialize nbeads='{beads}'>
      <file mode='xyz'> {structure} </file>
      <velocities mode='thermal' units='kelvin'> {temperature} </velocities>
    </initialize>
    <forces> <force forcefield='pyff'/> </forces>
    <ensemble> <temperature units='kelvin'> {temperature} </temperature> </ensemble>
    <motion mode='dynamics'>
      <fixcom> {fixcom} </fixcom>
      <dynamics mode='nvt' splitting='baoab'>
        <timestep units='femtosecond'> {timestep} </timestep>
        <thermostat mode='pile_l'> <tau units='femtosecond'> {tau} </tau> </thermostat>
      </dynamics>
    </motion>
  </system>
</simulation>
"""


@dataclass(frozen=True)
class PathIntegral:
    """Constant temperature with `beads` replicas per atom (1: classical), a path-integral Langevin thermostat.

    temperature in K; timestep and tau (time constant of the centroid's thermostat) in fs; every: steps between lines of
    output; fix_com: hold the centre of mass, which must be off where an outer potential holds the atoms.
    """

    beads: int = 32
    temperature: float = 300.0
    timestep: float = 0.5
    steps: int = 10_000
    every: int = 10
    tau: float = 100.0
    seed: int = 0
    fix_com: bool = True

    def __post_init__(self) -> None:
        for name in ("beads", "temperature", "timestep", "every", "tau"):
            if not getattr(self, name) > 0:
                raise PyffError(f"{name} must be positive; received {getattr(self, name)}")
        if self.steps < 0:
            raise PyffError(f"steps must be 0 or more; received {self.steps}")


def write_ipi_input(path: str | os.PathLike, atoms: Atoms, address: Address, settings: PathIntegral) -> list[Path]:
    """Write an input file and, beside it, the structure in i-PI's format; their paths.

    i-PI begins the names of what it writes with the stem of `path`: STEM.out (energies, temperature),
    STEM.centroid.extxyz. `ipi_command` starts it. Raises PyffError for a left-handed cell.
    """
    path = Path(path)
    structure = structure_path(path)
    names = ["step", "time{picosecond}", "conserved{electronvolt}", "temperature{kelvin}", "kinetic_cv{electronvolt}"]
    names += ["potential{electronvolt}", *(["pressure_cv{megapascal}"] if atoms.pbc.all() else [])]
    text = _TEMPLATE.format(
        prefix=escape(path.stem), properties=f"[ {', '.join(names)} ]", every=settings.every, steps=settings.steps,
        seed=settings.seed, mode="unix" if address.path else "inet",
        address=escape(_name(address)),
        port="" if address.path else f"\n    <port> {address.port} </port>", beads=settings.beads,
        structure=escape(structure.name), temperature=settings.temperature, fixcom=settings.fix_com,
        timestep=settings.timestep, tau=settings.tau,
    )  # fmt: skip
    atomic_write(structure, ipi_structure(atoms))
    atomic_write(path, text)
    return [path, structure]


def structure_path(path: str | os.PathLike) -> Path:
    """Where `write_ipi_input` puts the structure of an input file."""
    path = Path(path)
    return path.with_name(f"{path.stem}-start.xyz")


def ipi_command(path: str | os.PathLike, address: Address) -> list[str]:
    """The words that start i-PI with an input file, in the folder of the file."""
    folder = address.path.removesuffix(_name(address))
    return ["i-pi", *(["-S", folder] if folder not in ("", PREFIX) else []), Path(path).name]


def _name(address: Address) -> str:
    """What i-PI calls the address: the end of the path, to which it puts a beginning of its own, or the host."""
    if address.path.startswith(PREFIX):
        return address.path.removeprefix(PREFIX)
    return address.path.rpartition("/")[2] or address.host


def ipi_structure(atoms: Atoms) -> str:
    """i-PI's xyz: cell as lengths and angles, positions turned with the cell: a along x, b in the xy plane."""
    cell, pos = atoms.cell.complete(), atoms.positions
    if atoms.pbc.any():
        if cell.volume <= 0 or cell.handedness != 1:
            raise PyffError("the cell must be right-handed; swap two of its vectors and the same axes of pbc")
        standard, _ = cell.standard_form()
        pos = cell.scaled_positions(pos) @ standard.array
        parameters = standard.cellpar()
    else:
        parameters = [_OPEN_EDGE] * 3 + [90.0] * 3
    head = " ".join(f"{x:.10f}" for x in parameters)
    lines = [str(len(atoms)), f"# CELL(abcABC): {head} positions{{angstrom}} cell{{angstrom}}"]
    lines += [f"{s:2s} {x:18.10f} {y:18.10f} {z:18.10f}" for s, (x, y, z) in zip(atoms.get_chemical_symbols(), pos)]
    return "\n".join(lines) + "\n"

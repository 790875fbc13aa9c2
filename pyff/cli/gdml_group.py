"""pyff gdml group: permutations of a crystal's atoms for `--perms`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyff.cli.app import Debug, Json, Quiet, _examples
from pyff.cli.console import Console
from pyff.cli.gdml import Overwrite, gdml
from pyff.cli.gdml_training import app
from pyff.cli.output import require_output

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms

__all__ = ["app"]


@gdml.command(
    epilog=_examples("""
        # a crystal: its space group, then a model that knows it
        pyff gdml group palladium.npz
        pyff gdml all palladium.npz 20 50 --perms palladium-group.npz -s 8 16 32
        # atom 32 moves about between the sites
        pyff gdml group palladium-hydride.npz --adsorbate 32
        # frames too few or too hot to tell the sites
        pyff gdml group palladium-hydride.npz --adsorbate 32 --ideal ideal.xyz
    """)
)
def group(
    dataset: Annotated[Path, typer.Argument(help="Data set of a crystal (.npz with a lattice).", show_default=False)],
    adsorbate: Annotated[
        list[int] | None,
        typer.Option("--adsorbate", "-a", help="Number of an atom, from 0, that has no lattice site; repeatable.",
                     show_default=False),
    ] = None,
    ideal: Annotated[
        Path | None,
        typer.Option(help="Ideal structure with the atoms in the same order, instead of the mean of the frames.",
                     show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; NAME-group.npz if not given.", show_default=False)
    ] = None,
    overwrite: Overwrite = False, quiet: Quiet = False, json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """The symmetries of a crystal supercell (BIGDML): exchanges of identical atoms by its space group.

    The sites are the mean positions of all frames, or those of --ideal. A model that is trained with these
    permutations needs several times fewer training points.
    """
    from pyff._npz import write_npz
    from pyff.errors import PyffError
    from pyff.interfaces.sgdml import read_sgdml
    from pyff.interfaces.sgdml.training import data_of_arrays
    from pyff.models.gdml.symmetry import frames_group, supercell_group

    console, out = Console(quiet, json), out or Path(f"{dataset.stem}-group.npz")
    require_output(out, (".npz",), overwrite=overwrite)
    data = data_of_arrays(read_sgdml(dataset, "d"))
    if data.cell is None:
        raise PyffError(f"{dataset} must be of a crystal, with a lattice; it has none. Molecules: pyff gdml create")
    try:
        if ideal is None:
            found = frames_group(data.Z, data.pos, data.cell, adsorbate or ())
        else:
            found = supercell_group(_structure(ideal, data.Z), adsorbate or ())
    except (ValueError, IndexError) as error:
        hint = "" if ideal else ". The ideal structure: --ideal"
        raise PyffError(f"{ideal or dataset}: {error}{hint}") from None
    write_npz(out, {"perms": found.perms.numpy()})
    console.say(f"{len(found)} permutations of {len(data.Z)} atoms, {len(found.translations)} of them translations")
    if len(found.translations) == 1 and ideal is None:
        console.warn(
            "no translations: of a supercell of several cells, these frames do not tell the sites; --ideal does"
        )
    console.say(f"wrote {out}; next: pyff gdml all {dataset} N_TRAIN N_VALID --perms {out}")
    console.result(permutations=len(found), translations=len(found.translations), file=out)
    return 0


def _structure(path: Path, Z: np.ndarray) -> Atoms:
    """The ideal structure of a file, whose atoms are those of the data."""
    from pyff.errors import PyffError
    from pyff.md import read_structure

    atoms = read_structure(path)
    if atoms.numbers.tolist() != Z.tolist():
        raise PyffError(f"{path} must have the atoms of the data set in the same order; it has {atoms.symbols}")
    return atoms

"""pyff gdml group: permutations of a crystal's atoms for `--perms`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyff.cli.app import Debug, Json, Quiet, _examples
from pyff.cli.console import Console
from pyff.cli.gdml import Overwrite, gdml
from pyff.cli.gdml_training import app

__all__ = ["app"]


@gdml.command(
    epilog=_examples("""
        # a crystal: its space group, then a model that knows it
        pyff gdml group palladium.npz
        pyff gdml all palladium.npz 20 50 --perms palladium-group.npz -s 8 16 32
        # atom 32 moves about between the sites
        pyff gdml group palladium-hydride.npz --adsorbate 32
    """)
)
def group(
    dataset: Annotated[Path, typer.Argument(help="Data set of a crystal (.npz with a lattice).", show_default=False)],
    adsorbate: Annotated[
        list[int] | None,
        typer.Option("--adsorbate", "-a", help="Number of an atom, from 0, that has no lattice site; repeatable.",
                     show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; NAME-group.npz if not given.", show_default=False)
    ] = None,
    overwrite: Overwrite = False, quiet: Quiet = False, json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """The symmetries of a crystal supercell (BIGDML): exchanges of identical atoms by its space group.

    The sites are the mean positions of all frames. A model that is trained with these permutations needs several times
    fewer training points.
    """
    from pyff._npz import write_npz
    from pyff.errors import PyffError
    from pyff.interfaces.sgdml import read_sgdml
    from pyff.interfaces.sgdml.training import data_of_arrays
    from pyff.models.gdml.symmetry import frames_group

    console = Console(quiet, json)
    data = data_of_arrays(read_sgdml(dataset, "d"))
    if data.cell is None:
        raise PyffError(f"{dataset} must be of a crystal, with a lattice; it has none. Molecules: pyff gdml create")
    out = out or Path(f"{dataset.stem}-group.npz")
    if out.exists() and not overwrite:
        raise PyffError(f"{out} exists; overwrite it with -o, or name another file with --out")
    try:
        found = frames_group(data.Z, data.pos, data.cell, adsorbate or ())
    except (ValueError, IndexError) as error:
        raise PyffError(f"{dataset}: {error}") from None
    write_npz(out, {"perms": found.perms.numpy()})
    console.say(f"{len(found)} permutations of {len(data.Z)} atoms, {len(found.translations)} of them translations")
    console.say(f"wrote {out}; next: pyff gdml all {dataset} N_TRAIN N_VALID --perms {out}")
    console.result(permutations=len(found), translations=len(found.translations), file=out)
    return 0

"""Names, options and help of the commands that ask what a model is good for: stability, spectra, minima."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyff.cli.app import (
    Charge,
    Debug,
    Device,
    Dtype,
    Ewald,
    Json,
    LongRangeCutoff,
    Model,
    Overwrite,
    Precision,
    Quiet,
    Spin,
    _examples,
    app,
)
from pyff.cli.console import Console

__all__ = ["attention", "minima", "spectrum", "stability"]


@app.command(
    epilog=_examples("""
        # six seeds at 300 K and 500 K, 10 ps each
        pyff stability model.safetensors start.xyz
        # two models on the same molecule, longer
        pyff stability so3krates.safetensors no_angles.safetensors dha.xyz --time 100 --out dha-stable.json
    """)
)
def stability(
    models: Annotated[list[Path], typer.Argument(help="Model files, then the structure.", metavar="MODEL... START")],
    time: Annotated[float, typer.Option(help="Length of every run in ps.", min=0)] = 10.0,
    temperatures: Annotated[str, typer.Option(help="K, separated by commas.")] = "300,500",
    seeds: Annotated[int, typer.Option(help="Runs per temperature.", min=1)] = 6,
    ensemble: Annotated[str, typer.Option(help="langevin (constant temperature) or nve.")] = "langevin",
    timestep: Annotated[float, typer.Option(help="fs.")] = 0.5,
    friction: Annotated[float, typer.Option(help="Of the Langevin thermostat, 1/ps.")] = 1.0,
    threshold: Annotated[float, typer.Option(help="Largest change of a bond length, A.")] = 0.5,
    charge: Charge = None,
    spin: Spin = None,
    long_range_cutoff: LongRangeCutoff = None,
    ewald: Ewald = False,
    out: Annotated[Path, typer.Option(help="Results (.json); picture, last frames beside.")] = Path("stability.json"),
    overwrite: Overwrite = False,
    device: Device = "cpu",
    dtype: Dtype = None,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """How long simulations with a model, or several, keep the bonds of a molecule.

    The structure is relaxed, then simulated with several seeds at each temperature. A run ends when a bond has changed
    by more than the threshold; so it does when the energy is not finite or the temperature runs away.
    """
    from pyff.cli.stability import run_stability, stability_options
    from pyff.cli.start import Start

    *files, structure = models
    start = Start(structure, charge, spin, device, dtype and dtype.value, long_range_cutoff, ewald)
    options = stability_options(
        time=time, temperatures=temperatures, seeds=seeds, ensemble=ensemble, timestep=timestep, friction=friction,
        threshold=threshold, out=out, overwrite=overwrite,
    )  # fmt: skip
    return run_stability(Console(quiet, json), files, start, options)


@app.command(
    epilog=_examples("""
        # frames often enough, constant energy, then the spectrum
        pyff md model.safetensors start.xyz --equilibrate 5 --ensemble nve --time 50 --every 4 --out nve.xyz
        pyff spectrum nve.xyz
        # a trajectory that does not say how far its frames are apart
        pyff spectrum traj.xyz --spacing 1.0 --window 2 --out traj.csv
    """)
)
def spectrum(
    trajectories: Annotated[list[Path], typer.Argument(help="Trajectories of one system (.xyz, .extxyz, .traj).")],
    spacing: Annotated[float | None, typer.Option(help="fs between frames, where the file does not say.")] = None,
    window: Annotated[float | None, typer.Option(help="ps of correlation; the resolution is 33 cm^-1 ps / it.")] = None,
    blocks: Annotated[int | None, typer.Option(help="Pieces for the error bars.", min=1)] = None,
    skip: Annotated[float, typer.Option(help="ps to leave out at the start.", min=0)] = 0.0,
    source: Annotated[str, typer.Option(help="stored velocities, positions, or auto.")] = "auto",
    mass_weighted: Annotated[bool, typer.Option("--mass/--no-mass", help="Weight velocities by mass.")] = True,
    maximum: Annotated[float, typer.Option(help="Highest frequency of the picture, cm^-1.", min=1)] = 4000.0,
    out: Annotated[Path, typer.Option(help="Spectrum (.csv or .npz); picture beside.")] = Path("spectrum.csv"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Vibrational power spectrum from the velocity autocorrelation of trajectories."""
    from pyff.cli.spectrum import SpectrumOptions, run_spectrum

    options = SpectrumOptions(spacing, window, blocks, skip, source, mass_weighted, maximum, out, overwrite)
    return run_spectrum(Console(quiet, json), trajectories, options)


@app.command(
    epilog=_examples("""
        pyff minima model.safetensors start.xyz --escapes 200
        # stopped? go on, or make more escapes
        pyff minima model.safetensors start.xyz --escapes 500 --resume
        # a metal cluster, where bonds mean nothing
        pyff minima model.safetensors cluster.xyz --keep fragments --temperature 600
    """)
)
def minima(
    model: Model,
    start: Annotated[Path, typer.Argument(help="Structure to start from (.xyz, .cif, .pdb, POSCAR, ...).")],
    escapes: Annotated[int, typer.Option(help="Length of the search, in escapes from minima.", min=0)] = 100,
    time: Annotated[float | None, typer.Option(help="Stop after this many minutes.", min=0)] = None,
    temperature: Annotated[float, typer.Option(help="K at first; the search adapts it.")] = 1000.0,
    window: Annotated[float, typer.Option(help="eV a step may go up at first; the search adapts it.")] = 0.5,
    timestep: Annotated[float, typer.Option(help="fs, of the escapes.")] = 1.0,
    fmax: Annotated[float, typer.Option(help="A minimum has no force above this, eV/A.")] = 1e-3,
    keep: Annotated[str, typer.Option(help="Reject changed bonds, more fragments, or take all; auto.")] = "auto",
    mirror: Annotated[str, typer.Option(help="Mirror images are the same minimum, or distinct.")] = "same",
    seed: Annotated[int, typer.Option(help="Of the escapes.", min=0)] = 0,
    charge: Charge = None,
    spin: Spin = None,
    long_range_cutoff: LongRangeCutoff = None,
    ewald: Ewald = False,
    out: Annotated[Path, typer.Option(help="Minima by energy (.xyz); record, picture beside.")] = Path("minima.xyz"),
    resume: Annotated[bool, typer.Option("--resume", help="Continue the search recorded beside OUT.")] = False,
    overwrite: Overwrite = False,
    device: Device = "cpu",
    dtype: Annotated[Precision, typer.Option(help="Precision.", rich_help_panel="Machine")] = Precision.float64,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Search for minima of the energy by minima hopping: short simulations that escape, relaxed again.

    Every visit is on disk when it ends. Ctrl-C stops; a search continued is the one that would not have stopped.
    """
    from pyff.cli.minima import MinimaOptions, run_minima
    from pyff.cli.start import Start
    from pyff.sampling import HopSettings

    settings = HopSettings(temperature=temperature, energy_window=window, timestep=timestep, fmax=fmax, keep=keep,
                           mirror=mirror, seed=seed)  # fmt: skip
    options = MinimaOptions(settings, escapes, time, out, resume, overwrite)
    begin = Start(start, charge, spin, device, dtype.value, long_range_cutoff, ewald)
    return run_minima(Console(quiet, json), model, begin, options)


@app.command(
    epilog=_examples("""
        pyff attention so3lr.safetensors molecule.xyz
        pyff attention so3lr.safetensors molecule.xyz --layer 1 --heads equivariant --out first.csv
    """)
)
def attention(
    model: Model,
    structure: Annotated[Path, typer.Argument(help="Structure to look at (.xyz, .cif, .pdb, POSCAR, ...).")],
    layer: Annotated[int, typer.Option(help="1 is the first, -1 the last.")] = -1,
    heads: Annotated[
        str, typer.Option(help="invariant (features) or equivariant (Euclidean variables).")
    ] = "invariant",
    charge: Charge = None,
    spin: Spin = None,
    out: Annotated[Path, typer.Option(help="Table per atom (.csv); picture beside.")] = Path("attention.csv"),
    overwrite: Overwrite = False,
    dtype: Dtype = None,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Which atoms, elements and distances a model with attention looks at."""
    from pyff.cli.attention import run_attention
    from pyff.cli.start import Start

    start = Start(structure, charge, spin, dtype=dtype and dtype.value)
    return run_attention(Console(quiet, json), model, start, layer=layer, heads=heads, out=out, overwrite=overwrite)

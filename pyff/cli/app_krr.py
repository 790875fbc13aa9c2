"""Names, options and help of `pyff krr` (kernel ridge regression on Coulomb matrices) and of `pyff scan`."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from pyff.cli.app import (
    Charge,
    Debug,
    Device,
    Dtype,
    EnergyKey,
    Ewald,
    Json,
    LongRangeCutoff,
    Model,
    Overwrite,
    Quiet,
    Spin,
    TargetKey,
    Units,
    _examples,
    app,
)
from pyff.cli.console import Console

__all__ = ["app", "curve", "cv", "fit", "scan"]

krr = typer.Typer(
    rich_markup_mode="rich",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Energies of molecules of any composition by kernel ridge regression on Coulomb matrices: no forces, a few "
    "thousand molecules, seconds.",
)
app.add_typer(krr, name="krr")


class Representation(enum.StrEnum):
    """How Coulomb matrices become independent of the order of the atoms."""

    sorted = "sorted"
    random = "random"
    eigenvalues = "eigenvalues"


class Kernel(enum.StrEnum):
    """Function of the distance between two descriptors."""

    laplacian = "laplacian"
    gaussian = "gaussian"


class Baseline(enum.StrEnum):
    """What is taken out of the labels before."""

    composition = "composition"
    mean = "mean"


Data = Annotated[list[Path], typer.Argument(help="Labelled molecules: .xyz, .extxyz(.gz), .db or .npz.")]
Rep = Annotated[
    Representation,
    typer.Option(
        "--representation", help="Rows sorted by norm; several random orders (most accurate, T^2 slower); eigenvalues."
    ),
]
Kind = Annotated[Kernel, typer.Option("--kernel", help="exp(-|x|_1 / sigma) or exp(-|x|^2 / (2 sigma^2)).")]
Base = Annotated[
    Baseline, typer.Option("--baseline", help="Regression on numbers of atoms, or the mean label; first removed.")
]
Orders = Annotated[int, typer.Option(help="T, random orders per molecule.", min=1)]
Sigmas = Annotated[
    str | None,
    typer.Option("--sigma", help="Length scales to choose from; else powers of 2 around the median distance."),
]
Lams = Annotated[str | None, typer.Option("--lam", help="Ridges to choose from.", show_default="1e-10,1e-7,1e-5,1e-3")]
Inner = Annotated[int, typer.Option(help="Folds that choose sigma and lam.", min=2)]
Seed = Annotated[int, typer.Option(help="Of splits, folds and random orders.", min=0)]


def _options(
    data, units, energy_key, target_key, representation, kernel, baseline, realizations, sigma, lam, inner, seed
):
    from pyff.cli.krr import KRROptions

    source = {"files": [str(f) for f in data], "units": units, "energy_key": energy_key, "target_key": target_key,
              "forces_key": ""}  # fmt: skip
    return KRROptions(
        source, representation.value, kernel.value, baseline.value, realizations, sigma, lam, inner, seed
    )  # fmt: skip


@krr.command(
    epilog=_examples("""
        # choose sigma and lam, fit 4000 molecules, test on the others
        pyff krr fit qm7.extxyz.gz --energy-key dft_kcal_mol --units kcal/mol,Angstrom --train 4000
        # then ask it for energies
        pyff test krr.safetensors other.xyz
    """)
)
def fit(
    data: Data,
    train: Annotated[int | None, typer.Option(help="Molecules to learn from, at random; all if not given.")] = None,
    out: Annotated[Path, typer.Option(help="Model file; parity plot beside.")] = Path("krr.safetensors"),
    units: Units = None,
    energy_key: EnergyKey = None,
    target_key: TargetKey = None,
    representation: Rep = Representation.sorted,
    kernel: Kind = Kernel.laplacian,
    baseline: Base = Baseline.composition,
    realizations: Orders = 4,
    sigma: Sigmas = None,
    lam: Lams = None,
    inner: Inner = 5,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Choose length scale and ridge by cross-validation, fit in closed form, test, save."""
    from pyff.cli.krr import run_krr_fit

    options = _options(
        data, units, energy_key, target_key, representation, kernel, baseline, realizations, sigma, lam, inner, seed
    )
    return run_krr_fit(Console(quiet, json), options, train, out, overwrite)


@krr.command(
    epilog=_examples("""
        # the recipe of 2012: eigenvalues, Gaussian, mean removed
        pyff krr cv qm7.extxyz.gz --energy-key dft_kcal_mol --units kcal/mol,Angstrom --representation eigenvalues
            --kernel gaussian --baseline mean
    """)
)
def cv(
    data: Data,
    folds: Annotated[int, typer.Option(help="Outer folds, which measure the error.", min=2)] = 5,
    units: Units = None,
    energy_key: EnergyKey = None,
    target_key: TargetKey = None,
    representation: Rep = Representation.sorted,
    kernel: Kind = Kernel.laplacian,
    baseline: Base = Baseline.composition,
    realizations: Orders = 4,
    sigma: Sigmas = None,
    lam: Lams = None,
    inner: Inner = 5,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Nested cross-validation: what error to expect, untouched by the choice of sigma and lam.

    Folds are stratified: each has its share of low, middle and high labels.
    """
    from pyff.cli.krr import run_cv

    options = _options(
        data, units, energy_key, target_key, representation, kernel, baseline, realizations, sigma, lam, inner, seed
    )
    return run_cv(Console(quiet, json), options, folds)


@krr.command(
    epilog=_examples("""
        pyff krr curve qm7.extxyz.gz --energy-key dft_kcal_mol --units kcal/mol,Angstrom --sizes 250,500,1000,2000
    """)
)
def curve(
    data: Data,
    sizes: Annotated[str, typer.Option(help="Numbers of training molecules.")] = "250,500,1000,2000",
    test: Annotated[int, typer.Option(help="Test molecules, the same for all.", min=1)] = 1000,
    out: Annotated[Path, typer.Option(help="Points (.json); picture beside.")] = Path("krr-curve.json"),
    overwrite: Overwrite = False,
    units: Units = None,
    energy_key: EnergyKey = None,
    target_key: TargetKey = None,
    representation: Rep = Representation.sorted,
    kernel: Kind = Kernel.laplacian,
    baseline: Base = Baseline.composition,
    realizations: Orders = 4,
    sigma: Sigmas = None,
    lam: Lams = None,
    inner: Inner = 5,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Errors against the number of training molecules, sigma and lam chosen for each."""
    from pyff.cli.krr import run_curve
    from pyff.cli.learning_curve import training_sizes

    options = _options(
        data, units, energy_key, target_key, representation, kernel, baseline, realizations, sigma, lam, inner, seed
    )
    return run_curve(Console(quiet, json), options, training_sizes(sizes), test, out, overwrite)


@app.command(
    epilog=_examples("""
        # all lengths times 0.7 to 1.5
        pyff scan krr.safetensors molecule.xyz
        # one bond, of atoms 0 and 1, from 1 to 3 A
        pyff scan model.safetensors molecule.xyz --bond 0,1 --range 1,3 --out bond.csv
    """)
)
def scan(
    model: Model,
    start: Annotated[Path, typer.Argument(help="Structure (.xyz, .cif, .pdb, POSCAR, ...).")],
    bond: Annotated[
        str | None, typer.Option(help="Stretch the bond of these atoms, counted from 0; else dilate.")
    ] = None,
    range_: Annotated[str | None, typer.Option("--range", help="low,high of the factor, or of the bond in A.")] = None,
    points: Annotated[int, typer.Option(help="Number of structures.", min=2)] = 41,
    charge: Charge = None,
    spin: Spin = None,
    long_range_cutoff: LongRangeCutoff = None,
    ewald: Ewald = False,
    out: Annotated[Path, typer.Option(help="Curve (.csv); structures, picture beside.")] = Path("scan.csv"),
    overwrite: Overwrite = False,
    device: Device = "cpu",
    dtype: Dtype = None,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Potential curve: the energy of a model as a structure is dilated, or one of its bonds is stretched."""
    from pyff.cli.scan import ScanOptions, run_scan
    from pyff.cli.start import Start

    options = ScanOptions(bond, range_, points, out, overwrite)
    begin = Start(start, charge, spin, device, dtype and dtype.value, long_range_cutoff, ewald)
    return run_scan(Console(quiet, json), model, begin, options)

"""Names, options and help of the commands. What they do is in the modules beside, imported when they run."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from pyff.cli.console import Console

__all__ = ["app"]


class _Interruptible(TyperGroup):
    """Lets `run` say that a command was interrupted: typer since 0.29 turns KeyboardInterrupt into a mere exit code."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Abort from None


app = typer.Typer(
    name="pyff",
    cls=_Interruptible,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only.", rich_help_panel="Output")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.", rich_help_panel="Output")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.", rich_help_panel="Output")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...", rich_help_panel="Machine")]
Units = Annotated[
    str | None,
    typer.Option(
        help="Units of the data: energy,length - such as kcal/mol,Angstrom. Needed where the file states none."
    ),
]
EnergyKey = Annotated[str | None, typer.Option(help="Name of the energies in the file.", rich_help_panel="Data")]
ForcesKey = Annotated[str | None, typer.Option(help="Name of the forces in the file.", rich_help_panel="Data")]
StressKey = Annotated[str | None, typer.Option(help="Name of the stresses in the file.", rich_help_panel="Data")]
ChargeKey = Annotated[str | None, typer.Option(help="Name of the total charges.", rich_help_panel="Data")]
SpinKey = Annotated[str | None, typer.Option(help="Name of the unpaired electrons.", rich_help_panel="Data")]
DipoleKey = Annotated[str | None, typer.Option(help="Name of the dipole moments.", rich_help_panel="Data")]
ChargesKey = Annotated[str | None, typer.Option(help="Name of the atomic charges.", rich_help_panel="Data")]
HirshfeldKey = Annotated[str | None, typer.Option(help="Name of the Hirshfeld ratios.", rich_help_panel="Data")]
TargetKey = Annotated[
    str | None, typer.Option(help="Learn this number per structure instead of energies.", rich_help_panel="Data")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="model.NAME=VALUE or training.NAME=VALUE: any setting that config.yaml has."),
]
Bad = Annotated[
    str, typer.Option(help="error or skip frames with NaN, overlapping atoms or huge forces.", rich_help_panel="Data")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT, and files beside it, if they exist.")]
Model = Annotated[Path, typer.Argument(help="Model file (.safetensors; .npz of sGDML).", show_default=False)]


class Precision(enum.StrEnum):
    """Precision of the network."""

    float32 = "float32"
    float64 = "float64"


Dtype = Annotated[
    Precision | None, typer.Option(help="Precision; the model's own if not given.", rich_help_panel="Machine")
]
Charge = Annotated[float | None, typer.Option(help="Total charge, e; else the file's, which is 0 in most formats.")]
Spin = Annotated[float | None, typer.Option(help="Number of unpaired electrons; else the file's, or 0.", min=0)]
LongRangeCutoff = Annotated[
    float | None,
    typer.Option(
        help="End of electrostatics and dispersion, A, instead of the model's own; inf: all pairs.", min=0.1,
        rich_help_panel="Long range",
    ),
]  # fmt: skip
Ewald = Annotated[
    bool,
    typer.Option(
        "--ewald", help="Sum the Coulomb energy over the whole lattice (periodic structures).",
        rich_help_panel="Long range",
    ),
]  # fmt: skip


def _examples(text: str) -> str:
    """Examples for the end of a help page: one command per line."""
    lines = [line.strip() for line in text.strip().splitlines()]
    shown = [f"[dim]{line}[/dim]" if line.startswith("#") else f"[cyan]{line}[/cyan]" for line in lines]
    return "[bold]Examples[/bold]\n" + "\n".join(f"  {line}" for line in shown)


def _version(wanted: bool) -> None:
    if wanted:
        from pyff import __version__

        print(f"pyff {__version__}")
        raise typer.Exit


@app.callback(
    epilog=_examples("""
        # see it work, offline, in a few minutes
        pyff demo
        # from labels to a force field, then to a simulation
        pyff fit data.xyz --units eV,Angstrom --time 30
        pyff md data-fit/model.safetensors start.xyz --temperature 300 --time 10
    """)
)
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Machine-learned force fields: from labels (energies, forces) to molecular dynamics."""


@app.command(
    epilog=_examples("""
        pyff demo
        pyff demo --time 1 --out quick-look
    """)
)
def demo(
    time: Annotated[float, typer.Option(help="Minutes of training.", min=0.01)] = 2.0,
    epochs: Annotated[int | None, typer.Option(help="Train this many epochs instead.", min=1)] = None,
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("pyff-demo"),
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Train on the data that ship with pyff, test, run MD, draw a picture. Offline, a few minutes."""
    from pyff.cli.demo import run_demo

    return run_demo(Console(quiet, json), out, minutes=time, epochs=epochs)


@app.command(
    epilog=_examples("""
        # a tenth each for validation and test, the rest for training
        pyff fit data.xyz
        # MD17 style: numbers of frames, units stated, half an hour
        pyff fit ethanol.npz --units kcal/mol,Angstrom --train 950 --valid 50 --time 30
        # the equivariant model, and a setting that has no option
        pyff fit data.xyz --model so3krates --time 60 --set training.ema_decay=0.999
        # one trajectory: test on its end
        pyff fit water.extxyz --order time --valid 0.1 --test 0.2
        # stopped? go on
        pyff train data-fit/config.yaml --resume
    """)
)
def fit(
    data: Annotated[list[Path], typer.Argument(help="Labelled frames: .xyz, .extxyz(.gz), .db or .npz.")],
    out: Annotated[
        Path | None, typer.Option(help="Run folder; NAME-fit beside you if not given.", show_default=False)
    ] = None,
    units: Units = None,
    time: Annotated[float | None, typer.Option(help="Minutes of training.", min=0.001)] = None,
    epochs: Annotated[int | None, typer.Option(help="Largest number of epochs.", min=1)] = None,
    model: Annotated[
        str, typer.Option(help="schnet, so3krates, or a preset: schnetpack1, schnetpack2, schnet2017, so3lr, ...")
    ] = "schnet",
    train: Annotated[str | None, typer.Option(help="Training frames: a number or a fraction.")] = None,
    valid: Annotated[str, typer.Option(help="Validation frames: a number or a fraction.")] = "0.1",
    test: Annotated[str | None, typer.Option(help="Test frames: a number or a fraction; else the rest.")] = None,
    order: Annotated[str, typer.Option(help="random, or time: the test frames come last.")] = "random",
    split: Annotated[Path | None, typer.Option(help="Use the frames of a saved split (.npz).")] = None,
    seed: Annotated[int, typer.Option(help="Of the split and of the training.", min=0)] = 0,
    cutoff: Annotated[float | None, typer.Option(help="Cutoff radius in A.", rich_help_panel="Model")] = None,
    features: Annotated[int | None, typer.Option(help="Width of the network.", rich_help_panel="Model")] = None,
    layers: Annotated[
        int | None, typer.Option("--layers", "--interactions", help="Number of layers.", rich_help_panel="Model")
    ] = None,
    set_: Settings = None,
    batch_size: Annotated[int | None, typer.Option(help="Frames per step.", rich_help_panel="Training")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.", rich_help_panel="Training")] = None,
    energy_weight: Annotated[float | None, typer.Option(help="In the loss.", rich_help_panel="Training")] = None,
    forces_weight: Annotated[float | None, typer.Option(help="In the loss.", rich_help_panel="Training")] = None,
    stress_weight: Annotated[float | None, typer.Option(help="In the loss.", rich_help_panel="Training")] = None,
    dipole_weight: Annotated[float | None, typer.Option(help="In the loss.", rich_help_panel="Training")] = None,
    charges_weight: Annotated[float | None, typer.Option(help="In the loss.", rich_help_panel="Training")] = None,
    hirshfeld_weight: Annotated[float | None, typer.Option(help="In the loss.", rich_help_panel="Training")] = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    charge_key: ChargeKey = None,
    spin_key: SpinKey = None,
    dipole_key: DipoleKey = None,
    charges_key: ChargesKey = None,
    hirshfeld_key: HirshfeldKey = None,
    target_key: TargetKey = None,
    bad: Bad = "error",
    device: Device = "cpu",
    dtype: Annotated[Precision, typer.Option(help="Precision.", rich_help_panel="Machine")] = Precision.float32,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that is in the folder.")] = False,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """From labels to a tested model file: split, train, test, report - one command.

    The run folder gets config.yaml, split.npz, metrics.jsonl, model.safetensors, results.json and report.png.
    Ctrl-C stops cleanly; `pyff train FOLDER/config.yaml --resume` goes on.
    """
    from pyff.cli.fit import fit_config, run_fit

    config = fit_config(
        data={"files": data, "units": units, "energy_key": energy_key, "forces_key": forces_key,
              "stress_key": stress_key, "charge_key": charge_key, "spin_key": spin_key, "dipole_key": dipole_key,
              "charges_key": charges_key, "hirshfeld_key": hirshfeld_key, "target_key": target_key, "bad": bad},
        split={"train": train, "valid": valid, "test": test, "order": order, "seed": seed, "file": split},
        model=(model, {"cutoff": cutoff, "features": features, "layers": layers}),
        training={"max_time": time, "max_epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed,
                  "energy_weight": energy_weight, "forces_weight": forces_weight, "stress_weight": stress_weight,
                  "dipole_weight": dipole_weight, "charges_weight": charges_weight,
                  "hirshfeld_weight": hirshfeld_weight, "device": device, "dtype": dtype.value},
        settings=set_ or (),
    )  # fmt: skip
    folder = out or Path(f"{data[0].name.split('.')[0]}-fit")
    return run_fit(Console(quiet, json), config, folder, overwrite=overwrite)


@app.command(
    epilog=_examples("""
        # write one by running `pyff fit`, change it, run it
        pyff train my-run/config.yaml --overwrite
        pyff train my-run/config.yaml --resume
    """)
)
def train(
    config: Annotated[Path, typer.Argument(help="config.yaml of a run; the run lives in its folder.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run where it stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew in a folder that holds a run.")] = False,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Run the training that a config.yaml describes, from the start or from where it stopped."""
    from pyff.cli.fit import run_fit
    from pyff.cli.run_config import RunConfig

    settings = RunConfig.from_yaml(config)
    return run_fit(Console(quiet, json), settings, config.parent, resume=resume, overwrite=overwrite)


@app.command(
    epilog=_examples("""
        pyff test model.safetensors new_frames.xyz
        pyff test model.safetensors ethanol.npz --units kcal/mol,Angstrom --picture parity.png
        pyff test run/model.safetensors data.xyz --split run/split.npz
    """)
)
def test(
    model: Model,
    data: Annotated[list[Path], typer.Argument(help="Labelled frames: .xyz, .extxyz(.gz), .db or .npz.")],
    units: Units = None,
    split: Annotated[Path | None, typer.Option(help="Test on the test frames of a saved split (.npz).")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw model against label (png, pdf, svg).")] = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    charge_key: ChargeKey = None,
    spin_key: SpinKey = None,
    dipole_key: DipoleKey = None,
    charges_key: ChargesKey = None,
    hirshfeld_key: HirshfeldKey = None,
    target_key: TargetKey = None,
    bad: Bad = "error",
    device: Device = "cpu",
    dtype: Dtype = None,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Errors of a model on labelled frames: MAE and RMSE in the units of the data."""
    from pyff.cli.test import run_test

    source = {"files": data, "units": units, "energy_key": energy_key, "forces_key": forces_key,
              "stress_key": stress_key, "charge_key": charge_key, "spin_key": spin_key, "dipole_key": dipole_key,
              "charges_key": charges_key, "hirshfeld_key": hirshfeld_key, "target_key": target_key,
              "bad": bad}  # fmt: skip
    return run_test(
        Console(quiet, json), model, source, split=split, picture=picture, device=device, dtype=dtype and dtype.value
    )


@app.command(
    epilog=_examples("""
        # 10 ps at 300 K
        pyff md model.safetensors start.xyz --temperature 300 --time 10
        # 1 ps to warm up, then 5 ps at constant energy
        pyff md model.safetensors start.xyz --equilibrate 1 --ensemble nve --time 5
        # go on with a run that was stopped
        pyff md model.safetensors start.xyz --time 10 --out md.xyz --resume
    """)
)
def md(
    model: Model,
    start: Annotated[Path, typer.Argument(help="Starting structure (.xyz, .cif, .pdb, POSCAR, ...).")],
    time: Annotated[float, typer.Option(help="Length of the simulation in ps.", min=0)] = 1.0,
    ensemble: Annotated[str, typer.Option(help="langevin (constant temperature) or nve.")] = "langevin",
    temperature: Annotated[float, typer.Option(help="K.", min=0)] = 300.0,
    timestep: Annotated[float, typer.Option(help="fs; 0.5 with hydrogen, 1-2 without.")] = 0.5,
    friction: Annotated[float, typer.Option(help="Of the Langevin thermostat, 1/ps.")] = 10.0,
    equilibrate: Annotated[float, typer.Option(help="ps of Langevin dynamics before, not written.", min=0)] = 0.0,
    out: Annotated[Path, typer.Option(help="Trajectory (.xyz); the log goes to a .csv beside it.")] = Path("md.xyz"),
    every: Annotated[int, typer.Option(help="Steps between frames.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Of velocities and noise.", min=0)] = 0,
    charge: Charge = None,
    spin: Spin = None,
    long_range_cutoff: LongRangeCutoff = None,
    ewald: Ewald = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue OUT from its last frame up to --time.")] = False,
    overwrite: Overwrite = False,
    device: Device = "cpu",
    dtype: Dtype = None,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Molecular dynamics at constant temperature or constant energy.

    Frames are on disk as soon as they are computed. Ctrl-C writes a last frame and stops; so do an energy that is not
    finite and a temperature that runs away.
    """
    from pyff.cli.md import MDOptions, run_md_command
    from pyff.cli.start import Start

    begin = Start(start, charge, spin, device, dtype and dtype.value, long_range_cutoff, ewald)
    options = MDOptions(
        time=time, ensemble=ensemble, temperature=temperature, timestep=timestep, friction=friction,
        equilibrate=equilibrate, out=out, every=every, seed=seed, resume=resume, overwrite=overwrite,
    )  # fmt: skip
    return run_md_command(Console(quiet, json), model, begin, options)


@app.command(
    epilog=_examples("""
        pyff relax model.safetensors start.xyz
        pyff relax model.safetensors crystal.cif --cell --fmax 0.001 --out relaxed.xyz
        # an ion; and a salt, with the Coulomb energy of the whole lattice
        pyff relax so3lr.safetensors acetate.pdb --charge -1
        pyff relax so3lr.safetensors salt.cif --long-range-cutoff 12 --ewald
    """)
)
def relax(
    model: Model,
    start: Annotated[Path, typer.Argument(help="Structure to relax (.xyz, .cif, .pdb, POSCAR, ...).")],
    fmax: Annotated[float, typer.Option(help="Done when no force exceeds this, eV/A.")] = 0.01,
    cell: Annotated[bool, typer.Option("--cell", help="Relax the cell too.")] = False,
    optimizer: Annotated[str, typer.Option(help="bfgs, lbfgs or fire.")] = "bfgs",
    steps: Annotated[int, typer.Option(help="Largest number of steps.", min=0)] = 500,
    out: Annotated[Path, typer.Option(help="Relaxed structure (.xyz).")] = Path("relaxed.xyz"),
    trajectory: Annotated[Path | None, typer.Option(help="Also write every step (.xyz).")] = None,
    charge: Charge = None,
    spin: Spin = None,
    long_range_cutoff: LongRangeCutoff = None,
    ewald: Ewald = False,
    overwrite: Overwrite = False,
    device: Device = "cpu",
    dtype: Annotated[Precision, typer.Option(help="Precision.", rich_help_panel="Machine")] = Precision.float64,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Relax the atoms, and with --cell the cell, until the forces vanish."""
    from pyff.cli.relax import RelaxOptions, run_relax
    from pyff.cli.start import Start

    begin = Start(start, charge, spin, device, dtype.value, long_range_cutoff, ewald)
    options = RelaxOptions(fmax, cell, optimizer, steps, out, trajectory, overwrite)
    return run_relax(Console(quiet, json), model, begin, options)


@app.command(
    epilog=_examples("""
        pyff convert best_model ethanol.safetensors --units kcal/mol,Angstrom --elements H,C,O
        pyff convert params.pkl so3lr.safetensors
    """)
)
def convert(
    source: Annotated[
        Path, typer.Argument(help="A SchNet saved by SchNetPack 1, or SO3LR's params.pkl beside hyperparameters.json.")
    ],
    target: Annotated[Path, typer.Argument(help="Model file to write (.safetensors).")],
    units: Annotated[
        str | None, typer.Option(help="SchNetPack: units it was trained in, energy,length. The file does not say.")
    ] = None,
    elements: Annotated[
        str | None, typer.Option(help="SchNetPack: elements it was trained on, such as H,C,O. The file does not say.")
    ] = None,
    cutoff_function: Annotated[
        str | None, typer.Option(help="none, cosine or mollifier instead of the file's own: another function!")
    ] = None,
    long_range_cutoff: Annotated[
        float | None, typer.Option(help="SO3LR: end of electrostatics and dispersion, A [12]; inf: all pairs.", min=0.1)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace TARGET if it exists.")] = False,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Turn a SchNetPack 1 SchNet or SO3LR into a pyff model file that gives the same numbers, in eV and A.

    The old file is a Python pickle. It is read as data: nothing in it is executed, and a file that asks for anything
    but network weights is refused.
    """
    from pyff.cli.convert import run_convert

    return run_convert(
        Console(quiet, json), source, target, units=units, elements=elements, cutoff_function=cutoff_function,
        long_range_cutoff=long_range_cutoff, overwrite=overwrite,
    )  # fmt: skip


@app.command(
    epilog=_examples("""
        pyff info
        pyff info model.safetensors
    """)
)
def info(
    model: Annotated[Path | None, typer.Argument(help="Describe this model file instead.", show_default=False)] = None,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Versions, instruction set, threads, devices, and which fast paths are live here - or what a model file holds."""
    from pyff.cli.info import run_info

    return run_info(Console(quiet, json), model)

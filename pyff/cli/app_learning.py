"""Names, options and help of the commands beyond a single fit: fine-tuning and learning curves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyff.cli.app import (
    Bad,
    ChargeKey,
    Debug,
    Device,
    EnergyKey,
    ForcesKey,
    Json,
    Model,
    Precision,
    Quiet,
    Settings,
    SpinKey,
    StressKey,
    Units,
    _examples,
    app,
)
from pyff.cli.console import Console

__all__ = ["finetune", "learning_curve"]

Data = Annotated[list[Path], typer.Argument(help="Labelled frames: .xyz, .extxyz(.gz), .db or .npz.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is in the folder.")]


@app.command(
    epilog=_examples("""
        # a published model on your own molecule: every weight
        pyff finetune so3lr.safetensors data.xyz --units eV,Angstrom --time 20
        # few frames: the last layer and the readouts only
        pyff finetune so3lr.safetensors data.xyz --strategy last_layer+final_mlp --train 50 --time 5
    """)
)
def finetune(
    model: Model,
    data: Data,
    strategy: Annotated[
        str, typer.Option(help="What is trained: full, last_layer, first_layer, final_mlp, or several joined by +.")
    ] = "full",
    out: Annotated[Path | None, typer.Option(help="Run folder; NAME-tuned if not given.", show_default=False)] = None,
    units: Units = None,
    time: Annotated[float | None, typer.Option(help="Minutes of training.", min=0.001)] = None,
    epochs: Annotated[int | None, typer.Option(help="Largest number of epochs.", min=1)] = None,
    train: Annotated[str | None, typer.Option(help="Training frames: a number or a fraction.")] = None,
    valid: Annotated[str, typer.Option(help="Validation frames: a number or a fraction.")] = "0.1",
    test: Annotated[str | None, typer.Option(help="Test frames: a number or a fraction; else the rest.")] = None,
    order: Annotated[str, typer.Option(help="random, or time: the test frames come last.")] = "random",
    split: Annotated[Path | None, typer.Option(help="Use the frames of a saved split (.npz).")] = None,
    seed: Annotated[int, typer.Option(help="Of the split and of the training.", min=0)] = 0,
    batch_size: Annotated[int | None, typer.Option(help="Frames per step.", rich_help_panel="Training")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.", rich_help_panel="Training")] = None,
    set_: Settings = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    charge_key: ChargeKey = None,
    spin_key: SpinKey = None,
    bad: Bad = "error",
    device: Device = "cpu",
    dtype: Annotated[Precision, typer.Option(help="Precision.", rich_help_panel="Machine")] = Precision.float32,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run where it stopped.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Train a trained model further, on your own frames: all of it, or some of its parts.

    Its energies are first moved to the zero of the data (reference energies per element), because published models
    count from zeros of their own. The new model file remembers its parent. Errors are shown before and after.
    """
    from pyff.cli.finetune import FinetuneOptions, run_finetune
    from pyff.cli.fit import fit_config

    config = fit_config(
        data={"files": data, "units": units, "energy_key": energy_key, "forces_key": forces_key,
              "stress_key": stress_key, "charge_key": charge_key, "spin_key": spin_key, "bad": bad},
        split={"train": train, "valid": valid, "test": test, "order": order, "seed": seed, "file": split},
        model=("schnet", {}),
        training={"max_time": time, "max_epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed,
                  "device": device, "dtype": dtype.value},
        settings=set_ or (),
    )  # fmt: skip
    folder = out or Path(f"{data[0].name.split('.')[0]}-tuned")
    return run_finetune(
        Console(quiet, json), FinetuneOptions(model, config, strategy, folder, resume=resume, overwrite=overwrite)
    )


@app.command(
    name="learning-curve",
    epilog=_examples("""
        pyff learning-curve aspirin.xyz --units eV,Angstrom --sizes 50,200,950 --models schnet,so3krates --time 30
        # stopped? the same command does what is left
    """),
)
def learning_curve(
    data: Data,
    sizes: Annotated[str, typer.Option(help="Numbers of training frames.")] = "50,100,200,400,800",
    models: Annotated[str, typer.Option(help="Architectures or presets, as --model of `pyff fit`.")] = "schnet",
    time: Annotated[float, typer.Option(help="Minutes of each training.", min=0.001)] = 10.0,
    out: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("learning-curve"),
    units: Units = None,
    valid: Annotated[int, typer.Option(help="Validation frames, the same for all.", min=1)] = 50,
    test: Annotated[int | None, typer.Option(help="Test frames, the same for all; else the rest.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of the split and of the trainings.", min=0)] = 0,
    set_: Settings = None,
    device: Device = "cpu",
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Errors against the number of training frames, for several models, each with the same time and the same frames.

    Smaller training sets are parts of larger ones. OUT gets a run folder per model and size, learning_curve.json and
    learning_curve.png. Runs that are done are not repeated.
    """
    from pyff.cli.learning_curve import CurveOptions, run_learning_curve

    options = CurveOptions(
        files=tuple(data), units=units, sizes=sizes, models=models, minutes=time, out=out, valid=valid, test=test,
        seed=seed, settings=tuple(set_ or ()), device=device,
    )  # fmt: skip
    return run_learning_curve(Console(quiet, json), options)

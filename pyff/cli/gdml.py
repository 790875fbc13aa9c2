"""The command group `pyff gdml`, with sgdml's commands and arguments: what looks at files and models.

The commands that train are in `pyff.cli.gdml_training`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyff.cli.app import Debug, Json, Quiet, _examples
from pyff.cli.app_krr import app
from pyff.cli.console import Console

__all__ = ["Cpu", "Force", "MaxMemory", "MaxProcesses", "Overwrite", "Seed", "app", "gdml", "use_machine"]

Overwrite = Annotated[bool, typer.Option("--overwrite", "-o", help="Overwrite existing files and results.")]
Force = Annotated[bool, typer.Option("--force", help="Go on where fingerprints of data sets do not match.")]
Seed = Annotated[int, typer.Option(help="Of the random choice of points.", min=0)]
MaxMemory = Annotated[
    float | None, typer.Option("--max_memory", "-m", help="Limit of memory, GiB.", min=0, rich_help_panel="Machine")
]
MaxProcesses = Annotated[
    int | None, typer.Option("--max_processes", "-p", help="Limit of threads.", min=1, rich_help_panel="Machine")
]
Cpu = Annotated[bool, typer.Option("--cpu", help="Leave a GPU alone.", rich_help_panel="Machine")]

gdml = typer.Typer(
    rich_markup_mode="rich",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Kernel force fields of single molecules and crystals (sGDML): sgdml's commands, arguments and files.",
    epilog=_examples("""
        # from a data set to a tested model: 200 points to train, 100 to choose the length scale
        pyff gdml all ethanol.npz 200 100 --model_file ethanol-model
        pyff gdml show ethanol-model.npz
        pyff md ethanol-model.npz start.xyz --temperature 300
    """),
)
app.add_typer(gdml, name="gdml")


def use_machine(max_processes: int | None = None, cpu: bool = False) -> str:
    """Set the number of threads; the device to run on."""
    import torch

    if max_processes is not None:
        torch.set_num_threads(max_processes)
    return "cuda" if torch.cuda.is_available() and not cpu else "cpu"


@gdml.command(
    epilog=_examples("""
        pyff gdml show ethanol.npz
        pyff gdml show ethanol-model.npz --json
    """)
)
def show(
    file: Annotated[Path, typer.Argument(help="Data set, task or model (.npz).", show_default=False)],
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """What a data set, a task or a model holds."""
    from pyff.cli.gdml_show import run_show

    return run_show(Console(quiet, json), file)


@gdml.command(
    epilog=_examples("""
        # on all points that the model has not seen
        pyff gdml test ethanol-model.npz ethanol.npz
        # on 1000 points, drawn such that their energies are spread as all are
        pyff gdml test ethanol-model.npz ethanol.npz 1000
        # another test of the same size replaces the errors in the model file
        pyff gdml test ethanol-model.npz ethanol.npz 1000 -o
    """)
)
def test(
    model: Annotated[Path, typer.Argument(help="Model (.npz), or a folder of models.", show_default=False)],
    dataset: Annotated[Path, typer.Argument(help="Data set to test on (.npz).", show_default=False)],
    n_test: Annotated[int, typer.Argument(help="Number of points; 0: all that the model has not seen.", min=0)] = 0,
    overwrite: Overwrite = False,
    max_memory: MaxMemory = None,
    max_processes: MaxProcesses = None,
    cpu: Cpu = False,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Errors of a model on points it was neither trained nor validated on.

    The errors are written into the model file if it was tested on fewer points before, or with --overwrite.
    Predictions need little memory: --max_memory is accepted as sgdml does.
    """
    from pyff.cli.gdml_test import run_test

    device = use_machine(max_processes, cpu)
    return run_test(Console(quiet, json), model, dataset, n_test, overwrite=overwrite, seed=seed, device=device)


@gdml.command(
    epilog=_examples("""
        pyff gdml validate sgdml_cv_ethanol-PBE-train200-sym ethanol.npz
        # files of programs that compute other fingerprints
        pyff gdml validate water-model.npz water.npz --force
    """)
)
def validate(
    model: Annotated[Path, typer.Argument(help="Model (.npz), or a folder of models.", show_default=False)],
    dataset: Annotated[Path, typer.Argument(help="Data set of the validation points (.npz).", show_default=False)],
    overwrite: Overwrite = False,
    force: Force = False,
    max_memory: MaxMemory = None,
    max_processes: MaxProcesses = None,
    cpu: Cpu = False,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Errors of models on the validation points that their files name; written into the files.

    Models that have been validated are skipped unless --overwrite.
    """
    from pyff.cli.gdml_test import run_validate

    device = use_machine(max_processes, cpu)
    return run_validate(Console(quiet, json), model, dataset, overwrite=overwrite, force=force, device=device)

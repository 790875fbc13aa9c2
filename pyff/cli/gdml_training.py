"""Commands of `pyff gdml` that make models, with sgdml's arguments: create, train, resume, select, all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.core import TyperCommand

from pyff.cli.app import Debug, Json, Quiet, _examples
from pyff.cli.console import Console
from pyff.cli.gdml import Cpu, MaxMemory, MaxProcesses, Overwrite, Seed, app, gdml, use_machine

__all__ = ["app"]

# options that take all values that follow them, and what such a value looks like. A ridge is no whole number: those are
# numbers of points
_GREEDY = {
    "--sig": re.compile(r"[\d.]+([eE]-?\d+)?(:[\d.]+){0,2}"),
    "--lam": re.compile(r"\d+\.?\d*[eE]-?\d+|\d*\.\d+|0"),
}
_GREEDY |= {"-s": _GREEDY["--sig"], "--sigma": _GREEDY["--sig"]}


class _ManyNumbers(TyperCommand):
    """-s takes all numbers and ranges that follow it, as sgdml's does; so does --lam."""

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        spread, option = [], None
        for arg in args:
            if option and spread[-1] != option and _GREEDY[option].fullmatch(arg):
                spread.append(option)
            elif arg in _GREEDY:
                option = arg
            elif not option or spread[-1] != option:
                option = None
            spread.append(arg)
        return super().parse_args(ctx, spread)


Dataset = Annotated[Path, typer.Argument(help="Data set (.npz).", show_default=False)]
NTrain = Annotated[int, typer.Argument(help="Number of points to train on.", min=1, show_default=False)]
NValid = Annotated[int, typer.Argument(help="Number of points to validate on.", min=1, show_default=False)]
ValidData = Annotated[
    Path | None,
    typer.Option("--validation_dataset", "-v", help="Validate on points of this data set.", show_default=False),
]
TestData = Annotated[
    Path | None, typer.Option("--test_dataset", "-t", help="Test on points of this data set.", show_default=False)
]
Sigmas = Annotated[
    list[str] | None,
    typer.Option(
        "--sig", "--sigma", "-s", metavar="NUMBERS",
        help="Length scales to try: numbers and ranges start:step:stop, such as -s 5 10:10:50 7.5; after the other "
        "arguments. 10:10:90 if not given.", show_default=False,
    ),
]  # fmt: skip
Lam = Annotated[
    list[float] | None,
    typer.Option(
        "--lam", metavar="NUMBERS", min=0, show_default=False,
        help="Ridges to try with every length scale: how far labels may be missed. For noisy labels larger ones, such "
        "as --lam 1e-10 1e-6 1e-4 1e-2. 1e-10 if not given.",
    ),
]  # fmt: skip
Gdml = Annotated[bool, typer.Option("--gdml", help="Ignore symmetries (GDML).")]
PermsFrom = Annotated[
    Path | None,
    typer.Option("--perms_from", "--perms", help="Take permutations (perms) from this file.", show_default=False),
]
NoE = Annotated[bool, typer.Option("--no_E", help="Learn forces only; energies up to a constant.")]
ECstr = Annotated[bool, typer.Option("--E_cstr", help="Learn the energies of all points, too.")]
DataUnits = Annotated[
    str | None,
    typer.Option("--units", metavar="ENERGY,LENGTH", show_default=False,
                 help="Units of data that state none, such as eV,Angstrom; kcal/mol,Angstrom if not given."),
]  # fmt: skip
TaskDir = Annotated[Path | None, typer.Option("--task_dir", help="Folder for the tasks.", show_default=False)]
ModelFile = Annotated[Path | None, typer.Option("--model_file", help="File for the model.", show_default=False)]
Lazy = Annotated[bool, typer.Option("--lazy", help="Skip tasks that were tried before without success.")]
Clean = Annotated[bool, typer.Option("--clean", help="Then delete the folder's tasks and models (sgdml does).")]
SolverName = Annotated[
    Literal["auto", "closed", "iterative"],
    typer.Option(help="Closed form, conjugate gradients, or whichever memory allows.", rich_help_panel="Solver"),
]
Preconditioner = Annotated[
    Literal["rpcholesky", "leverage", "random", "cholesky", "truncated", "points"],
    typer.Option(help="How the iterative solver picks columns of the kernel matrix.", rich_help_panel="Solver"),
]
Columns = Annotated[
    int | None,
    typer.Option(help="How many; fewer take less memory and more steps.", min=1, rich_help_panel="Solver",
                 show_default="chosen"),
]  # fmt: skip
Refine = Annotated[bool, typer.Option("--refine", help="Then search for a better length scale between the best ones.")]


@gdml.command(
    cls=_ManyNumbers,
    epilog=_examples("""
        pyff gdml create ethanol.npz 200 100
        pyff gdml create ethanol.npz 200 100 -s 5 7.5 10:10:40
        pyff gdml create ethanol.npz 200 100 --lam 1e-10 1e-6 1e-4
        pyff gdml create ethanol.npz 200 100 -v other.npz --E_cstr --task_dir tasks
    """),
)
def create(
    dataset: Dataset, n_train: NTrain, n_valid: NValid, valid: ValidData = None, test: TestData = None,
    sig: Sigmas = None, lam: Lam = None, no_symmetry: Gdml = False, perms_from: PermsFrom = None, no_E: NoE = False,
    E_cstr: ECstr = False, task_dir: TaskDir = None, overwrite: Overwrite = False, seed: Seed = 0,
    units: DataUnits = None, quiet: Quiet = False, json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """Training tasks, one per length scale and ridge: the points, drawn such that their energies are spread as all are,
    and the symmetries of the molecule.

    A folder that holds tasks of the same search gets those it lacks. --test_dataset is accepted and not needed here.
    """
    from pyff.cli.gdml_create import CreateOptions, create_tasks

    console = Console(quiet, json)
    options = CreateOptions.parse(dataset, n_train, n_valid, valid, sig, lam, no_symmetry, perms_from, no_E, E_cstr,
                                  task_dir, overwrite, seed, units)  # fmt: skip
    folder = create_tasks(console, options)
    console.say(f"\nnext: pyff gdml train {folder} {valid or dataset}")
    console.result(task_dir=folder)
    return 0


@gdml.command(
    epilog=_examples("""
        pyff gdml train sgdml_cv_ethanol-PBE-train200-sym ethanol.npz
        # a single task, in at most 8 GB: the iterative solver beyond
        pyff gdml train tasks/task-train1000-sym6-sig0020.npz ethanol.npz -m 8
        # stopped? the same command goes on
        pyff gdml train tasks ethanol.npz --solver iterative --preconditioner cholesky --columns 1000
    """)
)
def train(
    task_dir: Annotated[Path, typer.Argument(help="Folder of tasks, or one task (.npz).", show_default=False)],
    valid_dataset: Annotated[Path, typer.Argument(help="Data set of the validation points.", show_default=False)],
    lazy: Lazy = False, overwrite: Overwrite = False, solver: SolverName = "auto",
    preconditioner: Preconditioner = "rpcholesky", columns: Columns = None, max_memory: MaxMemory = None,
    max_processes: MaxProcesses = None, cpu: Cpu = False, quiet: Quiet = False, json: Json = False,
    debug: Debug = False,
) -> int:  # fmt: skip
    """Models of tasks, ascending in length scale until the errors of the validation forces rise (with the best ridge).

    Closed form where its memory fits (half of the kernel matrix), else conjugate gradients. Models that exist are kept
    unless --overwrite: an interrupted search goes on where it was.
    """
    from pyff.cli.gdml_train import TrainOptions, next_step, train_tasks

    console = Console(quiet, json)
    options = TrainOptions(valid_dataset, lazy, overwrite, max_memory, use_machine(max_processes, cpu), solver,
                           preconditioner, columns)  # fmt: skip
    models = train_tasks(console, task_dir, options)
    console.say(f"\nnext: {next_step(models, valid_dataset)}")
    console.result(models=models)
    return 0


@gdml.command(
    epilog=_examples("""
        pyff gdml resume ethanol-model.npz ethanol.npz ethanol.npz
    """)
)
def resume(
    model: Annotated[Path, typer.Argument(help="Model whose iterative solver did not converge.", show_default=False)],
    dataset: Annotated[Path, typer.Argument(help="Data set it was trained on.", show_default=False)],
    valid_dataset: Annotated[Path, typer.Argument(help="Data set of its validation points.", show_default=False)],
    overwrite: Overwrite = False, preconditioner: Preconditioner = "rpcholesky", columns: Columns = None,
    max_memory: MaxMemory = None, max_processes: MaxProcesses = None, cpu: Cpu = False,
    quiet: Quiet = False, json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """Go on with the training of a model from its coefficients."""
    from pyff.cli.gdml_train import TrainOptions, resume_model

    console = Console(quiet, json)
    options = TrainOptions(valid_dataset, False, overwrite, max_memory, use_machine(max_processes, cpu),
                           preconditioner=preconditioner, columns=columns)  # fmt: skip
    resume_model(console, model, dataset, options)
    console.say(f"\nnext: pyff gdml test {model} {dataset}")
    console.result(model=model)
    return 0


@gdml.command(
    epilog=_examples("""
        pyff gdml select sgdml_cv_ethanol-PBE-train200-sym --model_file ethanol-model.npz
    """)
)
def select(
    model_dir: Annotated[Path, typer.Argument(help="Folder of models.", show_default=False)],
    model_file: ModelFile = None, clean: Clean = False, overwrite: Overwrite = False, quiet: Quiet = False,
    json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """Copy the model with the least error of the validation forces (RMSE) out of a folder.

    The folder stays; sgdml deletes it at this point, which --clean does.
    """
    from pyff.cli.gdml_select import select_model

    console = Console(quiet, json)
    chosen = select_model(console, model_dir, model_file, overwrite=overwrite, clean=clean)
    console.say(f"\nnext: pyff gdml test {chosen} DATASET")
    console.result(model=chosen)
    return 0


@gdml.command(
    name="all",
    cls=_ManyNumbers,
    epilog=_examples("""
        pyff gdml all ethanol.npz 200 100
        # 500 test points, own length scales, then between them; a file name for the model
        pyff gdml all ethanol.npz 200 100 500 --model_file ethanol-model --refine -s 5 10 20 40
        # stopped? the same command goes on
    """),
)
def all_(
    dataset: Dataset, n_train: NTrain, n_valid: NValid,
    n_test: Annotated[int, typer.Argument(help="Number of points to test on; all others if not given.", min=0)] = 0,
    valid: ValidData = None, test: TestData = None, sig: Sigmas = None, lam: Lam = None, no_symmetry: Gdml = False,
    perms_from: PermsFrom = None, no_E: NoE = False, E_cstr: ECstr = False, task_dir: TaskDir = None,
    model_file: ModelFile = None, lazy: Lazy = False, refine: Refine = False, clean: Clean = False,
    overwrite: Overwrite = False, solver: SolverName = "auto", preconditioner: Preconditioner = "rpcholesky",
    columns: Columns = None, max_memory: MaxMemory = None, max_processes: MaxProcesses = None, cpu: Cpu = False,
    seed: Seed = 0, units: DataUnits = None, quiet: Quiet = False, json: Json = False, debug: Debug = False,
) -> int:  # fmt: skip
    """From a data set to a tested model: create, train, select and test, and a picture of the errors.

    Beside the model lies NAME.png: validation errors against the length scale, and predictions against labels.
    """
    from pyff.cli.gdml_all import run_all
    from pyff.cli.gdml_create import CreateOptions
    from pyff.cli.gdml_train import TrainOptions

    options = CreateOptions.parse(dataset, n_train, n_valid, valid, sig, lam, no_symmetry, perms_from, no_E, E_cstr,
                                  task_dir, overwrite, seed, units)  # fmt: skip
    training = TrainOptions(valid or dataset, lazy, overwrite, max_memory, use_machine(max_processes, cpu), solver,
                            preconditioner, columns)  # fmt: skip
    return run_all(Console(quiet, json), options, training, test or dataset, n_test, model_file, refine=refine,
                   clean=clean)  # fmt: skip

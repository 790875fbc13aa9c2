"""`pyff gdml create`: a folder of tasks, one per length scale and ridge."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyff._npz import read_npz
from pyff.cli.console import Console
from pyff.cli.gdml_show import run_show
from pyff.cli.gdml_units import known_units, require_same_units, say_units, with_units
from pyff.errors import PyffError
from pyff.interfaces.sgdml import kind_of, read_sgdml, write_sgdml
from pyff.interfaces.sgdml.training import arrays_of_task, data_of_arrays, task_of_arrays
from pyff.models.gdml import GDMLConfig
from pyff.models.gdml.sgdml_file import is_skewed, rounding_is_nearest
from pyff.train.gdml import GdmlData, GdmlTask, Source, create_task
from pyff.train.gdml.search import DEFAULT_LAM, DEFAULT_SIGMAS
from pyff.train.gdml.task import EnergyUse, draw_points
from pyff.units import Units

__all__ = ["CreateOptions", "create_tasks", "file_name", "parse_sigmas", "sgdml_files", "write_task"]


@dataclass(frozen=True)
class CreateOptions:
    """Options of the command; sigmas None: the default grid."""

    dataset: Path
    n_train: int
    n_valid: int
    valid_dataset: Path | None
    sigmas: tuple[float, ...] | None
    lams: tuple[float, ...]
    use_sym: bool
    perms_from: Path | None
    use_energy: EnergyUse
    task_dir: Path | None
    overwrite: bool
    seed: int
    units: Units | None

    @classmethod
    def parse(
        cls, dataset, n_train, n_valid, valid, sig, lam, no_symmetry, perms_from, no_E, E_cstr, task_dir, overwrite,
        seed, units,
    ) -> CreateOptions:  # fmt: skip
        """From the options as typed."""
        if no_E and E_cstr:
            raise PyffError("--no_E and --E_cstr exclude each other: energies are either ignored or learned")
        if no_symmetry and perms_from:
            raise PyffError("--gdml and --perms_from exclude each other: symmetries are either ignored or given")
        units = Units.parse(units) if units else None
        if units and units != Units(units.energy, units.length):
            raise PyffError(f"--units must be 'energy,length', which forces follow; received {units} and others")
        use_energy = "none" if no_E else "constraints" if E_cstr else "constant"
        lams = tuple(sorted(set(lam or [DEFAULT_LAM])))
        return cls(dataset, n_train, n_valid, valid, parse_sigmas(sig) if sig else None, lams, not no_symmetry,
                   perms_from, use_energy, task_dir, overwrite, seed, units)  # fmt: skip


def parse_sigmas(texts: Sequence[str]) -> tuple[float, ...]:
    """Ascending numbers of texts such as "7.5" and "start:[step:]stop", the stop included."""
    found: set[float] = set()
    for text in texts:
        try:
            numbers = [float(part) for part in text.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) == 1:
            found.add(numbers[0])
        elif len(numbers) in (2, 3):
            start, step, stop = numbers if len(numbers) == 3 else (numbers[0], 1.0, numbers[1])
            values = np.arange(start, stop * (1 + 1e-12), step) if step > 0 else []
            if not len(values):
                raise PyffError(f"--sig {text} is an empty range; start:[step:]stop must ascend")
            found.update(round(float(v), 10) for v in values)
        else:
            raise PyffError(f"--sig must be numbers and ranges start:step:stop or start:stop; received {text!r}")
    if min(found) <= 0:
        raise PyffError(f"--sig must be positive; received {min(found):g}")
    return tuple(sorted(found))


def create_tasks(console: Console, options: CreateOptions) -> Path:
    """Write the tasks that the folder lacks; the folder."""
    if not console.quiet:
        run_show(console, options.dataset)
    data = _read(options.dataset, options)
    valid = _read(options.valid_dataset, options) if options.valid_dataset else data
    _say_properties(console, options, data, valid)
    if options.sigmas is None:
        console.say("length scales: 10:10:90")
    sigmas = options.sigmas or tuple(float(s) for s in DEFAULT_SIGMAS)
    folder = options.task_dir or Path(_folder_name(options, data))
    found = _existing(console, options, folder, data, valid, sigmas) if folder.exists() else None
    template = found or _new_task(console, options, data, valid)
    _say_images(console, template.config)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = list(itertools.product(sigmas, options.lams))
    written = sum(write_task(folder, template.with_sigma(*pair)) for pair in pairs)
    console.say(f"{written} of {len(pairs)} tasks written to {folder}, {len(template.pos)} training points each, "
                f"{len(template.perms)} symmetries")  # fmt: skip
    return folder


def _read(path: Path, options: CreateOptions) -> GdmlData:
    return with_units(data_of_arrays(read_sgdml(path, "d")), options.units, path.name)


def write_task(folder: Path, task: GdmlTask) -> bool:
    """Write a task unless its file exists; whether it did."""
    path = folder / file_name("task", task)
    if path.exists():
        return False
    write_sgdml(path, arrays_of_task(task))
    return True


def file_name(kind: str, task: GdmlTask) -> str:
    """sgdml's names, task-train200-sym6-sig0010.npz; a sigma or ridge that these cannot say is added."""
    whole = task.config.sigma.is_integer()
    sigma = f"{task.config.sigma:04g}" if whole else _exact(task.config.sigma).zfill(6)
    lam = "" if task.config.lam == DEFAULT_LAM else f"-lam{_exact(task.config.lam)}"
    return f"{kind}-train{len(task.pos)}-sym{len(task.perms)}-sig{sigma}{lam}.npz"


def _exact(x: float) -> str:
    """A number in as many digits as tell it from all others."""
    return short if float(short := f"{x:g}") == x else repr(x)


def sgdml_files(folder: Path, kind: str) -> list[Path]:
    """Tasks ("t") or models ("m") of a folder, unfinished ones left out."""
    if not folder.is_dir():
        raise PyffError(f"{folder} must be a folder; there is none")
    files = [p for p in sorted(folder.glob("*.npz")) if not p.name.startswith("_")]
    return [p for p in files if kind_of(_types(p)) == kind]


def _types(path: Path) -> dict:
    with np.load(path, allow_pickle=False) as archive:
        return {k: archive[k] for k in archive.files if k == "type"}


def _say_properties(console: Console, options: CreateOptions, data: GdmlData, valid: GdmlData) -> None:
    if data.energy is None and options.use_energy != "none":
        raise PyffError(f"{options.dataset} has no energies: --no_E learns forces, and energies up to a constant")
    use = {"constant": "global integration constant", "constraints": "pointwise energy constraints", "none": "none"}
    console.heading("task")
    console.say(f"energies    {use[options.use_energy]}")
    console.say(f"symmetries  {'included (sGDML)' if options.use_sym else 'ignored (GDML)'}")
    say_units(console, data, options.units)
    require_same_units(*map(_units, (data, valid)), "the training data state", "the validation data")
    for what, frames in (("training", data), ("validation", valid)):
        if frames.energy is None:
            console.warn(f"the {what} points are drawn without the guidance of energies, which their data set lacks")
    if (data.cell is None) != (valid.cell is None):
        raise PyffError("training and validation data must both be periodic or both open; one has a lattice")
    if data.cell is not None:
        console.say("lattice     found: nearest images")


def _say_images(console: Console, config: GDMLConfig) -> None:
    """What sgdml would make of the files, or they of the cell, where it is not orthogonal."""
    if config.cell is None or rounding_is_nearest(np.array(config.cell)):
        return
    if config.images == "search":
        console.say(
            "images      the true nearest, as the tasks and models state. The cell is not orthogonal: sgdml itself "
            "would round fractional coordinates and give wrong numbers for these files"
        )
    elif is_skewed(np.array(config.cell)):
        console.warn(
            "the cell is skewed, and the tasks of this folder find images by rounding, which are not always the "
            "nearest: errors grow. A new --task_dir takes the nearest"
        )


def _units(data: GdmlData | Source) -> Units | None:
    return known_units(data.energy_unit, data.length_unit)


def _folder_name(options: CreateOptions, data: GdmlData) -> str:
    theory = re.sub(r"\.\.", ".", re.sub(r"[^\w\-_.]", ".", data.theory))
    ends = ["-sym"] if options.use_sym else []
    ends += {"none": ["-noE"], "constraints": ["-Ecstr"], "constant": []}[options.use_energy]
    return f"sgdml_cv_{data.name}-{theory}-train{options.n_train}{''.join(ends)}"


def _new_task(console: Console, options: CreateOptions, data: GdmlData, valid: GdmlData) -> GdmlTask:
    perms = None
    if options.perms_from:
        perms = _permutations(options.perms_from, len(data.Z))
        console.say(f"{len(perms)} permutations of {options.perms_from.name}")
    elif options.use_sym and data.perms is None:
        console.say("searching for symmetries in the training points")
    return create_task(
        data, options.n_train, options.n_valid, GDMLConfig(sigma=1.0, lam=options.lams[0]),
        valid_data=valid, perms=perms, use_sym=options.use_sym, use_energy=options.use_energy,
        rng=np.random.default_rng(options.seed),
    )  # fmt: skip


def _permutations(path: Path, n_atoms: int) -> np.ndarray:
    arrays = read_npz(path)
    if "perms" not in arrays:
        raise PyffError(f"{path} must hold permutations (perms); it holds {', '.join(arrays)}")
    perms = np.asarray(arrays["perms"], np.int64)
    # files of 2018 count atoms from 1
    return perms - 1 if perms.size and (perms.min(), perms.max()) == (1, n_atoms) else perms


def _existing(
    console: Console, options: CreateOptions, folder: Path, data: GdmlData, valid: GdmlData, sigmas: Sequence[float]
) -> GdmlTask | None:
    """A task of the same search that the folder holds; with --overwrite tasks and models of any other are deleted.

    Raises PyffError where the folder holds another search.
    """
    tasks, models = sgdml_files(folder, "t"), sgdml_files(folder, "m")
    if options.overwrite:
        for path in tasks + models + [*folder.glob("_unconv_model-*.npz"), *folder.glob("_solver_model-*.ckpt")]:
            path.unlink()
        return None
    found = [task_of_arrays(read_sgdml(p, "t")) for p in tasks]
    if not found:
        if models:
            raise PyffError(f"{folder} holds models but no tasks: choose another --task_dir, or --overwrite them")
        return None
    if any(not _same_search(task, options, data, valid) for task in found):
        raise PyffError(
            f"{folder} holds tasks of another search (other points or --seed, symmetries, energies, ridge or units): "
            "choose "
            "another --task_dir, --overwrite them, or go on with them by `pyff gdml train`"
        )
    outside = [task.config.sigma for task in found if task.config.sigma not in sigmas]
    if outside:
        shown = ", ".join(f"{s:g}" for s in outside)
        console.say(f"the folder also holds sigma {shown}")
    console.say(f"going on with the search in {folder}")
    return found[0]


def _same_search(task: GdmlTask, options: CreateOptions, data: GdmlData, valid: GdmlData) -> bool:
    source, rng = task.source, np.random.default_rng(options.seed)
    points = draw_points(data, valid, options.n_train, options.n_valid, rng)
    perms = _permutations(options.perms_from, len(data.Z)) if options.perms_from else task.perms
    return (
        (source.train_md5, source.valid_md5) == (data.md5, valid.md5)
        and all(map(np.array_equal, (source.train, source.valid), points))
        and (options.use_sym or len(task.perms) == 1)
        and np.array_equal(perms, task.perms)
        and task.use_energy == options.use_energy
        and _units(source) == _units(data)
        and task.config.lam in options.lams
    )

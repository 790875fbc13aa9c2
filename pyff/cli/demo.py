"""`pyff demo`: the whole journey on the data that ship with pyff - train, test, simulate, draw."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

import pyff
from pyff.calculators import Calculator
from pyff.cli import INTERRUPTED
from pyff.cli.console import Console
from pyff.cli.fit import Fitted, fit_config, fit_model, show_metrics
from pyff.cli.md import simulate
from pyff.cli.threads import threads_for
from pyff.errors import PyffError
from pyff.md import MDReport, MDSettings, TrajectoryWriter, start_velocities
from pyff.train import epoch_curve, parity, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["DATA", "energy_panel", "run_demo"]

DATA = Path(pyff.__file__).parent / "demo" / "ethanol_pbe.extxyz.gz"
TEMPERATURE = 300.0  # K
MARK = ".pyff-demo"  # file in a folder that a demo made, and that a demo may write over
WARM_UP, PRODUCTION = 1000, 4000  # steps of 0.5 fs

STORY = """\
pyff demo: from quantum chemistry to molecular dynamics with ethanol.
The data are PBE/def2-SVP energies and forces of frames from a 500 K simulation; they ship with pyff.
"""

LESSON = """\
What happened: the frames were split, SchNet was trained on energies and forces, its errors were measured on frames it
had not seen, and the model drove a simulation through the ASE calculator: {warm_up:g} ps at {temperature:g} K, then
{production:g} ps at constant energy, which a force field keeps only if its forces are the exact gradient of its energy.

The same on your own data:
  pyff fit data.xyz --units eV,Angstrom --time 30
  pyff md data-fit/model.safetensors start.xyz --temperature 300 --time 10
In Python:
  atoms.calc = pyff.Calculator("{model}")
"""


def run_demo(console: Console, out: Path, *, minutes: float, epochs: int | None) -> int:
    """Everything, in the folder `out`; the exit code."""
    if not DATA.is_file():
        raise PyffError(f"the demo's data are missing from the installation: {DATA}")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).exists():
        raise PyffError(f"{out} holds files that no demo wrote: choose an empty or a new folder with --out")
    started = time.perf_counter()
    console.say(STORY)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()
    with threads_for(n_atoms=90):
        fitted = fit_model(console, _config(minutes, epochs), out, overwrite=True)
        if fitted.report.stopped == "interrupted":
            console.warn(f"interrupted; what there is so far is in {out}")
            return INTERRUPTED
        console.heading("Test: frames the model has not seen")
        show_metrics(console, fitted.test)
        console.heading("Simulation")
        report = _simulate(console, fitted, out)
    if report.stopped:
        console.warn(f"the simulation did not finish: {report.stopped}")
    picture = out / "demo.png"
    _draw(picture, fitted, report)
    _conclude(console, fitted, report, picture, time.perf_counter() - started)
    return INTERRUPTED if report.interrupted else int(bool(report.stopped))


def _config(minutes: float, epochs: int | None):
    length = {"max_epochs": epochs, "schedule": "cosine"} if epochs else {"max_time": minutes}
    return fit_config(
        data={"files": [DATA]},
        split={"valid": "0.1", "test": "0.15"},
        model=("schnet", {"features": 64}),
        training={**length, "batch_size": 10, "lr": 5e-3},
    )


def _simulate(console: Console, fitted: Fitted, out: Path) -> MDReport:
    """Warm up with a thermostat, then constant energy, written to md.xyz and md.csv."""
    system = fitted.parts[2][0]
    atoms = Atoms(system.Z, positions=system.pos, calculator=Calculator(out / "model.safetensors"))
    start_velocities(atoms, TEMPERATURE, seed=1)
    console.say(f"warming up at {TEMPERATURE:g} K, {WARM_UP} steps of 0.5 fs")
    warm = simulate(console, atoms, MDSettings(WARM_UP, "langevin", TEMPERATURE, seed=1))
    if warm.stopped:
        return warm
    console.say(f"constant energy, {PRODUCTION} steps of 0.5 fs")
    with TrajectoryWriter(out / "md.xyz") as trajectory:
        settings = MDSettings(PRODUCTION, "nve", TEMPERATURE, interval=40, log_interval=5)
        return simulate(console, atoms, settings, trajectory, out / "md.csv")


def _draw(path: Path, fitted: Fitted, report: MDReport) -> None:
    units = fitted.data.units
    panels = [
        parity(fitted.predictions, "energy", units),
        parity(fitted.predictions, "forces", units),
        epoch_curve(fitted.report.history, "errors", units),
        energy_panel(report),
    ]
    save_figure(path, panels)


def energy_panel(report: MDReport) -> Callable[[Axes], None]:
    """Panel of potential, kinetic and total energy per atom along a simulation, each from its mean."""

    def draw(axes: Axes) -> None:
        picoseconds = report.column("time_fs") / 1000
        curves = {"potential_eV": "#c9d4e5", "kinetic_eV": "#f2c9a1", "total_eV": "#b3261e"}
        for name, color in curves.items():
            energy = 1000 * report.column(name) / report.n_atoms
            axes.plot(picoseconds, energy - energy.mean(), color=color, linewidth=1.0, label=name.removesuffix("_eV"))
        title = "energy conservation"
        if report.drift:
            title += f": {report.drift.slope:+.3f} meV/atom/ps"
        axes.set(xlabel="time (ps)", ylabel="energy from its mean (meV/atom)", title=title)
        axes.legend(frameon=False, ncols=3, loc="upper center")
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.15 * (high - low))  # room for the legend

    return draw


def _conclude(console: Console, fitted: Fitted, report: MDReport, picture: Path, seconds: float) -> None:
    model, drift = picture.parent / "model.safetensors", report.drift
    rows = [("temperature", f"{_mean(report, 'temperature_K'):.0f} K")]
    if drift:
        rows.append(("drift of the total energy", f"{drift.slope:+.4f} meV/atom/ps"))
        rows.append(("its fluctuation", f"{100 * drift.relative:.2f} % of the kinetic energy's"))
    console.facts(rows)
    console.heading("Done")
    console.facts([(str(picture), "the picture"), (str(model), "the model"), (str(picture.parent), "everything else")])
    step = 0.5e-3  # ps
    console.say()
    console.say(
        LESSON.format(warm_up=WARM_UP * step, production=PRODUCTION * step, temperature=TEMPERATURE, model=model)
    )
    console.say(f"{seconds / 60:.1f} minutes in all")
    console.result(
        model=model,
        picture=picture,
        seconds=seconds,
        test=fitted.test.as_dict(),
        md_steps=report.steps,
        md_stopped=report.stopped or None,
        drift_meV_per_atom_per_ps=drift.slope if drift else None,
    )


def _mean(report: MDReport, column: str) -> float:
    return float(np.mean(report.column(column))) if report.rows else float("nan")

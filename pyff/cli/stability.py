"""`pyff stability`: how long simulations with one or several models keep their bonds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ase import Atoms

from pyff._atomic import atomic_write
from pyff._figure import save_figure
from pyff._interrupt import Interrupt
from pyff.cli import INTERRUPTED
from pyff.cli.console import Console, finite
from pyff.cli.output import require_output
from pyff.cli.start import Start, described
from pyff.cli.threads import threads_for
from pyff.errors import PyffError
from pyff.md import (
    StabilityRun,
    StabilitySettings,
    TrajectoryWriter,
    measure_stability,
    stability_panel,
    summarize_stability,
)

__all__ = ["StabilityOptions", "run_stability", "stability_options"]


@dataclass(frozen=True)
class StabilityOptions:
    """Options of the command; the picture and the last frames go beside `out`."""

    settings: StabilitySettings
    out: Path
    overwrite: bool

    @property
    def frames(self) -> Path:
        return self.out.with_suffix(".xyz")

    @property
    def picture(self) -> Path:
        return self.out.with_suffix(".png")


def stability_options(*, temperatures: str, seeds: int, out: Path, overwrite: bool, **settings) -> StabilityOptions:
    """From what the user typed: temperatures "300,500", a number of seeds."""
    try:
        kelvin = tuple(float(text) for text in temperatures.split(","))
    except ValueError:
        raise PyffError(
            f"--temperatures must be numbers separated by commas, such as 300,500; received {temperatures!r}"
        ) from None
    chosen = StabilitySettings(temperatures=kelvin, seeds=tuple(range(seeds)), **settings)
    return StabilityOptions(chosen, out, overwrite)


def run_stability(console: Console, models: Sequence[Path], start: Start, options: StabilityOptions) -> int:
    """Run all, writing results after every run; the exit code."""
    if not models:
        raise PyffError(
            f"give model files and then a structure; received {start.path} alone. See `pyff stability --help`"
        )
    require_output(
        options.out, (".json",), beside=(options.frames, options.picture), inputs=(start.path,),
        overwrite=options.overwrite,
    )  # fmt: skip
    atoms, s = start.atoms(), options.settings
    calculators = {name: start.calculator(console, path, atoms) for name, path in _named(models).items()}
    console.say(
        f"{described(atoms)}: {len(models)} x {s.n_runs} runs of {s.time:g} ps at "
        f"{', '.join(f'{t:g}' for t in s.temperatures)} K, {s.ensemble}, {s.timestep:g} fs"
    )
    runs: list[StabilityRun] = []
    with threads_for(len(atoms)), Interrupt() as interrupt:
        _measure_all(console, atoms, calculators, options, runs, interrupt)
    return _conclude(console, runs, options, bool(interrupt.requested))


def _named(models: Sequence[Path]) -> dict[str, Path]:
    """Short names that tell the files apart: the stem, with its folder where stems are equal."""
    stems = [path.stem for path in models]
    names = [p.stem if stems.count(p.stem) == 1 else f"{p.resolve().parent.name}/{p.stem}" for p in models]
    if len(set(names)) < len(models):
        raise PyffError(
            "every model must be given once, under a name of its own (file, or folder and file); received "
            + ", ".join(map(str, models))
        )
    return dict(zip(names, models))


def _measure_all(
    console, atoms: Atoms, calculators, options: StabilityOptions, runs: list, interrupt: Interrupt
) -> None:
    """Runs of every model, added to `runs`, until done or interrupted."""
    s = options.settings
    with console.progress(s.steps * s.n_runs * len(calculators)) as show, TrajectoryWriter(options.frames) as last:

        def keep(run: StabilityRun) -> None:
            runs.append(run)
            facts = {name: value for name, value in run.as_dict().items() if value != ""}
            last.write(run.final, **facts)
            _write(options, runs)

        for before, (name, calculator) in enumerate(calculators.items()):
            on_step = lambda run, step, text, k=before: show((k * s.n_runs + run) * s.steps + step, text)  # noqa: E731
            measure_stability(atoms, calculator, s, model=name, on_step=on_step, on_run=keep)
            if interrupt.requested:
                return


def _write(options: StabilityOptions, runs: list[StabilityRun]) -> None:
    content = {
        "settings": asdict(options.settings),
        "summary": [asdict(summary) for summary in summarize_stability(runs)],
        "runs": [run.as_dict() for run in runs],
    }
    atomic_write(options.out, json.dumps(finite(content), indent=1) + "\n")


def _conclude(console: Console, runs: list[StabilityRun], options: StabilityOptions, interrupted: bool) -> int:
    summaries, picture = summarize_stability(runs), None
    if summaries:
        picture = options.picture
        save_figure(picture, [stability_panel(runs)], size=4.2, aspect=1.6)
        _show(console, runs)
    console.result(
        results=options.out if runs else None,
        picture=picture,
        interrupted=interrupted,
        summary=[asdict(summary) for summary in summaries],
    )
    if runs:
        console.say(f"results in {options.out}, last frames in {options.frames}, picture in {picture}")
    if interrupted:
        console.warn(f"interrupted after {sum(not run.interrupted for run in runs)} complete runs")
        return INTERRUPTED
    return 0


def _show(console: Console, runs: list[StabilityRun]) -> None:
    columns = ("model", "K", "stable", "mean (ps)", "2 sigma", "fraction", "steps/s")
    console.table(
        columns,
        [
            (s.model, s.temperature, f"{s.n_stable}/{s.n_runs}", s.stable_time, s.two_sigma, s.fraction,
             s.frames_per_second)
            for s in summarize_stability(runs)
        ],
    )  # fmt: skip
    for run in runs:
        if run.reason:
            console.say(f"{run.model}, {run.temperature:g} K, seed {run.seed}: {run.reason} ({run.stable_time:g} ps)")

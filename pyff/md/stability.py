"""How long simulations with a model stay physical: several seeds and temperatures, judged by the bonds.

A run is unstable at the first time with max over bonded pairs | |r_ij(t)| - b_ij | > 0.5 A (Fu et al., TMLR 2023);
pairs and lengths b_ij are those of the structure the runs are started from, so every model is held to the same bonds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator

from pyff._interrupt import Interrupt
from pyff.md.bonds import Bonds, bonded_pairs
from pyff.md.dynamics import MDSettings, run_md, start_velocities
from pyff.md.relax import quasi_newton, relax

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "StabilityRun",
    "StabilitySettings",
    "StabilitySummary",
    "measure_stability",
    "stability_panel",
    "summarize_stability",
]


@dataclass(frozen=True)
class StabilitySettings:
    """What a model has to stand.

    time in ps per run; temperatures in K and seeds: every combination is one run; timestep in fs; friction in 1/ps;
    threshold in A: largest change of a bond length; fmax in eV/A and relax_steps: of the relaxation before.
    """

    time: float = 10.0
    temperatures: tuple[float, ...] = (300.0, 500.0)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    ensemble: Literal["langevin", "nve"] = "langevin"
    timestep: float = 0.5
    friction: float = 1.0
    threshold: float = 0.5
    fmax: float = 1e-3
    relax_steps: int = 1000

    def __post_init__(self) -> None:
        if not self.temperatures or not self.seeds:
            raise ValueError("temperatures and seeds must name at least one value each")
        if not (self.time > 0 and self.threshold > 0):
            raise ValueError(f"time and threshold must be positive; received {self.time} and {self.threshold}")
        self.md(self.temperatures[0], self.seeds[0])  # its own checks

    @property
    def steps(self) -> int:
        """Steps of a run that stays stable."""
        return max(1, round(1000 * self.time / self.timestep)) if self.timestep > 0 else 1

    @property
    def n_runs(self) -> int:
        return len(self.temperatures) * len(self.seeds)

    def md(self, temperature: float, seed: int) -> MDSettings:
        return MDSettings(
            self.steps, self.ensemble, temperature, self.timestep, self.friction, log_interval=20, seed=seed
        )


@dataclass(frozen=True)
class StabilityRun:
    """One run: stable_time in ps until the first violation, of total_time; reason is empty where there was none.

    An interrupted run says how far it came, and does not count in averages. final is the last structure.
    """

    model: str
    temperature: float
    seed: int
    stable_time: float
    total_time: float
    reason: str
    interrupted: bool
    steps: int
    seconds: float
    final: Atoms

    def as_dict(self) -> dict:
        """For JSON: everything but the structure."""
        return {name: value for name, value in vars(self).items() if name != "final"}


@dataclass(frozen=True)
class StabilitySummary:
    """The runs of one model at one temperature.

    stable_time: mean over seeds in ps, two_sigma: twice the standard error of that mean (NaN for one seed), fraction:
    stable_time over the length of the runs, n_stable of n_runs: runs without violation, frames_per_second: MD steps.
    """

    model: str
    temperature: float
    n_runs: int
    n_stable: int
    stable_time: float
    two_sigma: float
    fraction: float
    frames_per_second: float


def measure_stability(
    atoms: Atoms,
    calculator: AseCalculator,
    settings: StabilitySettings | None = None,
    *,
    model: str = "",
    on_step: Callable[[int, int, str], None] | None = None,
    on_run: Callable[[StabilityRun], None] | None = None,
) -> list[StabilityRun]:
    """Relax `atoms` with a calculator, then run MD for every temperature and seed; `atoms` itself is left alone.

    The relaxation ends at settings.fmax or after settings.relax_steps; either way the runs begin from its end, with
    velocities without net motion and rotation. Ctrl-C ends the list early: a run it hits
    is listed as interrupted, as far as it came.

    Args:
        model: name of the calculator in the results.
        on_step: called with number of the run, step, and what is going on.
        on_run: called with every run when it ends.

    Raises:
        ValueError: the structure has no bonds to judge by, or the calculator refuses it.
    """
    settings = settings or StabilitySettings()
    bonds = bonded_pairs(atoms)
    if not len(bonds):
        raise ValueError(f"the start structure must have bonds; {atoms.get_chemical_formula()} as given has none")
    say = on_step or (lambda run, step, text: None)
    begin, runs = atoms.copy(), []
    begin.calc = calculator
    with Interrupt() as interrupt:
        relax(
            begin,
            fmax=settings.fmax,
            steps=settings.relax_steps,
            optimizer=quasi_newton(begin),
            on_step=lambda step, energy, force: say(0, 0, f"relaxing {model}: largest force {force:.4f} eV/A"),
        )
        for number, (temperature, seed) in enumerate((t, s) for t in settings.temperatures for s in settings.seeds):
            if interrupt.requested:
                break
            progress = lambda step, text, number=number: say(number, step, text)  # noqa: E731
            runs.append(_one_run(begin, calculator, bonds, settings, (model, temperature, seed), progress))
            if on_run:
                on_run(runs[-1])
    return runs


def _one_run(begin: Atoms, calculator, bonds: Bonds, settings: StabilitySettings, case: tuple, progress):
    model, temperature, seed = case
    atoms = begin.copy()
    atoms.calc = calculator
    start_velocities(atoms, temperature, seed)

    def check(moving: Atoms) -> str:
        deviation = bonds.deviations(moving)
        worst = int(deviation.argmax())
        if deviation[worst] <= settings.threshold:
            return ""
        return f"bond {bonds.label(moving, worst)} changed by {deviation[worst]:.2f} A"

    report = run_md(
        atoms,
        settings.md(temperature, seed),
        check=check,
        on_log=lambda row: progress(row[0], f"{model} {temperature:g} K seed {seed}: {row[1] / 1000:.3f} ps"),
    )
    atoms.calc = None
    picoseconds = settings.timestep / 1000
    return StabilityRun(
        model=model,
        temperature=temperature,
        seed=seed,
        stable_time=report.steps * picoseconds,
        total_time=settings.steps * picoseconds,
        reason="" if report.interrupted else report.stopped,
        interrupted=report.interrupted and report.steps < settings.steps,
        steps=report.steps,
        seconds=report.seconds,
        final=atoms,
    )


def summarize_stability(runs: Sequence[StabilityRun]) -> list[StabilitySummary]:
    """Mean and spread over the seeds of each model and temperature, in the order of the runs."""
    groups: dict[tuple[str, float], list[StabilityRun]] = {}
    for run in runs:
        if not run.interrupted:
            groups.setdefault((run.model, run.temperature), []).append(run)
    return [_summary(*case, group) for case, group in groups.items()]


def _summary(model: str, temperature: float, runs: list[StabilityRun]) -> StabilitySummary:
    times = np.array([run.stable_time for run in runs])
    seconds = sum(run.seconds for run in runs)
    spread = 2 * times.std(ddof=1) / np.sqrt(len(times)) if len(times) > 1 else np.nan
    return StabilitySummary(
        model=model,
        temperature=temperature,
        n_runs=len(runs),
        n_stable=sum(not run.reason for run in runs),
        stable_time=float(times.mean()),
        two_sigma=float(spread),
        fraction=float(np.mean([run.stable_time / run.total_time for run in runs])),
        frames_per_second=sum(run.steps for run in runs) / seconds if seconds > 0 else float("nan"),
    )


_COLORS = ("#1f5fa8", "#d1701c", "#2c8a57", "#8b3fa0", "#b3261e", "#5c5c5c")


def stability_panel(runs: Sequence[StabilityRun]) -> Callable[[Axes], None]:
    """Panel of the stable time: a dot per run, a bar per mean with its 2-sigma line, grouped by temperature."""
    summaries = summarize_stability(runs)
    models = list(dict.fromkeys(s.model for s in summaries))
    temperatures = list(dict.fromkeys(s.temperature for s in summaries))
    width = 0.8 / max(1, len(models))

    def place(summary: StabilitySummary | StabilityRun) -> float:
        return temperatures.index(summary.temperature) + (models.index(summary.model) + 0.5) * width - 0.4

    def draw(axes: Axes) -> None:
        total = max((run.total_time for run in runs), default=1.0)
        for k, name in enumerate(models):
            mine = [s for s in summaries if s.model == name]
            color, x = _COLORS[k % len(_COLORS)], [place(s) for s in mine]
            axes.bar(x, [s.stable_time for s in mine], 0.9 * width, color=color, alpha=0.35, label=name)
            bars = np.nan_to_num([s.two_sigma for s in mine])
            axes.errorbar(x, [s.stable_time for s in mine], bars, fmt="none", ecolor=color, capsize=4, linewidth=1.5)
            own = [run for run in runs if run.model == name and not run.interrupted]
            offsets = _spread([(run.model, run.temperature) for run in own], 0.5 * width)
            x = [place(run) + offset for run, offset in zip(own, offsets)]
            axes.plot(x, [run.stable_time for run in own], "o", color=color, markersize=4, zorder=3)
        axes.axhline(total, color="black", linestyle="--", linewidth=0.8)
        axes.text(-0.47, 1.015 * total, "end of the runs", fontsize="small", va="bottom")
        axes.set_xticks(range(len(temperatures)), [f"{t:g} K" for t in temperatures])
        axes.set(xlim=(-0.5, len(temperatures) - 0.5), ylim=(0, 1.3 * total), ylabel="stable simulation time (ps)")
        axes.set_title("time until a bond breaks; dots: seeds, bars: mean and 2 sigma", fontsize="medium")
        axes.legend(frameon=False, loc="upper right", ncols=min(3, max(1, len(models))))

    return draw


def _spread(cases: list[tuple], width: float) -> list[float]:
    """Horizontal offsets that keep the dots of equal cases apart."""
    offsets = []
    for k, case in enumerate(cases):
        total, before = cases.count(case), cases[:k].count(case)
        offsets.append(width * ((before + 0.5) / total - 0.5))
    return offsets

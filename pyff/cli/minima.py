"""`pyff minima` from the command line to its files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from pyff._figure import save_figure
from pyff._interrupt import Interrupt
from pyff.cli import INTERRUPTED
from pyff.cli.console import Console
from pyff.cli.output import XYZ, require_output
from pyff.cli.start import Start, described
from pyff.cli.threads import threads_for
from pyff.md import write_frames
from pyff.models.identity import model_identity
from pyff.sampling import HopSettings, HopState, MinimaLog, Visit, discovery_panel, hop_minima, visit_panel

__all__ = ["MinimaOptions", "run_minima"]

SHOWN = 10  # minima in the table


@dataclass(frozen=True)
class MinimaOptions:
    """Options of the command; time in minutes. Record and picture go beside `out`."""

    settings: HopSettings
    escapes: int
    time: float | None
    out: Path
    resume: bool
    overwrite: bool

    @property
    def record(self) -> Path:
        return self.out.with_suffix(".jsonl")

    @property
    def picture(self) -> Path:
        return self.out.with_suffix(".png")


def run_minima(console: Console, model: Path, start: Start, options: MinimaOptions) -> int:
    """Search, writing as it goes; the exit code."""
    require_output(
        options.out, XYZ, beside=(options.record, options.picture), overwrite=options.overwrite or options.resume,
        ways="--resume to continue it, --overwrite,",
    )  # fmt: skip
    atoms, log = start.atoms(), MinimaLog(options.record)
    calculator = start.calculator(console, model, atoms)
    identity = model_identity(model, calculator.model)
    state = log.resume(atoms, options.settings, identity) if options.resume else None
    if state is None:
        log.begin(atoms, options.settings, identity)
    console.say(
        f"{described(atoms)}, {calculator.model_name} in {calculator.dtype}: "
        f"{options.escapes} escapes" + (f", continuing after {len(state.visits) - 1}" if state and state.visits else "")
    )
    with threads_for(len(atoms)), Interrupt() as interrupt, console.progress(options.escapes, "escape") as show:

        def on_visit(state: HopState, visit, pos) -> None:
            log.append(visit, pos)
            show(
                visit.number,
                f"{visit.outcome:6s} {len(state.minima)} minima, lowest {state.lowest.energy:.4f} eV, "
                f"{visit.next_temperature:.0f} K, window {visit.next_energy_window:.3f} eV",
            )

        seconds = None if options.time is None else 60 * options.time
        state = hop_minima(atoms, calculator, options.settings, escapes=options.escapes, state=state, seconds=seconds,
                           on_visit=on_visit)  # fmt: skip
    return _conclude(console, state, options, bool(interrupt.requested))


def _ranked(visit: Visit, lowest: list[int]) -> dict:
    """A visit whose minima are numbered by energy from 0, as the lists beside it and the frames of the file are."""
    rank = {found: place for place, found in enumerate(lowest)}
    places = {name: rank.get(getattr(visit, name), -1) for name in ("minimum", "current")}
    return asdict(visit) | places


def _conclude(console: Console, state: HopState, options: MinimaOptions, interrupted: bool) -> int:
    picture = options.picture
    if state.minima:
        write_frames(options.out, (state.structure(k) for k in state.sorted()))
        save_figure(picture, [visit_panel(state), discovery_panel(state)], size=3.8, aspect=1.4)
        _show(console, state)
    lowest = state.sorted()
    console.result(
        minima=options.out if state.minima else None,
        record=options.record,
        picture=picture if state.minima else None,
        n_minima=len(state.minima),
        escapes=max(0, len(state.visits) - 1),
        fraction_new=state.fraction_new,
        energies=[state.minima[k].energy for k in lowest],
        visits=[state.minima[k].visits for k in lowest],
        found_at=[state.minima[k].found_at for k in lowest],
        last=_ranked(state.visits[-1], lowest) if state.visits else None,
        interrupted=interrupted,
    )
    if interrupted:
        again = "the same command with --resume goes on" if state.visits else "nothing was found yet"
        console.warn(f"interrupted after {max(0, len(state.visits) - 1)} escapes; {again}")
        return INTERRUPTED
    console.say(f"minima by energy in {options.out}, record in {options.record}, picture in {picture}")
    return 0


def _show(console: Console, state: HopState) -> None:
    numbers = state.sorted()
    low = state.lowest.energy
    rows = [
        (str(rank), 1000 * (state.minima[k].energy - low), state.minima[k].visits, state.minima[k].found_at)
        for rank, k in enumerate(numbers[:SHOWN], 1)
    ]
    title = "minima" if len(numbers) <= SHOWN else f"the lowest {SHOWN} of {len(numbers)} minima"
    console.table(("", "meV above the lowest", "visits", "found at visit"), rows, title=title)
    escapes = [v.outcome for v in state.visits[1:]]
    counts = ", ".join(f"{escapes.count(name)} {name}" for name in ("new", "known", "same", "broken", "failed"))
    console.facts([("lowest", f"{low:.6f} eV"), ("escapes", f"{len(escapes)}: {counts}")])
    if escapes and escapes.count("broken") > len(escapes) / 2:
        console.warn(
            "most escapes changed the bonds or parts of the structure and were rejected; if these count as minima too, "
            "use --keep all; else start at a lower --temperature"
        )

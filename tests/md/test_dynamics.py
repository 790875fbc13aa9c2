from __future__ import annotations

import csv
import os
import signal

import numpy as np
import pytest
from _toy import toy_model
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.lj import LennardJones
from ase.io import read

import pyff
from pyff.md import MDSettings, TrajectoryWriter, last_frame, repair, run_md, start_velocities
from pyff.md.dynamics import COLUMNS


def ethanol(temperature: float = 300.0) -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.calc = pyff.Calculator(toy_model().double())
    start_velocities(atoms, temperature, seed=1)
    return atoms


def argon() -> Atoms:
    from ase.build import bulk

    atoms = bulk("Ar", cubic=True).repeat(2)
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=8.0, smooth=True)
    start_velocities(atoms, 60.0, seed=2)
    return atoms


def test_start_velocities_have_the_temperature_and_no_net_motion():
    atoms = molecule("CH3CH2OH").repeat(1)
    temperatures = []
    for seed in range(200):
        start_velocities(atoms, 300.0, seed)
        temperatures.append(2 * atoms.get_kinetic_energy() / (units.kB * (3 * 9 - 6)))
    assert np.mean(temperatures) == pytest.approx(300, abs=20)
    assert np.abs(atoms.get_momenta().sum(0)).max() < 1e-12
    assert np.abs(atoms.get_angular_momentum()).max() < 1e-10


def test_nve_conserves_energy_and_the_error_falls_with_the_square_of_the_step():
    spread = []
    for timestep in (0.5, 0.25):
        report = run_md(ethanol(), MDSettings(int(100 / timestep), "nve", timestep=timestep, log_interval=1))
        assert not report.stopped and report.drift.relative < 0.05
        spread.append(np.std(report.column("total_eV")))
    assert 3 < spread[0] / spread[1] < 5


def test_langevin_reaches_its_temperature():
    settings = MDSettings(1500, "langevin", temperature=60, timestep=5.0, friction=5.0, log_interval=1, seed=3)
    report = run_md(argon(), settings)
    assert np.mean(report.column("temperature_K")[500:]) == pytest.approx(60, rel=0.1)


def test_run_writes_frames_and_log_as_it_goes(tmp_path):
    atoms, settings = ethanol(), MDSettings(20, interval=5, log_interval=2)
    seen = []
    with TrajectoryWriter(tmp_path / "md.xyz") as out:
        report = run_md(atoms, settings, trajectory=out, log=tmp_path / "md.csv", on_log=seen.append)
    frames = read(tmp_path / "md.xyz", ":", format="extxyz")
    assert [f.info["step"] for f in frames] == [0, 5, 10, 15, 20]
    np.testing.assert_allclose(frames[-1].positions, atoms.positions, atol=1e-7)
    np.testing.assert_allclose(frames[-1].get_momenta(), atoms.get_momenta(), atol=1e-7)
    np.testing.assert_allclose(frames[-1].get_forces(), atoms.get_forces(), atol=1e-7)
    with open(tmp_path / "md.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["step"]) for r in rows] == list(range(0, 21, 2)) and tuple(rows[0]) == COLUMNS
    assert [float(r["total_eV"]) for r in rows] == list(report.column("total_eV"))
    assert seen == report.rows and report.steps == 20 and report.n_atoms == 9


def test_run_restarted_from_its_last_frame_goes_on_as_if_it_had_not_stopped(tmp_path):
    whole = ethanol()
    run_md(whole, MDSettings(40, "nve"))
    path, log = tmp_path / "md.xyz", tmp_path / "md.csv"
    with TrajectoryWriter(path) as out:
        run_md(ethanol(), MDSettings(24, "nve", interval=5, log_interval=3), trajectory=out, log=log)
    content = path.read_bytes()
    path.write_bytes(content[:-40])  # killed while writing frame 24
    assert repair(path) == 5
    start = last_frame(path)
    assert start.info["step"] == 20
    start.calc = pyff.Calculator(toy_model().double())
    with TrajectoryWriter(path, append=True) as out:
        settings = MDSettings(20, "nve", interval=5, log_interval=3)
        run_md(start, settings, trajectory=out, log=log, first_step=20)
    frames = read(path, ":", format="extxyz")
    assert [f.info["step"] for f in frames] == list(range(0, 41, 5))
    np.testing.assert_allclose(frames[-1].positions, whole.positions, atol=1e-5)
    with open(log) as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == [*range(0, 21, 3), *range(21, 40, 3), 40]


def test_run_that_crashes_while_it_continues_its_log_loses_no_line(tmp_path, monkeypatch):
    log, settings = tmp_path / "md.csv", MDSettings(6, "nve", log_interval=2)
    run_md(ethanol(), settings, log=log)
    before = log.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            run_md(ethanol(), settings, log=log, first_step=4)
    assert log.read_bytes() == before
    log.write_bytes(before[:-3])  # killed in the middle of the line of step 6
    run_md(ethanol(), settings, log=log, first_step=6)
    lines = log.read_text().splitlines()
    assert [int(line.split(",")[0]) for line in lines[1:]] == [0, 2, 4, 8, 10, 12]
    assert lines[0] == ",".join(COLUMNS) and lines[:4] == before.decode().splitlines()[:4]


def test_repair_keeps_complete_files_and_empties_torn_ones(tmp_path):
    path = tmp_path / "md.xyz"
    with TrajectoryWriter(path) as out:
        for step in range(3):
            out.write(ethanol(), step=step)
    content = path.read_bytes()
    assert repair(path) == 3 and path.read_bytes() == content
    for cut in range(1, len(content), 101):
        path.write_bytes(content[:-cut])
        assert repair(path) == len(read(path, ":", format="extxyz")) if path.stat().st_size else repair(path) == 0
    path.write_bytes(content[:30])
    assert repair(path) == 0 and path.read_bytes() == b""


class Faulty(AseCalculator):
    """Works until it has been called `limit` times."""

    implemented_properties = ("energy", "forces")

    def __init__(self, limit: int, then) -> None:
        super().__init__()
        self.left, self.then = limit, then

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.left -= 1
        value = 0.0 if self.left > 0 else self.then()
        self.results = {"energy": value, "forces": np.full((len(self.atoms), 3), value)}


def fail():
    raise ValueError("atoms are too close")


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (fail, "the calculation failed: atoms are too close"),
        (lambda: float("nan"), "the energy is not finite at step"),
        (lambda: 1e4, "the temperature reached .* the structure has blown up"),
    ],
)
def test_run_stops_when_it_goes_wrong_and_keeps_the_last_good_frame(tmp_path, then, reason):
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 1]], calculator=Faulty(8, then))
    start_velocities(atoms, 300)
    with TrajectoryWriter(tmp_path / "md.xyz") as out:
        report = run_md(atoms, MDSettings(50, "nve", interval=1), trajectory=out)
    import re

    assert re.match(reason, report.stopped) and not report.interrupted and report.steps < 10
    frames = read(tmp_path / "md.xyz", ":", format="extxyz")
    assert 5 <= len(frames) <= 8 and all(np.isfinite(f.positions).all() for f in frames)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_stops_cleanly_when_interrupted(tmp_path, number):
    before = signal.getsignal(number)
    stop = lambda row: os.kill(os.getpid(), number) if row[0] == 6 else None  # noqa: E731
    with TrajectoryWriter(tmp_path / "md.xyz") as out:
        settings = MDSettings(1000, "nve", interval=50, log_interval=2)
        report = run_md(ethanol(), settings, trajectory=out, on_log=stop)
    assert report.interrupted and report.stopped == "interrupted after step 6" and report.steps == 6
    assert last_frame(tmp_path / "md.xyz").info["step"] == 6
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(
    "bad", [{"ensemble": "npt"}, {"timestep": 0}, {"steps": -1}, {"interval": 0}, {"temperature": -1}]
)
def test_settings_refuse_nonsense(bad):
    with pytest.raises(ValueError, match="must"):
        MDSettings(**{"steps": 10, **bad})

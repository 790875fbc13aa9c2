"""Real i-PI, driven by `pyff client`: mean energies of a harmonic crystal, classical and quantum, against theory."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from _crystal import crystal, crystal_model, mean_energies, quantum_energy
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write

import pyff
from pyff.cli import run
from pyff.interfaces.ipi import Address, Driver, connect
from pyff.interfaces.ipi_input import PathIntegral, ipi_command, write_ipi_input

IPI = shutil.which("i-pi", path=str(Path(sys.executable).parent)) or shutil.which("i-pi")
pytestmark = pytest.mark.skipif(IPI is None, reason="needs i-PI: pip install ipi")

TEMPERATURE = 300.0
COLUMNS = ("step", "time", "conserved", "temperature", "kinetic", "potential", "pressure")


@pytest.fixture
def start_ipi(tmp_path, monkeypatch):
    """Function that starts i-PI with an input in tmp_path; what it started is ended after the test."""
    monkeypatch.chdir(tmp_path)
    processes = []

    def start(path, address):
        words = [sys.executable, IPI, *ipi_command(path, address)[1:]]
        with open(tmp_path / "ipi.log", "w") as log:
            processes.append(subprocess.Popen(words, stdout=log, stderr=log, cwd=tmp_path))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def mean_and_error(values: np.ndarray, blocks: int = 10) -> tuple[float, float]:
    """Mean without the first tenth, and its standard error from blocks."""
    values = values[len(values) // 10 :]
    means = values[: len(values) // blocks * blocks].reshape(blocks, -1).mean(1)
    return float(values.mean()), float(means.std(ddof=1) / np.sqrt(blocks))


def output(path) -> dict[str, np.ndarray]:
    return dict(zip(COLUMNS, np.loadtxt(path).T))


@pytest.mark.parametrize(("beads", "steps"), [(1, 1500), (8, 500)])
def test_harmonic_crystal_has_the_energies_of_theory(beads, steps, tmp_path, start_ipi):
    pyff.save(crystal_model(), "crystal.safetensors")
    write("start.xyz", crystal(), format="extxyz")
    address = Address.unix(str(tmp_path / "s"))
    settings = PathIntegral(beads, TEMPERATURE, timestep=2.0, steps=steps, every=2, tau=20, fix_com=False)
    write_ipi_input("run.xml", crystal(), address, settings)
    ipi = start_ipi("run.xml", address)
    assert run(["client", "crystal.safetensors", "--start", "start.xyz", "--socket", address.path, "--quiet"]) == 0
    assert ipi.wait(60) == 0, (tmp_path / "ipi.log").read_text()[-2000:]
    found = output("run.out")
    for name, theory in zip(("potential", "kinetic"), mean_energies(TEMPERATURE, beads)):
        mean, error = mean_and_error(found[name])
        assert error < 0.05 * theory
        assert mean == pytest.approx(theory, abs=4 * error + 0.01 * theory), name
    quantum, classical = quantum_energy(TEMPERATURE), mean_energies(TEMPERATURE, 1)[0]
    mean, error = mean_and_error(found["potential"])
    assert quantum > 1.3 * classical  # the test tells them apart
    assert mean == pytest.approx(classical if beads == 1 else quantum, rel=0.1)
    frames = read("run.centroid.extxyz", ":")
    assert len(frames[0]) == 8 and frames[0].cell.lengths() == pytest.approx([4, 4, 4])


def test_two_clients_share_the_beads_and_pressure_is_the_calculators(tmp_path, start_ipi):
    cube = bulk("Cu", a=3.5, cubic=True)  # compressed
    # turned away from i-PI's axes: the input turns it back
    cube.rotate(30, (1, 2, 3), rotate_cell=True)
    address = Address.unix(str(tmp_path / "s"))
    write_ipi_input("run.xml", cube, address, PathIntegral(4, 1.0, timestep=0.001, steps=20, every=20))
    ipi = start_ipi("run.xml", address)
    drivers = []
    for _ in range(2):
        atoms = cube.copy()
        atoms.calc = EMT()
        drivers.append(Driver(atoms))

    def serve(driver: Driver) -> None:
        with connect(address) as connection:
            driver.serve(connection)

    threads = [threading.Thread(target=serve, args=[d]) for d in drivers]
    for thread in threads:
        thread.start()
    assert ipi.wait(60) == 0, (tmp_path / "ipi.log").read_text()[-2000:]
    for thread in threads:
        thread.join(20)
    assert all(d.served > 10 for d in drivers) and sum(d.served for d in drivers) == 4 * 21
    cube.calc = EMT()
    megapascal = units.GPa / 1000
    static = -cube.get_stress(voigt=False).trace() / 3
    assert static > 10 * units.GPa
    # thermal pressure at 1 K is beyond the tolerance
    assert output("run.out")["pressure"][0] * megapascal == pytest.approx(static, rel=2e-3)
    assert output("run.out")["potential"][0] == pytest.approx(cube.get_potential_energy(), abs=1e-3)


def test_interrupted_client_can_be_replaced(tmp_path, start_ipi):
    atoms = crystal()
    atoms.calc = pyff.Calculator(crystal_model())
    address = Address.unix(str(tmp_path / "s"))
    write_ipi_input("run.xml", atoms, address, PathIntegral(2, 300, steps=10, fix_com=False))
    ipi = start_ipi("run.xml", address)

    def stop(served: int, energy: float) -> None:
        if served == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), connect(address) as connection:
        Driver(atoms, on_step=stop).serve(connection)
    second = Driver(atoms)
    with connect(address) as connection:
        assert second.serve(connection) is True
    assert ipi.wait(60) == 0 and second.served == 22 - 6

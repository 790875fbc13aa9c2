"""The driver for i-PI against a server that knows the protocol from i-PI's side."""

from __future__ import annotations

import socket
import struct
import threading
import time

import numpy as np
import pytest
import torch
from _data import shared_data
from _ipi import BOHR, HARTREE, Server, served
from _toy import toy_model
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT

import pyff
from pyff.interfaces.ipi import Address, Driver, ProtocolError, connect
from pyff.models.schnet import SchNet, SchNetConfig
from pyff.models.so3krates import SO3krates, SO3kratesConfig


class Fixed(AseCalculator):
    """Returns what it was told and remembers where the atoms were."""

    implemented_properties = ("energy", "forces", "stress", "dipole")

    def __init__(self, **results) -> None:
        super().__init__()
        self.told, self.seen = results, []

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        self.seen.append((atoms.positions.copy(), atoms.cell.array.copy()))
        self.results = dict(self.told)


def pair(pbc: bool = False, **results) -> Atoms:
    atoms = Atoms("OC", [[0.1, 0.2, 0.3], [1.3, 0.2, 0.1]], cell=[[4, 0, 0], [1, 5, 0], [0.5, 0.25, 6]], pbc=pbc)
    told = {"energy": HARTREE, "forces": np.full((2, 3), HARTREE / BOHR), "stress": np.arange(1.0, 7) * HARTREE / 120}
    atoms.calc = Fixed(**{**told, "dipole": np.array([0.1, 0.2, 0.3]), **results})
    return atoms


def test_states_follow_the_protocol():
    with served(pair()) as (server, outcome):
        assert server.status() == "NEEDINIT"
        server.init("any words")
        assert server.status() == "READY"
        server.positions(pair())
        assert server.status() == "HAVEDATA" and server.status() == "HAVEDATA"
        server.forces()
        assert server.status() == "READY"
        server.header("EXIT")
    assert outcome.ended is True and outcome.error is None


def test_units_on_the_wire():
    atoms = pair(pbc=True)
    with served(atoms, ["dipole"]) as (server, _):
        energy, forces, virial, extras = server.compute(atoms)
    assert energy == pytest.approx(1, rel=1e-15)
    np.testing.assert_allclose(forces, 1, rtol=1e-15)
    # volume 120 A^3, tension positive: virial = -V stress; Voigt order xx yy zz yz xz xy
    np.testing.assert_allclose(virial, -np.array([[1, 6, 5], [6, 2, 4], [5, 4, 3]]), rtol=1e-14)
    assert extras == {"dipole": [0.1, 0.2, 0.3]}
    pos, cell = atoms.calc.seen[0]
    np.testing.assert_allclose(pos, atoms.positions, rtol=1e-14)
    np.testing.assert_allclose(cell, atoms.cell.array, rtol=1e-14)


def test_virial_is_the_derivative_by_strain():
    crystal = bulk("Cu", cubic=True) * (2, 1, 1)
    crystal.rattle(0.1, seed=1)
    crystal.calc = EMT()
    step = 1e-4
    with served(crystal) as (server, _):
        _, _, virial, extras = server.compute(crystal)
        assert extras == {}
        for a, b in ((0, 0), (2, 2), (0, 1), (1, 2)):
            energies = []
            for sign in (1, -1):
                strained, strain = crystal.copy(), np.eye(3)
                strain[a, b] += sign * step
                strained.set_cell(crystal.cell.array @ strain, scale_atoms=True)
                energies.append(server.compute(strained)[0])
            assert (energies[0] - energies[1]) / (2 * step) == pytest.approx(-virial[a, b], abs=1e-6)


def test_model_is_served_with_its_own_forces():
    atoms = molecule("CH3CH2OH")
    atoms.calc = pyff.Calculator(toy_model().double())
    wanted = atoms.get_forces()
    with served(atoms) as (server, _):
        energy, forces, virial, _ = server.compute(atoms)
        moved = atoms.copy()
        moved.positions[0, 0] += 0.1
        assert server.compute(moved)[0] != energy
    assert energy * HARTREE == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    np.testing.assert_allclose(forces * HARTREE / BOHR, wanted, atol=1e-12)
    assert not virial.any()  # open structures have none


def _model(name: str):
    if name == "sgdml":
        return shared_data("model_sgdml_2018") / "ethanol.npz"
    torch.manual_seed(0)
    if name == "schnet":
        return SchNet(SchNetConfig(n_features=16, n_interactions=1), elements=[1, 6, 8]).eval()
    config = SO3kratesConfig(n_features=24, n_heads=2, degrees=(1, 2, 3), n_layers=1, n_rbf=8, cutoff=4.0, charges=True,
                             zero_init_output=False)  # fmt: skip
    return SO3krates(config, elements=[1, 6, 8]).eval()


@pytest.mark.parametrize(("name", "extras"), [("schnet", []), ("so3krates", ["dipole", "charges"]), ("sgdml", [])])
def test_every_kind_of_model_can_be_served(name, extras):
    atoms = molecule("CH3CH2OH")
    atoms.calc = pyff.Calculator(_model(name), dtype="float64")
    with served(atoms, extras) as (server, _):
        energy, forces, _, sent = server.compute(atoms)
    assert energy * HARTREE == pytest.approx(atoms.get_potential_energy(), rel=1e-10)
    # large coefficients of both signs in the published sGDML model amplify what the change of units rounds off
    np.testing.assert_allclose(forces * HARTREE / BOHR, atoms.get_forces(), atol=1e-6 if name == "sgdml" else 1e-10)
    assert sorted(sent) == sorted(extras)
    if extras:
        np.testing.assert_allclose(sent["dipole"], atoms.get_dipole_moment(), atol=1e-9)
        assert np.ptp(sent["charges"]) > 0 and sum(sent["charges"]) == pytest.approx(0, abs=1e-9)


def test_open_structure_does_not_take_the_cell():
    atoms = pair()
    with served(atoms) as (server, _):
        boxed = atoms.copy()
        boxed.cell = np.eye(3) * 500
        server.compute(boxed)
    np.testing.assert_array_equal(atoms.calc.seen[0][1], atoms.cell.array)


def test_messages_may_come_in_any_pieces():
    atoms = pair()
    cell = np.eye(3)
    data = b"STATUS".ljust(12) + b"INIT".ljust(12) + struct.pack("=ii", 3, 4) + b"text"
    data += b"POSDATA".ljust(12) + cell.tobytes() * 2 + struct.pack("=i", 2) + (atoms.positions / BOHR).tobytes()
    with served(atoms) as (server, outcome):
        for k in range(len(data)):
            server.socket.sendall(data[k : k + 1])
            if k % 16 == 0:
                time.sleep(0.001)
        assert server.read(12) == b"NEEDINIT    "
        assert server.forces()[0] == pytest.approx(1)
    assert outcome.ended is False  # closed between two messages


def test_positions_and_request_may_come_in_one_piece():
    atoms = pair()
    payload = np.eye(3).tobytes() * 2 + struct.pack("=i", 2) + (atoms.positions / BOHR).tobytes()
    with served(atoms) as (server, _):
        server.header("POSDATA", payload + b"GETFORCE".ljust(12))
        assert server.read(12) == b"FORCEREADY  "


@pytest.mark.parametrize(
    ("send", "words"),
    [
        (lambda s: s.header("GET / HTTP/1"), "received 'GET / HTTP/1'"),
        (lambda s: s.socket.sendall(b"\xff" * 12), "a header must be text"),
        (lambda s: s.init(length=-1), "must have 0 to 65536 bytes; received -1"),
        (lambda s: s.init(length=2**31 - 1), "received 2147483647"),
        (lambda s: s.init("x, batch_size:8"), "one structure at a time; it announces 8"),
        (lambda s: s.positions(pair(), count=3), "CO, 2 atoms; it sent 3 atoms"),
        (lambda s: s.positions(pair(), count=-1), "it sent -1 atoms"),
        (lambda s: s.positions(pair(), count=2**31 - 1), "it sent 2147483647 atoms"),
        (lambda s: s.header("GETFORCE"), "GETFORCE must come after POSDATA"),
        (lambda s: (s.socket.sendall(b"STAT"), s.socket.close()), "ended within a message, after 4 of 12 bytes"),
    ],
)
def test_wrong_messages_are_named(send, words):
    with served(pair()) as (server, outcome):
        send(server)
        with pytest.raises((EOFError, OSError)):
            server.read(1)
    assert isinstance(outcome.error, ProtocolError) and words in str(outcome.error)


def test_cell_without_volume_is_refused():
    with served(pair(pbc=True)) as (server, outcome):
        flat = pair(pbc=True)
        flat.cell = np.diag([4.0, 4, 0])
        server.positions(flat)
        with pytest.raises(EOFError):
            server.read(1)
    assert "needs a cell with a volume" in str(outcome.error)


@pytest.mark.parametrize("name", ["energy", "forces", "stress"])
def test_numbers_that_are_not_finite_are_never_sent(name):
    bad = {"energy": np.nan, "forces": np.array([[0, 0, 0], [0, np.inf, 0]]), "stress": np.full(6, np.nan)}
    with served(pair(pbc=True, **{name: bad[name]})) as (server, outcome):
        server.positions(pair(pbc=True))
        with pytest.raises(EOFError):
            server.read(1)
    said = "virial" if name == "stress" else name
    assert isinstance(outcome.error, RuntimeError) and f"number in {said} that is not finite" in str(outcome.error)


def test_extras_that_are_not_finite_are_never_sent():
    with served(pair(dipole=np.array([0, np.nan, 0])), ["dipole"]) as (server, outcome):
        server.positions(pair())
        with pytest.raises(EOFError):
            server.read(1)
    assert isinstance(outcome.error, RuntimeError) and "number in dipole that is not finite" in str(outcome.error)


def test_driver_that_leaves_does_not_wait_for_a_server_that_never_stops():
    with served(pair()) as (server, outcome):
        server.header("NONSENSE")
        end = time.monotonic() + 10
        with pytest.raises(OSError):
            while time.monotonic() < end:
                server.header("STATUS")
    assert isinstance(outcome.error, ProtocolError)


def test_silence_ends_in_a_sentence():
    with served(pair(), timeout=0.05) as (_, outcome):
        time.sleep(0.3)
    assert isinstance(outcome.error, TimeoutError) and "sent nothing for 0.05 s" in str(outcome.error)


def test_driver_refuses_what_it_cannot_serve():
    with pytest.raises(ValueError, match="must have a calculator"):
        Driver(Atoms("H"))
    with pytest.raises(ValueError, match="extras must be among energy, forces, stress, dipole; received 'color'"):
        Driver(pair(), ["color"])


def test_unix_names_become_paths():
    assert Address.unix("water").path == "/tmp/ipi_water"
    assert Address.unix("./here/water").path == "./here/water"
    for name in ("", "a" * 200, "a\0b"):
        with pytest.raises(ValueError, match="must have 1 to 107 bytes"):
            Address.unix(name)


def test_tcp_is_of_this_machine_unless_told_otherwise():
    assert Address.inet("127.0.0.1", 31415) == Address(host="127.0.0.1", port=31415)
    assert Address.inet("localhost", 1).host in ("127.0.0.1", "::1")
    for host in ("192.0.2.1", "0.0.0.0"):
        with pytest.raises(ValueError, match=r"must be this machine.*--allow-remote"):
            Address.inet(host, 31415)
    assert Address.inet("192.0.2.1", 31415, allow_remote=True).host == "192.0.2.1"
    with pytest.raises(ValueError, match="port must be 1 to 65535"):
        Address.inet("localhost", 0)
    with pytest.raises(ValueError, match="is not known"):
        Address.inet("no such host", 1)


def test_connect_waits_until_somebody_listens(tmp_path):
    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX)

    def listen_late() -> None:
        time.sleep(0.3)
        listener.bind(path)
        listener.listen()

    thread = threading.Thread(target=listen_late)
    thread.start()
    with connect(Address.unix(path), wait=20) as connection:
        assert connection.getpeername() == path
    thread.join()
    listener.close()


def test_connect_says_that_nobody_listens(tmp_path):
    with pytest.raises(ConnectionError, match=r"nobody listens at .* after 0\.1 s"):
        connect(Address.unix(str(tmp_path / "none")), wait=0.1)


def test_tcp_works_as_unix_does():
    atoms, outcome = pair(), []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address.inet("127.0.0.1", listener.getsockname()[1])

        def work() -> None:
            with connect(address, wait=5) as connection:
                outcome.append(Driver(atoms).serve(connection))

        thread = threading.Thread(target=work)
        thread.start()
        connection, _ = listener.accept()
        with connection:
            server = Server(connection)
            assert server.compute(atoms)[0] == pytest.approx(1)
            server.header("EXIT")
            thread.join(20)
    assert outcome == [True]

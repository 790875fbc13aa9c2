"""i-PI's side of its protocol, as far as the tests need it."""

from __future__ import annotations

import json
import socket
import struct
import threading
from contextlib import contextmanager

import numpy as np

from pyff.interfaces.ipi import Driver

BOHR, HARTREE = 0.529177210903, 27.211386245988  # A, eV


class Server:
    """Sends what i-PI sends and unpacks the answers."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        self.socket = connection

    def header(self, word: str, payload: bytes = b"") -> None:
        self.socket.sendall(word.encode().ljust(12) + payload)

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def status(self) -> str:
        self.header("STATUS")
        return self.read(12).decode().strip()

    def init(self, text: str = "", length: int | None = None) -> None:
        self.header("INIT", struct.pack("=ii", 0, len(text) if length is None else length) + text.encode())

    def positions(self, atoms, count: int | None = None) -> None:
        """Cell vectors in columns, bohr."""
        cell = atoms.cell.array.T / BOHR
        inverse = np.linalg.pinv(cell)
        count = struct.pack("=i", len(atoms) if count is None else count)
        self.header("POSDATA", cell.tobytes() + inverse.tobytes() + count + (atoms.positions / BOHR).tobytes())

    def forces(self):
        """(energy, forces, virial, extras) in atomic units."""
        self.header("GETFORCE")
        assert self.read(12) == b"FORCEREADY  "
        energy, count = struct.unpack("=di", self.read(12))
        forces = np.frombuffer(self.read(24 * count)).reshape(count, 3)
        virial = np.frombuffer(self.read(72)).reshape(3, 3)
        (length,) = struct.unpack("=i", self.read(4))
        text = self.read(length).decode()
        return energy, forces, virial, json.loads(text) if text else {}

    def compute(self, atoms):
        self.positions(atoms)
        return self.forces()


class Served:
    """What became of a driver: `ended` True after EXIT, False after a closed connection; `error` if it raised."""

    ended: bool | None = None
    error: Exception | None = None


@contextmanager
def served(atoms, extras=(), timeout: float = 20.0):
    """(Server, Served) with a driver of `atoms` on the other end of a socket pair; joined at the end."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(timeout)
    outcome = Served()

    def work() -> None:
        with theirs:
            try:
                outcome.ended = Driver(atoms, extras).serve(theirs)
            except Exception as error:
                outcome.error = error

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield Server(ours), outcome
    finally:
        ours.close()
        thread.join(20)
        assert not thread.is_alive()

"""A driver for i-PI: i-PI moves the atoms (path integrals, thermostats, barostats), a calculator gives the forces.

The protocol, as i-PI 3 speaks it: headers of 12 bytes, blank-padded; numbers in native byte order; atomic units.

    i-PI sends                                         the driver answers
    STATUS                                             NEEDINIT, READY or HAVEDATA
    INIT  int32 replica, int32 n, n bytes
    POSDATA  cell f64[9], its inverse f64[9],
             int32 N, positions f64[3N]
    GETFORCE                                           FORCEREADY  f64 energy, int32 N, forces f64[3N],
                                                       virial f64[9], int32 n, n bytes of JSON
    EXIT

Vectors of the cell are the columns of i-PI's matrix. The virial is sum_i r_i f_i = -V stress.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_changes
from ase.stress import voigt_6_to_full_3x3_stress

from pyff.errors import PyffError
from pyff.units import ENERGY, LENGTH

__all__ = ["Address", "Driver", "ProtocolError", "connect"]

HARTREE, BOHR = ENERGY["Hartree"], LENGTH["Bohr"]
PREFIX = "/tmp/ipi_"  # i-PI's own, before the name of a unix socket
_HEADER = 12
_LONGEST_INIT = 1 << 16  # bytes; i-PI's parameter strings have tens
_RETRY = 0.1  # s between attempts to connect
_LEAVE = 2.0  # s for the other side to notice that a client leaves


class ProtocolError(PyffError):
    """The other side does not speak the protocol of i-PI, or about another structure."""


@dataclass(frozen=True)
class Address:
    """Where i-PI listens: a unix socket (`path`), or `host` and `port`."""

    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def unix(cls, name: str) -> Address:
        """The socket that i-PI calls `name`, /tmp/ipi_NAME; a name with a slash is a path."""
        path = name if "/" in name else PREFIX + name
        if not name or "\0" in name or len(path.encode()) > 107:
            raise PyffError(f"the path of a unix socket must have 1 to 107 bytes; received {path!r}")
        return cls(path=path)

    @classmethod
    def inet(cls, host: str, port: int, *, allow_remote: bool = False) -> Address:
        """A TCP port; of this machine only unless allow_remote. Nothing that is sent is encrypted or authenticated."""
        if not 0 < port < 65536:
            raise PyffError(f"port must be 1 to 65535; received {port}")
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise PyffError(f"host {host!r} is not known ({error})") from None
        numeric = found[0][4][0]  # resolved once: what was checked is what is used
        if not allow_remote and not ipaddress.ip_address(numeric.partition("%")[0]).is_loopback:
            raise PyffError(
                f"host must be this machine (localhost); received {host}, {numeric}. The protocol has no password and "
                "no encryption: tunnel the port through ssh, or add --allow-remote (allow_remote=True) in a network "
                "that you trust"
            )
        return cls(host=numeric, port=port)

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def connect(address: Address, *, wait: float = 60.0, timeout: float = 600.0) -> socket.socket:
    """A connection to i-PI, tried again for `wait` seconds while nobody listens; `timeout` (s) of every later wait.

    Raises ConnectionError if nobody listened.
    """
    end = time.monotonic() + wait
    while True:
        try:
            return _attempt(address, timeout)
        except (ConnectionError, FileNotFoundError, TimeoutError) as error:
            if time.monotonic() + _RETRY > end:
                raise ConnectionError(
                    f"nobody listens at {address} after {wait:g} s ({type(error).__name__}). Start i-pi first, or give "
                    "the <address> (and <port>) of its <ffsocket>, and the mode: --socket for unix, --host and --port "
                    "for inet"
                ) from None
        time.sleep(_RETRY)


def _attempt(address: Address, timeout: float) -> socket.socket:
    if not address.path:
        connection = socket.create_connection((address.host, address.port), timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(address.path)
    except BaseException:
        connection.close()
        raise
    return connection


class _Closed(Exception):
    """The connection ended between two messages."""


class _Wire:
    """Exact reads of bounded sizes."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def header(self) -> str:
        raw = self._read(_HEADER, may_end=True)
        try:
            return raw.decode("ascii").strip()
        except UnicodeDecodeError:
            raise ProtocolError(f"a header must be text; received {raw!r}. Is it i-PI that listens there?") from None

    def integer(self) -> int:
        return struct.unpack("=i", self._read(4))[0]

    def doubles(self, count: int) -> np.ndarray:
        return np.frombuffer(self._read(8 * count), np.float64)

    def text(self, length: int) -> str:
        if not 0 <= length <= _LONGEST_INIT:
            raise ProtocolError(f"the parameters after INIT must have 0 to {_LONGEST_INIT} bytes; received {length}")
        return self._read(length).decode("utf-8", "replace")

    def send(self, header: str, payload: bytes = b"") -> None:
        try:
            self._socket.sendall(header.encode().ljust(_HEADER) + payload)
        except (BrokenPipeError, ConnectionResetError):
            raise _Closed from None

    def _read(self, size: int, *, may_end: bool = False) -> bytearray:
        buffer, filled = bytearray(size), 0
        with memoryview(buffer) as view:
            while filled < size:
                got = self._receive(view[filled:])
                if not got and may_end and not filled:
                    raise _Closed
                if not got:
                    raise ProtocolError(f"the connection ended within a message, after {filled} of {size} bytes")
                filled += got
        return buffer

    def _receive(self, view: memoryview) -> int:
        try:
            return self._socket.recv_into(view)
        except TimeoutError:
            raise TimeoutError(
                f"i-PI sent nothing for {self._socket.gettimeout():g} s: it hangs, waits for another client, or its "
                "machine is gone. A longer --timeout waits longer"
            ) from None
        except ConnectionResetError:
            return 0


@dataclass
class Driver:
    """Serves energies, forces and, for periodic structures, virials of `atoms.calc`.

        atoms.calc = pyff.Calculator("model.safetensors")
        with connect(Address.unix("water")) as connection:
            Driver(atoms).serve(connection)

    Species, periodic axes, charge and spin are those of `atoms`, in its order; positions and cell come from i-PI, which
    does not tell more. An open structure has no cell.

    Args:
        atoms: a structure with a calculator; a copy is moved.
        extras: names of further results (dipole, charges, ...) that i-PI gets as JSON, in pyff's units.
        on_step: called with the number of structures served so far and the energy in eV.

    Attributes:
        served: number of structures computed.
    """

    atoms: Atoms
    extras: Sequence[str] = ()
    on_step: Callable[[int, float], object] | None = None
    served: int = 0
    _state: str = field(default="NEEDINIT", init=False)
    _answer: bytes = field(default=b"", init=False, repr=False)

    def __post_init__(self) -> None:
        calc = self.atoms.calc
        if calc is None:
            raise ValueError("atoms must have a calculator; set atoms.calc")
        self.atoms = self.atoms.copy()
        self.atoms.calc = calc
        offered = calc.implemented_properties
        for name in self.extras:
            if name not in offered:
                raise PyffError(f"extras must be among {', '.join(offered)}; received {name!r}")
        self._with_virial = bool(self.atoms.pbc.any()) and "stress" in offered

    def serve(self, connection: socket.socket) -> bool:
        """Answer until i-PI says EXIT (True) or closes the connection (False).

        Raises:
            ProtocolError: unknown headers, another number of atoms, messages that are too long or cut off.
            TimeoutError: nothing arrived for as long as the connection's timeout.
            ValueError, RuntimeError: the calculator's, or an energy that is not finite; nothing is sent then.
        """
        self._state, wire = "NEEDINIT", _Wire(connection)
        answers = {"STATUS": self._status, "INIT": self._init, "POSDATA": self._compute, "GETFORCE": self._forces}
        try:
            while (header := wire.header()) != "EXIT":
                if header not in answers:
                    raise ProtocolError(
                        f"a header must be STATUS, INIT, POSDATA, GETFORCE or EXIT; received {header!r}. Is it i-PI "
                        "that listens there, with mode unix or inet?"
                    )
                answers[header](wire)
        except _Closed:
            return False
        except BaseException:
            _leave(connection)
            raise
        return True

    def _status(self, wire: _Wire) -> None:
        wire.send(self._state)

    def _init(self, wire: _Wire) -> None:
        wire.integer()  # the replica: all are the same to a force field
        parameters = wire.text(wire.integer())
        batch = re.search(r"\bbatch_size\s*:\s*(\d+)", parameters)
        if batch and int(batch.group(1)) > 1:
            raise ProtocolError(
                f"i-PI must send one structure at a time; it announces {batch.group(1)}. Take batch_size out of its "
                "<ffsocket>; several clients compute beads side by side"
            )
        self._state = "READY"

    def _compute(self, wire: _Wire) -> None:
        cell = wire.doubles(9).reshape(3, 3).T * BOHR
        wire.doubles(9)
        count = wire.integer()
        if count != len(self.atoms):
            raise ProtocolError(
                f"i-PI must move the atoms of the start structure, {self.atoms.get_chemical_formula()}, "
                f"{len(self.atoms)} atoms; it sent {count} atoms"
            )
        atoms = self.atoms
        atoms.positions = wire.doubles(3 * count).reshape(count, 3) * BOHR
        if atoms.pbc.any():
            atoms.cell = cell
            if not abs(atoms.cell.volume) > 0:
                raise ProtocolError(f"a periodic structure needs a cell with a volume; i-PI sent {cell.tolist()} A")
        energy, forces, virial = self._results()
        self._answer = _packed(energy, forces, virial, self._extras_text())
        self.served, self._state = self.served + 1, "HAVEDATA"
        if self.on_step:
            self.on_step(self.served, energy)

    def _results(self) -> tuple[float, np.ndarray, np.ndarray]:
        atoms, calc = self.atoms, self.atoms.calc
        names = ["energy", "forces", *(["stress"] if self._with_virial else []), *self.extras]
        calc.calculate(atoms, names, all_changes)
        energy, forces = float(calc.results["energy"]), np.asarray(calc.results["forces"])
        virial = np.zeros((3, 3))
        if self._with_virial:
            virial = -atoms.cell.volume * voigt_6_to_full_3x3_stress(calc.results["stress"])
        for name, value in (("energy", energy), ("forces", forces), ("virial", virial)):
            if not np.isfinite(value).all():
                raise RuntimeError(f"the calculator returned a number in {name} that is not finite")
        return energy, forces, virial

    def _extras_text(self) -> str:
        if not self.extras:
            return ""
        results = self.atoms.calc.results
        try:
            return json.dumps({name: _plain(results[name]) for name in self.extras}, allow_nan=False)
        except ValueError:
            raise RuntimeError(
                f"the calculator returned a number in {', '.join(self.extras)} that is not finite"
            ) from None

    def _forces(self, wire: _Wire) -> None:
        if self._state != "HAVEDATA":
            raise ProtocolError("GETFORCE must come after POSDATA; i-PI sent no positions")
        wire.send("FORCEREADY", self._answer)
        self._state = "READY"


def _leave(connection: socket.socket) -> None:
    """Let i-PI read the end of the stream and give the work to another client.

    Closed with unread requests the connection would be reset, which i-PI 3.3 does not survive.
    """
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(_LEAVE)
        end = time.monotonic() + _LEAVE
        while time.monotonic() < end and connection.recv(1 << 16):
            pass


def _plain(value):
    """Arrays as lists, also within dicts."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return np.asarray(value).tolist()


def _packed(energy: float, forces: np.ndarray, virial: np.ndarray, text: str) -> bytes:
    """What follows FORCEREADY."""
    extra = text.encode()
    return b"".join(
        (
            struct.pack("=di", energy / HARTREE, len(forces)),
            np.ascontiguousarray(forces * (BOHR / HARTREE), np.float64).tobytes(),
            np.ascontiguousarray(virial.T / HARTREE, np.float64).tobytes(),
            struct.pack("=i", len(extra)),
            extra,
        )
    )

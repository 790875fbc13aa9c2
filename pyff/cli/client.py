"""`pyff client`: forces for i-PI."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from pyff.cli import INTERRUPTED
from pyff.cli.console import Console
from pyff.cli.output import require_output
from pyff.cli.start import Start, described
from pyff.cli.threads import threads_for
from pyff.errors import PyffError
from pyff.interfaces.ipi import Address, Driver, connect
from pyff.interfaces.ipi_input import PathIntegral, ipi_command, structure_path, write_ipi_input

__all__ = ["ClientOptions", "client_address", "run_client"]

_SHOW_EVERY = 1.0  # s


@dataclass(frozen=True)
class ClientOptions:
    """Options of the command; wait and timeout in s; extras: names of results."""

    address: Address
    wait: float
    timeout: float
    reconnect: bool
    extras: tuple[str, ...]
    input: Path | None
    simulation: PathIntegral
    overwrite: bool


def client_address(name: str | None, host: str | None, port: int | None, *, allow_remote: bool) -> Address:
    """Of --socket, or of --host and --port."""
    if (name is None) == (port is None) or (name is not None and host is not None):
        raise PyffError("give --socket NAME (i-PI's mode unix), or --port with or without --host (its mode inet)")
    if name is not None:
        return Address.unix(name)
    return Address.inet(host or "localhost", port, allow_remote=allow_remote)


def run_client(console: Console, model: Path, start: Start, options: ClientOptions) -> int:
    """Serve until i-PI is done, or write an input file; the exit code."""
    atoms = start.atoms()
    atoms.calc = calc = start.calculator(console, model, atoms)
    if options.input:
        return _write_input(console, model, start, atoms, options)
    console.say(f"{described(atoms)}, {calc.model_name} in {calc.dtype} on {start.device}; i-PI at {options.address}")
    with threads_for(len(atoms)):
        return _serve(console, atoms, options)


def _write_input(console: Console, model: Path, start: Start, atoms: Atoms, options: ClientOptions) -> int:
    path, address = options.input, options.address
    require_output(
        path, (".xml",), option="--write-input", beside=(structure_path(path),), inputs=(start.path,),
        overwrite=options.overwrite,
    )  # fmt: skip
    written = write_ipi_input(path, atoms, address, options.simulation)
    console.result(files=[str(p) for p in written], command=ipi_command(path, address))
    where = f"--socket {address.path}" if address.path else f"--host {address.host} --port {address.port}"
    console.say(f"wrote {' and '.join(map(str, written))}; run in {path.parent.absolute()}")
    console.say(f"  {' '.join(ipi_command(path, address))} &")
    console.say(f"  pyff client {model.absolute()} --start {start.path.absolute()} {where}")
    return 0


def _serve(console: Console, atoms: Atoms, options: ClientOptions) -> int:
    begin, code, done = time.monotonic(), 0, False
    with _shown(console) as on_step:
        driver = Driver(atoms, options.extras, on_step)
        try:
            while not done:
                with connect(options.address, wait=options.wait, timeout=options.timeout) as connection:
                    finished = driver.serve(connection)
                # i-PI's EXIT ends a run; with --reconnect the next one is waited for
                done = not options.reconnect
                console.say(f"{_ending(finished)} after {driver.served} structures")
        except KeyboardInterrupt:
            console.warn(f"interrupted after {driver.served} structures; i-PI waits for another client")
            code = INTERRUPTED
        except ConnectionError:
            if not driver.served:
                raise
            console.say(f"no new i-PI within {options.wait:g} s")
    seconds = time.monotonic() - begin
    console.result(structures=driver.served, seconds=seconds, address=str(options.address))
    if driver.served:
        console.say(f"{driver.served} structures in {seconds:.1f} s, {driver.served / seconds:.0f} per second")
    return code


def _ending(finished: bool) -> str:
    return "i-PI is done" if finished else "i-PI closed the connection"


@contextlib.contextmanager
def _shown(console: Console) -> Iterator:
    """on_step for the driver: now and then a line on a terminal."""
    status = None if console.quiet or not console.err.is_terminal else console.err.status("waiting for i-PI")
    last = 0.0

    def on_step(served: int, energy: float) -> None:
        nonlocal last
        if status and (now := time.monotonic()) - last > _SHOW_EVERY:
            last = now
            status.update(f"{served} structures, energy {energy:.4f} eV")

    with status or contextlib.nullcontext():
        yield on_step

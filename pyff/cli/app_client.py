"""Name, options and help of `pyff client`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyff.cli.app import Charge, Debug, Device, Dtype, Ewald, Json, LongRangeCutoff, Model, Quiet, Spin, _examples, app
from pyff.cli.console import Console

__all__ = ["client"]

_INPUT = "Input file of i-PI"
_HELP = _examples("""
    # an input for i-PI: 32 beads at 300 K; then i-PI, then as many clients as there are processors
    pyff client model.safetensors --start start.xyz --socket water --write-input water.xml --beads 32
    i-pi water.xml > water.log &
    pyff client model.safetensors --start start.xyz --socket water
    # in an input of your own, what has to agree with --socket water
    <ffsocket name='pyff' mode='unix' pbc='false'> <address> water </address> </ffsocket>
    # mode='inet' with <address> localhost </address> <port> 31415 </port>
    pyff client model.safetensors --start start.xyz --port 31415
    # dipole moments in i-PI's output: <trajectory filename='dip' extra_type='dipole'> extras </trajectory>
    pyff client so3lr.safetensors --start start.xyz --socket water --extras dipole
""")


@app.command(epilog=_HELP)
def client(
    model: Model,
    start: Annotated[Path, typer.Option(help="Structure: elements in i-PI's order, periodic axes, charge.")],
    socket: Annotated[str | None, typer.Option(help="Unix socket: i-PI's <address>, or a path.")] = None,
    host: Annotated[str | None, typer.Option(help="Of mode inet; this machine if not given.")] = None,
    port: Annotated[int | None, typer.Option(help="Of mode inet; i-PI's <port>.")] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Connect to another machine, without encryption.")
    ] = False,
    wait: Annotated[float, typer.Option(help="s to wait for i-PI to start.", min=0)] = 60.0,
    timeout: Annotated[float, typer.Option(help="s of silence after which i-PI counts as gone.", min=0.1)] = 600.0,
    reconnect: Annotated[bool, typer.Option("--reconnect", help="Wait for the next i-PI when one ends.")] = False,
    extras: Annotated[
        str | None, typer.Option(help="Results i-PI also gets: dipole,charges,... in e and A.", show_default=False)
    ] = None,
    charge: Charge = None,
    spin: Spin = None,
    long_range_cutoff: LongRangeCutoff = None,
    ewald: Ewald = False,
    write_input: Annotated[
        Path | None, typer.Option(help="Write an input (.xml) and its structure, and stop.", rich_help_panel=_INPUT)
    ] = None,
    beads: Annotated[int, typer.Option(help="Replicas; 1 is classical.", min=1, rich_help_panel=_INPUT)] = 32,
    temperature: Annotated[float, typer.Option(help="K.", rich_help_panel=_INPUT)] = 300.0,
    timestep: Annotated[float, typer.Option(help="fs.", rich_help_panel=_INPUT)] = 0.5,
    steps: Annotated[int, typer.Option(help="Of the simulation.", min=0, rich_help_panel=_INPUT)] = 10_000,
    seed: Annotated[int, typer.Option(help="Of velocities and noise.", min=0, rich_help_panel=_INPUT)] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace it.", rich_help_panel=_INPUT)] = False,
    device: Device = "cpu",
    dtype: Dtype = None,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Forces for i-PI (pip install ipi): path-integral dynamics, thermostats and barostats with a model.

    Ends when i-PI does. Several clients share the beads; start as many as there are processors, with OMP_NUM_THREADS=1.
    """
    from pyff.cli.client import ClientOptions, client_address, run_client
    from pyff.cli.start import Start
    from pyff.interfaces.ipi_input import PathIntegral

    begin = Start(start, charge, spin, device, dtype and dtype.value, long_range_cutoff, ewald)
    options = ClientOptions(
        address=client_address(socket, host, port, allow_remote=allow_remote), wait=wait, timeout=timeout,
        reconnect=reconnect, extras=tuple(filter(None, (extras or "").split(","))), input=write_input,
        simulation=PathIntegral(beads, temperature, timestep, steps, seed=seed), overwrite=overwrite,
    )  # fmt: skip
    return run_client(Console(quiet, json), model, begin, options)

"""`pyff attention`: what a model attends to in a structure."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from pyff._atomic import atomic_write
from pyff._figure import save_figure
from pyff.analysis import ModelAttention, attention_by_elements, attention_panels, attention_per_atom, read_attention
from pyff.cli.console import Console
from pyff.cli.output import require_output
from pyff.cli.start import Start, described, warn_of_ignored
from pyff.errors import PyffError
from pyff.models.file import load

__all__ = ["run_attention"]


def run_attention(
    console: Console,
    model_path: Path,
    start: Start,
    *,
    layer: int,
    heads: str,
    out: Path,
    overwrite: bool,
) -> int:
    """Write attention per atom and a picture; the exit code."""
    picture = out.with_suffix(".png")
    require_output(out, (".csv",), beside=(picture,), overwrite=overwrite)
    if heads not in ("invariant", "equivariant"):
        raise PyffError(f"--heads must be invariant or equivariant; received {heads!r}")
    model, atoms = load(model_path), start.atoms()
    console.say(f"{described(atoms)}, {model_path.name}")
    warn_of_ignored(console, model_path, model, atoms)
    layers = read_attention(model.to(getattr(torch, start.dtype)) if start.dtype else model, atoms)
    if not 1 <= layer <= len(layers) and layer != -1:
        raise PyffError(f"--layer must be 1 to {len(layers)}, or -1 for the last; received {layer}")
    chosen = layers[layer if layer == -1 else layer - 1]
    alpha = getattr(chosen, heads)
    if not alpha.shape[1]:
        raise PyffError(f"{model_path} has no {heads} attention")
    given, received = _write_table(out, atoms, chosen, alpha)
    panels = attention_panels(alpha, chosen.idx_i, chosen.idx_j, chosen.distance, chosen.Z)
    save_figure(picture, panels, columns=3, size=3.8, aspect=1.25)
    _show(console, atoms, chosen, alpha, received)
    console.result(
        table=out, picture=picture, layers=len(layers), given=given.tolist(), received=received.tolist(), heads=heads
    )
    console.say(f"attention per atom in {out}, picture in {picture}")
    return 0


def _write_table(out: Path, atoms: Atoms, chosen: ModelAttention, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per atom, mean over heads: attention given and received."""
    found = attention_per_atom(alpha, chosen.idx_i, chosen.idx_j, len(atoms))
    given, received = found.given.mean(1), found.received.mean(1)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("atom", "element", "given", "received"))
    rows.writerows(zip(range(len(atoms)), atoms.symbols, given.tolist(), received.tolist()))
    atomic_write(out, text.getvalue())
    return given, received


def _show(console: Console, atoms: Atoms, chosen: ModelAttention, alpha: np.ndarray, received: np.ndarray) -> None:
    top = np.argsort(-received)[:10]
    rows = [(f"{atoms.symbols[k]}{k}", float(received[k])) for k in top]
    console.table(("atom", "attention received"), rows, title="most attended")
    pairs = attention_by_elements(alpha, chosen.idx_i, chosen.idx_j, chosen.Z)
    from ase.data import chemical_symbols

    names = [chemical_symbols[z] for z in pairs.elements]
    mean = pairs.mean.mean(2)
    rows = [(name, *("-" if np.isnan(x) else f"{x:.3g}" for x in mean[k])) for k, name in enumerate(names)]
    console.table(("attends to", *names), rows, title="mean |alpha| by elements")

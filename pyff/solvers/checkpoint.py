"""The state of an unfinished iterative solution in one file, from which it goes on as if never interrupted."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyff._atomic import atomic_write
from pyff.errors import PyffError
from pyff.solvers.conjugate_gradients import ConjugateGradients

__all__ = ["SolverState", "load_state", "problem_fingerprint", "save_state"]

_FORMAT = "pyff solver 1"


@dataclass
class SolverState:
    """cg: the iterates; columns, blocks, rank: the preconditioner; earlier: |r| of the steps before each restart.
    random: state of the generator."""

    cg: ConjugateGradients
    columns: Tensor
    blocks: tuple[int, ...]
    rank: int
    earlier: tuple[list[float], ...]
    random: dict

    @property
    def iterations(self) -> int:
        """Steps so far."""
        return sum(len(norms) - 1 for norms in (*self.earlier, self.cg.norms))


def problem_fingerprint(y: Tensor, diagonal: Tensor, ridge: float, kind: str) -> str:
    """What tells one problem from another: the right-hand side, the diagonal of K, the ridge, the preconditioner."""
    digest = hashlib.sha256(f"{ridge!r} {kind}".encode())
    for vector in (y, diagonal):
        digest.update(vector.cpu().numpy().tobytes())
    return digest.hexdigest()


def save_state(path: str | Path, state: SolverState, fingerprint: str) -> None:
    """Write the state atomically, as .npz without objects."""
    cg = state.cg
    about = {"format": _FORMAT, "fingerprint": fingerprint, "rho": cg.rho.hex(), "rank": state.rank,
             "random": state.random}  # fmt: skip
    arrays = {"x": cg.x, "r": cg.r, "p": cg.p, "columns": state.columns}
    content = io.BytesIO()
    runs = (*state.earlier, cg.norms)
    np.savez(content, about=np.array(json.dumps(about)), norms=np.concatenate(runs), runs=np.array([*map(len, runs)]),
             blocks=np.array(state.blocks, int), **{name: t.cpu().numpy() for name, t in arrays.items()})  # fmt: skip
    atomic_write(path, content.getvalue())


def load_state(path: str | Path, fingerprint: str, device: torch.device) -> SolverState:
    """The state written by `save_state`. Raises PyffError if the file is damaged or of another problem."""
    path = Path(path)
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            blocks = tuple(map(int, file["blocks"]))
            *earlier, norms = (part.tolist() for part in np.split(file["norms"], file["runs"].cumsum()[:-1]))
            x, r, p, columns = (torch.from_numpy(file[name]).to(device) for name in ("x", "r", "p", "columns"))
        if about["format"] != _FORMAT:
            raise PyffError(f"{path} has format {about['format']!r}; this pyff reads {_FORMAT!r}")
        cg = ConjugateGradients(x, r, p, float.fromhex(about["rho"]), norms)
        state = SolverState(cg, columns, blocks, about["rank"], tuple(earlier), about["random"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise PyffError(f"{path} cannot be read as a solver's checkpoint: {error}") from None
    if about["fingerprint"] != fingerprint:
        raise PyffError(f"{path} belongs to another problem (data, ridge or preconditioner); remove it to start anew")
    return state

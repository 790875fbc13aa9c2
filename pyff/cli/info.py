"""`pyff info`: what is installed and live on this machine, or what a model file holds."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pyff import __version__, _core
from pyff._threads import thread_count
from pyff.cli.console import Console

__all__ = ["run_info"]

MOST_LISTED = 10  # values; the indices of training points are thousands

PACKAGES = ("torch", "numpy", "scipy", "ase", "pydantic", "safetensors")


def run_info(console: Console, model: Path | None) -> int:
    """Print; the exit code."""
    if model is not None and model.suffix == ".npz":
        from pyff.cli.gdml_show import run_show

        return run_show(console, model)
    if model is not None:
        return _model(console, model)
    machine = _machine()
    console.facts([(name, str(value)) for name, value in machine.items()])
    console.result(**machine)
    return 0


def _machine() -> dict[str, str]:
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return {
        "pyff": f"{__version__} in {Path(_core.__file__).parent}",
        "python": f"{platform.python_version()} on {sys.platform} {platform.machine()}",
        "packages": versions,
        "instruction set": _instruction_set(),
        "threads": _threads(),
        "CUDA in torch": _torch_cuda(),
        "CUDA kernels": _core.cuda_status(),
        "models run on": "the learning path (torch modules over the native kernels); calculators report it in .info",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _instruction_set() -> str:
    live, best = _core.isa(), _core.best_isa()
    if live == best:
        return f"{live}, the best of this processor"
    forced = os.environ.get("PYFF_ISA")
    reason = f"PYFF_ISA={forced} holds it back; unset it" if forced else "the better kernels are not in this build"
    return f"{live}, although this processor has {best}: {reason}"


def _threads() -> str:
    wish = os.environ.get("OMP_NUM_THREADS")
    count = os.cpu_count() if not hasattr(os, "sched_getaffinity") else len(os.sched_getaffinity(0))
    why = f" (OMP_NUM_THREADS={wish})" if wish else ""
    return f"{thread_count()} of {count} processors{why}"


def _torch_cuda() -> str:
    """Devices; torch is imported only where its build could have any."""
    build = _version("torch")
    if build == "missing":
        return "none: torch is not installed"
    if build.endswith("+cpu"):
        return f"none: torch {build} is built without CUDA"
    import torch

    if torch.version.cuda is None:
        return f"none: torch {build} is built without CUDA"
    if not torch.cuda.is_available():
        return "none: torch finds no usable GPU or driver"
    return ", ".join(torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count()))


def _model(console: Console, path: Path) -> int:
    from pyff.models.file import read_header

    header = read_header(path)
    references = ", ".join(f"{s} {e:.4f}" for s, e in header.reference_energy.items())
    console.facts(
        [
            ("model", f"{path}, {path.stat().st_size / 1e6:.1f} MB"),
            ("architecture", f"{header.architecture}, {header.dtype}, written by pyff {header.pyff_version}"),
            ("elements", " ".join(header.elements)),
            ("units", f"{header.units.energy}, {header.units.length}"),
            *([("cutoff", f"{header.cutoff:g} A")] if header.cutoff else []),
            *([("references (eV)", references)] if references else []),
            ("options", ", ".join(f"{k}={v}" for k, v in header.hyperparameters.items())),
            *_flat("", header.info),
            *(("cite", text) for text in header.citations),
        ]
    )
    console.result(**header.model_dump())
    return 0


def _flat(prefix: str, values: dict) -> list[tuple[str, str]]:
    rows = []
    for name, value in values.items():
        label = f"{prefix}{name}"
        rows += _flat(f"{label} ", value) if isinstance(value, dict) else [(label, _short(value))]
    return rows


def _short(value) -> str:
    if isinstance(value, list) and len(value) > MOST_LISTED:
        return f"{len(value)} values"
    return f"{value:.5g}" if isinstance(value, float) else str(value)

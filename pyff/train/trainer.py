"""Trainer: gradient training of an energy model on energies, forces, stress and other labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from pyff._device import usable_device
from pyff.batch import LABELS
from pyff.data.dataset import Dataset
from pyff.errors import PyffError, UnseenElementError
from pyff.models.base import EnergyModel
from pyff.train.config import TrainConfig
from pyff.train.loop import TrainingLoop
from pyff.train.metrics import evaluate
from pyff.train.progress import TrainProgress
from pyff.train.report import Report, read_history

__all__ = ["Trainer"]


class Trainer:
    """Fits a model and keeps the run in a folder.

    The folder gets train.yaml (settings), last.safetensors (everything needed to continue), best.safetensors (averaged
    weights of the best validation), each replaced atomically, and metrics.jsonl, to which every epoch appends a line
    (errors in eV and A); resuming drops a torn last line and epochs after the checkpoint. Both checkpoints are
    model files: `pyff.load` reads their averaged weights. Ctrl-C or SIGTERM finish the step, write last.safetensors and
    return; a second one ends at once.

        report = Trainer(model, TrainConfig(max_time=30), "run").fit(train, valid)

    Args:
        model: its reference energies must be set already. config: settings. run_dir: folder, made if absent.
        quiet: shows nothing.
    """

    def __init__(self, model: EnergyModel, config: TrainConfig, run_dir: str | Path, *, quiet: bool = False) -> None:
        self.model = model
        self.config = config
        self.run_dir = run_dir
        self.quiet = quiet

    def fit(
        self,
        train: Dataset,
        valid: Dataset,
        *,
        resume: bool = False,
        overwrite: bool = False,
        on_start: Callable[[], None] | None = None,
    ) -> Report:
        """Train until an end condition of the config. Afterwards the model carries the averaged weights of the best
        validation, is on config.device in config.dtype, and in eval mode.

        Args:
            train, valid: labelled frames; missing labels are left out of the loss.
            resume: continue the run in run_dir, bitwise as if it had never stopped on the CPU (with a schedule that
                follows epochs, not time). The data and the settings must be the same, except for max_epochs,
                max_time, patience, stop_lr, checkpoint_interval, device and valid_batch_size.
            overwrite: start anew although run_dir holds a run, which is deleted.
            on_start: called when everything was checked, just before the first step.

        Raises:
            ValueError: config.device is none that torch can use.
            PyffError: labels that the loss needs are in no frame; run_dir holds a run and neither flag is set.
            NonFiniteLossError: the loss became NaN or infinite; names the frames. The weights are the last finite ones.
            FileNotFoundError: resume without a checkpoint.
        """
        device = usable_device(self.config.device)
        self._check(train, valid)
        folder = Path(self.run_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self._prepare_folder(folder, resume, overwrite)
        self.model.to(device=device, dtype=getattr(torch, self.config.dtype))
        progress = TrainProgress(train.units, self.quiet)
        with _own_random_stream(device, self.config.seed):
            loop = TrainingLoop(self.model, self.config, folder, train, valid, progress)
            if resume:
                loop.restore()
            self.config.to_yaml(folder / "train.yaml")
            if on_start is not None:
                on_start()
            with progress:
                progress.say(self._opening(train, valid, loop))
                stopped = loop.run()
        loop.load_best()
        self.model.eval()
        state = loop.state
        return Report(
            run_dir=folder,
            stopped=stopped,
            epochs=state.epoch,
            steps=state.step,
            seconds=state.seconds,
            best_epoch=state.best_epoch,
            best_loss=state.best_loss,
            n_parameters=loop.n_parameters,
            valid=evaluate(self.model, valid, self.config.valid_batch_size),
            history=read_history(folder / "metrics.jsonl"),
        )

    def _check(self, train: Dataset, valid: Dataset) -> None:
        for name, data in (("train", train), ("valid", valid)):
            if not len(data):
                raise PyffError(f"{name} must hold at least one frame; received none")
            unseen = sorted({z for s in data for z in s.Z.tolist()} - set(self.model.elements))
            if unseen:
                raise UnseenElementError(f"{name} holds elements the model does not know: Z = {unseen}")
        weighed = [label for label in LABELS if self.config.weight(label) > 0]
        for label in weighed:
            self._check_label(label, train, valid)
        if not any(valid.count(label) for label in weighed):
            raise PyffError("valid has none of the labels that the loss weighs")

    def _check_label(self, label: str, train: Dataset, valid: Dataset) -> None:
        weight = self.config.weight(label)
        if not train.count(label):
            raise PyffError(
                f"{label}_weight is {weight}, but no training frame has {label}: set it to 0, or name the key that "
                f"holds them when reading ({label}_key). {' '.join(train.notes)}"
            )
        offers = self.model.offers
        if label not in offers:
            raise PyffError(
                f"{label}_weight is {weight}, but this {self.model.architecture} model predicts "
                f"{', '.join(sorted(offers))} only: set it to 0, or make the model with an option that gives {label}"
            )
        periodic = [n for data in (train, valid) for s, n in zip(data, data.names) if s.pbc.any()]
        if label == "dipole" and periodic:
            raise PyffError(
                f"dipole_weight is {weight}, but {len(periodic)} frames are periodic and have no dipole moment: "
                f"{', '.join(periodic[:5])}. Leave them out, or learn charges instead (charges_weight)"
            )

    def _prepare_folder(self, folder: Path, resume: bool, overwrite: bool) -> None:
        files = [folder / name for name in ("last.safetensors", "best.safetensors", "metrics.jsonl")]
        present = [f for f in files if f.exists()]
        if present and not resume:
            if not overwrite:
                raise PyffError(
                    f"run_dir {folder} holds a run already ({present[0].name}): continue it with resume=True, "
                    "start anew with overwrite=True, or choose another folder"
                )
            for f in present:
                f.unlink()

    def _opening(self, train: Dataset, valid: Dataset, loop: TrainingLoop) -> str:
        c, threads = self.config, torch.get_num_threads()
        start = f"resumed after epoch {loop.state.epoch}" if loop.state.step else "new run"
        return (
            f"{start} in {self.run_dir}: {len(train)} training and {len(valid)} validation frames, "
            f"{loop.n_parameters} parameters, {c.dtype} on {c.device}, {threads} thread{'s' * (threads > 1)}"
        )


@contextmanager
def _own_random_stream(device: torch.device, seed: int) -> Iterator[None]:
    """Seeds torch's generators for dropout and the like, and puts the caller's streams back afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            index = device.index if device.index is not None else torch.cuda.current_device()
            torch.cuda.default_generators[index].manual_seed(seed)
        yield

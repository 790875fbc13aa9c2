"""TrainingLoop: steps, epochs, validation and checkpoints of one run; `Trainer` is its public face."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyff._atomic import atomic_write
from pyff._interrupt import Interrupt
from pyff.data.dataset import Dataset
from pyff.errors import PyffError
from pyff.models.base import EnergyModel
from pyff.models.file import TRAINING, model_header
from pyff.train.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from pyff.train.config import TrainConfig
from pyff.train.ema import EMA
from pyff.train.graphs import GraphStore
from pyff.train.loss import Loss
from pyff.train.metrics import Metrics, predict
from pyff.train.optimizer import make_optimizer, optimizer_tensors, restore_optimizer
from pyff.train.progress import TrainProgress
from pyff.train.report import read_history
from pyff.train.schedule import Schedule

__all__ = ["NonFiniteLossError", "RunState", "TrainingLoop"]

# settings a resumed run may change; all others shape its steps
_FREE = {"max_epochs", "max_time", "patience", "stop_lr", "checkpoint_interval", "device", "valid_batch_size"}
# what has to agree for weights to fit a model
_IDENTITY = {"architecture", "hyperparameters", "elements", "reference_energy"}
_MID_EPOCH_SECONDS = 60.0


class NonFiniteLossError(PyffError):
    """The loss or its gradient became NaN or infinite; `frames` names the frames it came from."""

    def __init__(self, message: str, frames: list[str]) -> None:
        super().__init__(message)
        self.frames = frames


@dataclass
class RunState:
    """Where a run stands. epoch: completed ones; position: frames of the present epoch already used."""

    epoch: int = 0
    position: int = 0
    step: int = 0
    seconds: float = 0.0
    best_loss: float | None = None
    best_epoch: int = 0
    batches: int = 0
    sums: dict[str, float] = field(default_factory=dict)


class TrainingLoop:
    """One run. Arguments as `Trainer`'s; the model is on its device already."""

    def __init__(self, model: EnergyModel, config: TrainConfig, folder: Path, train: Dataset, valid: Dataset,
                 progress: TrainProgress) -> None:  # fmt: skip
        self.model, self.config, self.folder, self.progress = model, config, folder, progress
        self.train, self.valid = train, valid
        self.state = RunState()
        self.loss, self.schedule = Loss.from_config(config), Schedule(config)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(model, config)
        self.ema = EMA(model, config.ema_decay)
        self.train_store = GraphStore(train.systems, model.needs, config.device)
        self.valid_store = GraphStore(valid.systems, model.needs, config.device)
        self._fingerprints = {"train": train.fingerprint(), "valid": valid.fingerprint()}
        self._generator = torch.Generator().manual_seed(config.seed)
        self._epoch_stream = self._generator.get_state()
        self._resumed_at = self._saved_at = time.monotonic()
        self._seconds_before = 0.0

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters)

    def run(self) -> str:
        """Train until an end condition; returns its name. last.safetensors is written at the end."""
        self._resumed_at = self._saved_at = time.monotonic()
        with Interrupt(self.progress.say) as interrupt:
            stopped = self._finished()
            while not stopped:
                stopped = self._train_epoch(interrupt)
                if not stopped:
                    self._finish_epoch()
                    stopped = self._finished() or ("interrupted" if interrupt.requested else "")
            self.save_last()
        return stopped

    def _finished(self) -> str:
        c, s = self.config, self.state
        if c.max_epochs is not None and s.epoch >= c.max_epochs:
            return "max_epochs"
        if c.patience is not None and s.best_loss is not None and s.epoch - s.best_epoch >= c.patience:
            return "patience"
        if c.stop_lr is not None and s.step and self.schedule.value(s.step, self._done()) <= c.stop_lr:
            return "stop_lr"
        return "max_time" if self._out_of_time() else ""

    def _out_of_time(self) -> bool:
        return self.config.max_time is not None and self._clock() >= 60 * self.config.max_time

    def _clock(self) -> float:
        """Seconds of training, earlier parts of a resumed run included."""
        self.state.seconds = self._seconds_before + time.monotonic() - self._resumed_at
        return self.state.seconds

    def _done(self) -> float:
        """Part of the run that is done, 0..1, by epochs or by time, whichever is further."""
        c, n = self.config, len(self.train_store)
        by_epoch = (self.state.epoch + self.state.position / n) / c.max_epochs if c.max_epochs else 0.0
        return max(by_epoch, self._clock() / (60 * c.max_time) if c.max_time else 0.0)

    def _train_epoch(self, interrupt: Interrupt) -> str:
        """Steps until the frames or the time are used up ("") or a signal came ("interrupted")."""
        self.model.train()
        self._generator.set_state(self._epoch_stream)
        order = torch.randperm(len(self.train_store), generator=self._generator).numpy()
        while self.state.position < len(order):
            self._step(order[self.state.position : self.state.position + self.config.batch_size])
            self.progress.advance(self._done())
            if interrupt.requested:
                return "interrupted"
            if self._out_of_time():
                break
            self._save_if_due(_MID_EPOCH_SECONDS)
        return ""

    def _step(self, index: np.ndarray) -> None:
        loss, terms = self._loss(index)
        value = loss.item()
        if not math.isfinite(value):
            self._fail(index, "loss")
        for p in self.parameters:
            p.grad = None
        # inputs: gradients of positions are not formed
        torch.autograd.backward(loss, inputs=self.parameters)
        grads = [p for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(grads, self.config.clip_norm or math.inf)
        if not math.isfinite(norm.item()):
            self._fail(index, "gradient of the loss")
        lr = self.schedule.lr(self.state.step, self._done())
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.ema.update()
        self._count(len(index), value, terms)

    def _loss(self, index: np.ndarray) -> tuple[Tensor, dict[str, Tensor]]:
        graph, labels = self.train_store.batch(index)
        return self.loss(self.model(graph, self.loss.want), labels)

    def _count(self, n_frames: int, loss: float, terms: dict[str, Tensor]) -> None:
        s = self.state
        s.step += 1
        s.position += n_frames
        s.batches += 1
        for name, value in (("loss", loss), *((f"{k}_loss", v.item()) for k, v in terms.items())):
            s.sums[name] = s.sums.get(name, 0.0) + value

    def _fail(self, index: np.ndarray, what: str) -> None:
        """Name the frames whose own loss or gradient is not finite. No step was made with them."""
        self.optimizer.zero_grad()
        bad = [k for k in index.tolist() if not self._frame_is_finite(k)] or index.tolist()
        if not all(bool(torch.isfinite(p).all()) for p in self.parameters):
            self.ema.copy_to_model()
        names = [self.train.names[k] for k in bad]
        raise NonFiniteLossError(
            f"the {what} is not finite in epoch {self.state.epoch + 1}, step {self.state.step + 1}; it comes from "
            f"{', '.join(names[:10])}{' and others' if len(names) > 10 else ''}. The weights are those before this "
            "step. Check these frames; if they are sound, lower lr or clip_norm.",
            names,
        )

    def _frame_is_finite(self, frame: int) -> bool:
        loss, _ = self._loss(np.array([frame]))
        grads = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        return bool(torch.isfinite(loss)) and all(g is None or bool(torch.isfinite(g).all()) for g in grads)

    def _finish_epoch(self) -> None:
        s = self.state
        lr = self.schedule.lr(s.step, self._done())
        s.epoch += 1
        s.position = 0
        self._epoch_stream = self._generator.get_state()
        loss, metrics = self._validate()
        self.schedule.after_validation(loss)
        row = self._row(lr, loss, metrics)
        s.batches, s.sums = 0, {}
        if s.best_loss is None or loss < s.best_loss:
            s.best_loss, s.best_epoch = loss, s.epoch
            self._save("best")
        row["best_loss"] = s.best_loss
        with open(self.folder / "metrics.jsonl", "a") as out:
            out.write(json.dumps(row, allow_nan=False) + "\n")
        self.progress.epoch(row)
        self._save_if_due(0.0)

    def _validate(self) -> tuple[float, Metrics]:
        """Loss and errors on the validation frames, with averaged weights."""
        with self.ema.applied():
            predictions = predict(self.model, self.valid_store, self.config.valid_batch_size)
            loss = self.loss.of_predictions(predictions)
            if not math.isfinite(loss):
                self._fail_validation()
        return loss, Metrics.of(predictions, self.valid.units)

    def _fail_validation(self) -> None:
        names = []
        for name, system in zip(self.valid.names, self.valid.systems):
            alone = predict(self.model, GraphStore([system], self.model.needs, self.config.device))
            if not math.isfinite(self.loss.of_predictions(alone)):
                names.append(name)
        raise NonFiniteLossError(
            f"the validation loss is not finite after epoch {self.state.epoch}; it comes from "
            f"{', '.join(names[:10])}{' and others' if len(names) > 10 else ''}. best.safetensors holds epoch "
            f"{self.state.best_epoch}. Check these frames; if they are sound, lower lr or clip_norm.",
            names,
        )

    def _row(self, lr: float, loss: float, metrics: Metrics) -> dict:
        s = self.state
        row = {"epoch": s.epoch, "step": s.step, "seconds": round(self._clock(), 3), "lr": lr}
        row |= {f"train_{name}": value / s.batches for name, value in s.sums.items()}
        return row | {"valid_loss": loss} | {f"valid_{k}": v for k, v in metrics.as_dict().items()}

    def _save_if_due(self, least: float) -> None:
        if time.monotonic() - self._saved_at >= max(60 * self.config.checkpoint_interval, least):
            self.save_last()

    def _save(self, kind: str, **more) -> None:
        """Write a checkpoint: averaged weights and buffers under the model's own names, other tensors as training.*"""
        extra = {f"{TRAINING}{name}": t for name, t in more.pop("tensors", {}).items()}
        content = {"train_config": self.config.model_dump(), "data": self._fingerprints, "state": asdict(self.state)}
        with self.ema.applied():
            tensors = {**self.model.state_dict(), **extra}
            path = self.folder / f"{kind}.safetensors"
            save_checkpoint(path, model_header(self.model), tensors, {"kind": kind, **content, **more})

    def save_last(self) -> None:
        """Everything needed to continue."""
        self._clock()
        tensors = {f"raw.{name}": p.detach().clone() for name, p in self.model.named_parameters()}
        tensors |= optimizer_tensors(self.model, self.optimizer)
        tensors |= {"rng.order": self._epoch_stream, "rng.torch": torch.get_rng_state()}
        if self.config.device.startswith("cuda"):
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.config.device)
        self._save("last", tensors=tensors, ema_steps=self.ema.steps, schedule=self.schedule.state())
        self._saved_at = time.monotonic()

    def restore(self) -> None:
        """Continue from last.safetensors. Raises CheckpointError where model, data or settings differ."""
        tensors, content = load_checkpoint(self.folder / "last.safetensors")
        self._check_same(content)
        part = lambda prefix: {k[len(prefix) :]: t for k, t in tensors.items() if k.startswith(prefix)}  # noqa: E731
        rng = part(f"{TRAINING}rng.")
        self.model.load_state_dict({name: t for name, t in tensors.items() if not name.startswith(TRAINING)})
        self.ema.restore(tensors, content["ema_steps"])
        self.model.load_state_dict(part(f"{TRAINING}raw."), strict=False)
        restore_optimizer(self.model, self.optimizer, part(f"{TRAINING}optimizer."))
        self.schedule.restore(content["schedule"])
        self.state = RunState(**content["state"])
        self._seconds_before = self.state.seconds
        self._epoch_stream = rng["order"]
        torch.set_rng_state(rng["torch"])
        if "cuda" in rng and self.config.device.startswith("cuda"):
            torch.cuda.set_rng_state(rng["cuda"], self.config.device)
        metrics = self.folder / "metrics.jsonl"
        rows = [row for row in read_history(metrics) if row["epoch"] <= self.state.epoch]
        atomic_write(metrics, "".join(json.dumps(row) + "\n" for row in rows))

    def _check_same(self, content: dict) -> None:
        header = json.loads(model_header(self.model).model_dump_json())
        if any(content["model"].get(key) != header[key] for key in _IDENTITY):
            raise CheckpointError(f"cannot resume: the model differs from that of the run in {self.folder}")
        if content["data"] != self._fingerprints:
            raise CheckpointError(
                f"cannot resume: the training or validation frames differ from those of the run in {self.folder}"
            )
        before, now = content["train_config"], self.config.model_dump()
        changed = [f"{k} (was {before.get(k)}, is {now[k]})" for k in now if k not in _FREE and before.get(k) != now[k]]
        if changed:
            raise CheckpointError(f"cannot resume with other settings: {', '.join(changed)}")

    def load_best(self) -> None:
        """Give the model the averaged weights of the best validation, or the present averages before the first."""
        if self.state.best_loss is None:
            self.ema.copy_to_model()
            return
        tensors, _ = load_checkpoint(self.folder / "best.safetensors")
        self.model.load_state_dict(tensors)

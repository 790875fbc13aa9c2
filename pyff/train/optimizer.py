"""Adam, AdamW and AMSGrad, and their state by parameter name."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pyff.train.config import TrainConfig

__all__ = ["make_optimizer", "optimizer_tensors", "restore_optimizer"]


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AMSGrad (decay as an L2 term), or AdamW (decoupled decay), fused; only weight matrices decay."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    amsgrad = config.optimizer == "amsgrad"
    return kind([g for g in groups if g["params"]], lr=config.lr, amsgrad=amsgrad, fused=True)


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """optimizer.<parameter>.<quantity>; parameters without a step yet have none."""
    return {
        f"optimizer.{name}.{key}": value
        for name, p in model.named_parameters()
        for key, value in optimizer.state.get(p, {}).items()
    }


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the tensors of `optimizer_tensors` (names without "optimizer.") back."""
    for name, p in model.named_parameters():
        own = {k.removeprefix(f"{name}."): t for k, t in tensors.items() if k.rpartition(".")[0] == name}
        if own:
            optimizer.state[p] = {key: t.to(p.device, copy=True) for key, t in own.items()}

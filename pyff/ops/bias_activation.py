"""y = act(x + bias) in one pass over memory, forward, backward and double backward."""

from __future__ import annotations

import torch
from torch import Tensor

from pyff.ops import reference
from pyff.ops._check import address, feature_kernel, require, require_device, runs_on_twin
from pyff.ops._register import Triple, differentiable_op

__all__ = ["ACTIVATIONS", "bias_activation"]

ACTIVATIONS = {"identity": 0, "ssp": 1, "silu": 2, "tanh": 3}  # csrc/math/activation.hpp


def _call(order, x, bias, kind, grad_y=None, u=None, y=None, grad_x=None, grad_grad_y=None) -> None:
    feature_kernel("bias_activation", x.dtype, x.device)(
        order, x.shape[0], x.shape[1], kind, address(x), address(bias), address(grad_y), address(u), address(y),
        address(grad_x), address(grad_grad_y), torch.get_num_threads(),
    )  # fmt: skip


def _forward(x, bias, kind):
    x, bias = x.contiguous(), bias.contiguous()
    y = torch.empty_like(x)
    _call(0, x, bias, kind, y=y)
    return (y,)


def _backward(grads, args, needs):
    x, bias, kind = args[0].contiguous(), args[1].contiguous(), args[2]
    grad_y = grads[0].contiguous()
    grad_x = torch.empty_like(x)
    _call(1, x, bias, kind, grad_y=grad_y, grad_x=grad_x)
    return grad_x if needs[0] else None, grad_x.sum(0) if needs[1] else None


def _double_backward(cotangents, grads, args, need_grads, need_args):
    x, bias, kind = args[0].contiguous(), args[1].contiguous(), args[2]
    grad_y = grads[0].contiguous()
    # grad_bias is the column sum of grad_x: its cotangent is that of every row of grad_x
    u, row = cotangents
    u = row.expand_as(x) if u is None else u if row is None else u + row
    u = u.contiguous()
    grad_grad_y = torch.empty_like(x) if need_grads[0] else None
    grad_x = torch.empty_like(x) if any(need_args) else None
    _call(2, x, bias, kind, grad_y=grad_y, u=u, grad_x=grad_x, grad_grad_y=grad_grad_y)
    return (grad_grad_y,), (grad_x if need_args[0] else None, grad_x.sum(0) if need_args[1] else None)


_op = differentiable_op(
    Triple(
        name="bias_activation",
        schema="Tensor x, Tensor bias, int activation",
        n_diff=2,
        n_out=1,
        forward=_forward,
        fake=lambda x, bias, kind: (torch.empty_like(x, memory_format=torch.contiguous_format),),
        backward=_backward,
        double_backward=_double_backward,
    )
)


def bias_activation(x: Tensor, bias: Tensor, activation: str) -> Tensor:
    """act(x + bias) for x [rows, F] and bias [F], float32 or float64, differentiable to second order.

    activation: "ssp" (shifted softplus ln(1 + e^x) - ln 2), "silu", "tanh" or "identity".
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; received {activation!r}")
    if not torch.compiler.is_compiling():
        require("bias_activation", "x", x, (None, None), (torch.float32, torch.float64))
        require("bias_activation", "bias", bias, (x.shape[1],), x.dtype)
        require_device("bias_activation", x.device, bias=bias)
        if runs_on_twin("bias_activation", x):
            return reference.bias_activation(x, bias, activation)
    return _op(x, bias, ACTIVATIONS[activation])

"""One op from one triple (forward, backward, double backward): an autograd.Function for eager mode, and registered
torch.library ops for torch.compile and torch.export.

In eager mode a Function costs about half of what a registered op costs. Third derivatives are refused by torch's own
once_differentiable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Triple", "differentiable_op", "needed_inputs"]

_library = torch.library.Library("pyff", "DEF")


@dataclass(frozen=True)
class Triple:
    """An op and its derivatives. args are the op's arguments in schema order; the first n_diff are differentiable.

    forward(*args) -> outputs (a tuple)
    fake(*args) -> empty outputs of the right shapes
    backward(grads, args, needs) -> one gradient per differentiable argument, None where not needed
    double_backward(cotangents, grads, args, need_grads, need_args) -> (cotangents of grads, of the arguments)
    """

    name: str
    schema: str
    n_diff: int
    n_out: int
    forward: Callable
    fake: Callable
    backward: Callable
    double_backward: Callable


def needed_inputs(ctx, tensors, first: int) -> tuple[bool, ...]:
    """Which gradients of `tensors`, the inputs from `first` on, this backward pass will use.

    ctx.needs_input_grad says which inputs require gradients at all; asking the engine also drops those that the
    current call does not lead to: the parameters while forces are taken, the positions while the loss is
    differentiated with respect to parameters.
    """
    flags = ctx.needs_input_grad[first:]
    nodes = iter(ctx.next_functions)  # one entry per input that is a tensor
    paths = [next(nodes)[0] if x is not None else None for x in tensors]
    try:
        return tuple(f and n is not None and torch._C._will_engine_execute_node(n) for f, n in zip(flags, paths))
    except RuntimeError:  # the engine does not say for leaves that autograd.grad was asked for
        return flags


def _eager(t: Triple) -> Callable:
    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, static, needs, *tensors):
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(*tensors)
            ctx.static = static
            grads, diff = tensors[: t.n_out], tensors[t.n_out :]
            return tuple(t.backward(grads, diff + static, needs))

        @staticmethod
        @once_differentiable
        def backward(ctx, *cotangents):
            tensors = ctx.saved_tensors
            grads, diff = tensors[: t.n_out], tensors[t.n_out :]
            if all(c is None for c in cotangents):
                return (None,) * (2 + len(tensors))
            flags = needed_inputs(ctx, tensors, 2)
            out = t.double_backward(cotangents, grads, diff + ctx.static, flags[: t.n_out], flags[t.n_out :])
            return (None, None, *out[0], *out[1])

    class Forward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, static, *diff):
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(*diff)
            ctx.static = static
            out = t.forward(*diff, *static)
            return out if t.n_out > 1 else out[0]

        @staticmethod
        def backward(ctx, *grads):
            if all(g is None for g in grads):
                return (None,) * (1 + t.n_diff)
            needs = needed_inputs(ctx, ctx.saved_tensors, 1)
            if not torch.is_grad_enabled():  # nobody will differentiate this backward pass
                return (None, *t.backward(grads, ctx.saved_tensors + ctx.static, needs))
            return (None, *Backward.apply(ctx.static, needs, *grads, *ctx.saved_tensors))

    Forward.__name__, Backward.__name__ = t.name, f"{t.name}_backward"
    return lambda *args: Forward.apply(args[t.n_diff :], *args[: t.n_diff])


def _register(t: Triple) -> Callable:
    names = [f"pyff::{t.name}{suffix}" for suffix in ("", "_backward", "_double_backward")]
    returns = "Tensor" if t.n_out == 1 else "(" + ", ".join(["Tensor"] * t.n_out) + ")"
    _library.define(f"{t.name}({t.schema}) -> {returns}")
    grads = ", ".join(f"Tensor grad_{k}" for k in range(t.n_out))
    _library.define(f"{t.name}_backward({grads}, {t.schema}, bool[] needs) -> Tensor[]")
    cotangents = ", ".join(f"Tensor cot_{k}" for k in range(t.n_diff))
    _library.define(
        f"{t.name}_double_backward({cotangents}, {grads}, {t.schema}, bool[] need_grads, bool[] need_args) -> Tensor[]"
    )
    n_args = t.schema.count(",") + 1

    def forward(*args):
        out = t.forward(*args)
        return out if t.n_out > 1 else out[0]

    def fake(*args):
        out = t.fake(*args)
        return out if t.n_out > 1 else out[0]

    def backward(*a):
        args = a[t.n_out : t.n_out + n_args]
        return _present(t.backward(a[: t.n_out], args, a[-1]), args)

    def fake_backward(*a):
        return [torch.empty_like(x) if f else x.new_empty(0) for x, f in zip(a[t.n_out :], a[-1])]

    def double_backward(*a):
        first, second = t.n_diff, t.n_diff + t.n_out
        out = t.double_backward(a[:first], a[first:second], a[second : second + n_args], a[-2], a[-1])
        return _present((*out[0], *out[1]), a[first : second + t.n_diff])

    def fake_double_backward(*a):
        like = (*a[t.n_diff : t.n_diff + t.n_out], *a[t.n_diff + t.n_out :][: t.n_diff])
        return [torch.empty_like(x) if f else x.new_empty(0) for x, f in zip(like, (*a[-2], *a[-1]))]

    implementations = (forward, backward, double_backward)
    fakes = (fake, fake_backward, fake_double_backward)
    for name, implementation, shape in zip(names, implementations, fakes):
        torch.library.impl(name, "CompositeExplicitAutograd", implementation, lib=_library)
        torch.library.register_fake(name, shape, lib=_library)
    _register_autograd(t, names, n_args)
    return getattr(torch.ops.pyff, t.name).default


def _register_autograd(t: Triple, names: list[str], n_args: int) -> None:
    ops = torch.ops.pyff
    first, second = (getattr(ops, f"{t.name}{suffix}").default for suffix in ("_backward", "_double_backward"))

    def save(ctx, inputs, output):
        tensors = [x if isinstance(x, Tensor) else None for x in inputs]
        ctx.save_for_backward(*tensors)
        ctx.rest = [None if isinstance(x, Tensor) else x for x in inputs]

    def restored(ctx):
        return [s if s is not None else r for s, r in zip(ctx.saved_tensors, ctx.rest)]

    def forward_derivative(ctx, *grads):
        args = restored(ctx)
        needs = list(ctx.needs_input_grad[: t.n_diff])
        out = first(*grads, *args, needs)
        return (*_absent(out, needs), *(None,) * (n_args - t.n_diff))

    def backward_derivative(ctx, cotangents):
        inputs = restored(ctx)
        grads, args, needs = inputs[: t.n_out], inputs[t.n_out : t.n_out + n_args], inputs[-1]
        cotangents = [torch.zeros_like(x) if c is None or not n else c for c, n, x in zip(cotangents, needs, args)]
        flags = list(ctx.needs_input_grad)
        need_grads, need_args = flags[: t.n_out], flags[t.n_out : t.n_out + t.n_diff]
        out = _absent(second(*cotangents, *grads, *args, need_grads, need_args), need_grads + need_args)
        return (*out, *(None,) * (n_args - t.n_diff + 1))

    torch.library.register_autograd(names[0], forward_derivative, setup_context=save, lib=_library)
    torch.library.register_autograd(names[1], backward_derivative, setup_context=save, lib=_library)


def _present(tensors, like) -> list[Tensor]:
    """A registered op cannot return None: an empty tensor stands for it."""
    return [y.new_empty(0) if x is None else x for x, y in zip(tensors, like)]


def _absent(tensors, needs) -> tuple[Tensor | None, ...]:
    return tuple(x if n else None for x, n in zip(tensors, needs))


def differentiable_op(triple: Triple) -> Callable:
    """The op as a function of its arguments in schema order."""
    eager, registered = _eager(triple), _register(triple)

    def op(*args):
        if torch.compiler.is_compiling():
            return registered(*args)
        return eager(*args)

    return op

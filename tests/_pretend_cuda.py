"""A device "cuda:0" whose tensors live on the CPU: it finds where code mixes devices, on machines without a GPU.

Numbers are real, native kernels are those of the CPU. As on a GPU, operations on tensors of both devices are errors,
save for those that torch allows: numbers in tensors without dimensions, index tensors on the CPU, and copies.
"""

from __future__ import annotations

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from pyff import _core

DEVICE = torch.device("cuda", 0)
_MIXING = {getattr(torch.Tensor, name) for name in ("__getitem__", "__setitem__", "copy_", "data_ptr")}


class PretendTensor(torch.Tensor):
    """A CPU tensor, `inner`, that says it is on DEVICE."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor):
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, device=DEVICE
        )
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} outside of PretendCuda")


class PretendCuda(TorchFunctionMode):
    """Inside, "cuda" is a device of torch's functions and of tensors' methods."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        args, kwargs = list(args), dict(kwargs or {})
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        on_gpu = any(isinstance(x, PretendTensor) for x in tensors)
        if func is torch.Tensor.numpy and on_gpu:
            raise TypeError("can't convert a CUDA tensor to numpy; use Tensor.cpu()")
        target = kwargs.pop("device", None)
        if func is torch.Tensor.to and isinstance(args[1], (str, torch.device)):
            target, args[1] = args[1], "cpu"
        elif func is torch.Tensor.cpu:
            target = "cpu"
        if target is None and func not in _MIXING:
            _require_one_device(func, tensors)
        goes_to_gpu = on_gpu if target is None else torch.device(target).type == "cuda"
        out = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
        if target is not None and goes_to_gpu != on_gpu and any(out is _inner(x) for x in tensors):
            out = out.clone()  # a device has its own memory
        return _wrapped(out, tensors, args, func) if goes_to_gpu else out


def _wrapped(out, tensors, args, func):
    own = {id(x.inner): x for x in tensors if isinstance(x, PretendTensor)}
    if getattr(func, "__name__", "") == "__get__" and not isinstance(out, torch.Tensor):
        return func(*args)  # device and the like are the wrapper's

    def wrap(x):
        if id(x) in own:
            return own[id(x)]  # an operation in place
        return PretendTensor(x) if isinstance(x, torch.Tensor) else x

    return tree_map(wrap, out)


def _inner(x):
    return x.inner if isinstance(x, PretendTensor) else x


def _require_one_device(func, tensors) -> None:
    if len({isinstance(x, PretendTensor) for x in tensors if _inner(x).dim()}) > 1:
        raise RuntimeError(f"{func}: expected all tensors to be on the same device; found cuda:0 and cpu")


@pytest.fixture
def pretend_cuda(monkeypatch):
    """Native kernels on the device are those of the CPU."""
    monkeypatch.setattr("pyff.ops._cuda.call", lambda name, device, *args: getattr(_core, name)(*args))
    with PretendCuda():
        yield DEVICE

"""Between atoms and a periodic mesh: spreading charges, gathering potentials, with cardinal B-splines."""

from __future__ import annotations

import torch
from torch import Tensor

from pyff import _core
from pyff.ops import reference
from pyff.ops._check import address, require, require_device, runs_on_twin
from pyff.ops._register import Triple, differentiable_op

__all__ = ["ORDERS", "mesh_gather", "mesh_spread"]

ORDERS = (4, 6)  # an odd order has no inverse at the mesh's highest frequency


def _spread(u: Tensor, shape, order: int, weight: Tensor | None = None, direction: Tensor | None = None) -> Tensor:
    """sum_i (weight_i + direction_i . d/du_i) W_i(m)."""
    u, weight, direction = (None if x is None else x.contiguous() for x in (u, weight, direction))
    mesh = torch.empty(tuple(shape), dtype=torch.float64)
    addresses = [address(x) for x in (u, weight, direction, None, mesh, None, None, None)]
    _core.mesh_spread(u.shape[0], tuple(shape), order, addresses, torch.get_num_threads())
    return mesh


def _gather(mesh: Tensor, u: Tensor, order: int, *, value=False, gradient=False, along: Tensor | None = None):
    """value_i, gradient_i and the second derivative along a direction; None where not asked for."""
    mesh, u, along = (None if x is None else x.contiguous() for x in (mesh, u, along))
    out = torch.empty_like(u[:, 0]) if value else None
    first, second = (torch.empty_like(u) if wanted else None for wanted in (gradient, along is not None))
    addresses = [address(x) for x in (u, None, along, mesh, None, out, first, second)]
    _core.mesh_gather(u.shape[0], tuple(mesh.shape), order, addresses, torch.get_num_threads())
    return out, first, second


def _added(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return a if b is None else b if a is None else a + b


def _curved(u, mesh, other, scale, factor, along, order) -> Tensor | None:
    """scale grad[other] + factor Hessian[mesh] along: the cotangent of u, of whose two parts either may be absent."""
    first = None if other is None else scale[:, None] * _gather(other, u, order, gradient=True)[1]
    second = None if along is None else factor[:, None] * _gather(mesh, u, order, along=along)[2]
    return _added(first, second)


# spread: (weight, u) -> mesh; its gradients are (value[M], weight grad[M]) of the mesh's cotangent M


def _spread_backward(grads, args, needs):
    (mesh,), (weight, u, _shape, order) = grads, args
    value, gradient, _ = _gather(mesh, u, order, value=needs[0], gradient=needs[1])
    return value, None if gradient is None else weight[:, None] * gradient


def _spread_double_backward(cotangents, grads, args, need_grads, need_args):
    (c, v), (mesh,), (weight, u, shape, order) = cotangents, grads, args
    direction = None if v is None else weight[:, None] * v
    of_mesh = _spread(u, shape, order, c, direction) if need_grads[0] else None
    of_weight = None
    if need_args[0] and v is not None:
        of_weight = (v * _gather(mesh, u, order, gradient=True)[1]).sum(1)
    of_u = _curved(u, mesh, None if c is None else mesh, c, weight, v, order) if need_args[1] else None
    return (of_mesh,), (of_weight, of_u)


_spread_op = differentiable_op(
    Triple(
        name="mesh_spread",
        schema="Tensor weight, Tensor u, int[] shape, int order",
        n_diff=2,
        n_out=1,
        forward=lambda weight, u, shape, order: (_spread(u, shape, order, weight),),
        fake=lambda weight, u, shape, order: (weight.new_empty(tuple(shape)),),
        backward=_spread_backward,
        double_backward=_spread_double_backward,
    )
)

# gather: (mesh, u) -> value; its gradients are (spread(g), g grad[mesh]) of the values' cotangent g


def _gather_backward(grads, args, needs):
    (g,), (mesh, u, order) = grads, args
    of_mesh = _spread(u, mesh.shape, order, g) if needs[0] else None
    return of_mesh, g[:, None] * _gather(mesh, u, order, gradient=True)[1] if needs[1] else None


def _gather_double_backward(cotangents, grads, args, need_grads, need_args):
    (c, v), (g,), (mesh, u, order) = cotangents, grads, args
    of_g = None
    if need_grads[0]:
        of_g = None if c is None else _gather(c, u, order, value=True)[0]
        along = None if v is None else (v * _gather(mesh, u, order, gradient=True)[1]).sum(1)
        of_g = _added(of_g, along)
    of_mesh = _spread(u, mesh.shape, order, None, g[:, None] * v) if need_args[0] and v is not None else None
    of_u = _curved(u, mesh, c, g, g, v, order) if need_args[1] else None
    return (of_g,), (of_mesh, of_u)


_gather_op = differentiable_op(
    Triple(
        name="mesh_gather",
        schema="Tensor mesh, Tensor u, int order",
        n_diff=2,
        n_out=1,
        forward=lambda mesh, u, order: (_gather(mesh, u, order, value=True)[0],),
        fake=lambda mesh, u, order: (u.new_empty(u.shape[0]),),
        backward=_gather_backward,
        double_backward=_gather_double_backward,
    )
)


def _check(op: str, u: Tensor, shape, order: int, **tensors: Tensor) -> None:
    if order not in ORDERS:
        raise ValueError(f"{op}: order must be one of {ORDERS}; received {order}")
    if len(shape) != 3 or min(shape) < 2 * order:
        raise ValueError(f"{op}: the mesh must have at least 2 order = {2 * order} points per axis; received {shape}")
    require(op, "u", u, (None, 3), torch.float64)
    require_device(op, u.device, **tensors)
    sizes = torch.tensor(tuple(shape), dtype=u.dtype, device=u.device)
    if not u.is_cuda and not bool(((u >= 0) & (u <= sizes)).all()):  # the kernel would write outside of the mesh
        raise ValueError(f"{op}: u must lie in 0..{tuple(shape)} along each axis; wrap positions into the cell")


def mesh_spread(weight: Tensor, u: Tensor, shape: tuple[int, int, int], order: int = 6) -> Tensor:
    """mesh(m) = sum_i weight_i prod_a M(u_ia - m_a), periodic, M the cardinal B-spline of this order on [0, order].

    weight float64 [N]; u float64 [N, 3], positions in mesh points, 0 <= u <= shape; shape: at least 2 order points per
    axis. Returns the mesh, float64 [shape]; differentiable to second order. order 4 or 6 is 2 or 4 times continuously
    differentiable in u.
    """
    if not torch.compiler.is_compiling():
        _check("mesh_spread", u, shape, order, weight=weight)
        require("mesh_spread", "weight", weight, (u.shape[0],), torch.float64)
        if runs_on_twin("mesh_spread", u):
            return reference.mesh_spread(weight, u, tuple(shape), order)
    return _spread_op(weight, u, list(shape), order)


def mesh_gather(mesh: Tensor, u: Tensor, order: int = 6) -> Tensor:
    """value_i = sum_m mesh(m) prod_a M(u_ia - m_a), the transpose of `mesh_spread`.

    mesh float64 [K1, K2, K3]; u float64 [N, 3] as in `mesh_spread`. Returns float64 [N]; differentiable to second
    order.
    """
    if not torch.compiler.is_compiling():
        require("mesh_gather", "mesh", mesh, (None, None, None), torch.float64)
        _check("mesh_gather", u, mesh.shape, order, mesh=mesh)
        if runs_on_twin("mesh_gather", u):
            return reference.mesh_gather(mesh, u, order)
    return _gather_op(mesh, u, order)

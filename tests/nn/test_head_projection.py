"""Projections head by head: values, derivatives, and only what is asked for."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pyff.nn import head_projection as module
from pyff.nn.head_projection import head_projection

HEADS = {"one_group": (2, 2, 2), "two_groups": (2, 2, 2, 3, 3), "alternating": (2, 3, 2), "single": (6,)}


def inputs(name, n=5, f=6, dtype=torch.float64):
    g = torch.Generator().manual_seed(3)
    draw = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64).to(dtype).requires_grad_()  # noqa: E731
    return draw(n, f), [draw(h, f // h, f // h) for h in HEADS[name]]


def plain(x, weights):
    return tuple(x @ torch.block_diag(*w).T for w in weights)


@pytest.mark.parametrize("name", HEADS)
def test_head_projection_is_a_product_with_block_diagonal_matrices(name):
    x, weights = inputs(name)
    for a, b in zip(head_projection(x, weights), plain(x, weights)):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", HEADS)
def test_head_projection_passes_gradcheck_and_gradgradcheck(name):
    x, weights = inputs(name, n=3)
    fn = lambda x, *w: head_projection(x, w)  # noqa: E731
    assert gradcheck(fn, (x, *weights)) and gradgradcheck(fn, (x, *weights))


def force_matching(fn, x, weights):
    """Gradients of the weights, and of x, as training on forces asks for them, with an output that is not used."""
    y = fn(x.sin(), weights)
    energy = y[0].sin().sum() + (0.0 if len(y) < 3 else (y[1] * y[2]).cos().sum())
    (force,) = torch.autograd.grad(energy, x, create_graph=True)
    return torch.autograd.grad(force.square().sum() + energy, [x, *weights], allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("name", HEADS)
def test_head_projection_gives_the_gradients_of_forces(name):
    x, weights = inputs(name)
    for a, b in zip(force_matching(head_projection, x, weights), force_matching(plain, x, weights)):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_head_projection_makes_no_gradient_of_weights_while_forces_are_taken(monkeypatch):
    x, weights = inputs("two_groups")
    calls = []
    original = module._weights_back
    monkeypatch.setattr(module, "_weights_back", lambda *args: calls.append(1) or original(*args))
    moved = x.view_as(x)
    energy = sum(y.square().sum() for y in head_projection(moved, weights))
    (force,) = torch.autograd.grad(energy, x, create_graph=True)
    assert not calls
    torch.autograd.backward(force.square().sum(), inputs=weights)
    assert len(calls) == 2 and weights[3].grad is not None


def test_head_projection_takes_features_in_any_memory_order():
    x, weights = inputs("two_groups", dtype=torch.float32)
    apart = torch.stack([x, x], 2)[:, :, 0]
    for a, b in zip(head_projection(apart, weights), head_projection(x, weights)):
        assert torch.equal(a, b)

"""match_atoms against scipy's linear assignment, hidden permutations, hard cases."""

from __future__ import annotations

import pytest
import torch

from pyff import ops
from pyff.ops import reference


def spectra(pos: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    distance = torch.cdist(pos, pos)
    return distance, torch.linalg.eigh(distance).eigenvectors.flip(-1)


def frames(m: int, n: int, noise: float, seed: int = 0) -> torch.Tensor:
    """Noisy copies of a cluster whose atoms of one element are shuffled."""
    g = torch.Generator().manual_seed(seed)
    pos = 2 * torch.randn(n, 3, generator=g, dtype=torch.float64)
    noisy = pos + noise * torch.randn(m, n, 3, generator=g, dtype=torch.float64)
    half = n // 2
    for k in range(m):
        noisy[k, half:] = noisy[k, half + torch.randperm(n - half, generator=g)]
    return noisy


def species(n: int) -> torch.Tensor:
    return (torch.arange(n) >= n // 2) * 5 + 1


def all_pairs(m: int) -> torch.Tensor:
    return torch.triu_indices(m, m, 1).T


@pytest.mark.parametrize(("m", "n"), [(20, 3), (20, 9), (8, 24)])
@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_matches_equal_the_twin(m, n, noise):
    distance, vectors = spectra(frames(m, n, noise))
    got, want = (
        f(distance, vectors, species(n), all_pairs(m), perms=True) for f in (ops.match_atoms, reference.match_atoms)
    )
    torch.testing.assert_close(got[0], want[0], rtol=1e-12, atol=1e-12)
    assert torch.equal(got[1], want[1])
    if n > 3:
        assert int((got[1] != torch.arange(n)).any(1).sum()) > len(got[1]) // 3  # most are not the identity


def test_a_hidden_permutation_is_found():
    pos = frames(1, 12, 0.0)[0]
    perm = torch.cat([torch.arange(6), 6 + torch.randperm(6, generator=torch.Generator().manual_seed(3))])
    distance, vectors = spectra(torch.stack([pos, pos[perm]]))
    score, found = ops.match_atoms(distance, vectors, species(12), torch.tensor([[0, 1], [1, 0]]), perms=True)
    assert torch.equal(found[0], perm) and torch.equal(found[1], perm.argsort())
    assert float(score.max()) < 1e-10


def test_atoms_of_other_elements_are_never_exchanged():
    pos = frames(2, 8, 2.0)
    Z = torch.tensor([1, 6, 7, 8, 9, 1, 6, 8])
    _, found = ops.match_atoms(*spectra(pos), Z, torch.tensor([[0, 1]]), perms=True)
    assert torch.equal(Z[found[0]], Z)


def test_threads_share_the_pairs():
    distance, vectors = spectra(frames(20, 9, 0.1))
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(ops.match_atoms(distance, vectors, species(9), all_pairs(20), perms=True))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_no_pairs_and_one_atom():
    distance, vectors = spectra(frames(2, 1, 0.1))
    none = torch.zeros(0, 2, dtype=torch.int64)
    assert ops.match_atoms(distance, vectors, torch.ones(1).long(), none)[0].shape == (0,)
    score, found = ops.match_atoms(distance, vectors, torch.ones(1).long(), torch.tensor([[0, 1]]), perms=True)
    assert float(score) == 0.0 and found.tolist() == [[0]]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"vectors": torch.zeros(2, 3, 4, dtype=torch.float64)}, "vectors must have shape"),
        ({"pairs": torch.tensor([[0, 2]])}, r"pairs must lie in 0 \.\. 1; received 0 \.\. 2"),
        ({"vectors": torch.full((2, 3, 3), torch.nan, dtype=torch.float64)}, "vectors must be finite"),
    ],
)
def test_errors_name_the_argument(change, text):
    distance, vectors = spectra(frames(2, 3, 0.1))
    arguments = {"distance": distance, "vectors": vectors, "Z": species(3), "pairs": torch.tensor([[0, 1]])} | change
    with pytest.raises(ValueError, match=text):
        ops.match_atoms(**arguments)

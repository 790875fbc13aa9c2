// The shipped sums of pair energies against plain loops over directed pairs.
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "cpu/dispatch.hpp"
#include "kernels/pair_energy.hpp"

namespace {

using namespace pyff;
using Doubles = std::vector<double>;

constexpr std::int64_t kAtoms = 13, kSystems = 2;
constexpr double kBox = 4.0;

Doubles numbers(std::size_t n, double low, double high, unsigned seed) {
  std::mt19937_64 generator(seed);
  Doubles out(n);
  for (double& x : out) x = std::uniform_real_distribution<double>(low, high)(generator);
  return out;
}

// Two periodic systems, all images up to one cell away: rows of hundreds of pairs, the reverse of each present.
struct Problem {
  Doubles pos = numbers(3 * kAtoms, 0, kBox, 1), cell = numbers(9 * kSystems, -0.3, 0.3, 2);
  Doubles atom = numbers(2 * kAtoms, 3, 20, 3), law = numbers(8, 0.1, 1, 4), grad = numbers(kAtoms, -1, 1, 5);
  Doubles cot_pos = numbers(3 * kAtoms, -1, 1, 6), cot_cell = numbers(9 * kSystems, -1, 1, 7);
  Doubles cot_atom = numbers(2 * kAtoms, -1, 1, 8), cot_law = numbers(8, -1, 1, 9);
  std::vector<std::int64_t> row_ptr{0}, idx_j, batch;
  std::vector<std::int32_t> shift;

  Problem() {
    for (int b = 0; b < kSystems; ++b)
      for (int a = 0; a < 3; ++a) cell[9 * b + 4 * a] += kBox;
    for (std::int64_t i = 0; i < kAtoms; ++i) batch.push_back(i < 5 ? 0 : 1);
    for (std::int64_t i = 0; i < kAtoms; ++i) {
      for (std::int64_t j = 0; j < kAtoms; ++j)
        for (int s = 0; s < 27; ++s)
          if (batch[i] == batch[j] && (i != j || s != 13)) {
            idx_j.push_back(j);
            for (int step : {s / 9 - 1, s / 3 % 3 - 1, s % 3 - 1}) shift.push_back(step);
          }
      row_ptr.push_back(static_cast<std::int64_t>(idx_j.size()));
    }
  }
};

struct Result {
  Doubles energy = Doubles(kAtoms, NAN), grad_pos = Doubles(3 * kAtoms, NAN), virial = Doubles(9 * kAtoms, NAN);
  Doubles grad_atom = Doubles(2 * kAtoms, NAN), grad_law = Doubles(8 * kAtoms, NAN);
};

PairEnergyParams params(const Problem& q, const PairLaw& law, int order, int threads, Result& out) {
  PairEnergyParams p{};
  p.n_atoms = kAtoms, p.row_ptr = q.row_ptr.data(), p.idx_j = q.idx_j.data(), p.shift = q.shift.data();
  p.batch = q.batch.data(), p.pos = q.pos.data(), p.cell = q.cell.data(), p.law = law, p.threads = threads;
  p.atom = q.atom.data(), p.law_parameters = q.law.data();
  if (order > 0) p.grad_energy = q.grad.data();
  if (order == 2) p.cot_pos = q.cot_pos.data(), p.cot_cell = q.cot_cell.data();
  if (order == 2) p.cot_atom = q.cot_atom.data(), p.cot_law = q.cot_law.data();
  p.energy = out.energy.data();  // backward gives energies too, where they are wanted
  if (order == 0) return p;
  p.grad_pos = out.grad_pos.data(), p.virial = out.virial.data(), p.grad_atom = out.grad_atom.data();
  p.grad_law = out.grad_law.data();
  return p;
}

// Sums over the atoms of a system, n numbers each.
Doubles summed(const Problem& q, const Doubles& per_atom, std::size_t n) {
  Doubles out(n * kSystems);
  for (std::int64_t i = 0; i < kAtoms; ++i)
    for (std::size_t k = 0; k < n; ++k) out[n * q.batch[i] + k] += per_atom[n * i + k];
  return out;
}

void check_equal(const Doubles& got, const Doubles& want, std::size_t n) {
  double scale = 0;
  for (std::size_t k = 0; k < n; ++k) scale = std::fmax(scale, std::fabs(want[k]));
  CHECK(scale > 0);
  for (std::size_t k = 0; k < n; ++k) CHECK_NEAR(got[k], want[k], 2e-13 * scale);
}

void check_law(const Problem& q, const PairLaw& law, int threads) {
  using Kernel = void (*)(const PairEnergyParams&);
  const Kernel shipped[3] = {pair_energy_forward, pair_energy_backward, pair_energy_double_backward};
  const Kernel oracle[3] = {plain::pair_energy_forward, plain::pair_energy_backward, plain::pair_energy_double_backward};
  const bool zbl = law.kind == static_cast<int>(PairKind::zbl);
  const std::size_t n_atom = zbl || law.kind == static_cast<int>(PairKind::dispersion) ? 2 : 1;
  for (int order = 0; order < 3; ++order) {
    Result got, want;
    shipped[order](params(q, law, order, threads, got));
    oracle[order](params(q, law, order, 1, want));
    check_equal(got.energy, want.energy, kAtoms);
    if (order == 0) continue;
    check_equal(got.grad_pos, want.grad_pos, 3 * kAtoms);
    check_equal(got.grad_atom, want.grad_atom, n_atom * kAtoms);
    check_equal(summed(q, got.virial, 9), summed(q, want.virial, 9), 9 * kSystems);
    if (zbl) check_equal(summed(q, got.grad_law, 8), summed(q, want.grad_law, 8), 8 * kSystems);
  }
}

}  // namespace

TEST(pair_energy_equals_plain_loops) {
  const Problem q;
  const double inf = std::numeric_limits<double>::infinity();
  for (int kind = 0; kind < 6; ++kind)
    for (double cutoff : {5.0, inf}) {
      PairLaw law{kind, 14.4, 3.0, cutoff, inf, 1.0, 1.0, {1, 4.5, 0.0}};
      if (kind == static_cast<int>(PairKind::dispersion)) law = {kind, 27.2, 0.529, cutoff, 2.0, 1.2, 2.55, {1, 4.5, 0}};
      if (kind == static_cast<int>(PairKind::zbl) && cutoff < inf) law.width = 3.5;
      for (int threads : {1, 3}) check_law(q, law, threads);
    }
}

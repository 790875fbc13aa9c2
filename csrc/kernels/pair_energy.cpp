#include "kernels/pair_energy.hpp"

#include <cmath>

namespace pyff::plain {
namespace {

using namespace pyff::PYFF_ISA;

double collected(double x) { return x; }
double collected(const Dual<double>& x) { return x.d; }

template <class N>
N number(const double* value, const double* derivative, std::int64_t k) {
  if constexpr (std::is_same_v<N, double>)
    return value[k];
  else
    return {value[k], derivative[k]};
}

template <class N>
void separation(const PairEnergyParams& p, std::int64_t i, std::int64_t e, N* r) {
  for (int a = 0; a < 3; ++a) {
    r[a] = number<N>(p.pos, p.cot_pos, 3 * p.idx_j[e] + a) - number<N>(p.pos, p.cot_pos, 3 * i + a);
    for (int b = 0; b < 3; ++b)
      r[a] = r[a] + p.shift[3 * e + b] * number<N>(p.cell, p.cot_cell, 9 * p.batch[i] + 3 * b + a);
  }
}

void clear(double* out, std::int64_t n) {
  for (std::int64_t k = 0; out && k < n; ++k) out[k] = 0;
}

void add(double* out, std::int64_t k, double x) {
  if (out) out[k] += x;
}

// The gradient of sum_i g_i E_i, or with N = Dual its derivative along the cotangents.
template <class N, class Law>
void add_gradient(const PairEnergyParams& p, const Law& law, std::int64_t i, std::int64_t e, const N* r, N distance) {
  const std::int64_t j = p.idx_j[e];
  N a[Law::kAtom], b[Law::kAtom];
  for (int k = 0; k < Law::kAtom; ++k) {
    a[k] = number<N>(p.atom, p.cot_atom, Law::kAtom * i + k);
    b[k] = number<N>(p.atom, p.cot_atom, Law::kAtom * j + k);
  }
  const auto here = law(distance, 1 / distance, a, b), there = law(distance, 1 / distance, b, a);
  const double half = 0.5 * (p.grad_energy ? p.grad_energy[i] : 0);
  add(p.energy, i, 0.5 * collected(here.energy));
  if (!p.grad_energy) return;
  for (int c = 0; c < 3; ++c) {
    const double force = half * collected(here.pull * r[c]);
    add(p.grad_pos, 3 * j + c, force);
    add(p.grad_pos, 3 * i + c, -force);
    for (int s = 0; s < 3; ++s) add(p.virial, 9 * i + 3 * s + c, p.shift[3 * e + s] * force);
  }
  for (int k = 0; k < Law::kAtom; ++k) {
    add(p.grad_atom, Law::kAtom * i + k, half * collected(here.atom[k]));
    add(p.grad_atom, Law::kAtom * j + k, half * collected(there.atom[k]));
  }
  for (int k = 0; k < Law::kLaw; ++k) add(p.grad_law, Law::kLaw * i + k, half * collected(here.law[k]));
}

template <class N>
void run(const PairEnergyParams& p) {
  N parameters[8] = {};
  const bool zbl = p.law.kind == static_cast<int>(PairKind::zbl);
  for (int k = 0; k < (zbl ? 8 : 0); ++k) parameters[k] = number<N>(p.law_parameters, p.cot_law, k);
  const double radius = zbl ? std::fmin(p.law.local.radius, p.law.width) : p.law.cutoff;
  with_pair_law(p.law, parameters, [&](const auto& law) {
    constexpr int n_atom = std::decay_t<decltype(law)>::kAtom, n_law = std::decay_t<decltype(law)>::kLaw;
    clear(p.energy, p.n_atoms), clear(p.grad_pos, 3 * p.n_atoms), clear(p.virial, 9 * p.n_atoms);
    clear(p.grad_atom, n_atom * p.n_atoms), clear(p.grad_law, n_law * p.n_atoms);
    for (std::int64_t i = 0; i < p.n_atoms; ++i)
      for (std::int64_t e = p.row_ptr[i]; e < p.row_ptr[i + 1]; ++e) {
        N r[3];
        separation(p, i, e, r);
        const N distance = sqrt_of(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
        if (value_of(distance) < radius) add_gradient(p, law, i, e, r, distance);
      }
  });
}

}  // namespace

void pair_energy_forward(const PairEnergyParams& p) { run<double>(p); }
void pair_energy_backward(const PairEnergyParams& p) { run<double>(p); }
void pair_energy_double_backward(const PairEnergyParams& p) { run<Dual<double>>(p); }

}  // namespace pyff::plain

// The Params of sums of pair energies as Python passes them, for the CPU and for CUDA.
#pragma once

#include <pybind11/stl.h>

#include <array>

#include "api/pyff.hpp"
#include "bindings/module.hpp"

namespace {

// strength, length, cutoff, width, scale, radius_factor, and kind, radius and onset of the local cutoff
using PairConstants = std::array<double, 9>;
// row_ptr, idx_j, shift, batch, pos, cell, atom, law, grad_energy, cot_pos, cot_cell, cot_atom, cot_law, energy,
// grad_pos, virial, grad_atom, grad_law
using PairArrays = std::array<std::uintptr_t, 18>;

inline pyff::PairEnergyParams pair_energy_params(std::int64_t n_atoms, int kind, const PairConstants& c,
                                                 const PairArrays& a, int threads) {
  const auto index = [&](int k) { return pointer<const std::int64_t>(a[k]); };
  const auto in = [&](int k) { return pointer<const double>(a[k]); };
  const auto out = [&](int k) { return pointer<double>(a[k]); };
  const pyff::PairLaw law{kind, c[0], c[1], c[2], c[3], c[4], c[5], {static_cast<int>(c[6]), c[7], c[8]}};
  return {n_atoms, index(0), index(1), pointer<const std::int32_t>(a[2]), index(3), in(4), in(5), law, in(6), in(7),
          in(8),   in(9),    in(10),   in(11), in(12), out(13), out(14), out(15), out(16), out(17), threads};
}

}  // namespace

#include <pybind11/stl.h>

#include <array>

#include "bindings/module.hpp"
#include "cpu/dispatch.hpp"

namespace {

using Address = std::uintptr_t;

// kind, then strength, length, cutoff, width, scale, radius_factor, and kind, radius and onset of the local cutoff
pyff::PairLaw law_from(int kind, const std::array<double, 9>& c) {
  return {kind, c[0], c[1], c[2], c[3], c[4], c[5], {static_cast<int>(c[6]), c[7], c[8]}};
}

// arrays: row_ptr, idx_j, shift, batch, pos, cell, atom, law, grad_energy, cot_pos, cot_cell, cot_atom, cot_law,
// energy, grad_pos, virial, grad_atom, grad_law
void pair_energy(int order, std::int64_t n_atoms, int kind, const std::array<double, 9>& constants,
                 const std::array<Address, 18>& a, int threads) {
  const auto index = [&](int k) { return pointer<const std::int64_t>(a[k]); };
  const auto in = [&](int k) { return pointer<const double>(a[k]); };
  const auto out = [&](int k) { return pointer<double>(a[k]); };
  const pyff::PairEnergyParams p{n_atoms, index(0), index(1), pointer<const std::int32_t>(a[2]), index(3), in(4), in(5),
                                 law_from(kind, constants), in(6), in(7), in(8), in(9), in(10), in(11), in(12), out(13),
                                 out(14), out(15), out(16), out(17), threads};
  py::gil_scoped_release release;
  if (order == 0) return pyff::pair_energy_forward(p);
  if (order == 1) return pyff::pair_energy_backward(p);
  pyff::pair_energy_double_backward(p);
}

}  // namespace

// order 0, 1, 2: forward, backward, double backward of api/pyff.hpp
void bind_pair_energy(py::module_& m) { m.def("pair_energy", &pair_energy); }

#include "bindings/pair_energy_args.hpp"
#include "cpu/dispatch.hpp"

namespace {

void pair_energy(int order, std::int64_t n_atoms, int kind, const PairConstants& constants, const PairArrays& arrays,
                 int threads) {
  const pyff::PairEnergyParams p = pair_energy_params(n_atoms, kind, constants, arrays, threads);
  py::gil_scoped_release release;
  if (order == 0) return pyff::pair_energy_forward(p);
  if (order == 1) return pyff::pair_energy_backward(p);
  pyff::pair_energy_double_backward(p);
}

}  // namespace

// order 0, 1, 2: forward, backward, double backward of api/pyff.hpp
void bind_pair_energy(py::module_& m) { m.def("pair_energy", &pair_energy); }

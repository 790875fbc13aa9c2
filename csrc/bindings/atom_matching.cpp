#include <pybind11/stl.h>

#include <array>
#include <vector>

#include "bindings/module.hpp"
#include "cpu/dispatch.hpp"

namespace {

// addresses: distance, vectors, Z, pairs, score, perms (0 where not wanted)
void atom_matching(std::int64_t n_atoms, std::int64_t n_pairs, const std::array<std::uintptr_t, 6>& a, int threads) {
  const auto in = [&](int k) { return pointer<const double>(a[k]); };
  const auto index = [&](int k) { return pointer<const std::int64_t>(a[k]); };
  py::gil_scoped_release release;
  std::vector<double> scratch(static_cast<std::size_t>(threads * n_atoms * (n_atoms + 3)));
  std::vector<std::int64_t> indices(static_cast<std::size_t>(threads * 4 * n_atoms));
  pyff::atom_matching({n_atoms, n_pairs, in(0), in(1), index(2), index(3), pointer<double>(a[4]),
                       pointer<std::int64_t>(a[5]), scratch.data(), indices.data(), threads});
}

}  // namespace

void bind_atom_matching(py::module_& m) { m.def("atom_matching", &atom_matching); }

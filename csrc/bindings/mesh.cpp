#include <pybind11/stl.h>

#include <array>

#include "bindings/module.hpp"
#include "cpu/dispatch.hpp"

namespace {

using Address = std::uintptr_t;

// addresses: u, weight, direction, mesh, mesh_out, value, gradient, curvature; 0 where absent
pyff::MeshParams params(std::int64_t n_atoms, const std::array<std::int64_t, 3>& shape, int order,
                        const std::array<Address, 8>& a, int threads) {
  return {n_atoms,
          {shape[0], shape[1], shape[2]},
          order,
          pointer<const double>(a[0]),
          pointer<const double>(a[1]),
          pointer<const double>(a[2]),
          pointer<const double>(a[3]),
          pointer<double>(a[4]),
          pointer<double>(a[5]),
          pointer<double>(a[6]),
          pointer<double>(a[7]),
          threads};
}

}  // namespace

void bind_mesh(py::module_& m) {
  m.def("mesh_spread", [](std::int64_t n_atoms, const std::array<std::int64_t, 3>& shape, int order,
                          const std::array<Address, 8>& addresses, int threads) {
    const auto p = params(n_atoms, shape, order, addresses, threads);
    py::gil_scoped_release release;
    pyff::mesh_spread(p);
  });
  m.def("mesh_gather", [](std::int64_t n_atoms, const std::array<std::int64_t, 3>& shape, int order,
                          const std::array<Address, 8>& addresses, int threads) {
    const auto p = params(n_atoms, shape, order, addresses, threads);
    py::gil_scoped_release release;
    pyff::mesh_gather(p);
  });
}

#include "bindings/distance_args.hpp"
#include "cpu/dispatch.hpp"

namespace {

void distance_matrix(const DistanceSizes& sizes, const std::array<std::uintptr_t, 3>& arrays, int kind, double sigma,
                     int threads) {
  const auto p = distance_params(sizes, arrays, kind, sigma, threads);
  py::gil_scoped_release release;
  pyff::distance_matrix(p);
}

}  // namespace

void bind_distance(py::module_& m) { m.def("distance_matrix", &distance_matrix); }

#include <pybind11/stl.h>

#include <array>

#include "bindings/graph.hpp"
#include "cpu/dispatch.hpp"

namespace {

// arrays: batch, shift, pos, cell, vec, distance, grad_vec, grad_distance, grad_pos, grad_cell, cot_pos, cot_cell,
// out_vec, out_distance
void edge_geometry(int order, const GraphArgs& g, std::int64_t n_systems, const std::array<Address, 14>& a,
                   int threads) {
  const auto in = [&](int k) { return pointer<const double>(a[k]); };
  const auto out = [&](int k) { return pointer<double>(a[k]); };
  const pyff::EdgeGeometryParams p{graph_from(g), n_systems, pointer<const std::int64_t>(a[0]),
                                   pointer<const std::int32_t>(a[1]), in(2), in(3), out(4), out(5), in(6), in(7),
                                   out(8), out(9), in(10), in(11), out(12), out(13), threads};
  py::gil_scoped_release release;
  if (order == 0) return pyff::edge_geometry_forward(p);
  if (order == 1) return pyff::edge_geometry_backward(p);
  pyff::edge_geometry_double_backward(p);
}

}  // namespace

// order 0, 1, 2: forward, backward, double backward of api/pyff.hpp
void bind_edge_geometry(py::module_& m) { m.def("edge_geometry", &edge_geometry); }

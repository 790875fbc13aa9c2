#include <pybind11/stl.h>

#include <array>
#include <vector>

#include "bindings/graph.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/scratch.hpp"

namespace {

using Basis = std::tuple<double, double, double, int>;  // start, spacing, gamma, size
using CutoffArgs = std::tuple<int, double, double>;     // kind, radius, onset

// n_features, distance, h, grad_y, u, v, threads
using DataArgs = std::tuple<std::int64_t, Address, Address, Address, Address, Address, int>;
using OutArgs = std::array<Address, 4>;  // y, grad_h, grad_distance, grad_grad_y

// Scratch that outlives the call and only grows: one per calling thread and scalar type.
template <class T>
T* scratch(std::size_t elements) {
  thread_local std::vector<T> memory;
  if (memory.size() < elements) memory.resize(elements);
  return memory.data();
}

template <class T>
pyff::CfconvData<T> data(const GraphArgs& g, const DataArgs& a, T* memory) {
  const auto features = [](Address x) { return pointer<const T>(x); };
  return {graph_from(g),
          std::get<0>(a),
          pointer<const double>(std::get<1>(a)),
          features(std::get<2>(a)),
          features(std::get<3>(a)),
          features(std::get<4>(a)),
          pointer<const double>(std::get<5>(a)),
          memory,
          std::get<6>(a)};
}

template <class T>
pyff::CfconvResult<T> result(const OutArgs& a) {
  return {pointer<T>(a[0]), pointer<T>(a[1]), pointer<double>(a[2]), pointer<T>(a[3])};
}

template <class Params>
void call(int order, const Params& p) {
  py::gil_scoped_release release;
  if (order == 0) return pyff::cfconv_forward(p);
  if (order == 1) return pyff::cfconv_backward(p);
  pyff::cfconv_double_backward(p);
}

template <class T>
void table(int order, const GraphArgs& g, const DataArgs& d, std::tuple<Address, std::int64_t, double, double> filter,
           const OutArgs& out, Address grad) {
  const auto per_thread = pyff::PYFF_ISA::cfconv_tile_elements<T>(std::get<0>(d));
  const auto [coef, intervals, start, spacing] = filter;
  call(order, pyff::CfconvTableParams<T>{data<T>(g, d, scratch<T>(per_thread * std::get<6>(d))),
                                         {pointer<const T>(coef), intervals, start, spacing},
                                         result<T>(out),
                                         {pointer<T>(grad)}});
}

template <class T>
void network(int order, const GraphArgs& g, const DataArgs& d, const std::array<Address, 4>& weights,
             const std::tuple<Basis, CutoffArgs, int, int>& shape, const OutArgs& out,
             const std::array<Address, 4>& grad) {
  const auto& [basis, cut, activation, last] = shape;
  const auto [start, spacing, gamma, size] = basis;
  const auto [kind, radius, onset] = cut;
  const std::int64_t f = std::get<0>(d);
  const auto per_thread =
      pyff::PYFF_ISA::cfconv_tile_elements<T>(f) + pyff::PYFF_ISA::filter_network_elements<T>(f, size);
  const pyff::FilterNetwork<T> filter{pointer<const T>(weights[0]),
                                      pointer<const T>(weights[1]),
                                      pointer<const T>(weights[2]),
                                      pointer<const T>(weights[3]),
                                      {start, spacing, gamma, size},
                                      {kind, radius, onset},
                                      static_cast<pyff::Activation>(activation),
                                      static_cast<pyff::Activation>(last)};
  call(order, pyff::CfconvNetworkParams<T>{
                  data<T>(g, d, scratch<T>(per_thread * std::get<6>(d))), filter, result<T>(out),
                  {pointer<T>(grad[0]), pointer<T>(grad[1]), pointer<T>(grad[2]), pointer<T>(grad[3])}});
}

}  // namespace

// order 0, 1, 2: forward, backward, double backward of api/pyff.hpp
void bind_cfconv(py::module_& m) {
  m.def("cfconv_table_float32", &table<float>);
  m.def("cfconv_table_float64", &table<double>);
  m.def("cfconv_network_float32", &network<float>);
  m.def("cfconv_network_float64", &network<double>);
}

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

using Weights = std::array<Address, 4>;                    // w1, b1, w2, b2
using ShapeArgs = std::tuple<Basis, CutoffArgs, int, int>;  // and the two activations

template <class T>
pyff::FilterNetwork<T> network_filter(const Weights& w, const ShapeArgs& shape) {
  const auto& [basis, cut, activation, last] = shape;
  const auto [start, spacing, gamma, size] = basis;
  const auto [kind, radius, onset] = cut;
  return {pointer<const T>(w[0]),
          pointer<const T>(w[1]),
          pointer<const T>(w[2]),
          pointer<const T>(w[3]),
          {start, spacing, gamma, size},
          {kind, radius, onset},
          static_cast<pyff::Activation>(activation),
          static_cast<pyff::Activation>(last)};
}

template <class T>
pyff::NetworkGradient<T> network_gradient(const Weights& g) {
  return {pointer<T>(g[0]), pointer<T>(g[1]), pointer<T>(g[2]), pointer<T>(g[3])};
}

template <class T>
T* network_scratch(std::int64_t f, const ShapeArgs& shape, int threads) {
  const auto g = std::get<3>(std::get<0>(shape));
  using namespace pyff::PYFF_ISA;
  return scratch<T>((cfconv_tile_elements<T>(f) + filter_network_elements<T>(f, g)) * threads);
}

template <class T>
void network(int order, const GraphArgs& g, const DataArgs& d, const Weights& weights, const ShapeArgs& shape,
             const OutArgs& out, const Weights& grad) {
  call(order, pyff::CfconvNetworkParams<T>{
                  data<T>(g, d, network_scratch<T>(std::get<0>(d), shape, std::get<6>(d))),
                  network_filter<T>(weights, shape), result<T>(out), network_gradient<T>(grad)});
}

template <class T>
void filter_nodes(int order, std::int64_t n, std::int64_t n_features, Address distance, const Weights& weights,
                  const ShapeArgs& shape, Address out, Address grad_out, const Weights& grad, int threads) {
  const pyff::FilterNodesParams<T> p{n,
                                     n_features,
                                     pointer<const double>(distance),
                                     network_filter<T>(weights, shape),
                                     pointer<T>(out),
                                     pointer<const T>(grad_out),
                                     network_gradient<T>(grad),
                                     network_scratch<T>(n_features, shape, threads),
                                     threads};
  py::gil_scoped_release release;
  if (order == 0) return pyff::filter_nodes_forward(p);
  pyff::filter_nodes_backward(p);
}

}  // namespace

// order 0, 1, 2: forward, backward, double backward of api/pyff.hpp
void bind_cfconv(py::module_& m) {
  m.def("cfconv_table_float32", &table<float>);
  m.def("cfconv_table_float64", &table<double>);
  m.def("cfconv_network_float32", &network<float>);
  m.def("cfconv_network_float64", &network<double>);
  m.def("filter_nodes_float32", &filter_nodes<float>);
  m.def("filter_nodes_float64", &filter_nodes<double>);
}

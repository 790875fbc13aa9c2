// The Params of cfconv as Python passes them, for the CPU and for CUDA.
#pragma once

#include <pybind11/stl.h>

#include <array>

#include "bindings/graph.hpp"
#include "bindings/radial_args.hpp"

namespace {

using CutoffArgs = std::tuple<int, double, double>;         // kind, radius, onset

// n_features, distance, h, grad_y, u, v, threads
using DataArgs = std::tuple<std::int64_t, Address, Address, Address, Address, Address, int>;
using OutArgs = std::array<Address, 4>;  // y, grad_h, grad_distance, grad_grad_y
using Weights = std::array<Address, 4>;                    // w1, b1, w2, b2
using ShapeArgs = std::tuple<BasisArgs, CutoffArgs, int, int>;  // and the two activations

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

template <class T>
pyff::FilterNetwork<T> network_filter(const Weights& w, const ShapeArgs& shape) {
  const auto& [basis, cut, activation, last] = shape;
  const auto [kind, radius, onset] = cut;
  return {pointer<const T>(w[0]),
          pointer<const T>(w[1]),
          pointer<const T>(w[2]),
          pointer<const T>(w[3]),
          basis_from(basis),
          {kind, radius, onset},
          static_cast<pyff::Activation>(activation),
          static_cast<pyff::Activation>(last)};
}

template <class T>
pyff::NetworkGradient<T> network_gradient(const Weights& g) {
  return {pointer<T>(g[0]), pointer<T>(g[1]), pointer<T>(g[2]), pointer<T>(g[3])};
}

}  // namespace

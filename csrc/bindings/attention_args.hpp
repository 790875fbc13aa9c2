// The Params of equivariant attention as Python passes them, for the CPU and for CUDA.
#pragma once

#include <pybind11/stl.h>

#include <array>
#include <vector>

#include "bindings/graph.hpp"

namespace {

// n_features, n_hidden, degrees, n_heads, cutoff (kind, radius, onset), normalization, activation,
// table (n_intervals, start, spacing, decay)
using AttentionShapeArgs =
    std::tuple<std::int64_t, std::int64_t, std::vector<int>, int, std::tuple<int, double, double>, double, int,
               std::tuple<std::int64_t, double, double, double>>;
// q1, k1, v1, q2, k2, ev, radial, ws1, bs1, ws2, bs2, vec
using AttentionTensorArgs = std::array<Address, 12>;

template <class Real, class Geometry>
pyff::AttentionTensors<Real, Geometry> attention_tensors(const AttentionTensorArgs& a) {
  const auto real = [&](int k) { return pointer<Real>(a[k]); };
  return {real(0), real(1), real(2), real(3), real(4),  real(5),
          real(6), real(7), real(8), real(9), real(10), pointer<Geometry>(a[11])};
}

// Without degrees, scratch and threads. messages: grad_x, grad_ev, x, ev
template <class T>
pyff::AttentionParams<T> attention_params(const GraphArgs& g, const AttentionShapeArgs& shape,
                                          const AttentionTensorArgs& in, const AttentionTensorArgs& tangent,
                                          const std::array<Address, 4>& messages, const AttentionTensorArgs& grad) {
  const auto& [features, hidden, degrees, heads, cutoff, normalization, activation, table] = shape;
  const auto [kind, radius, onset] = cutoff;
  const auto [intervals, start, spacing, decay] = table;
  return {graph_from(g),
          {features,
           hidden,
           nullptr,
           static_cast<int>(degrees.size()),
           heads,
           {kind, radius, onset},
           normalization,
           static_cast<pyff::Activation>(activation),
           intervals,
           start,
           spacing,
           decay},
          attention_tensors<const T, const double>(in),
          attention_tensors<const T, const double>(tangent),
          pointer<const T>(messages[0]),
          pointer<const T>(messages[1]),
          pointer<T>(messages[2]),
          pointer<T>(messages[3]),
          attention_tensors<T, double>(grad),
          nullptr,
          1};
}

}  // namespace

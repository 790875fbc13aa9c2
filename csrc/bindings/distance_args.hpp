// The Params of distance matrices as Python passes them, for the CPU and for CUDA.
#pragma once

#include <pybind11/stl.h>

#include <array>

#include "api/distance.hpp"
#include "bindings/module.hpp"

namespace {

using DistanceSizes = std::array<std::int64_t, 3>;  // n, m, n_features

// arrays: x, y, out
inline pyff::DistanceParams distance_params(const DistanceSizes& sizes, const std::array<std::uintptr_t, 3>& arrays,
                                            int kind, double sigma, int threads) {
  return {sizes[0],
          sizes[1],
          sizes[2],
          pointer<const double>(arrays[0]),
          pointer<const double>(arrays[1]),
          static_cast<pyff::DistanceKind>(kind),
          sigma,
          pointer<double>(arrays[2]),
          threads};
}

}  // namespace

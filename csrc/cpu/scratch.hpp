// How much scratch the convolution kernels need per thread; the caller owns it.
#pragma once

#include <cstdint>

#include "core/macros.hpp"

namespace pyff::PYFF_ISA {

constexpr int kTableTile = 16;    // three orders of 16 filters of 128 features stay in L1
constexpr int kNetworkTile = 32;  // more pairs per matrix product

// Leading dimension of a scratch panel with n columns: whole 64-byte lines on every instruction set.
template <class T>
inline std::int64_t padded(std::int64_t n) {
  constexpr std::int64_t line = 64 / sizeof(T);
  return (n + line - 1) / line * line;
}

// The same in half lines: two of these panels side by side are whole lines.
template <class T>
inline std::int64_t padded_half(std::int64_t n) {
  constexpr std::int64_t half = 32 / sizeof(T);
  return (n + half - 1) / half * half;
}

// Filters of a tile to second order, and the cotangents of values and slopes.
template <class T>
inline std::int64_t cfconv_tile_elements(std::int64_t f) {
  return 5 * kNetworkTile * padded<T>(f);
}

// Stacked panels of three orders (g, two pre-activations, two activations, two cotangents), packed weights, padded
// gradients.
template <class T>
inline std::int64_t filter_network_elements(std::int64_t f, std::int64_t g) {
  const std::int64_t ldf = padded<T>(f), ldg = padded<T>(g);
  return 3 * kNetworkTile * (ldg + 6 * ldf) + (g + 2 * f) * ldf + f * (ldg + ldf) + 2 * ldf;
}

}  // namespace pyff::PYFF_ISA

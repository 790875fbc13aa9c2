// C (+)= A B for the small dense panels of filter networks. All of it stays in L1/L2; rows of B and C are padded to
// whole vectors or at least 32 bytes, so there are no tails in the columns but half of a 64-byte vector.
#pragma once

#include <cstdint>

#include "cpu/scratch.hpp"
#include "math/simd.hpp"

namespace pyff::PYFF_ISA {

// A[m, k] is at a[m * row + k * col], so a transposed A needs no copy.
template <class T>
struct Operand {
  const T* data;
  std::int64_t row;
  std::int64_t col;
};

struct GemmShape {
  std::int64_t m, n, k;  // n: a multiple of the vector length, or of its half where that is 64 bytes
};

template <class T, class V, int Rows, int Columns>
inline __attribute__((always_inline)) void gemm_block(Operand<T> a, const T* b, std::int64_t ldb, T* c,
                                                      std::int64_t ldc, std::int64_t k, bool accumulate) {
  constexpr int kLanesOfV = sizeof(V) / sizeof(T);
  V acc[Rows][Columns] = {};
  if (accumulate)
    for (int r = 0; r < Rows; ++r)
      for (int s = 0; s < Columns; ++s) std::memcpy(&acc[r][s], c + r * ldc + s * kLanesOfV, sizeof(V));
  for (std::int64_t q = 0; q < k; ++q) {
    V row[Columns];
    for (int s = 0; s < Columns; ++s) std::memcpy(&row[s], b + q * ldb + s * kLanesOfV, sizeof(V));
    for (int r = 0; r < Rows; ++r) {
      const V x = V{} + a.data[r * a.row + q * a.col];
      for (int s = 0; s < Columns; ++s) acc[r][s] += x * row[s];
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int s = 0; s < Columns; ++s) std::memcpy(c + r * ldc + s * kLanesOfV, &acc[r][s], sizeof(V));
}

template <class T, class V, int Columns>
inline void gemm_columns(Operand<T> a, const T* b, std::int64_t ldb, T* c, std::int64_t ldc, std::int64_t m,
                         std::int64_t k, bool accumulate) {
  // as many accumulators as registers allow: 32 on AVX-512, 16 elsewhere
  constexpr int kRows = PYFF_VECTOR_BYTES == 64 ? 24 / Columns : 12 / Columns;
  std::int64_t r = 0;
  for (; r + kRows <= m; r += kRows)
    gemm_block<T, V, kRows, Columns>({a.data + r * a.row, a.row, a.col}, b, ldb, c + r * ldc, ldc, k, accumulate);
  for (; r < m; ++r)
    gemm_block<T, V, 1, Columns>({a.data + r * a.row, a.row, a.col}, b, ldb, c + r * ldc, ldc, k, accumulate);
}

template <class T>
inline void gemm(GemmShape shape, Operand<T> a, const T* b, std::int64_t ldb, T* c, std::int64_t ldc, bool accumulate) {
  std::int64_t s = 0;
  for (; s + 4 * kLanes<T> <= shape.n; s += 4 * kLanes<T>)
    gemm_columns<T, Vec<T>, 4>(a, b + s, ldb, c + s, ldc, shape.m, shape.k, accumulate);
  for (; s + 2 * kLanes<T> <= shape.n; s += 2 * kLanes<T>)
    gemm_columns<T, Vec<T>, 2>(a, b + s, ldb, c + s, ldc, shape.m, shape.k, accumulate);
  for (; s + kLanes<T> <= shape.n; s += kLanes<T>)
    gemm_columns<T, Vec<T>, 1>(a, b + s, ldb, c + s, ldc, shape.m, shape.k, accumulate);
  if constexpr (PYFF_VECTOR_BYTES == 64)
    if (s < shape.n)
      gemm_columns<T, typename VecOfBytes<T, 32>::type, 1>(a, b + s, ldb, c + s, ldc, shape.m, shape.k, accumulate);
}

}  // namespace pyff::PYFF_ISA

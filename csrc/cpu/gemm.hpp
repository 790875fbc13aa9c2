// C (+)= A B for the small dense panels of filter networks. All of it stays in L1/L2; rows of B and C are padded to
// whole vectors (kPadBytes), so there are no tails in the columns.
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
  std::int64_t m, n, k;  // n: a multiple of the vector length
};

template <class T, int Rows, int Columns>
inline __attribute__((always_inline)) void gemm_block(Operand<T> a, const T* b, std::int64_t ldb, T* c,
                                                      std::int64_t ldc, std::int64_t k, bool accumulate) {
  Vec<T> acc[Rows][Columns];
  for (int r = 0; r < Rows; ++r)
    for (int s = 0; s < Columns; ++s) acc[r][s] = accumulate ? load(c + r * ldc + s * kLanes<T>) : Vec<T>{};
  for (std::int64_t q = 0; q < k; ++q) {
    Vec<T> row[Columns];
    for (int s = 0; s < Columns; ++s) row[s] = load(b + q * ldb + s * kLanes<T>);
    for (int r = 0; r < Rows; ++r) {
      const Vec<T> x = splat(a.data[r * a.row + q * a.col]);
      for (int s = 0; s < Columns; ++s) acc[r][s] += x * row[s];
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int s = 0; s < Columns; ++s) store(c + r * ldc + s * kLanes<T>, acc[r][s]);
}

template <class T, int Columns>
inline void gemm_columns(Operand<T> a, const T* b, std::int64_t ldb, T* c, std::int64_t ldc, std::int64_t m,
                         std::int64_t k, bool accumulate) {
  // as many accumulators as registers allow: 32 on AVX-512, 16 elsewhere
  constexpr int kRows = PYFF_VECTOR_BYTES == 64 ? 24 / Columns : 12 / Columns;
  std::int64_t r = 0;
  for (; r + kRows <= m; r += kRows)
    gemm_block<T, kRows, Columns>({a.data + r * a.row, a.row, a.col}, b, ldb, c + r * ldc, ldc, k, accumulate);
  for (; r < m; ++r)
    gemm_block<T, 1, Columns>({a.data + r * a.row, a.row, a.col}, b, ldb, c + r * ldc, ldc, k, accumulate);
}

template <class T>
inline void gemm(GemmShape shape, Operand<T> a, const T* b, std::int64_t ldb, T* c, std::int64_t ldc, bool accumulate) {
  std::int64_t s = 0;
  for (; s + 4 * kLanes<T> <= shape.n; s += 4 * kLanes<T>)
    gemm_columns<T, 4>(a, b + s, ldb, c + s, ldc, shape.m, shape.k, accumulate);
  for (; s + 2 * kLanes<T> <= shape.n; s += 2 * kLanes<T>)
    gemm_columns<T, 2>(a, b + s, ldb, c + s, ldc, shape.m, shape.k, accumulate);
  for (; s + kLanes<T> <= shape.n; s += kLanes<T>)
    gemm_columns<T, 1>(a, b + s, ldb, c + s, ldc, shape.m, shape.k, accumulate);
}

}  // namespace pyff::PYFF_ISA

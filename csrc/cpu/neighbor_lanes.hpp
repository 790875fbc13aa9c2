// Comparing lanes into bit masks and packing the chosen ones, for each instruction set.
#pragma once

#include "math/elementary.hpp"

#if defined(__AVX2__) || defined(__SSE2__)
#include <immintrin.h>
#endif

namespace pyff::PYFF_ISA {
namespace {

using Mask = std::uint32_t;

constexpr int kFloatLanes = kLanes<float>;
constexpr Mask kAllLanes = (Mask{1} << kFloatLanes) - 1;

#if defined(__AVX512F__)

inline Mask less(FloatVec a, FloatVec b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ); }
inline Mask differs(IntVec a, IntVec b) { return _mm512_cmpneq_epi32_mask((__m512i)a, (__m512i)b); }
inline FloatVec larger(FloatVec a, FloatVec b) {
  // the masked form, because gcc 12 warns about the plain one
  return (FloatVec)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b);
}
inline FloatVec multiply_add(FloatVec a, FloatVec b, FloatVec c) {
  return (FloatVec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
template <class V>
inline void pack_store(void* out, V v, Mask m) {
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(static_cast<__mmask16>(m), (__m512i)v));
}

#elif defined(__AVX2__)

struct PackTable {
  std::int32_t lane[256][8];
};
constexpr PackTable make_pack_table() {
  PackTable t{};
  for (int m = 0; m < 256; ++m) {
    int n = 0;
    for (int k = 0; k < 8; ++k)
      if (m >> k & 1) t.lane[m][n++] = k;
  }
  return t;
}
alignas(32) constexpr PackTable kPackTable = make_pack_table();

inline Mask less(FloatVec a, FloatVec b) { return _mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_LT_OQ)); }
inline Mask differs(IntVec a, IntVec b) {
  return kAllLanes & ~static_cast<Mask>(_mm256_movemask_ps((__m256)_mm256_cmpeq_epi32((__m256i)a, (__m256i)b)));
}
inline FloatVec larger(FloatVec a, FloatVec b) { return (FloatVec)_mm256_max_ps((__m256)a, (__m256)b); }
inline FloatVec multiply_add(FloatVec a, FloatVec b, FloatVec c) {
  return (FloatVec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
template <class V>
inline void pack_store(void* out, V v, Mask m) {
  const __m256i order = _mm256_load_si256(reinterpret_cast<const __m256i*>(kPackTable.lane[m]));
  _mm256_storeu_si256(static_cast<__m256i*>(out), _mm256_permutevar8x32_epi32((__m256i)v, order));
}

#else

inline Mask lane_bits(IntVec v) {
#if defined(__SSE2__)
  return _mm_movemask_ps((__m128)v);
#else
  Mask m = 0;
  for (int k = 0; k < kFloatLanes; ++k) m |= (v[k] & 1u) << k;
  return m;
#endif
}
inline Mask less(FloatVec a, FloatVec b) { return lane_bits(a < b); }
inline Mask differs(IntVec a, IntVec b) { return lane_bits(a != b); }
inline FloatVec larger(FloatVec a, FloatVec b) { return select(a > b, a, b); }
inline FloatVec multiply_add(FloatVec a, FloatVec b, FloatVec c) { return a * b + c; }
template <class V>
inline void pack_store(void* out, V v, Mask m) {
  // the lanes are written branch-free: each goes to its place or to one that a later lane overwrites
  auto* to = static_cast<decltype(v[0] + 0)*>(out);
  int n = 0;
  for (int k = 0; k < kFloatLanes; ++k) {
    to[n] = v[k];
    n += m >> k & 1;
  }
}

#endif

inline FloatVec square_sum(FloatVec x, FloatVec y, FloatVec z) { return multiply_add(x, x, multiply_add(y, y, z * z)); }
inline int count_bits(Mask m) { return __builtin_popcount(m); }

}  // namespace
}  // namespace pyff::PYFF_ISA

// SIMD vectors through the compilers' vector extension: as wide as the instruction set this file is compiled for, and
// plain code where there is none. Loads and stores are unaligned.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/macros.hpp"


#if defined(__AVX512F__)
#define PYFF_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define PYFF_VECTOR_BYTES 32
#else
#define PYFF_VECTOR_BYTES 16
#endif

namespace pyff::PYFF_ISA {

typedef float FloatVec __attribute__((vector_size(PYFF_VECTOR_BYTES)));
typedef double DoubleVec __attribute__((vector_size(PYFF_VECTOR_BYTES)));
typedef std::int32_t IntVec __attribute__((vector_size(PYFF_VECTOR_BYTES)));
typedef std::int64_t LongVec __attribute__((vector_size(PYFF_VECTOR_BYTES)));

template <class T>
struct VecOf;
template <>
struct VecOf<float> {
  using type = FloatVec;
};
template <>
struct VecOf<double> {
  using type = DoubleVec;
};
template <class T>
using Vec = typename VecOf<T>::type;
template <class T>
constexpr int kLanes = PYFF_VECTOR_BYTES / sizeof(T);

template <class T>
inline Vec<T> load(const T* p) {
  Vec<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
inline void store(T* p, Vec<T> v) {
  std::memcpy(p, &v, sizeof v);
}
template <class T>
inline Vec<T> splat(T x) {
  return Vec<T>{} + x;
}
// A vector as its two halves added, again and again, down to Bytes: few instructions, and a smaller rounding error
// than lane after lane.
template <class T, int Bytes>
struct VecOfBytes {
  typedef T type __attribute__((vector_size(Bytes)));
};
template <class T, int Bytes, int From = PYFF_VECTOR_BYTES>
inline typename VecOfBytes<T, Bytes>::type folded(typename VecOfBytes<T, From>::type v) {
  if constexpr (Bytes == From) {
    return v;
  } else {
    struct {
      typename VecOfBytes<T, From / 2>::type low, high;
    } half;
    static_assert(sizeof half == sizeof v);
    std::memcpy(&half, &v, sizeof v);
    return folded<T, Bytes, From / 2>(half.low + half.high);
  }
}
template <class T>
inline T sum(Vec<T> v) {
  const auto last = folded<T, 16>(v);
  if constexpr (sizeof(T) == 8)
    return last[0] + last[1];
  else
    return (last[0] + last[2]) + (last[1] + last[3]);
}

template <>
struct Constant<FloatVec> {
  static inline FloatVec of(double value) { return splat(static_cast<float>(value)); }
};
template <>
struct Constant<DoubleVec> {
  static inline DoubleVec of(double value) { return splat(value); }
};

// How a loop over features reads and writes its numbers: whole vectors, then what is left over one by one.
template <class T>
struct VectorLane {
  static Vec<T> get(const T* p) { return load(p); }
  static void put(T* p, Vec<T> v) { store(p, v); }
};
template <class T>
struct ScalarLane {
  static T get(const T* p) { return *p; }
  static void put(T* p, T v) { *p = v; }
};

// body(k, lane) for k = 0, lanes, 2 lanes, ... and then for each single k up to n.
template <class T, class Body>
inline __attribute__((always_inline)) void for_lanes(std::int64_t n, Body&& body) {
  std::int64_t k = 0;
  for (; k + kLanes<T> <= n; k += kLanes<T>) body(k, VectorLane<T>{});
  for (; k < n; ++k) body(k, ScalarLane<T>{});
}

// A running sum that takes vectors and single numbers.
template <class T>
struct LaneSum {
  Vec<T> wide{};
  T narrow = 0;
  void add(Vec<T> v) { wide += v; }
  void add(T v) { narrow += v; }
  T total() const { return sum<T>(wide) + narrow; }
};

inline FloatVec select(IntVec c, FloatVec a, FloatVec b) { return c ? a : b; }
inline DoubleVec select(LongVec c, DoubleVec a, DoubleVec b) { return c ? a : b; }
inline FloatVec abs_of(FloatVec x) { return (FloatVec)((IntVec)x & 0x7fffffff); }
inline DoubleVec abs_of(DoubleVec x) { return (DoubleVec)((LongVec)x & 0x7fffffffffffffffLL); }

inline FloatVec sqrt_of(FloatVec x) {
  FloatVec out = x;
  for (int k = 0; k < kLanes<float>; ++k) out[k] = std::sqrt(x[k]);
  return out;
}
inline DoubleVec sqrt_of(DoubleVec x) {
  DoubleVec out = x;
  for (int k = 0; k < kLanes<double>; ++k) out[k] = std::sqrt(x[k]);
  return out;
}

// e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2, Taylor polynomial of e^r; adding 1.5 2^23 (2^52) rounds to
// the nearest integer and leaves it in the low bits. Inputs are clamped to where the result is a normal number.
inline FloatVec exp_of(FloatVec x) {
  x = select(x < -87.0f, splat(-87.0f), x);
  x = select(x > 88.0f, splat(88.0f), x);
  const FloatVec magic = splat(12582912.0f), t = x * 1.44269504088896341f + magic, n = t - magic;
  const FloatVec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  FloatVec p = splat(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return (FloatVec)((IntVec)p + (((IntVec)t - 0x4b400000) << 23));
}

// The polynomial in two halves, of even and odd powers: half the latency. e^r = 1 + (r + r^2 q) loses no digits.
inline DoubleVec exp_of(DoubleVec x) {
  x = select(x < -708.0, splat(-708.0), x);
  x = select(x > 709.0, splat(709.0), x);
  const DoubleVec magic = splat(6755399441055744.0), t = x * 1.4426950408889634074 + magic, n = t - magic;
  const DoubleVec r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10, z = r * r;
  DoubleVec even = splat(1.0 / 479001600.0), odd = splat(1.0 / 6227020800.0);
  even = even * z + 1.0 / 3628800.0;
  odd = odd * z + 1.0 / 39916800.0;
  even = even * z + 1.0 / 40320.0;
  odd = odd * z + 1.0 / 362880.0;
  even = even * z + 1.0 / 720.0;
  odd = odd * z + 1.0 / 5040.0;
  even = even * z + 1.0 / 24.0;
  odd = odd * z + 1.0 / 120.0;
  even = even * z + 0.5;
  odd = odd * z + 1.0 / 6.0;
  const DoubleVec p = 1.0 + (r + z * (even + r * odd));
  return (DoubleVec)((LongVec)p + (((LongVec)t - 0x4338000000000000LL) << 52));
}

// ln(1 + y) = 2 atanh(s), s = y / (2 + y) <= 1/3: no cancellation anywhere
template <class T, int Terms>
inline Vec<T> log1p_series(Vec<T> y) {
  const Vec<T> s = y / (y + 2), z = s * s;
  Vec<T> p = splat(T(1) / T(2 * Terms + 1));
  for (int k = Terms - 1; k >= 0; --k) p = p * z + T(1) / T(2 * k + 1);
  return 2 * s * p;
}
inline FloatVec log1p_unit(FloatVec y) { return log1p_series<float, 8>(y); }
inline DoubleVec log1p_unit(DoubleVec y) { return log1p_series<double, 17>(y); }

// x^(-1/7) to 3 percent, x positive and normal: -1/7 of the logarithm, which the bits of a number nearly are.
inline DoubleVec inverse_seventh_root_guess(DoubleVec x) {
  const DoubleVec bits = __builtin_convertvector((LongVec)x, DoubleVec);
  return (DoubleVec)__builtin_convertvector(kSeventhRootBits - bits * (1.0 / 7), LongVec);
}

// no preset uses tanh in a hot loop: lane by lane
inline FloatVec tanh_of(FloatVec x) {
  FloatVec out = x;
  for (int k = 0; k < kLanes<float>; ++k) out[k] = std::tanh(x[k]);
  return out;
}
inline DoubleVec tanh_of(DoubleVec x) {
  DoubleVec out = x;
  for (int k = 0; k < kLanes<double>; ++k) out[k] = std::tanh(x[k]);
  return out;
}

}  // namespace pyff::PYFF_ISA

// The number types of the attention kernel: plain for forward and backward, Dual for the double backward, which is
// the same code with tangents. What a call writes is then the tangent of what the plain call writes.
#pragma once

#include <type_traits>

#include "cpu/attention_memory.hpp"
#include "math/dual.hpp"

namespace pyff::PYFF_ISA {

template <class X, bool kDual>
using Number = std::conditional_t<kDual, Dual<X>, X>;

inline float total(FloatVec v) { return sum<float>(v); }
inline double total(DoubleVec v) { return sum<double>(v); }
template <class V>
inline auto total(Dual<V> x) {
  return Dual<decltype(total(x.v))>{total(x.v), total(x.d)};
}

inline FloatVec spread(float x) { return splat(x); }
inline DoubleVec spread(double x) { return splat(x); }
template <class T>
inline Dual<Vec<T>> spread(Dual<T> x) {
  return {splat(x.v), splat(x.d)};
}

// What a call writes.
template <class X>
inline X emitted(X x) {
  return x;
}
template <class X>
inline X emitted(Dual<X> x) {
  return x.d;
}

// Numbers whose values and tangents lie in two arrays.
template <class T, bool kDual>
struct Source {
  const T* v;
  const T* d;

  Source at(std::int64_t k) const { return {v + k, kDual ? d + k : nullptr}; }
  Number<T, kDual> one(std::int64_t k) const {
    if constexpr (kDual)
      return {v[k], d[k]};
    else
      return v[k];
  }
  Number<Vec<T>, kDual> lanes(std::int64_t k) const {
    if constexpr (kDual)
      return {load(v + k), load(d + k)};
    else
      return load(v + k);
  }
};

// A tile of numbers: rows of values, then rows of tangents.
template <class T, bool kDual>
struct Panel {
  T* data;
  std::int64_t ld;

  T* values(int t = 0) const { return data + t * ld; }
  T* tangents(int t = 0) const { return data + (kAttentionTile + t) * ld; }
  Source<T, kDual> row(int t) const { return {values(t), kDual ? tangents(t) : nullptr}; }
  void put(int t, std::int64_t k, Number<T, kDual> x) const {
    if constexpr (kDual) {
      values(t)[k] = x.v;
      tangents(t)[k] = x.d;
    } else {
      values(t)[k] = x;
    }
  }
  void put(int t, std::int64_t k, Number<Vec<T>, kDual> x) const {
    if constexpr (kDual) {
      store(values(t) + k, x.v);
      store(tangents(t) + k, x.d);
    } else {
      store(values(t) + k, x);
    }
  }
};

// Many sums over lanes at once: each vector is folded to 16 bytes, and what is left is added for all of them together.
template <class T>
struct LaneSums {
  static constexpr int kFold = 16 / sizeof(T);
  T* folds;

  void put(std::int64_t row, Vec<T> v) const {
    const auto x = folded<T, 16>(v);
    std::memcpy(folds + row * kFold, &x, sizeof x);
  }
  void put(std::int64_t row, Dual<Vec<T>> x) const {
    put(2 * row, x.v);
    put(2 * row + 1, x.d);
  }
  LaneSums behind(std::int64_t rows) const { return {folds + rows * kFold}; }
  // The first n sums
  void add_up(std::int64_t n, T* out) const {
    for (std::int64_t k = 0; k < n; ++k) {
      T s = folds[k * kFold] + folds[k * kFold + 1];
      if constexpr (kFold == 4) s += folds[k * kFold + 2] + folds[k * kFold + 3];
      out[k] = s;
    }
  }
  void add_up(std::int64_t n, Dual<T>* out) const { add_up(2 * n, reinterpret_cast<T*>(out)); }
};

template <class T>
inline void add_lanes(T* p, Vec<T> x) {
  store(p, load(p) + x);
}

template <class T>
inline void clear(T* x, std::int64_t n) {
  if (x)
    for (std::int64_t k = 0; k < n; ++k) x[k] = T(0);
}

}  // namespace pyff::PYFF_ISA

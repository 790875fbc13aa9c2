// Dual numbers v + d eps, eps^2 = 0: a formula templated on its number type, run on them, gives its value and its
// derivative along one direction. V is float, double or, on the CPU, a SIMD vector of either. A second derivative is
// the dual of a hand-written first derivative.
#pragma once

#include <type_traits>

#include "core/macros.hpp"
#include "math/elementary.hpp"

namespace pyff::PYFF_ISA {

template <class V>
struct Dual {
  V v, d;  // value, derivative along the direction
};

// A constant beside a Dual<V>: a V, or any number.
template <class V, class S>
using IfConstant = std::enable_if_t<std::is_same_v<S, V> || std::is_arithmetic_v<S>, int>;

template <class V, class S>
PYFF_HD V constant_of(S x) {
  if constexpr (std::is_same_v<S, V>)
    return x;
  else
    return Constant<V>::of(static_cast<double>(x));
}

template <class V>
struct Constant<Dual<V>> {
  static PYFF_HD Dual<V> of(double value) { return {Constant<V>::of(value), V{}}; }
};

template <class V>
PYFF_HD Dual<V> operator-(Dual<V> a) {
  return {-a.v, -a.d};
}
template <class V>
PYFF_HD Dual<V> operator+(Dual<V> a, Dual<V> b) {
  return {a.v + b.v, a.d + b.d};
}
template <class V>
PYFF_HD Dual<V> operator-(Dual<V> a, Dual<V> b) {
  return {a.v - b.v, a.d - b.d};
}
template <class V>
PYFF_HD Dual<V> operator*(Dual<V> a, Dual<V> b) {
  return {a.v * b.v, a.v * b.d + a.d * b.v};
}
template <class V>
PYFF_HD Dual<V> operator/(Dual<V> a, Dual<V> b) {
  const V q = a.v / b.v;
  return {q, (a.d - q * b.d) / b.v};
}

template <class V, class S, IfConstant<V, S> = 0>
PYFF_HD Dual<V> operator+(Dual<V> a, S c) {
  return {a.v + constant_of<V>(c), a.d};
}
template <class V, class S, IfConstant<V, S> = 0>
PYFF_HD Dual<V> operator+(S c, Dual<V> a) {
  return a + c;
}
template <class V, class S, IfConstant<V, S> = 0>
PYFF_HD Dual<V> operator-(Dual<V> a, S c) {
  return {a.v - constant_of<V>(c), a.d};
}
template <class V, class S, IfConstant<V, S> = 0>
PYFF_HD Dual<V> operator-(S c, Dual<V> a) {
  return {constant_of<V>(c) - a.v, -a.d};
}
template <class V, class S, IfConstant<V, S> = 0>
PYFF_HD Dual<V> operator*(Dual<V> a, S c) {
  const V x = constant_of<V>(c);
  return {a.v * x, a.d * x};
}
template <class V, class S, IfConstant<V, S> = 0>
PYFF_HD Dual<V> operator*(S c, Dual<V> a) {
  return a * c;
}
template <class V, class S, IfConstant<V, S> = 0>
PYFF_HD Dual<V> operator/(Dual<V> a, S c) {
  const V x = constant_of<V>(c);
  return {a.v / x, a.d / x};
}
template <class V, class S, IfConstant<V, S> = 0>
PYFF_HD Dual<V> operator/(S c, Dual<V> a) {
  const V q = constant_of<V>(c) / a.v;
  return {q, -q * a.d / a.v};
}

template <class V, class B>
PYFF_HD Dual<V>& operator+=(Dual<V>& a, B b) {
  return a = a + b;
}
template <class V, class B>
PYFF_HD Dual<V>& operator-=(Dual<V>& a, B b) {
  return a = a - b;
}
template <class V, class B>
PYFF_HD Dual<V>& operator*=(Dual<V>& a, B b) {
  return a = a * b;
}
template <class V, class B>
PYFF_HD Dual<V>& operator/=(Dual<V>& a, B b) {
  return a = a / b;
}

// Comparisons are those of the values, as branches of a formula are.
template <class V>
PYFF_HD auto operator<(Dual<V> a, Dual<V> b) {
  return a.v < b.v;
}
template <class V>
PYFF_HD auto operator>(Dual<V> a, Dual<V> b) {
  return a.v > b.v;
}
template <class V>
PYFF_HD auto operator<=(Dual<V> a, Dual<V> b) {
  return a.v <= b.v;
}
template <class V>
PYFF_HD auto operator>=(Dual<V> a, Dual<V> b) {
  return a.v >= b.v;
}
template <class V, class S, IfConstant<V, S> = 0>
PYFF_HD auto operator<(Dual<V> a, S c) {
  return a.v < constant_of<V>(c);
}
template <class V, class S, IfConstant<V, S> = 0>
PYFF_HD auto operator>(Dual<V> a, S c) {
  return a.v > constant_of<V>(c);
}
template <class V, class S, IfConstant<V, S> = 0>
PYFF_HD auto operator<=(Dual<V> a, S c) {
  return a.v <= constant_of<V>(c);
}
template <class V, class S, IfConstant<V, S> = 0>
PYFF_HD auto operator>=(Dual<V> a, S c) {
  return a.v >= constant_of<V>(c);
}

// Condition: bool, or the mask of a comparison of vectors.
template <class Condition, class V>
PYFF_HD Dual<V> select(Condition c, Dual<V> a, Dual<V> b) {
  return {select(c, a.v, b.v), select(c, a.d, b.d)};
}

template <class V>
PYFF_HD Dual<V> exp_of(Dual<V> a) {
  const V e = exp_of(a.v);
  return {e, e * a.d};
}
template <class V>
PYFF_HD Dual<V> log1p_unit(Dual<V> a) {
  return {log1p_unit(a.v), a.d / (1 + a.v)};
}
template <class V>
PYFF_HD Dual<V> tanh_of(Dual<V> a) {
  const V h = tanh_of(a.v);
  return {h, (1 - h * h) * a.d};
}
// |x|, with the right-hand derivative at zero
template <class V>
PYFF_HD Dual<V> abs_of(Dual<V> a) {
  return {abs_of(a.v), select(a.v >= V{}, a.d, -a.d)};
}
// The derivative at zero is infinite.
template <class V>
PYFF_HD Dual<V> sqrt_of(Dual<V> a) {
  const V s = sqrt_of(a.v);
  return {s, a.d / (2 * s)};
}

// The type of numbers that have no derivative.
template <class V>
struct Undualed {
  using type = V;
};
template <class V>
struct Undualed<Dual<V>> {
  using type = V;
};
template <class V>
using ConstantOf = typename Undualed<V>::type;

// What a number is apart from its derivative.
template <class V>
PYFF_HD V value_of(V x) {
  return x;
}
template <class V>
PYFF_HD V value_of(Dual<V> x) {
  return x.v;
}

}  // namespace pyff::PYFF_ISA

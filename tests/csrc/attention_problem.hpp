// A random attention problem with every input and output, for the tests of the CUDA kernels.
#pragma once

#include "cfconv_problem.hpp"

namespace attention_test {

using cfconv_test::TestGraph;

constexpr double kRadius = 5.0;

struct Size {
  std::vector<int> degrees{1, 2, 3};
  int n_heads = 2;
  std::int64_t n_features = 12;
  std::int64_t n_hidden = 5;     // 0: no spherical filter
  std::int64_t n_intervals = 7;  // 0: radial filters edge by edge
  std::int64_t n_atoms = 6;
  int n_pairs = 20;
  double decay = 0.7;  // of the table's nodes
};

template <class T>
struct Tensors {
  std::vector<T> q1, k1, v1, q2, k2, ev, radial, ws1, bs1, ws2, bs2;
  std::vector<double> vec;

  template <class Body>
  void each(Body&& body) {
    body("q1", q1), body("k1", k1), body("v1", v1), body("q2", q2), body("k2", k2), body("ev", ev);
    body("radial", radial), body("ws1", ws1), body("bs1", bs1), body("ws2", ws2), body("bs2", bs2), body("vec", vec);
  }
  pyff::AttentionTensors<const T, const double> inputs() const {
    return {q1.data(),  k1.data(),  v1.data(),  q2.data(),  k2.data(),  ev.data(),
            radial.data(), ws1.data(), bs1.data(), ws2.data(), bs2.data(), vec.data()};
  }
  pyff::AttentionTensors<T, double> outputs() {
    return {q1.data(),  k1.data(),  v1.data(),  q2.data(),  k2.data(),  ev.data(),
            radial.data(), ws1.data(), bs1.data(), ws2.data(), bs2.data(), vec.data()};
  }
};

template <class T>
struct Outputs {
  std::vector<T> x, ev;
  Tensors<T> grad;
};

template <class T>
struct Problem {
  std::mt19937 random{20250311};
  Size size;
  TestGraph graph;
  Tensors<T> in, tangent;
  std::vector<T> grad_x, grad_ev;
  pyff::Cutoff cutoff{static_cast<int>(pyff::CutoffKind::cosine), kRadius, 0.0};
  pyff::Activation activation = pyff::Activation::silu;

  explicit Problem(const Size& s) : size(s), graph(s.n_atoms, s.n_pairs, random) {
    for (Tensors<T>* x : {&in, &tangent}) {
      shape(*x, 0);
      x->each([&](const char*, auto& array) { draw(array); });
      if (size.n_intervals == 0) symmetrise(x->radial, 2 * size.n_features, 1);
      symmetrise(x->vec, 3, -1);
    }
    set_lengths();
    grad_x.resize(s.n_atoms * s.n_features);
    grad_ev.resize(s.n_atoms * n_components());
    draw(grad_x);
    draw(grad_ev);
  }

  std::int64_t n_components() const {
    std::int64_t m = 0;
    for (const int l : size.degrees) m += 2 * l + 1;
    return m;
  }

  // Sizes of all tensors, filled with a number.
  void shape(Tensors<T>& x, double value) const {
    const std::int64_t n = size.n_atoms, f = size.n_features, s = size.n_hidden, e = graph.n_edges();
    const std::int64_t l = static_cast<std::int64_t>(size.degrees.size());
    const T fill = static_cast<T>(value);
    for (auto* rows : {&x.q1, &x.k1, &x.v1, &x.q2, &x.k2}) rows->assign(n * f, fill);
    x.ev.assign(s ? n * n_components() : 0, fill);
    x.radial.assign((size.n_intervals ? size.n_intervals * 6 : e) * 2 * f, fill);
    x.ws1.assign(2 * s * l, fill);
    x.bs1.assign(2 * s, fill);
    x.ws2.assign(2 * f * s, fill);
    x.bs2.assign(s ? 2 * f : 0, fill);
    x.vec.assign(3 * e, value);
  }

  template <class X>
  void draw(std::vector<X>& x) {
    std::normal_distribution<double> normal(0.0, 0.7);
    for (X& value : x) value = static_cast<X>(normal(random));
  }
  // What belongs to the reversed edge is `sign` times what belongs to the edge.
  template <class X>
  void symmetrise(std::vector<X>& x, std::int64_t width, int sign) const {
    for (std::int64_t e = 0; e < graph.n_edges(); ++e)
      for (std::int64_t k = 0; k < width; ++k)
        if (e < graph.edge_rev[e]) x[graph.edge_rev[e] * width + k] = static_cast<X>(sign * x[e * width + k]);
  }
  // Some pairs lie just beyond the cutoff, others further out. At the cutoff itself rounding would decide whether the
  // second derivative of the cutoff function counts.
  void set_lengths() {
    std::uniform_real_distribution<double> length(0.6, kRadius - 0.05);
    for (std::int64_t e = 0; e < graph.n_edges(); ++e) {
      if (e > graph.edge_rev[e]) continue;
      double* const r = &in.vec[3 * e];
      const double old = std::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
      const double scale = (e % 11 == 7 ? kRadius * (1 + 1e-9) + e % 2 : length(random)) / old;
      for (int k = 0; k < 3; ++k) r[k] *= scale;
    }
    symmetrise(in.vec, 3, -1);
  }

  Outputs<T> outputs() const {
    Outputs<T> out;
    shape(out.grad, NAN);
    out.x.assign(size.n_atoms * size.n_features, static_cast<T>(NAN));
    out.ev.assign(size.n_atoms * n_components(), static_cast<T>(NAN));
    return out;
  }

  pyff::AttentionParams<T> params(int order, Outputs<T>& out) const {
    const double start = 0.5,
                 length = size.decay > 0 ? -std::expm1(-size.decay * (kRadius - start)) / size.decay : kRadius - start;
    const double spacing = length / static_cast<double>(std::max<std::int64_t>(size.n_intervals, 1));
    const pyff::AttentionShape shape{size.n_features, size.n_hidden, size.degrees.data(),
                                     static_cast<int>(size.degrees.size()), size.n_heads, cutoff, 2.5, activation,
                                     size.n_intervals, start, spacing, size.decay};
    pyff::AttentionParams<T> p{};
    p.graph = graph.view();
    p.shape = shape;
    p.in = in.inputs();
    p.threads = 1;
    if (order != 1) p.x = out.x.data(), p.ev = out.ev.data();
    if (order == 0) return p;
    p.grad_x = grad_x.data();
    p.grad_ev = grad_ev.data();
    p.grad = out.grad.outputs();
    if (size.n_hidden == 0) p.grad.ev = p.grad.ws1 = p.grad.bs1 = p.grad.ws2 = p.grad.bs2 = nullptr;
    if (order == 2) p.tangent = tangent.inputs();
    return p;
  }
};

}  // namespace attention_test

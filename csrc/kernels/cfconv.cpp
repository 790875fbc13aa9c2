#include "kernels/cfconv.hpp"

#include <vector>

#include "math/activation.hpp"
#include "math/cutoff.hpp"
#include "math/quintic.hpp"
#include "math/radial.hpp"

namespace pyff::plain {
namespace {

namespace math = ::pyff::PYFF_ISA;
using Row = std::vector<double>;

// Sums in double, stored as T when the loop is over.
template <class T>
class Sums {
 public:
  Sums(T* target, std::int64_t n) : target_(target), sum_(target ? n : 0, 0.0) {}
  explicit operator bool() const { return target_ != nullptr; }
  double& operator[](std::int64_t k) { return sum_[k]; }
  void store() const {
    for (std::size_t k = 0; k < sum_.size(); ++k) target_[k] = static_cast<T>(sum_[k]);
  }

 private:
  T* target_;
  Row sum_;
};

struct FilterJet {
  Row w, d1, d2;
  explicit FilterJet(std::int64_t n) : w(n), d1(n), d2(n) {}
};

template <class T>
class TableFilter {
 public:
  TableFilter(const FilterTable<T>& table, const TableGradient<T>& grad, std::int64_t n_features)
      : t_(table), f_(n_features), coef_(grad.coef, table.n_intervals * kTableOrder * n_features) {}

  bool has_gradient() const { return static_cast<bool>(coef_); }

  void evaluate(double d, FilterJet& out) const {
    if (!inside(d)) return clear(out);
    const auto at = point(d);
    for (std::int64_t f = 0; f < f_; ++f) {
      double c[kTableOrder];
      for (int m = 0; m < kTableOrder; ++m) c[m] = t_.coef[index(at.interval, m, f)];
      out.w[f] = math::quintic_value(c, at.u);
      out.d1[f] = math::quintic_slope(c, at.u, 1 / t_.spacing);
      out.d2[f] = math::quintic_curvature(c, at.u, 1 / t_.spacing);
    }
  }

  void add_gradient(double d, const Row& wb, const Row& db) {
    if (!inside(d)) return;
    const auto at = point(d);
    for (std::int64_t f = 0; f < f_; ++f) {
      double c[kTableOrder] = {};
      math::add_quintic_gradient(c, at.u, 1 / t_.spacing, wb[f], db[f]);
      for (int m = 0; m < kTableOrder; ++m) coef_[index(at.interval, m, f)] += c[m];
    }
  }

  void store_gradient() const { coef_.store(); }

 private:
  static void clear(FilterJet& out) {
    for (Row* row : {&out.w, &out.d1, &out.d2}) row->assign(row->size(), 0.0);
  }
  bool inside(double d) const { return math::table_covers(d, t_.start, t_.spacing, t_.n_intervals); }
  math::TablePoint point(double d) const { return math::table_point(d, t_.start, 1 / t_.spacing, t_.n_intervals); }
  std::int64_t index(std::int64_t k, int m, std::int64_t f) const { return (k * kTableOrder + m) * f_ + f; }

  const FilterTable<T>& t_;
  std::int64_t f_;
  Sums<T> coef_;
};

// A row of numbers that depend on the distance, with two derivatives.
struct Dual {
  Row v, d1, d2;
  explicit Dual(std::int64_t n) : v(n), d1(n), d2(n) {}
};

template <class T>
class NetworkFilter {
 public:
  NetworkFilter(const FilterNetwork<T>& network, const NetworkGradient<T>& grad, std::int64_t n_features)
      : n_(network), f_(n_features), g_(network.basis.size), basis_(g_), a_(f_), s_(f_), z_(f_), w1_(grad.w1, f_ * g_),
        b1_(grad.b1, f_), w2_(grad.w2, f_ * f_), b2_(grad.b2, f_) {}

  bool has_gradient() const { return static_cast<bool>(w1_); }

  void evaluate(double d, FilterJet& out) {
    run(d);
    const auto c = math::cutoff(n_.cutoff, d);
    for (std::int64_t f = 0; f < f_; ++f) {
      const auto w = chain(n_.last_activation, z_, f);
      out.w[f] = w.v * c.v;
      out.d1[f] = w.d1 * c.v + w.v * c.d1;
      out.d2[f] = w.d2 * c.v + 2 * w.d1 * c.d1 + w.v * c.d2;
    }
  }

  void add_gradient(double d, const Row& wb, const Row& db) {
    run(d);
    const auto c = math::cutoff(n_.cutoff, d);
    Row sb(f_, 0.0), s1b(f_, 0.0);  // cotangents of the hidden layer and of its derivative
    for (std::int64_t f = 0; f < f_; ++f) {
      const double w_bar = c.v * wb[f] + c.d1 * db[f], w1_bar = c.v * db[f];
      const auto a = math::activation(n_.last_activation, z_.v[f]);
      const double z_bar = w_bar * a.d1 + w1_bar * a.d2 * z_.d1[f], z1_bar = w1_bar * a.d1;
      b2_[f] += z_bar;
      for (std::int64_t k = 0; k < f_; ++k) {
        w2_[f * f_ + k] += z_bar * s_.v[k] + z1_bar * s_.d1[k];
        sb[k] += z_bar * n_.w2[f * f_ + k];
        s1b[k] += z1_bar * n_.w2[f * f_ + k];
      }
    }
    for (std::int64_t f = 0; f < f_; ++f) {
      const auto s = math::activation(n_.activation, a_.v[f]);
      const double a_bar = sb[f] * s.d1 + s1b[f] * s.d2 * a_.d1[f], a1_bar = s1b[f] * s.d1;
      b1_[f] += a_bar;
      for (std::int64_t k = 0; k < g_; ++k) w1_[f * g_ + k] += a_bar * basis_.v[k] + a1_bar * basis_.d1[k];
    }
  }

  void store_gradient() const {
    for (const auto* sums : {&w1_, &b1_, &w2_, &b2_}) sums->store();
  }

 private:
  // act(x) for the k-th entry of x, with two derivatives by the distance
  static math::Jet<double> chain(Activation kind, const Dual& x, std::int64_t k) {
    const auto a = math::activation(kind, x.v[k]);
    return {a.v, a.d1 * x.d1[k], a.d2 * x.d1[k] * x.d1[k] + a.d1 * x.d2[k], 0.0};
  }

  void layer(const T* w, const T* b, const Dual& in, Dual& out) const {
    const std::int64_t n_in = static_cast<std::int64_t>(in.v.size());
    for (std::int64_t f = 0; f < f_; ++f) {
      out.v[f] = b[f];
      out.d1[f] = out.d2[f] = 0;
      for (std::int64_t k = 0; k < n_in; ++k) {
        out.v[f] += w[f * n_in + k] * in.v[k];
        out.d1[f] += w[f * n_in + k] * in.d1[k];
        out.d2[f] += w[f * n_in + k] * in.d2[k];
      }
    }
  }

  void run(double d) {
    for (std::int64_t k = 0; k < g_; ++k) {
      const auto g = math::radial_basis(n_.basis, static_cast<int>(k), d);
      basis_.v[k] = g.v;
      basis_.d1[k] = g.d1;
      basis_.d2[k] = g.d2;
    }
    layer(n_.w1, n_.b1, basis_, a_);
    for (std::int64_t f = 0; f < f_; ++f) {
      const auto s = chain(n_.activation, a_, f);
      s_.v[f] = s.v;
      s_.d1[f] = s.d1;
      s_.d2[f] = s.d2;
    }
    layer(n_.w2, n_.b2, s_, z_);
  }

  const FilterNetwork<T>& n_;
  std::int64_t f_, g_;
  Dual basis_, a_, s_, z_;
  Sums<T> w1_, b1_, w2_, b2_;
};

// body(e, i, j) for every directed edge, with the filter of its distance in jet.
template <class T, class Filter, class Body>
void for_each_edge(const CfconvData<T>& data, Filter& filter, FilterJet& jet, Body&& body) {
  const Graph& graph = data.graph;
  for (std::int64_t i = 0; i < graph.n_atoms; ++i)
    for (std::int64_t e = graph.row_ptr[i]; e < graph.row_ptr[i + 1]; ++e) {
      filter.evaluate(data.distance[e], jet);
      body(e, i * data.n_features, graph.idx_j[e] * data.n_features);
    }
}

template <class T, class Filter>
void forward(const CfconvData<T>& data, const CfconvResult<T>& out, Filter filter) {
  const std::int64_t n_features = data.n_features;
  Sums<T> y(out.y, data.graph.n_atoms * n_features);
  FilterJet jet(n_features);
  for_each_edge(data, filter, jet, [&](std::int64_t, std::int64_t i, std::int64_t j) {
    for (std::int64_t f = 0; f < n_features; ++f) y[i + f] += jet.w[f] * data.h[j + f];
  });
  y.store();
}

template <class T, class Filter>
void backward(const CfconvData<T>& data, const CfconvResult<T>& out, Filter filter) {
  const std::int64_t n_features = data.n_features;
  Sums<T> grad_h(out.grad_h, data.graph.n_atoms * n_features);
  Sums<double> grad_distance(out.grad_distance, data.graph.n_edges);
  FilterJet jet(n_features);
  Row wb(n_features), db(n_features, 0.0);
  for_each_edge(data, filter, jet, [&](std::int64_t e, std::int64_t i, std::int64_t j) {
    for (std::int64_t f = 0; f < n_features; ++f) {
      wb[f] = double(data.grad_y[i + f]) * data.h[j + f];
      if (grad_h) grad_h[j + f] += jet.w[f] * data.grad_y[i + f];
      if (grad_distance) grad_distance[e] += wb[f] * jet.d1[f];
    }
    if (filter.has_gradient()) filter.add_gradient(data.distance[e], wb, db);
  });
  grad_h.store();
  grad_distance.store();
  filter.store_gradient();
}

template <class T, class Filter>
void double_backward(const CfconvData<T>& data, const CfconvResult<T>& out, Filter filter) {
  const std::int64_t n_features = data.n_features, n = data.graph.n_atoms * n_features;
  Sums<T> grad_grad_y(out.grad_grad_y, n), grad_h(out.grad_h, n);
  Sums<double> grad_distance(out.grad_distance, data.graph.n_edges);
  FilterJet jet(n_features);
  Row wb(n_features), db(n_features);
  for_each_edge(data, filter, jet, [&](std::int64_t e, std::int64_t i, std::int64_t j) {
    for (std::int64_t f = 0; f < n_features; ++f) {
      const double grad_y = data.grad_y[i + f], h = data.h[j + f], u = data.u[j + f], v = data.v[e];
      wb[f] = grad_y * u;
      db[f] = v * grad_y * h;
      if (grad_grad_y) grad_grad_y[i + f] += jet.w[f] * u + v * jet.d1[f] * h;
      if (grad_h) grad_h[j + f] += v * jet.d1[f] * grad_y;
      if (grad_distance) grad_distance[e] += wb[f] * jet.d1[f] + db[f] * jet.d2[f];
    }
    if (filter.has_gradient()) filter.add_gradient(data.distance[e], wb, db);
  });
  grad_grad_y.store();
  grad_h.store();
  grad_distance.store();
  filter.store_gradient();
}

template <class T>
TableFilter<T> filter_of(const CfconvTableParams<T>& p) {
  return {p.filter, p.grad, p.data.n_features};
}
template <class T>
NetworkFilter<T> filter_of(const CfconvNetworkParams<T>& p) {
  return {p.filter, p.grad, p.data.n_features};
}

}  // namespace

#define PYFF_PLAIN_CFCONV(name, Params)                                    \
  template <class T>                                                       \
  void name##_forward(const Params<T>& p) {                                \
    forward(p.data, p.out, filter_of(p));                                  \
  }                                                                        \
  template <class T>                                                       \
  void name##_backward(const Params<T>& p) {                               \
    backward(p.data, p.out, filter_of(p));                                 \
  }                                                                        \
  template <class T>                                                       \
  void name##_double_backward(const Params<T>& p) {                        \
    double_backward(p.data, p.out, filter_of(p));                          \
  }                                                                        \
  template void name##_forward<float>(const Params<float>&);               \
  template void name##_forward<double>(const Params<double>&);             \
  template void name##_backward<float>(const Params<float>&);              \
  template void name##_backward<double>(const Params<double>&);            \
  template void name##_double_backward<float>(const Params<float>&);       \
  template void name##_double_backward<double>(const Params<double>&);

PYFF_PLAIN_CFCONV(cfconv_table, CfconvTableParams)
PYFF_PLAIN_CFCONV(cfconv_network, CfconvNetworkParams)
#undef PYFF_PLAIN_CFCONV

}  // namespace pyff::plain

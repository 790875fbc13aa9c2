// A random cfconv problem with every output, for the tests of the oracle, the CPU kernel and the CUDA kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "api/pyff.hpp"
#include "check.hpp"

namespace cfconv_test {

constexpr double kRadius = 5.0;  // cutoff, and end of the table

struct TestGraph {
  std::vector<std::int64_t> row_ptr, idx_i, idx_j, edge_rev;
  std::int64_t n_atoms;

  // n_pairs random pairs among all atoms but the last, which is isolated; some join an atom to its own image, some
  // repeat, as they do in small cells. The first atom takes part in half of them: a long row.
  TestGraph(std::int64_t atoms, int n_pairs, std::mt19937& random) : n_atoms(atoms) {
    struct Edge {
      std::int64_t i, j;
      int pair, side;
    };
    std::vector<Edge> edges;
    for (int p = 0; p < n_pairs; ++p) {
      const std::int64_t i = p % 2 ? 0 : draw(random), j = draw(random);
      edges.push_back({i, j, p, 0});
      edges.push_back({j, i, p, 1});
    }
    std::stable_sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) { return a.i < b.i; });
    row_ptr.assign(n_atoms + 1, 0);
    std::vector<std::int64_t> place(2 * n_pairs);
    for (std::size_t e = 0; e < edges.size(); ++e) place[2 * edges[e].pair + edges[e].side] = e;
    for (const Edge& e : edges) {
      ++row_ptr[e.i + 1];
      idx_i.push_back(e.i);
      idx_j.push_back(e.j);
      edge_rev.push_back(place[2 * e.pair + 1 - e.side]);
    }
    for (std::int64_t i = 0; i < n_atoms; ++i) row_ptr[i + 1] += row_ptr[i];
  }

  std::int64_t draw(std::mt19937& random) const {
    return std::uniform_int_distribution<std::int64_t>(0, std::max<std::int64_t>(n_atoms - 2, 0))(random);
  }
  std::int64_t n_edges() const { return static_cast<std::int64_t>(idx_i.size()); }
  pyff::Graph view() const {
    return {n_atoms, n_edges(), row_ptr.data(), idx_i.data(), idx_j.data(), edge_rev.data()};
  }
};

template <class T>
struct Outputs {
  std::vector<T> y, grad_h, grad_grad_y, coef, w1, b1, w2, b2;
  std::vector<double> grad_distance;

  Outputs(std::int64_t n_atoms, std::int64_t n_edges, std::int64_t f, std::int64_t g, std::int64_t k) {
    const T nan = std::numeric_limits<T>::quiet_NaN();
    for (auto* x : {&y, &grad_h, &grad_grad_y}) x->assign(n_atoms * f, nan);
    grad_distance.assign(n_edges, nan);
    coef.assign(k * 6 * f, nan);
    w1.assign(f * g, nan);
    b1.assign(f, nan);
    w2.assign(f * f, nan);
    b2.assign(f, nan);
  }
  pyff::CfconvResult<T> result(int order) {
    if (order == 0) return {y.data(), nullptr, nullptr, nullptr};
    return {nullptr, grad_h.data(), grad_distance.data(), order == 2 ? grad_grad_y.data() : nullptr};
  }
};

struct Size {
  std::int64_t n_atoms = 6;
  int n_pairs = 20;
  std::int64_t n_features = 8;
  int n_radial = 5;
  std::int64_t n_intervals = 7;
};

template <class T>
struct Problem {
  std::mt19937 random{20240611};
  Size size;
  TestGraph graph;
  std::vector<double> distance, v;
  std::vector<T> h, grad_y, u, coef, w1, b1, w2, b2;
  double start = 0.5;
  pyff::RadialKind radial = pyff::RadialKind::gaussian;
  pyff::Cutoff cutoff{static_cast<int>(pyff::CutoffKind::cosine), kRadius, 0.0};
  pyff::Activation activation = pyff::Activation::ssp, last = pyff::Activation::identity;

  explicit Problem(const Size& s) : size(s), graph(s.n_atoms, s.n_pairs, random) {
    const std::int64_t f = s.n_features, n = s.n_atoms * f;
    for (auto* x : {&h, &grad_y, &u}) fill(*x, n, 1.0);
    fill(coef, s.n_intervals * 6 * f, 1.0);
    fill(w1, f * s.n_radial, 1.0);
    fill(b1, f, 0.5);
    fill(w2, f * f, 1.0 / std::sqrt(static_cast<double>(f)));
    fill(b2, f, 0.5);
    fill(v, graph.n_edges(), 1.0);
    distance.resize(graph.n_edges());
    std::uniform_real_distribution<double> d(start + 0.05, kRadius - 0.05);
    for (std::int64_t e = 0; e < graph.n_edges(); ++e)
      if (e < graph.edge_rev[e]) distance[e] = distance[graph.edge_rev[e]] = e % 11 == 7 ? kRadius + e % 2 : d(random);
  }

  template <class X>
  void fill(std::vector<X>& x, std::int64_t n, double scale) {
    std::normal_distribution<double> normal(0.0, scale);
    x.resize(n);
    for (X& value : x) value = static_cast<X>(normal(random));
  }

  pyff::RadialBasis basis() const {
    const bool centred = radial == pyff::RadialKind::gaussian || radial == pyff::RadialKind::exp_gaussian;
    const double spacing = centred ? kRadius / std::max(size.n_radial - 1, 1) : 0.0;
    return {static_cast<int>(radial), 0.0, spacing, centred ? 0.5 / (spacing * spacing) : 0.7, size.n_radial};
  }
  Outputs<T> outputs() const {
    return {size.n_atoms, graph.n_edges(), size.n_features, size.n_radial, size.n_intervals};
  }
  pyff::CfconvData<T> data() const {
    return {graph.view(), size.n_features, distance.data(), h.data(), grad_y.data(),
            u.data(),     v.data(),        nullptr,         1};
  }
  pyff::CfconvTableParams<T> table(int order, Outputs<T>& out) const {
    return {data(),
            {coef.data(), size.n_intervals, start, (kRadius - start) / static_cast<double>(size.n_intervals)},
            out.result(order),
            {order ? out.coef.data() : nullptr}};
  }
  pyff::CfconvNetworkParams<T> network(int order, Outputs<T>& out) const {
    pyff::CfconvNetworkParams<T> p{
        data(), {w1.data(), b1.data(), w2.data(), b2.data(), basis(), cutoff, activation, last}, out.result(order), {}};
    if (order) p.grad = {out.w1.data(), out.b1.data(), out.w2.data(), out.b2.data()};
    return p;
  }
};

// Largest deviation within `tolerance` of the largest magnitude (or of `floor`); NaN fails.
template <class A, class B>
void check_close(const char* name, const A& got, const B& want, double tolerance, double floor = 1e-3) {
  double largest = floor, worst = 0;
  for (const auto x : want) largest = std::max(largest, std::fabs(static_cast<double>(x)));
  for (std::size_t k = 0; k < want.size(); ++k) {
    const double error = std::fabs(static_cast<double>(got[k]) - static_cast<double>(want[k]));
    if (!(error <= worst)) worst = error;
    if (std::isnan(worst)) break;
  }
  if (!(worst <= tolerance * largest))
    check::failed(__FILE__, __LINE__,
                  std::string(name) + " deviates by " + check::text_of(worst) + ", largest " + check::text_of(largest));
}

}  // namespace cfconv_test

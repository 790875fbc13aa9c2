// The plain cfconv against finite differences: of <grad_y, y> for the backward, of S for the double backward.
#include "cfconv_problem.hpp"
#include "kernels/cfconv.hpp"

namespace {

using namespace cfconv_test;
using P = Problem<double>;

template <class X>
double dot(const std::vector<X>& a, const std::vector<X>& b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
  return sum;
}

struct Table {
  static void run(int order, const P& p, Outputs<double>& out) {
    const auto params = p.table(order, out);
    if (order == 0) return pyff::plain::cfconv_table_forward(params);
    if (order == 1) return pyff::plain::cfconv_table_backward(params);
    pyff::plain::cfconv_table_double_backward(params);
  }
};
struct Network {
  static void run(int order, const P& p, Outputs<double>& out) {
    const auto params = p.network(order, out);
    if (order == 0) return pyff::plain::cfconv_network_forward(params);
    if (order == 1) return pyff::plain::cfconv_network_backward(params);
    pyff::plain::cfconv_network_double_backward(params);
  }
};

// The number whose gradient the order computes.
template <class Filter>
double objective(int order, const P& p) {
  auto out = p.outputs();
  Filter::run(order - 1, p, out);
  return order == 1 ? dot(out.y, p.grad_y) : dot(out.grad_h, p.u) + dot(out.grad_distance, p.v);
}

template <class Filter>
void check_gradient(int order, const char* name, P& p, std::vector<double>& x, const std::vector<double>& gradient) {
  constexpr double kStep = 1e-5;
  std::vector<double> numeric(x.size());
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double at = x[k];
    x[k] = at + kStep;
    const double up = objective<Filter>(order, p);
    x[k] = at - kStep;
    numeric[k] = (up - objective<Filter>(order, p)) / (2 * kStep);
    x[k] = at;
  }
  check_close(name, gradient, numeric, 1e-8);
}

template <class Filter>
void check_all(P p) {
  for (const int order : {1, 2}) {
    auto out = p.outputs();
    Filter::run(order, p, out);
    check_gradient<Filter>(order, "grad_h", p, p.h, out.grad_h);
    check_gradient<Filter>(order, "grad_distance", p, p.distance, out.grad_distance);
    if (order == 2) check_gradient<Filter>(order, "grad_grad_y", p, p.grad_y, out.grad_grad_y);
    if constexpr (std::is_same_v<Filter, Table>) {
      check_gradient<Filter>(order, "coef", p, p.coef, out.coef);
    } else {
      check_gradient<Filter>(order, "w1", p, p.w1, out.w1);
      check_gradient<Filter>(order, "b1", p, p.b1, out.b1);
      check_gradient<Filter>(order, "w2", p, p.w2, out.w2);
      check_gradient<Filter>(order, "b2", p, p.b2, out.b2);
    }
  }
}

P small() {
  P p(Size{4, 7, 3, 4, 5});
  const double spacing = (kRadius - p.start) / 5;
  for (std::int64_t e = 0; e < p.graph.n_edges(); ++e) {  // keep away from nodes, where the third derivative jumps
    double& d = p.distance[e];
    const double u = (d - p.start) / spacing;
    if (d < kRadius && std::fabs(u - std::round(u)) < 0.01) d += 0.02 * spacing;
    if (d >= kRadius) d += 0.3;
  }
  return p;
}

}  // namespace

TEST(cfconv_table_oracle_matches_finite_differences) { check_all<Table>(small()); }

TEST(cfconv_network_oracle_matches_finite_differences) {
  for (const auto activation : {pyff::Activation::ssp, pyff::Activation::silu, pyff::Activation::tanh})
    for (const auto kind : {pyff::CutoffKind::none, pyff::CutoffKind::cosine, pyff::CutoffKind::mollifier,
                            pyff::CutoffKind::smooth}) {
      P p = small();
      p.activation = activation;
      p.last = activation == pyff::Activation::tanh ? pyff::Activation::identity : activation;
      p.cutoff = {static_cast<int>(kind), kRadius, 3.0};
      check_all<Network>(p);
    }
}

TEST(cfconv_network_oracle_with_any_basis_matches_finite_differences) {
  for (const auto radial : {pyff::RadialKind::exp_gaussian, pyff::RadialKind::bernstein, pyff::RadialKind::bessel}) {
    P p = small();
    p.radial = radial;
    check_all<Network>(p);
  }
}

TEST(cfconv_oracle_forward_by_hand) {
  // two atoms, one pair, one feature, one interval: W(2) = 1 + 2 u + 3 u^2 at u = 0.5 is 2.75
  P p(Size{3, 1, 1, 2, 1});
  p.graph.idx_i = {0, 1};
  p.graph.idx_j = {1, 0};
  p.graph.edge_rev = {1, 0};
  p.graph.row_ptr = {0, 1, 2, 2};
  p.start = 0.0;
  p.distance = {2.5, 2.5};
  p.coef = {1, 2, 3, 0, 0, 0};
  p.h = {10, 100, 1000};
  auto out = p.outputs();
  Table::run(0, p, out);
  CHECK_NEAR(out.y[0], 275, 1e-12);
  CHECK_NEAR(out.y[1], 27.5, 1e-12);
  CHECK_EQUAL(out.y[2], 0.0);
}

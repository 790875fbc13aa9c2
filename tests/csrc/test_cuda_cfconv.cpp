// The CUDA kernels of cfconv, on the CPU through cuda/simt.hpp, against the plain oracle.
#include "cuda/cfconv.cu"

#include <cstring>

#include "cfconv_problem.hpp"
#include "kernels/cfconv.hpp"

namespace {

using namespace cfconv_test;

template <class T>
constexpr double kTolerance = sizeof(T) == 4 ? 3e-6 : 1e-12;

struct Table {
  template <class T>
  static auto params(const Problem<T>& p, int order, Outputs<T>& out) {
    return p.table(order, out);
  }
  template <class T>
  static void oracle(int order, const pyff::CfconvTableParams<T>& p) {
    if (order == 0) return pyff::plain::cfconv_table_forward(p);
    if (order == 1) return pyff::plain::cfconv_table_backward(p);
    pyff::plain::cfconv_table_double_backward(p);
  }
  template <class T>
  static std::int64_t scratch(int order, const pyff::CfconvTableParams<T>& p) {
    return pyff::cuda::cfconv_table_scratch(order, p);
  }
  template <class T>
  static void run(int order, const pyff::CfconvTableParams<T>& p, const pyff::cuda::Call& call) {
    pyff::cuda::cfconv_table(order, p, call);
  }
  template <class T>
  static void drop_parameters(pyff::CfconvTableParams<T>& p) {
    p.grad.coef = nullptr;
  }
};

struct Network {
  template <class T>
  static auto params(const Problem<T>& p, int order, Outputs<T>& out) {
    return p.network(order, out);
  }
  template <class T>
  static void oracle(int order, const pyff::CfconvNetworkParams<T>& p) {
    if (order == 0) return pyff::plain::cfconv_network_forward(p);
    if (order == 1) return pyff::plain::cfconv_network_backward(p);
    pyff::plain::cfconv_network_double_backward(p);
  }
  template <class T>
  static std::int64_t scratch(int order, const pyff::CfconvNetworkParams<T>& p) {
    return pyff::cuda::cfconv_network_scratch(order, p);
  }
  template <class T>
  static void run(int order, const pyff::CfconvNetworkParams<T>& p, const pyff::cuda::Call& call) {
    pyff::cuda::cfconv_network(order, p, call);
  }
  template <class T>
  static void drop_parameters(pyff::CfconvNetworkParams<T>& p) {
    p.grad = {};
  }
};

template <class Kind, class Params>
void run_cuda(int order, const Params& params, std::int64_t less_scratch = 0) {
  std::vector<double> scratch(Kind::scratch(order, params) / sizeof(double) + 1, NAN);
  const auto bytes = static_cast<std::int64_t>(scratch.size() * sizeof(double)) - less_scratch;
  Kind::run(order, params, {nullptr, scratch.data(), bytes});
}

template <class T>
void compare(Outputs<T>& got, Outputs<T>& want, int order, bool table) {
  const double tolerance = kTolerance<T>;
  if (order == 0) return check_close("y", got.y, want.y, tolerance);
  check_close("grad_h", got.grad_h, want.grad_h, tolerance);
  check_close("grad_distance", got.grad_distance, want.grad_distance, tolerance);
  if (order == 2) check_close("grad_grad_y", got.grad_grad_y, want.grad_grad_y, tolerance);
  if (table) return check_close("coef", got.coef, want.coef, tolerance);
  check_close("w1", got.w1, want.w1, tolerance);
  check_close("b1", got.b1, want.b1, tolerance);
  check_close("w2", got.w2, want.w2, tolerance);
  check_close("b2", got.b2, want.b2, tolerance);
}

template <class Kind, class T>
void check_against_oracle(const Problem<T>& problem, std::int64_t less_scratch = 0) {
  for (const int order : {0, 1, 2}) {
    auto got = problem.outputs(), want = problem.outputs();
    Kind::oracle(order, Kind::params(problem, order, want));
    run_cuda<Kind>(order, Kind::params(problem, order, got), less_scratch);
    compare(got, want, order, std::is_same_v<Kind, Table>);
  }
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// Threads in reverse order change nothing: no output depends on who comes first, and no barrier is missing.
template <class Kind>
void check_order_of_threads(const Problem<float>& problem) {
  for (const int order : {0, 1, 2}) {
    auto forward = problem.outputs(), reverse = problem.outputs();
    run_cuda<Kind>(order, Kind::params(problem, order, forward));
    pyff::simt::host_order() = pyff::simt::Order::reverse;
    run_cuda<Kind>(order, Kind::params(problem, order, reverse));
    pyff::simt::host_order() = pyff::simt::Order::forward;
    CHECK(same_bits(forward.y, reverse.y));
    CHECK(same_bits(forward.grad_h, reverse.grad_h));
    CHECK(same_bits(forward.grad_grad_y, reverse.grad_grad_y));
    CHECK(same_bits(forward.grad_distance, reverse.grad_distance));
    CHECK(same_bits(forward.coef, reverse.coef));
    CHECK(same_bits(forward.w1, reverse.w1));
    CHECK(same_bits(forward.b1, reverse.b1));
    CHECK(same_bits(forward.w2, reverse.w2));
    CHECK(same_bits(forward.b2, reverse.b2));
  }
}

// Each output alone: the others are null, and the wanted one is the same as when all are.
template <class Kind>
void check_single_outputs(const Problem<double>& problem) {
  for (const int order : {1, 2}) {
    auto all = problem.outputs();
    run_cuda<Kind>(order, Kind::params(problem, order, all));
    for (const int which : {0, 1, 2, 3}) {
      auto one = problem.outputs();
      auto p = Kind::params(problem, order, one);
      if (which != 0) p.out.grad_h = nullptr;
      if (which != 1) p.out.grad_distance = nullptr;
      if (which != 2) p.out.grad_grad_y = nullptr;
      if (which != 3) Kind::drop_parameters(p);
      run_cuda<Kind>(order, p);
      if (which == 0) CHECK(same_bits(one.grad_h, all.grad_h));
      if (which == 1) CHECK(same_bits(one.grad_distance, all.grad_distance));
      if (which == 2 && order == 2) CHECK(same_bits(one.grad_grad_y, all.grad_grad_y));
      constexpr bool table = std::is_same_v<Kind, Table>;
      if (which == 3) CHECK(table ? same_bits(one.coef, all.coef) : same_bits(one.w2, all.w2));
      if (which != 0) CHECK(std::isnan(one.grad_h[0]));
      if (which != 3) CHECK(std::isnan(one.coef[0]) && std::isnan(one.w1[0]));
    }
  }
}

}  // namespace

TEST(cuda_cfconv_table_matches_the_oracle) {
  // features: whole packs, an odd number, more than one chunk of a warp, one
  for (const std::int64_t f : {8, 5, 132, 1}) {
    check_against_oracle<Table>(Problem<float>(Size{6, 20, f, 2, 7}));
    check_against_oracle<Table>(Problem<double>(Size{6, 20, f, 2, 7}));
  }
}

TEST(cuda_cfconv_table_gradient_over_several_slices_matches_the_oracle) {
  check_against_oracle<Table>(Problem<double>(Size{5, 4200, 2, 2, 3}));
}

TEST(cuda_cfconv_table_extrapolates_below_its_first_node_like_the_oracle) {
  Problem<double> p(Size{6, 20, 4, 2, 7});
  for (std::int64_t e = 0; e < p.graph.n_edges(); ++e)
    if (e % 5 == 0) p.distance[e] = p.distance[p.graph.edge_rev[e]] = 0.4;
  check_against_oracle<Table>(p);
}

TEST(cuda_cfconv_network_matches_the_oracle) {
  for (const std::int64_t f : {8, 5, 132}) {
    check_against_oracle<Network>(Problem<float>(Size{6, 20, f, 5, 2}));
    check_against_oracle<Network>(Problem<double>(Size{6, 20, f, 5, 2}));
  }
}

TEST(cuda_cfconv_network_variants_match_the_oracle) {
  for (const auto activation : {pyff::Activation::ssp, pyff::Activation::silu, pyff::Activation::tanh})
    for (const auto kind : {pyff::CutoffKind::none, pyff::CutoffKind::mollifier, pyff::CutoffKind::smooth}) {
      Problem<double> p(Size{4, 9, 6, 18, 2});
      p.activation = activation;
      p.last = activation == pyff::Activation::tanh ? pyff::Activation::identity : activation;
      p.cutoff = {static_cast<int>(kind), kRadius, 3.0};
      check_against_oracle<Network>(p);
    }
}

TEST(cuda_cfconv_network_with_any_basis_and_cutoff_matches_the_oracle) {
  const auto cutoffs = {pyff::CutoffKind::polynomial3, pyff::CutoffKind::polynomial6, pyff::CutoffKind::none};
  auto cutoff = cutoffs.begin();
  for (const auto radial : {pyff::RadialKind::exp_gaussian, pyff::RadialKind::bernstein, pyff::RadialKind::bessel}) {
    Problem<double> p(Size{4, 9, 6, 8, 2});
    p.radial = radial;
    p.cutoff = {static_cast<int>(*cutoff++), kRadius, 0.0};
    check_against_oracle<Network>(p);
  }
}

TEST(cuda_cfconv_network_with_several_tiles_of_pairs_matches_the_oracle) {
  check_against_oracle<Network>(Problem<float>(Size{8, 75, 6, 3, 2}));
}

// More tiles than blocks that keep sums: a block adds up several tiles.
TEST(cuda_cfconv_network_gradient_of_many_tiles_matches_the_oracle) {
  const Problem<double> p(Size{5, 8300, 2, 3, 2});
  auto got = p.outputs(), want = p.outputs();
  auto params = p.network(2, got);
  params.out = {};
  pyff::simt::host_order() = pyff::simt::Order::reverse;
  run_cuda<Network>(2, params);
  pyff::simt::host_order() = pyff::simt::Order::forward;
  pyff::plain::cfconv_network_double_backward(p.network(2, want));
  check_close("w1", got.w1, want.w1, 1e-11);
  check_close("b1", got.b1, want.b1, 1e-11);
  check_close("w2", got.w2, want.w2, 1e-11);
  check_close("b2", got.b2, want.b2, 1e-11);
}

TEST(cuda_cfconv_network_in_several_passes_matches_the_oracle) {
  // 20 pairs of 32 features x 3 derivatives x 8 bytes are 15 kB; take most of them away
  check_against_oracle<Network>(Problem<double>(Size{6, 20, 32, 5, 2}), 4096);
  Problem<double> p(Size{6, 20, 32, 5, 2});
  auto out = p.outputs();
  CHECK_THROWS(run_cuda<Network>(1, p.network(1, out), 1 << 20), pyff::Error, "scratch must");
}

TEST(cuda_cfconv_without_edges_gives_zeros) {
  check_against_oracle<Table>(Problem<float>(Size{3, 0, 8, 5, 7}));
  check_against_oracle<Network>(Problem<float>(Size{3, 0, 8, 5, 7}));
}

TEST(cuda_cfconv_without_atoms_does_nothing) {
  check_against_oracle<Table>(Problem<double>(Size{0, 0, 8, 5, 7}));
  check_against_oracle<Network>(Problem<double>(Size{0, 0, 8, 5, 7}));
}

TEST(cuda_cfconv_is_the_same_bits_in_any_order_of_threads) {
  check_order_of_threads<Table>(Problem<float>(Size{6, 20, 8, 5, 7}));
  check_order_of_threads<Network>(Problem<float>(Size{6, 20, 8, 5, 7}));
}

TEST(cuda_cfconv_computes_only_the_wanted_outputs) {
  check_single_outputs<Table>(Problem<double>(Size{5, 9, 4, 3, 4}));
  check_single_outputs<Network>(Problem<double>(Size{5, 9, 4, 3, 4}));
}

TEST(cuda_cfconv_refuses_missing_inputs) {
  Problem<double> p(Size{5, 9, 4, 3, 4});
  auto out = p.outputs();
  auto params = p.table(2, out);
  params.data.u = nullptr;
  CHECK_THROWS(run_cuda<Table>(2, params), pyff::Error, "u or v is missing");
}

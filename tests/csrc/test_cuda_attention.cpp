// The CUDA kernels of equivariant attention, on the CPU through cuda/simt.hpp, against the CPU kernel, which the Python
// tests compare with the plain-torch twin.
#include "cuda/equivariant_attention.cu"

#include <cstring>

#include "attention_problem.hpp"
#include "cpu/attention_memory.hpp"
#include "cpu/dispatch.hpp"

namespace {

using namespace attention_test;

template <class T>
constexpr double kTolerance = sizeof(T) == 4 ? 5e-6 : 1e-12;

template <class T>
void run_cpu(int order, pyff::AttentionParams<T> p) {
  const auto mode = static_cast<pyff::PYFF_ISA::AttentionMode>(order);
  std::vector<T> scratch(
      pyff::PYFF_ISA::attention_scratch_elements<T>(p.shape, p.graph.n_atoms, mode, p.threads) + 1, T(NAN));
  p.scratch = scratch.data();
  if (order == 0) return pyff::equivariant_attention_forward(p);
  if (order == 1) return pyff::equivariant_attention_backward(p);
  pyff::equivariant_attention_double_backward(p);
}

template <class T>
void run_cuda(int order, const pyff::AttentionParams<T>& p) {
  std::vector<double> scratch(pyff::cuda::equivariant_attention_scratch(order, p) / sizeof(double) + 1, NAN);
  const auto bytes = static_cast<std::int64_t>(scratch.size() * sizeof(double));
  pyff::cuda::equivariant_attention(order, p, {nullptr, scratch.data(), bytes});
}

// The arrays of a call's outputs in doubles, by name.
template <class T>
std::vector<std::pair<std::string, std::vector<double>>> named(Outputs<T> out, int order) {
  std::vector<std::pair<std::string, std::vector<double>>> arrays;
  const auto add = [&](const std::string& name, const auto& x) {
    arrays.emplace_back(std::to_string(order) + " " + name, std::vector<double>(x.begin(), x.end()));
  };
  if (order != 1) add("x", out.x), add("message ev", out.ev);
  if (order != 0) out.grad.each(add);
  return arrays;
}

template <class T>
void check_against_cpu(const Problem<T>& problem) {
  for (const int order : {0, 1, 2}) {
    auto got = problem.outputs(), want = problem.outputs();
    run_cpu(order, problem.params(order, want));
    run_cuda(order, problem.params(order, got));
    const auto ours = named(got, order), theirs = named(want, order);
    for (std::size_t k = 0; k < ours.size(); ++k)
      cfconv_test::check_close(ours[k].first.c_str(), ours[k].second, theirs[k].second, kTolerance<T>);
  }
}

template <class A, class B>
bool same_bits(const A& a, const B& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
}

}  // namespace

TEST(cuda_attention_matches_the_cpu_kernel) {
  check_against_cpu(Problem<float>(Size{}));
  check_against_cpu(Problem<double>(Size{}));
  Size even;  // nodes evenly in the distance
  even.decay = 0;
  check_against_cpu(Problem<double>(even));
}

TEST(cuda_attention_with_filters_edge_by_edge_matches_the_cpu_kernel) {
  Size size;
  size.n_intervals = 0;
  check_against_cpu(Problem<double>(size));
  size.n_hidden = 0;
  check_against_cpu(Problem<float>(size));
}

TEST(cuda_attention_without_spherical_filter_matches_the_cpu_kernel) {
  Size size;
  size.n_hidden = 0;
  check_against_cpu(Problem<double>(size));
}

// One channel per head; one head; more channels than threads; repeated degrees; one degree.
TEST(cuda_attention_with_any_heads_and_degrees_matches_the_cpu_kernel) {
  check_against_cpu(Problem<double>(Size{{1, 2, 1, 4}, 4, 4, 3, 5, 5, 9}));
  check_against_cpu(Problem<double>(Size{{4}, 1, 5, 6, 5, 5, 9}));
  check_against_cpu(Problem<float>(Size{{1, 2, 3, 4}, 4, 136, 33, 4, 4, 6}));
  check_against_cpu(Problem<double>(Size{{1, 2, 3}, 4, 132, 33, 4, 4, 6}));
}

// Rows beyond what a block looks at in one step, and tiles of every fill.
TEST(cuda_attention_with_long_rows_matches_the_cpu_kernel) {
  check_against_cpu(Problem<double>(Size{{1, 2}, 1, 4, 2, 3, 4, 330}));
}

// Enough features that a tile holds fewer rows than threads like to share.
TEST(cuda_attention_with_wide_features_matches_the_cpu_kernel) {
  check_against_cpu(Problem<double>(Size{{1}, 8, 1000, 3, 2, 3, 4}));
}

TEST(cuda_attention_variants_match_the_cpu_kernel) {
  for (const auto activation : {pyff::Activation::ssp, pyff::Activation::tanh, pyff::Activation::identity}) {
    Problem<double> p(Size{{1, 3}, 2, 6, 4, 4, 4, 8});
    p.activation = activation;
    p.cutoff = {static_cast<int>(pyff::CutoffKind::mollifier), kRadius, 0.0};
    check_against_cpu(p);
  }
}

TEST(cuda_attention_without_edges_gives_zeros) {
  check_against_cpu(Problem<float>(Size{{1, 2, 3}, 2, 12, 5, 7, 3, 0}));
  check_against_cpu(Problem<double>(Size{{1, 2, 3}, 2, 12, 5, 7, 0, 0}));
}

// Threads in reverse order change nothing: no output depends on who comes first, and no barrier is missing.
TEST(cuda_attention_is_the_same_bits_in_any_order_of_threads) {
  for (const std::int64_t intervals : {7, 0})
    for (const int order : {0, 1, 2}) {
      Size size;
      size.n_intervals = intervals;
      const Problem<float> problem(size);
      auto forward = problem.outputs(), reverse = problem.outputs();
      run_cuda(order, problem.params(order, forward));
      pyff::simt::host_order() = pyff::simt::Order::reverse;
      run_cuda(order, problem.params(order, reverse));
      pyff::simt::host_order() = pyff::simt::Order::forward;
      const auto one = named(forward, order), other = named(reverse, order);
      for (std::size_t k = 0; k < one.size(); ++k) CHECK(same_bits(one[k].second, other[k].second));
    }
}

// Each group of outputs alone: the others are null, and the wanted one is the same as when all are.
TEST(cuda_attention_computes_only_the_wanted_outputs) {
  const Problem<double> problem(Size{{1, 2}, 2, 4, 3, 4, 5, 9});
  for (const int order : {1, 2}) {
    auto all = problem.outputs();
    run_cuda(order, problem.params(order, all));
    for (int which = 0; which < 6; ++which) {
      auto one = problem.outputs();
      auto p = problem.params(order, one);
      if (which != 0) p.grad.q1 = p.grad.k1 = p.grad.v1 = p.grad.q2 = p.grad.k2 = nullptr;
      if (which != 1) p.grad.ev = nullptr;
      if (which != 2) p.grad.radial = nullptr;
      if (which != 3) p.grad.ws1 = p.grad.bs1 = p.grad.ws2 = p.grad.bs2 = nullptr;
      if (which != 4) p.grad.vec = nullptr;
      if (which != 5) p.x = p.ev = nullptr;
      run_cuda(order, p);
      CHECK(which == 0 ? same_bits(one.grad.k1, all.grad.k1) : std::isnan(one.grad.k1[0]));
      CHECK(which == 1 ? same_bits(one.grad.ev, all.grad.ev) : std::isnan(one.grad.ev[0]));
      CHECK(which == 2 ? same_bits(one.grad.radial, all.grad.radial) : std::isnan(one.grad.radial[0]));
      CHECK(which == 3 ? same_bits(one.grad.ws2, all.grad.ws2) : std::isnan(one.grad.ws2[0]));
      CHECK(which == 4 ? same_bits(one.grad.vec, all.grad.vec) : std::isnan(one.grad.vec[0]));
      CHECK(which == 5 && order == 2 ? same_bits(one.x, all.x) : std::isnan(one.x[0]));
    }
  }
}

TEST(cuda_attention_refuses_what_it_cannot_hold) {
  const Problem<double> wide(Size{{1}, 1, 9000, 0, 1, 2, 1});
  auto out = wide.outputs();
  CHECK_THROWS(run_cuda(1, wide.params(1, out)), pyff::Error, "received 9000 features");
  const Problem<double> problem(Size{});
  auto small = problem.outputs();
  auto p = problem.params(1, small);
  CHECK_THROWS(pyff::cuda::equivariant_attention(1, p, {nullptr, nullptr, 0}), pyff::Error, "scratch must");
  p.shape.n_heads = 5;
  CHECK_THROWS(run_cuda(1, p), pyff::Error, "multiple of the heads, 5");
}

// Distance matrices: the CPU kernel against the sums as they read, the CUDA kernel, on the CPU through cuda/simt.hpp,
// against the same.
#include "cuda/distance_matrix.cu"

#include <random>
#include <vector>

#include "check.hpp"
#include "cpu/dispatch.hpp"

namespace {

using pyff::DistanceKind;

constexpr double kSigma = 7.5;
constexpr DistanceKind kKinds[] = {DistanceKind::l1, DistanceKind::l2, DistanceKind::laplacian, DistanceKind::gaussian};

std::vector<double> draw(std::int64_t n, unsigned seed) {
  std::mt19937 random{seed};
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> x(n);
  for (double& value : x) value = uniform(random);
  return x;
}

double plain(DistanceKind kind, const double* x, const double* y, std::int64_t n) {
  long double l1 = 0, l2 = 0;
  for (std::int64_t f = 0; f < n; ++f) {
    l1 += std::fabs(x[f] - y[f]);
    l2 += (x[f] - y[f]) * (x[f] - y[f]);
  }
  if (kind == DistanceKind::l1) return l1;
  if (kind == DistanceKind::l2) return std::sqrt(l2);
  return kind == DistanceKind::laplacian ? std::exp(-l1 / kSigma) : std::exp(-l2 / (2 * kSigma * kSigma));
}

template <class Run>
void check_all(std::int64_t n, std::int64_t m, std::int64_t features, Run&& run) {
  const auto x = draw(n * features, 1), other = draw(m * features, 2);
  for (const bool same : {false, true}) {
    if (same && n != m) continue;
    const auto& y = same ? x : other;
    for (const auto kind : kKinds) {
      std::vector<double> out(n * m, NAN);
      run(pyff::DistanceParams{n, m, features, x.data(), y.data(), kind, kSigma, out.data(), 3});
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < m; ++j) {
          const double expected = plain(kind, x.data() + i * features, y.data() + j * features, features);
          CHECK_NEAR(out[i * m + j], expected, 1e-13 * (1 + features));
          if (same) CHECK(out[i * m + j] == out[j * m + i]);
        }
    }
  }
}

void cpu(const pyff::DistanceParams& p) { pyff::distance_matrix(p); }
void cuda(const pyff::DistanceParams& p) { pyff::cuda::distance_matrix(0, p, {nullptr, nullptr, 0}); }

}  // namespace

TEST(distance_matrix_equals_the_plain_sums) {
  check_all(1, 1, 1, cpu);
  check_all(19, 19, 5, cpu);
  check_all(150, 150, 300, cpu);  // several blocks of rows, several panels of features, threads
  check_all(70, 33, 17, cpu);
  check_all(3, 40, 0, cpu);
}

TEST(cuda_distance_matrix_equals_the_plain_sums) {
  check_all(1, 1, 1, cuda);
  check_all(70, 70, 17, cuda);
  check_all(5, 130, 33, cuda);
}

TEST(distance_matrix_of_nothing_is_nothing) {
  check_all(0, 0, 4, cpu);
  check_all(0, 0, 4, cuda);
  check_all(0, 5, 4, cpu);
}

TEST(cuda_distance_matrix_is_the_same_bits_in_any_order_of_threads) {
  const auto x = draw(40 * 9, 1);
  std::vector<double> a(1600, NAN), b(1600, NAN);
  cuda({40, 40, 9, x.data(), x.data(), DistanceKind::gaussian, kSigma, a.data(), 1});
  pyff::simt::host_order() = pyff::simt::Order::reverse;
  cuda({40, 40, 9, x.data(), x.data(), DistanceKind::gaussian, kSigma, b.data(), 1});
  pyff::simt::host_order() = pyff::simt::Order::forward;
  CHECK(a == b);
}

TEST(cuda_distance_matrix_refuses_an_unknown_kind) {
  double x = 0;
  CHECK_THROWS(cuda({1, 1, 1, &x, &x, static_cast<DistanceKind>(4), 1, &x, 1}), pyff::Error, "kind of a distance");
}

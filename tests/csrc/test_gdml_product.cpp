// The shipped expansions of GDML against plain sums over training points and permutations.
#include "cpu/dispatch.hpp"
#include "cpu/gdml_product_memory.hpp"
#include "gdml_problem.hpp"

using gdml_test::Doubles;

TEST(gdml_product_equals_plain_sums_for_any_number_of_threads) {
  for (const int threads : {1, 2, 5})
    gdml_test::check_all([&](pyff::GdmlProductParams p) {
      Doubles scratch(pyff::PYFF_ISA::gdml_scratch_per_thread(p.expansion) * threads);
      p.scratch = scratch.data();
      p.threads = threads;
      pyff::gdml_product(p);
    });
}

// The derivative of the oracle's own energy: what f means does not rest on the kernels.
TEST(gdml_forces_are_the_gradient_of_the_energy) {
  const gdml_test::Problem problem({1, 9, 10, 3}, pyff::RadialProfileKind::matern52, true);
  Doubles query = problem.query, f(10), unused(10);
  for (double& x : query) x += 0.05;  // off the training point
  pyff::plain::gdml_product(problem.training, query.data(), f.data());
  for (const std::size_t d : {0u, 7u}) {
    const double step = 1e-5;
    Doubles plus = query, minus = query;
    plus[d] += step, minus[d] -= step;
    const double slope = (pyff::plain::gdml_product(problem.training, plus.data(), unused.data()) -
                          pyff::plain::gdml_product(problem.training, minus.data(), unused.data())) /
                         (2 * step);
    CHECK_NEAR(-slope, f[d], 1e-7 * (1 + std::fabs(f[d])));
  }
}

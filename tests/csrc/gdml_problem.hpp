// Random GDML expansions for the tests of the CPU's and the CUDA kernels.
#pragma once

#include <algorithm>
#include <numeric>
#include <random>

#include "check.hpp"
#include "kernels/gdml_product.hpp"

namespace gdml_test {

using Doubles = std::vector<double>;

struct Size {
  std::int64_t n_queries, n_train, n_pairs, n_perms;
};

// Remainders of rows, of blocks and of entries; more rows than a group, and more entries than a chunk.
constexpr Size kSizes[] = {{1, 1, 1, 1}, {1, 17, 3, 2}, {3, 33, 10, 5}, {2, 300, 36, 12}, {50, 20, 15, 1}, {1, 70, 78, 60}};

struct Problem {
  Size size;
  pyff::plain::GdmlTraining training;
  Doubles query;

  Problem(const Size& s, pyff::RadialProfileKind kind, bool energies) : size(s) {
    std::mt19937_64 random(7);
    const auto draw = [&](std::int64_t n) {
      Doubles x(n);
      for (double& value : x) value = std::uniform_real_distribution<double>(0.1, 1)(random);
      return x;
    };
    training = {s.n_pairs, draw(s.n_train * s.n_pairs), draw(s.n_train * s.n_pairs), draw(energies ? s.n_train : 0),
                {}, {static_cast<int>(kind), 1.3}};
    query = draw(s.n_queries * s.n_pairs);
    std::copy_n(training.train.begin(), s.n_pairs, query.begin());  // the first query is a training point
    std::vector<std::int64_t> perm(s.n_pairs);
    std::iota(perm.begin(), perm.end(), 0);
    for (std::int64_t p = 0; p < s.n_perms; ++p) {
      training.perms.insert(training.perms.end(), perm.begin(), perm.end());
      std::shuffle(perm.begin(), perm.end(), random);
    }
  }
};

// f and E of all queries.
struct Result {
  Doubles f, energy;
  explicit Result(const Size& s) : f(s.n_queries * s.n_pairs, NAN), energy(s.n_queries, NAN) {}
};

inline Result expected(const Problem& problem) {
  Result out(problem.size);
  for (std::int64_t b = 0; b < problem.size.n_queries; ++b)
    out.energy[b] = pyff::plain::gdml_product(problem.training, &problem.query[b * problem.size.n_pairs],
                                              &out.f[b * problem.size.n_pairs]);
  return out;
}

inline void check_close(const Doubles& got, const Doubles& want) {
  double scale = 0, worst = 0;
  for (std::size_t k = 0; k < want.size(); ++k) {
    scale = std::max(scale, std::fabs(want[k]));
    const double error = std::fabs(got[k] - want[k]);
    worst = error <= worst ? worst : error;  // takes NaN
  }
  CHECK_NEAR(worst, 0, 1e-12 * scale);
}

// run(params with packed arrays) against the oracle, for all sizes and profiles.
template <class Run>
void check_all(Run&& run) {
  for (const Size& size : kSizes)
    for (const auto kind : {pyff::RadialProfileKind::matern52, pyff::RadialProfileKind::rbf})
      for (const bool energies : {false, true}) {
        const Problem problem(size, kind, energies);
        const pyff::plain::GdmlPacked packed(problem.training);
        Result got(size);
        run(pyff::GdmlProductParams{packed.view, size.n_queries, problem.query.data(), got.f.data(), got.energy.data(),
                                    nullptr, 1});
        const Result want = expected(problem);
        check_close(got.f, want.f);
        check_close(got.energy, want.energy);
      }
}

}  // namespace gdml_test

// The shipped kernel matrices against dense Jacobians.
#include <cstring>

#include "check.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/gdml_memory.hpp"
#include "gdml_matrix_problem.hpp"
#include "kernels/gdml_matrix.hpp"

namespace {

using namespace gdml_matrix_test;

Doubles oracle(const Problem& q) {
  Doubles out(q.height() * q.width(), NAN);
  pyff::plain::gdml_matrix(q.matrix(out));
  return out;
}

Doubles scratch(const Problem& q, std::int64_t n_tables, int threads) {
  return Doubles(pyff::PYFF_ISA::gdml_scratch_elements(q.n, q.p, n_tables, threads), NAN);
}

double largest(const Doubles& values) {
  double most = 0;
  for (double x : values) most = std::fmax(most, std::fabs(x));
  return most;
}

void check_matrix(const Problem& q, int threads) {
  const Doubles want = oracle(q);
  Doubles got(want.size(), NAN), memory = scratch(q, q.columns.m, threads);
  auto p = q.matrix(got);
  p.scratch = memory.data();
  p.threads = threads;
  pyff::gdml_matrix(p);
  const double tolerance = 1e-13 * largest(want);
  for (std::size_t k = 0; k < want.size(); ++k) CHECK_NEAR(got[k], want[k], tolerance);
}

void check_columns(const Problem& q, int threads) {
  const Doubles want = oracle(q);
  const Chosen chosen(q);
  Doubles got(chosen.column.size() * q.height(), NAN), memory = scratch(q, q.rows.m, threads);
  auto p = chosen.params(q, got);
  p.scratch = memory.data();
  p.threads = threads;
  pyff::gdml_columns(p);
  const double tolerance = 1e-13 * largest(want);
  for (std::size_t t = 0; t < chosen.column.size(); ++t)
    for (std::int64_t row = 0; row < q.height(); ++row)
      CHECK_NEAR(got[t * q.height() + row], want[row * q.width() + chosen.column[t]], tolerance);
}

// kernel(p), as a whole and in two parts, writes the same bits.
template <class Params, class Kernel>
void check_parts(Params p, Doubles& out, Kernel&& kernel) {
  kernel(p);
  const Doubles whole = out;
  const std::int64_t end = p.end, middle = end / 2;
  out.assign(out.size(), NAN);
  p.end = middle;
  kernel(p);
  p.begin = middle, p.end = end;
  kernel(p);
  CHECK(std::memcmp(out.data(), whole.data(), out.size() * sizeof(double)) == 0);
}

void check_parts(const Problem& q, int threads) {
  Doubles matrix(q.height() * q.width(), NAN), memory = scratch(q, q.columns.m, threads);
  auto p = q.matrix(matrix);
  p.scratch = memory.data(), p.threads = threads;
  check_parts(p, matrix, [](const auto& part) { pyff::gdml_matrix(part); });
  const Chosen chosen(q);
  Doubles columns(chosen.column.size() * q.height(), NAN);
  memory = scratch(q, q.rows.m, threads);
  auto c = chosen.params(q, columns);
  c.scratch = memory.data(), c.threads = threads;
  check_parts(c, columns, [](const auto& part) { pyff::gdml_columns(part); });
}

template <class Check>
void for_problems(Check&& check) {
  for (int kind : {0, 1})
    for (bool energies : {false, true})
      for (int threads : {1, 3}) {
        check(Problem(2, 2, 2, 3, kind, energies), threads);
        check(Problem(5, 3, 3, 2, kind, energies), threads);
        check(Problem(9, 6, 4, 5, kind, energies), threads);
      }
  check(Problem(18, 2, 2, 2, 0, true), 1);
}

}  // namespace

TEST(gdml_matrix_equals_dense_jacobians) { for_problems(check_matrix); }

TEST(gdml_columns_equal_dense_jacobians) { for_problems(check_columns); }

TEST(gdml_matrices_in_parts_are_the_same_bits) {
  for_problems([](auto... q) { check_parts(q...); });
}

TEST(gdml_matrix_in_parts_of_the_permutations) {
  Problem q(20, 2, 2, 2, 0, true);  // 33 copies of the two do not fit into the cache together
  const Indices once = q.perms;
  for (int k = 1; k < 33; ++k) q.perms.insert(q.perms.end(), once.begin(), once.end());
  q.p = 66;
  q.inverse_perms = inverse(q.perms, q.n);
  CHECK(pyff::PYFF_ISA::gdml_perms_at_once(q.n, q.p) < q.p);
  check_matrix(q, 2);
  check_columns(q, 2);
}

TEST(gdml_gram_is_the_upper_triangle) {
  for (bool energies : {false, true})
    for (int threads : {1, 2, 4}) {
      Problem q(6, 4, 5, 5, 0, energies);
      q.columns = q.rows;
      const Doubles want = oracle(q);
      Doubles got(want.size(), NAN), memory = scratch(q, q.columns.m, threads);
      auto p = q.matrix(got);
      p.upper = true;
      p.end = q.rows.m * (q.rows.m + 1) / 2;
      p.scratch = memory.data();
      p.threads = threads;
      pyff::gdml_matrix(p);
      const double tolerance = 1e-13 * largest(want);
      for (std::int64_t r = 0; r < q.height(); ++r)
        for (std::int64_t c = r; c < q.width(); ++c)
          CHECK_NEAR(got[r * q.width() + c], want[r * q.width() + c], tolerance);
    }
}

// The CUDA kernels of kernel matrices, on the CPU through cuda/simt.hpp, against dense Jacobians.
#include "cuda/gdml_matrix.cu"

#include "check.hpp"
#include "gdml_matrix_problem.hpp"
#include "kernels/gdml_matrix.hpp"

namespace {

using namespace gdml_matrix_test;

const pyff::cuda::Call kCall{nullptr, nullptr, 0};

Doubles oracle(const Problem& q) {
  Doubles out(q.height() * q.width(), NAN);
  pyff::plain::gdml_matrix(q.matrix(out));
  return out;
}

double tolerance(const Doubles& want) {
  double most = 0;
  for (double x : want) most = std::fmax(most, std::fabs(x));
  return 1e-13 * most;
}

Doubles matrix(const Problem& q, bool upper = false) {
  Doubles got(q.height() * q.width(), NAN);
  auto p = q.matrix(got);
  p.upper = upper;
  pyff::cuda::gdml_matrix(0, p, kCall);
  return got;
}

void check_all(const Problem& q) {
  const Doubles want = oracle(q), got = matrix(q);
  for (std::size_t k = 0; k < want.size(); ++k) CHECK_NEAR(got[k], want[k], tolerance(want));
  const Chosen chosen(q);
  Doubles columns(chosen.column.size() * q.height(), NAN);
  pyff::cuda::gdml_columns(0, chosen.params(q, columns), kCall);
  for (std::size_t t = 0; t < chosen.column.size(); ++t)
    for (std::int64_t row = 0; row < q.height(); ++row)
      CHECK_NEAR(columns[t * q.height() + row], want[row * q.width() + chosen.column[t]], tolerance(want));
}

}  // namespace

TEST(cuda_gdml_matrix_equals_dense_jacobians) {
  for (int kind : {0, 1})
    for (bool energies : {false, true}) {
      check_all(Problem(2, 2, 2, 3, kind, energies));
      check_all(Problem(5, 3, 3, 2, kind, energies));
    }
  check_all(Problem(12, 6, 2, 2, 0, true));
}

TEST(cuda_gdml_matrix_in_parts_of_the_permutations) {
  Problem q(8, 4, 2, 2, 0, true);
  const Indices once = q.perms;
  for (int k = 1; k < 12; ++k) q.perms.insert(q.perms.end(), once.begin(), once.end());
  q.p = 48;
  q.inverse_perms = inverse(q.perms, q.n);
  CHECK(pyff::cuda::gdml_perms_in_shared(q.n, q.p) < q.p);
  check_all(q);
}

TEST(cuda_gdml_gram_is_the_upper_triangle) {
  for (bool energies : {false, true}) {
    Problem q(4, 3, 4, 4, 0, energies);
    q.columns = q.rows;
    const Doubles want = oracle(q), got = matrix(q, true);
    for (std::int64_t r = 0; r < q.height(); ++r)
      for (std::int64_t c = r; c < q.width(); ++c)
        CHECK_NEAR(got[r * q.width() + c], want[r * q.width() + c], tolerance(want));
    CHECK(std::isnan(got[3 * q.n * q.width()]));  // below the diagonal
  }
}

TEST(cuda_gdml_matrix_is_the_same_bits_in_any_order_of_threads) {
  const Problem q(6, 3, 2, 3, 0, true);
  const Doubles forward = matrix(q);
  pyff::simt::host_order() = pyff::simt::Order::reverse;
  const Doubles reverse = matrix(q);
  pyff::simt::host_order() = pyff::simt::Order::forward;
  CHECK(forward == reverse);
}

TEST(cuda_gdml_matrix_of_nothing_and_of_too_many_atoms) {
  check_all(Problem(3, 1, 0, 2, 0, true));
  Doubles none;
  auto p = Problem(3, 1, 0, 0, 0, false).matrix(none);
  p.n_atoms = 800;
  CHECK_THROWS(pyff::cuda::gdml_matrix(0, p, kCall), pyff::Error, "at most 722 atoms; received 800");
}

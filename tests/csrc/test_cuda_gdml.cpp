// The CUDA kernels of GDML expansions and descriptors, on the CPU through cuda/simt.hpp.
#include "cuda/gdml_descriptor.cu"
#include "cuda/gdml_product.cu"

#include "cpu/dispatch.hpp"
#include "gdml_problem.hpp"

using gdml_test::Doubles;

namespace {

void run_on_host(const pyff::GdmlProductParams& p) {
  const std::int64_t bytes = pyff::cuda::gdml_product_scratch(0, p);
  std::vector<char> scratch(bytes + 256);
  pyff::cuda::gdml_product(0, p, {nullptr, scratch.data(), bytes});
}

}  // namespace

TEST(cuda_gdml_product_equals_plain_sums) { gdml_test::check_all(run_on_host); }

TEST(cuda_gdml_product_is_the_same_bits_in_any_order_of_threads) {
  const gdml_test::Problem problem({3, 33, 10, 5}, pyff::RadialProfileKind::matern52, true);
  const pyff::plain::GdmlPacked packed(problem.training);
  gdml_test::Result forward(problem.size), reverse(problem.size);
  for (gdml_test::Result* out : {&forward, &reverse}) {
    pyff::simt::host_order() = out == &reverse ? pyff::simt::Order::reverse : pyff::simt::Order::forward;
    run_on_host({packed.view, 3, problem.query.data(), out->f.data(), out->energy.data(), nullptr, 1});
  }
  pyff::simt::host_order() = pyff::simt::Order::forward;
  CHECK(forward.f == reverse.f && forward.energy == reverse.energy);
}

TEST(cuda_gdml_descriptors_equal_the_cpu_kernels) {
  constexpr std::int64_t kStructures = 3, kAtoms = 7, kPairs = 21;
  std::mt19937_64 random(3);
  Doubles pos(3 * kStructures * kAtoms), v(pos.size());
  for (double& x : pos) x = std::uniform_real_distribution<double>(-6, 6)(random);
  for (double& x : v) x = std::uniform_real_distribution<double>(-1, 1)(random);
  const double cell[9] = {6, 0, 0, 2.5, 5.5, 0, -1, 2, 6.5};
  for (const double* c : {static_cast<const double*>(nullptr), cell}) {
    Doubles x[2], g[2], u[2], back[2];
    for (const int on_cuda : {0, 1}) {
      x[on_cuda].assign(kStructures * kPairs, NAN), g[on_cuda].assign(3 * kStructures * kPairs, NAN);
      u[on_cuda] = x[on_cuda], back[on_cuda].assign(v.size(), NAN);
      const pyff::GdmlDescriptorParams p{kStructures, kAtoms, pos.data(), c, pyff::ImageSearch::search,
                                         x[on_cuda].data(), g[on_cuda].data(), 1};
      const pyff::GdmlJacobianParams forward{kStructures, kAtoms, g[on_cuda].data(), v.data(), u[on_cuda].data(), 1};
      const pyff::GdmlJacobianParams backward{kStructures, kAtoms, g[on_cuda].data(), back[on_cuda].data(),
                                              u[on_cuda].data(), 1};
      const pyff::cuda::Call call{nullptr, nullptr, 0};
      on_cuda ? pyff::cuda::gdml_descriptors(0, p, call) : pyff::gdml_descriptors(p);
      on_cuda ? pyff::cuda::gdml_jacobian(0, forward, call) : pyff::gdml_jacobian_forward(forward);
      on_cuda ? pyff::cuda::gdml_jacobian(1, backward, call) : pyff::gdml_jacobian_backward(backward);
    }
    gdml_test::check_close(x[1], x[0]);
    gdml_test::check_close(g[1], g[0]);
    gdml_test::check_close(u[1], u[0]);
    gdml_test::check_close(back[1], back[0]);
  }
}

// Descriptors of many structures, and products with their Jacobians: a thread per pair of atoms, or per atom.
#include "cuda/gdml_product.hpp"
#include "cuda/simt.hpp"
#include "math/descriptor.hpp"

namespace pyff::cuda {

namespace math = ::pyff::PYFF_ISA;

namespace {

// Atoms a > b of entry k = a (a - 1) / 2 + b.
struct Pair {
  std::int64_t a, b;
  explicit PYFF_DEVICE Pair(std::int64_t k) {
    a = static_cast<std::int64_t>((1 + sqrt(1 + 8 * static_cast<double>(k))) / 2);
    while (a * (a - 1) / 2 > k) --a;  // the root may be rounded to the other side
    while (a * (a + 1) / 2 <= k) ++a;
    b = k - a * (a - 1) / 2;
  }
};

struct Descriptors {
  static constexpr const char* kName = "descriptors";
  static constexpr int kThreads = 128;
  GdmlDescriptorParams p;
  std::int64_t n_pairs;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    const double none[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    const math::MinimumImage image(p.cell ? p.cell : none, p.images);
    for (std::int64_t k = block.global_thread(); k < p.n_structures * n_pairs; k += block.global_threads()) {
      const Pair pair(k % n_pairs);
      const double* const pos = p.pos + k / n_pairs * 3 * p.n_atoms;
      double v[3];
      PYFF_UNROLL
      for (int c = 0; c < 3; ++c) v[c] = pos[3 * pair.a + c] - pos[3 * pair.b + c];
      if (p.cell) image.shift(v);
      p.x[k] = math::inverse_distance(v, p.g + 3 * k);
    }
  }
};

struct JacobianProduct {
  static constexpr const char* kName = "Jacobian times vector";
  static constexpr int kThreads = 128;
  GdmlJacobianParams p;
  std::int64_t n_pairs;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t k = block.global_thread(); k < p.n_structures * n_pairs; k += block.global_threads()) {
      const Pair pair(k % n_pairs);
      const double *const v = p.v + k / n_pairs * 3 * p.n_atoms, *const g = p.g + 3 * k;
      const double *const va = v + 3 * pair.a, *const vb = v + 3 * pair.b;
      p.u[k] = g[0] * (vb[0] - va[0]) + g[1] * (vb[1] - va[1]) + g[2] * (vb[2] - va[2]);
    }
  }
};

struct JacobianTransposeProduct {
  static constexpr const char* kName = "transposed Jacobian times vector";
  static constexpr int kThreads = 128;
  GdmlJacobianParams p;
  std::int64_t n_pairs;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t i = block.global_thread(); i < p.n_structures * p.n_atoms; i += block.global_threads()) {
      const std::int64_t own = i % p.n_atoms, first = i / p.n_atoms * n_pairs;
      double sum[3] = {};
      for (std::int64_t other = 0; other < p.n_atoms; ++other) {
        if (other == own) continue;
        const std::int64_t high = own > other ? own : other, low = own > other ? other : own;
        const std::int64_t k = first + high * (high - 1) / 2 + low;
        const double u = own > other ? -p.u[k] : p.u[k];
        PYFF_UNROLL
        for (int c = 0; c < 3; ++c) sum[c] += p.g[3 * k + c] * u;
      }
      PYFF_UNROLL
      for (int c = 0; c < 3; ++c) p.v[3 * i + c] = sum[c];
    }
  }
};

template <class Kernel, class Params>
void launch(const Params& p, std::int64_t each, simt::Stream stream) {
  const std::int64_t blocks = simt::blocks_for(p.n_structures * each, Kernel::kThreads);
  simt::launch(Kernel{p, p.n_atoms * (p.n_atoms - 1) / 2}, simt::Grid{blocks, 0, stream});
}

}  // namespace

std::int64_t gdml_descriptors_scratch(int, const GdmlDescriptorParams&) { return 0; }

void gdml_descriptors(int order, const GdmlDescriptorParams& p, const Call& call) {
  PYFF_REQUIRE(order == kForward, "order must be 0; received " << order);
  launch<Descriptors>(p, p.n_atoms * (p.n_atoms - 1) / 2, call.stream);
}

std::int64_t gdml_jacobian_scratch(int, const GdmlJacobianParams&) { return 0; }

void gdml_jacobian(int order, const GdmlJacobianParams& p, const Call& call) {
  PYFF_REQUIRE(order == kForward || order == kBackward, "order must be 0 or 1; received " << order);
  if (order == kForward) return launch<JacobianProduct>(p, p.n_atoms * (p.n_atoms - 1) / 2, call.stream);
  launch<JacobianTransposeProduct>(p, p.n_atoms, call.stream);
}

}  // namespace pyff::cuda

// Descriptors of many structures, and products with their Jacobians.
#include "api/gdml_product.hpp"
#include "core/parallel.hpp"

namespace pyff::PYFF_ISA {
namespace {

constexpr std::int64_t kParallelThreshold = 20000;  // pairs of atoms

template <class Body>
void for_structures(std::int64_t n_structures, std::int64_t n_atoms, int threads, Body&& body) {
  const std::int64_t n_pairs = n_atoms * (n_atoms - 1) / 2;
  if (n_structures * n_pairs < kParallelThreshold) threads = 1;
  parallel_ranges(threads, n_structures, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) body(3 * n_atoms * k, n_pairs * k);
  });
}

}  // namespace

void gdml_descriptors(const GdmlDescriptorParams& p) {
  const double none[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  const MinimumImage image(p.cell ? p.cell : none, p.images);
  for_structures(p.n_structures, p.n_atoms, p.threads, [&](std::int64_t of_atoms, std::int64_t of_pairs) {
    inverse_distances(p.pos + of_atoms, p.n_atoms, p.cell ? &image : nullptr, p.x + of_pairs, p.g + 3 * of_pairs);
  });
}

void gdml_jacobian_forward(const GdmlJacobianParams& p) {
  for_structures(p.n_structures, p.n_atoms, p.threads, [&](std::int64_t of_atoms, std::int64_t of_pairs) {
    jacobian_product(p.g + 3 * of_pairs, p.n_atoms, p.v + of_atoms, p.u + of_pairs);
  });
}

void gdml_jacobian_backward(const GdmlJacobianParams& p) {
  for_structures(p.n_structures, p.n_atoms, p.threads, [&](std::int64_t of_atoms, std::int64_t of_pairs) {
    jacobian_transpose_product(p.g + 3 * of_pairs, p.n_atoms, p.u + of_pairs, p.v + of_atoms);
  });
}

}  // namespace pyff::PYFF_ISA

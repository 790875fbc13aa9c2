// A geometry with its permutations against another one, by the threads of a block. The equations are those of
// cpu/gdml_pair.hpp; here geometries stay as they are, entries of pairs of atoms, and permutations are looked up.
#pragma once

#include "api/gdml.hpp"
#include "cuda/simt.hpp"

namespace pyff::cuda {

namespace math = ::pyff::PYFF_ISA;

// Shared memory per permutation, in doubles: u, v, the blocks of atoms with themselves, |t|^2 by atom, the inverse, and
// the three terms of the profile.
inline std::int64_t gdml_shared_elements(std::int64_t n_atoms) { return 17 * n_atoms + 3; }

// Permutations at a time.
inline std::int64_t gdml_perms_in_shared(std::int64_t n_atoms, std::int64_t n_perms) {
  constexpr std::int64_t kEnough = 40 * 1024;  // several blocks share a multiprocessor
  const std::int64_t bytes = gdml_shared_elements(n_atoms) * static_cast<std::int64_t>(sizeof(double));
  PYFF_REQUIRE(bytes <= simt::kSharedBudget, "GDML matrices on CUDA devices are for at most "
                                                 << (simt::kSharedBudget / 8 - 3) / 17 << " atoms; received " << n_atoms
                                                 << "; use the CPU");
  const std::int64_t fit = kEnough / bytes;
  return fit < 1 ? 1 : fit < n_perms ? fit : n_perms;
}

struct GdmlGeometry {
  const double *x, *g;  // [D], [D, 3]

  PYFF_DEVICE GdmlGeometry(const GdmlGeometries& all, std::int64_t index, std::int64_t n_pairs)
      : x(all.x + index * n_pairs), g(all.g + 3 * index * n_pairs) {}
  static PYFF_DEVICE std::int64_t entry(std::int64_t a, std::int64_t b) {
    return a > b ? a * (a - 1) / 2 + b : b * (b - 1) / 2 + a;
  }
  // (r_a - r_b) x^3 along an axis
  PYFF_DEVICE double gradient(std::int64_t a, std::int64_t b, int axis) const {
    const double value = g[3 * entry(a, b) + axis];
    return a > b ? value : -value;
  }
};

template <class Profile>
class GdmlPair {
 public:
  PYFF_DEVICE GdmlPair(std::int64_t n_atoms, const Profile& profile, const simt::Block& block, std::int64_t most)
      : n_(n_atoms), profile_(profile) {
    u_ = reinterpret_cast<double*>(block.shared());
    v_ = u_ + 3 * n_ * most;
    d_ = v_ + 3 * n_ * most;
    square_ = d_ + 9 * n_ * most;
    k_ = square_ + n_ * most;
    g1_ = k_ + most;
    g2_ = g1_ + most;
    inverse_ = reinterpret_cast<std::int64_t*>(g2_ + most);
  }

  // All threads of the block: sums over these permutations, [count, N].
  PYFF_DEVICE void meet(const simt::Block& block, const GdmlGeometry& fixed, const GdmlGeometry& moving,
                        const std::int64_t* perms, std::int64_t count) {
    perms_ = perms;
    count_ = count;
    block.sync();  // the permutations before are used up
    for (std::int64_t task = block.thread(); task < count * n_; task += block.threads())
      contract(fixed, moving, task / n_, task % n_);
    block.sync();
    for (std::int64_t p = block.thread(); p < count; p += block.threads()) {
      double sum = 0.0;
      for (std::int64_t c = 0; c < n_; ++c) sum += square_[p * n_ + c];
      const auto terms = profile_(0.5 * sum);  // every pair is there twice
      k_[p] = terms.k;
      g1_[p] = terms.g1;
      g2_[p] = terms.g2;
    }
    block.sync();
  }

  // Entries of the rows 3 c + axis .. + rows - 1, column 3 e + b.
  template <int rows>
  PYFF_DEVICE void entries(const GdmlGeometry& fixed, const GdmlGeometry& moving, std::int64_t c, int axis,
                           std::int64_t e, int b, double (&sums)[rows]) const {
    PYFF_UNROLL
    for (int a = 0; a < rows; ++a) sums[a] = 0.0;
    for (std::int64_t p = 0; p < count_; ++p) {
      const std::int64_t at = p * n_ + c, other = inverse_[p * n_ + e];
      const double m = other == c ? 0.0 : g1_[p] * moving.gradient(perms_[at], e, b);
      const double v = g2_[p] * v_[3 * (p * n_ + e) + b];
      PYFF_UNROLL
      for (int a = 0; a < rows; ++a) {
        sums[a] -= v * u_[3 * at + axis + a];
        sums[a] += other == c ? g1_[p] * d_[9 * at + 3 * (axis + a) + b] : -m * fixed.gradient(c, other, axis + a);
      }
    }
  }

  PYFF_DEVICE double force_energy(std::int64_t c, int axis) const {
    double sum = 0.0;
    for (std::int64_t p = 0; p < count_; ++p) sum += g1_[p] * u_[3 * (p * n_ + c) + axis];
    return sum;
  }
  PYFF_DEVICE double energy_force(std::int64_t e, int axis) const {
    double sum = 0.0;
    for (std::int64_t p = 0; p < count_; ++p) sum -= g1_[p] * v_[3 * (p * n_ + e) + axis];
    return sum;
  }
  PYFF_DEVICE double energy_energy() const {
    double sum = 0.0;
    for (std::int64_t p = 0; p < count_; ++p) sum += k_[p];
    return sum;
  }

 private:
  // What the pairs of atom c give, of permutation p.
  PYFF_DEVICE void contract(const GdmlGeometry& fixed, const GdmlGeometry& moving, std::int64_t p, std::int64_t c) {
    const std::int64_t* const perm = perms_ + p * n_;
    const std::int64_t image = perm[c], at = p * n_ + c;
    double square = 0.0, u[3] = {}, v[3] = {}, d[9] = {};
    for (std::int64_t o = 0; o < n_; ++o) {
      if (o == c) continue;
      const double t = fixed.x[fixed.entry(c, o)] - moving.x[moving.entry(image, perm[o])];
      double a[3], m[3];
      square += t * t;
      PYFF_UNROLL
      for (int q = 0; q < 3; ++q) {
        a[q] = fixed.gradient(c, o, q);
        m[q] = moving.gradient(image, perm[o], q);
        u[q] -= t * a[q];
        v[q] -= t * m[q];
      }
      PYFF_UNROLL
      for (int q = 0; q < 9; ++q) d[q] += a[q / 3] * m[q % 3];
    }
    PYFF_UNROLL
    for (int q = 0; q < 3; ++q) u_[3 * at + q] = u[q];
    PYFF_UNROLL
    for (int q = 0; q < 3; ++q) v_[3 * (p * n_ + image) + q] = v[q];
    PYFF_UNROLL
    for (int q = 0; q < 9; ++q) d_[9 * at + q] = d[q];
    square_[at] = square;
    inverse_[p * n_ + image] = c;
  }

  std::int64_t n_;
  Profile profile_;
  const std::int64_t* perms_ = nullptr;
  std::int64_t count_ = 0;
  double *u_, *v_, *d_, *square_, *k_, *g1_, *g2_;
  std::int64_t* inverse_;
};

}  // namespace pyff::cuda

// Inverse distances of all pairs of atoms, with their gradients, for open and for periodic structures.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/macros.hpp"
#include "neighbors/lattice.hpp"

namespace pyff {

// How the nearest image of a pair is found: by rounding fractional coordinates, which in skewed cells misses nearer
// ones, or among the 27 images around that.
enum class ImageSearch : int { round = 0, search = 1 };

}  // namespace pyff

namespace pyff::PYFF_ISA {

// Shifts difference vectors to an image. The cell's rows are linearly independent.
class MinimumImage {
 public:
  PYFF_HD MinimumImage(const double* cell, ImageSearch images) : search_(images == ImageSearch::search) {
    const bool pbc[3] = {true, true, true};
    make_lattice(cell, pbc, lattice_);
  }

  PYFF_HD void shift(double* v) const {
    double whole[3];
    for (int k = 0; k < 3; ++k) whole[k] = std::rint(dot3(lattice_.inverse[k], v));
    for (int k = 0; k < 3; ++k) add(v, k, -whole[k]);
    if (search_) move_to_nearest(v);
  }

 private:
  PYFF_HD void add(double* v, int axis, double times) const {
    for (int c = 0; c < 3; ++c) v[c] += times * lattice_.row[axis][c];
  }
  PYFF_HD void move_to_nearest(double* v) const {
    double best[3] = {v[0], v[1], v[2]}, least = dot3(v, v);
    for (int image = 0; image < 27; ++image) {
      double w[3] = {v[0], v[1], v[2]};
      add(w, 0, image / 9 - 1);
      add(w, 1, image / 3 % 3 - 1);
      add(w, 2, image % 3 - 1);
      const double square = dot3(w, w);
      if (square >= least) continue;
      least = square;
      for (int c = 0; c < 3; ++c) best[c] = w[c];
    }
    for (int c = 0; c < 3; ++c) v[c] = best[c];
  }

  Lattice lattice_;
  bool search_;
};

// x = 1 / |v| and g = v x^3.
PYFF_HD double inverse_distance(const double* v, double* g) {
  const double x = 1 / std::sqrt(dot3(v, v)), cube = x * x * x;
  for (int c = 0; c < 3; ++c) g[c] = cube * v[c];
  return x;
}

// x [D] and g [D, 3] of a structure; image is null for open ones.
PYFF_HD void inverse_distances(const double* pos, std::int64_t n_atoms, const MinimumImage* image, double* x,
                               double* g) {
  for (std::int64_t a = 1; a < n_atoms; ++a)
    for (std::int64_t b = 0; b < a; ++b) {
      double v[3];
      for (int c = 0; c < 3; ++c) v[c] = pos[3 * a + c] - pos[3 * b + c];
      if (image) image->shift(v);
      *x++ = inverse_distance(v, g);
      g += 3;
    }
}

// u = J v
PYFF_HD void jacobian_product(const double* g, std::int64_t n_atoms, const double* v, double* u) {
  for (std::int64_t a = 1; a < n_atoms; ++a)
    for (std::int64_t b = 0; b < a; ++b, g += 3, ++u) {
      const double *va = v + 3 * a, *vb = v + 3 * b;
      *u = g[0] * (vb[0] - va[0]) + g[1] * (vb[1] - va[1]) + g[2] * (vb[2] - va[2]);
    }
}

// v = J^T u
PYFF_HD void jacobian_transpose_product(const double* g, std::int64_t n_atoms, const double* u, double* v) {
  for (std::int64_t k = 0; k < 3 * n_atoms; ++k) v[k] = 0;
  for (std::int64_t a = 1; a < n_atoms; ++a)
    for (std::int64_t b = 0; b < a; ++b, g += 3, ++u)
      for (int c = 0; c < 3; ++c) {
        v[3 * b + c] += g[c] * *u;
        v[3 * a + c] -= g[c] * *u;
      }
}

// dE/dstrain [3, 3] = sum_k f_k v_k v_k^T / |v_k|^3 for f = -dE/dx, as v = g / x^3
PYFF_HD void descriptor_virial(const double* x, const double* g, const double* f, std::int64_t n_pairs, double* virial) {
  double sum[6] = {};
  for (std::int64_t k = 0; k < n_pairs; ++k, g += 3) {
    const double w = f[k] / (x[k] * x[k] * x[k]);
    sum[0] += w * g[0] * g[0], sum[1] += w * g[0] * g[1], sum[2] += w * g[0] * g[2];
    sum[3] += w * g[1] * g[1], sum[4] += w * g[1] * g[2], sum[5] += w * g[2] * g[2];
  }
  virial[0] = sum[0], virial[1] = virial[3] = sum[1], virial[2] = virial[6] = sum[2];
  virial[4] = sum[3], virial[5] = virial[7] = sum[4], virial[8] = sum[5];
}

}  // namespace pyff::PYFF_ISA

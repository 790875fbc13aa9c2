#include "neighbors/verlet.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "neighbors/lattice.hpp"

namespace pyff {

using baseline::dot3;
using baseline::Lattice;

namespace {

constexpr double kEps = std::numeric_limits<double>::epsilon();

// Nearest integer for |x| < 2^51, without a call into the mathematics library.
inline double round_to_integer(double x) {
  constexpr double magic = 6755399441055744.0;  // 1.5 2^52
  return (x + magic) - magic;
}

struct Deformation {
  double f[3][3];  // r' = r F
  bool identity;
};

// F = inverse(completed reference rows) (completed rows)
Deformation deformation_of(const Lattice& from, const Lattice& to) {
  Deformation d{{}, true};
  for (int a = 0; a < 3; ++a)
    for (int b = 0; b < 3; ++b) {
      double sum = 0;
      for (int k = 0; k < 3; ++k) {
        sum += from.inverse[k][a] * to.row[k][b];
        d.identity &= from.row[k][b] == to.row[k][b];
      }
      d.f[a][b] = sum;
    }
  return d;
}

// Smallest singular value from the characteristic polynomial of F F^T, rounded down.
double smallest_stretch(const Deformation& d) {
  if (d.identity) return 1;
  double m[3][3], trace = 0, off = 0;
  for (int a = 0; a < 3; ++a)
    for (int b = 0; b < 3; ++b) m[a][b] = dot3(d.f[a], d.f[b]);
  for (int a = 0; a < 3; ++a) trace += m[a][a];
  const double mean = trace / 3;
  for (int a = 0; a < 3; ++a)
    for (int b = 0; b < 3; ++b) off += (m[a][b] - (a == b ? mean : 0)) * (m[a][b] - (a == b ? mean : 0));
  const double radius = std::sqrt(off / 6);
  double lowest = mean;
  if (radius > 0) {
    double n[3][3], cross[3];
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b < 3; ++b) n[a][b] = (m[a][b] - (a == b ? mean : 0)) / radius;
    baseline::cross3(n[1], n[2], cross);
    const double half_det = std::min(1.0, std::max(-1.0, dot3(n[0], cross) / 2));
    const double third = 2.0943951023931953;  // 2 pi / 3
    lowest = mean + 2 * radius * std::cos(std::acos(half_det) / 3 + third);
  }
  return std::sqrt(std::max(0.0, lowest - 1e-13 * trace));
}

struct Motion {
  double mean[3] = {0, 0, 0};
  double largest = 0;  // |u - mean|
  double extent = 0;   // largest coordinate, for the rounding margin
  bool wrapped = false;
};

void displacement(const VerletReference& ref, const Deformation& d, const Lattice& lattice, const double* pos,
                  std::int64_t i, std::int32_t* jump, double* u) {
  const double *r0 = ref.pos + 3 * i, *r = pos + 3 * i;
  for (int c = 0; c < 3; ++c)
    u[c] = r[c] - (d.identity ? r0[c] : r0[0] * d.f[0][c] + r0[1] * d.f[1][c] + r0[2] * d.f[2][c]);
  for (int k = 0; k < 3; ++k) {
    const double m = lattice.periodic[k] ? round_to_integer(dot3(lattice.inverse[k], u)) : 0.0;
    jump[3 * i + k] = std::fabs(m) < 1e9 ? static_cast<std::int32_t>(m) : 0;
  }
  for (int k = 0; k < 3; ++k)
    for (int c = 0; c < 3; ++c) u[c] -= jump[3 * i + k] * lattice.row[k][c];
}

Motion motion_of(const VerletReference& ref, const Deformation& d, const Lattice& lattice, const double* pos,
                 std::int32_t* jump) {
  Motion out;
  double u[3];
  for (std::int64_t i = 0; i < ref.n_atoms; ++i) {
    displacement(ref, d, lattice, pos, i, jump, u);
    for (int c = 0; c < 3; ++c) {
      out.mean[c] += u[c] / static_cast<double>(ref.n_atoms);
      out.extent = std::max(out.extent, std::max(std::fabs(pos[3 * i + c]), std::fabs(ref.pos[3 * i + c])));
      out.wrapped |= jump[3 * i + c] != 0;
    }
  }
  for (std::int64_t i = 0; i < ref.n_atoms; ++i) {
    displacement(ref, d, lattice, pos, i, jump, u);
    double d2 = 0;
    for (int c = 0; c < 3; ++c) d2 += (u[c] - out.mean[c]) * (u[c] - out.mean[c]);
    // written so that NaN ends up in largest
    if (!(std::sqrt(d2) <= out.largest)) out.largest = std::sqrt(d2);
    if (std::isnan(out.largest)) break;
  }
  return out;
}

}  // namespace

VerletState verlet_state(const VerletReference& ref, const double* pos, const double* cell, std::int32_t* jump) {
  Lattice from, to;
  if (!baseline::make_lattice(ref.cell, ref.pbc, from) || !baseline::make_lattice(cell, ref.pbc, to))
    return VerletState::outdated;
  const Deformation d = deformation_of(from, to);
  const double stretch = smallest_stretch(d);
  const double reach = ref.cutoff + ref.skin;
  if (!(stretch * reach >= ref.cutoff)) return VerletState::outdated;
  const Motion motion = motion_of(ref, d, to, pos, jump);
  double size = motion.extent + reach;
  for (int k = 0; k < 3; ++k)
    for (int c = 0; c < 3; ++c) size += ref.pbc[k] ? std::fabs(cell[3 * k + c]) : 0.0;
  const double rounding = 64 * kEps * size;
  // false for NaN
  if (!(stretch * reach - 2 * motion.largest - rounding >= ref.cutoff)) return VerletState::outdated;
  return motion.wrapped ? VerletState::wrapped : VerletState::complete;
}

}  // namespace pyff

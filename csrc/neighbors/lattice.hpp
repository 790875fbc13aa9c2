// A lattice with 0 to 3 periodic axes: rows completed to a basis, reciprocal rows, heights. Host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/macros.hpp"

namespace pyff::PYFF_ISA {

// Fractional coordinates are f_k = inverse[k] . r; the distance between the lattice planes of axis k is height[k].
// Rows of non-periodic axes are replaced by unit vectors orthogonal to the periodic ones, whatever the given row
// holds (zeros, a dummy box): an open axis never has images.
struct Lattice {
  double row[3][3];
  double inverse[3][3];
  double height[3];
  bool periodic[3];
};

PYFF_HD double dot3(const double* a, const double* b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

PYFF_HD void cross3(const double* a, const double* b, double* out) {
  const double x = a[1] * b[2] - a[2] * b[1], y = a[2] * b[0] - a[0] * b[2], z = a[0] * b[1] - a[1] * b[0];
  out[0] = x, out[1] = y, out[2] = z;
}

PYFF_HD bool normalize3(double* a) {
  const double largest = std::fmax(std::fabs(a[0]), std::fmax(std::fabs(a[1]), std::fabs(a[2])));
  if (!(largest > 0)) return false;
  for (int c = 0; c < 3; ++c) a[c] /= largest;
  const double norm = std::sqrt(dot3(a, a));
  for (int c = 0; c < 3; ++c) a[c] /= norm;
  return true;
}

// Unit vector orthogonal to the unit vector a.
PYFF_HD void orthogonal3(const double* a, double* out) {
  int smallest = 0;
  for (int c = 1; c < 3; ++c)
    if (std::fabs(a[c]) < std::fabs(a[smallest])) smallest = c;
  double axis[3] = {0, 0, 0};
  axis[smallest] = 1;
  cross3(a, axis, out);
  normalize3(out);
}

PYFF_HD void complete_open_axes(Lattice& lattice) {
  const int n_periodic = lattice.periodic[0] + lattice.periodic[1] + lattice.periodic[2];
  for (int k = 0; k < 3; ++k) {
    if (lattice.periodic[k]) continue;
    double* row = lattice.row[k];
    const double *next = lattice.row[(k + 1) % 3], *last = lattice.row[(k + 2) % 3];
    if (n_periodic == 0) {
      for (int c = 0; c < 3; ++c) row[c] = c == k;
    } else if (n_periodic == 2) {
      cross3(next, last, row);
      normalize3(row);
    } else {  // one periodic axis; the other open one may be complete already
      const int axis = lattice.periodic[(k + 1) % 3] ? (k + 1) % 3 : (k + 2) % 3, other = 3 - k - axis;
      double along[3] = {lattice.row[axis][0], lattice.row[axis][1], lattice.row[axis][2]};
      normalize3(along);
      if (other > k)
        orthogonal3(along, row);
      else
        cross3(along, lattice.row[other], row);
    }
  }
}

// Heights below this fraction of a lattice vector's length mean that the periodic vectors are linearly dependent.
constexpr double kSingularCell = 1e-10;

// False if the periodic lattice vectors are linearly dependent.
PYFF_HD bool make_lattice(const double* cell, const bool* pbc, Lattice& lattice) {
  for (int k = 0; k < 3; ++k) {
    lattice.periodic[k] = pbc[k];
    for (int c = 0; c < 3; ++c) lattice.row[k][c] = cell[3 * k + c];
    if (pbc[k] && !(dot3(lattice.row[k], lattice.row[k]) > 0)) return false;
  }
  complete_open_axes(lattice);
  for (int k = 0; k < 3; ++k) {
    // unit vectors keep the products in range for huge and tiny cells
    double a[3], b[3], c[3], normal[3];
    for (int x = 0; x < 3; ++x) {
      a[x] = lattice.row[k][x], b[x] = lattice.row[(k + 1) % 3][x], c[x] = lattice.row[(k + 2) % 3][x];
    }
    const double length = std::sqrt(dot3(a, a));
    if (!normalize3(b) || !normalize3(c)) return false;
    cross3(b, c, normal);
    if (!normalize3(normal)) return false;
    const double projection = dot3(a, normal);
    lattice.height[k] = std::fabs(projection);
    if (!(lattice.height[k] > kSingularCell * length)) return false;
    for (int x = 0; x < 3; ++x) lattice.inverse[k][x] = normal[x] / projection;
  }
  return true;
}

}  // namespace pyff::PYFF_ISA

// Fractional coordinates for pair search in any cell: triclinic, left-handed, any subset of periodic axes, anything on
// the open ones.
#pragma once

#include <cmath>

#include "core/macros.hpp"

namespace pyff::PYFF_ISA {

// The periodic lattice vectors, completed by unit vectors perpendicular to them (and to each other) on the open axes,
// so that an open axis' lattice vector, which may be zero, plays no part. frac_c = r . dual_c; a displacement of
// length x changes frac_c by at most x reach_c.
struct SearchFrame {
  double dual[3][3];
  double reach[3];
  bool singular;  // the periodic vectors span no volume (area, length)
};

PYFF_HD void cross(const double (&a)[3], const double (&b)[3], double (&out)[3]) {
  out[0] = a[1] * b[2] - a[2] * b[1];
  out[1] = a[2] * b[0] - a[0] * b[2];
  out[2] = a[0] * b[1] - a[1] * b[0];
}

PYFF_HD double length(const double (&a)[3]) { return std::sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]); }

// Unit vector along a; zero stays zero.
PYFF_HD void normalise(double (&a)[3]) {
  const double l = length(a), s = l > 0 ? 1 / l : 0.0;
  for (int k = 0; k < 3; ++k) a[k] *= s;
}

// Replaces the rows of open axes by unit vectors perpendicular to the periodic rows.
PYFF_HD void complete_open_axes(double (&a)[3][3], const bool (&periodic)[3]) {
  const int n_periodic = periodic[0] + periodic[1] + periodic[2];
  for (int c = 0; c < 3; ++c) {
    double(&next)[3] = a[(c + 1) % 3], (&last)[3] = a[(c + 2) % 3];
    if (n_periodic == 0) {
      for (int k = 0; k < 3; ++k) a[c][k] = k == c ? 1.0 : 0.0;
    } else if (n_periodic == 1 && periodic[c]) {
      int smallest = 0;
      for (int k = 1; k < 3; ++k)
        if (std::fabs(a[c][k]) < std::fabs(a[c][smallest])) smallest = k;
      const double axis[3] = {smallest == 0 ? 1.0 : 0.0, smallest == 1 ? 1.0 : 0.0, smallest == 2 ? 1.0 : 0.0};
      cross(a[c], axis, next);
      normalise(next);
      cross(a[c], next, last);
      normalise(last);
      return;
    } else if (n_periodic == 2 && !periodic[c]) {
      cross(next, last, a[c]);
      normalise(a[c]);
      return;
    }
  }
}

// cell: rows are lattice vectors.
PYFF_HD SearchFrame search_frame(const double* cell, const bool (&periodic)[3]) {
  constexpr double kFlattest = 1e-10;  // volume over the product of the lengths
  double a[3][3];
  for (int c = 0; c < 3; ++c)
    for (int k = 0; k < 3; ++k) a[c][k] = cell[3 * c + k];
  complete_open_axes(a, periodic);
  SearchFrame frame;
  for (int c = 0; c < 3; ++c) cross(a[(c + 1) % 3], a[(c + 2) % 3], frame.dual[c]);
  const double volume = a[0][0] * frame.dual[0][0] + a[0][1] * frame.dual[0][1] + a[0][2] * frame.dual[0][2];
  const double scale = length(a[0]) * length(a[1]) * length(a[2]);
  frame.singular = !(std::fabs(volume) > kFlattest * scale) || !std::isfinite(scale);  // NaN is singular too
  for (int c = 0; c < 3; ++c) {
    for (int k = 0; k < 3; ++k) frame.dual[c][k] /= volume;
    frame.reach[c] = length(frame.dual[c]);
  }
  return frame;
}

}  // namespace pyff::PYFF_ISA

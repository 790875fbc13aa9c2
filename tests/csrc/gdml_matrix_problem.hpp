// Random geometries and permutations for tests of kernel matrices.
#pragma once

#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "api/gdml.hpp"

namespace gdml_matrix_test {

using Doubles = std::vector<double>;
using Indices = std::vector<std::int64_t>;

struct Geometries {
  Doubles x, g;
  std::int64_t m;

  Geometries(std::int64_t count, std::int64_t n, unsigned seed) : m(count) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> shift(-0.3, 0.3);
    for (std::int64_t k = 0; k < m; ++k) {
      Doubles r(3 * n);
      for (std::int64_t a = 0; a < n; ++a)
        for (int axis = 0; axis < 3; ++axis)
          r[3 * a + axis] = 1.5 * (a / (axis == 0 ? 1 : axis == 1 ? 3 : 9) % 3) + shift(random);
      for (std::int64_t a = 1; a < n; ++a)
        for (std::int64_t b = 0; b < a; ++b) {
          double v[3], square = 0;
          for (int axis = 0; axis < 3; ++axis) v[axis] = r[3 * a + axis] - r[3 * b + axis], square += v[axis] * v[axis];
          x.push_back(1 / std::sqrt(square));
          for (double component : v) g.push_back(component / (square * std::sqrt(square)));
        }
    }
  }
  pyff::GdmlGeometries view() const { return {m, x.data(), g.data()}; }
};

// The cyclic group on the last p of n atoms.
inline Indices cyclic_group(std::int64_t n, std::int64_t p) {
  Indices perms;
  for (std::int64_t k = 0; k < p; ++k)
    for (std::int64_t a = 0; a < n; ++a) perms.push_back(a < n - p ? a : n - p + (a - (n - p) + k) % p);
  return perms;
}

inline Indices inverse(const Indices& perms, std::int64_t n) {
  Indices out(perms.size());
  for (std::size_t k = 0; k < perms.size(); ++k) {
    const std::int64_t row = static_cast<std::int64_t>(k) / n * n;
    out[row + perms[k]] = static_cast<std::int64_t>(k) - row;
  }
  return out;
}

// What is common to the matrices and the columns of a problem.
struct Problem {
  std::int64_t n, p;
  Geometries rows, columns;
  Indices perms, inverse_perms;
  pyff::RadialProfile profile;
  bool energies;

  Problem(std::int64_t atoms, std::int64_t n_perms, std::int64_t m1, std::int64_t m2, int kind, bool with_energies)
      : n(atoms),
        p(n_perms),
        rows(m1, atoms, 1),
        columns(m2, atoms, 2),
        perms(cyclic_group(atoms, n_perms)),
        inverse_perms(inverse(perms, atoms)),
        profile{kind, kind == 0 ? 2.0 : 0.7},
        energies(with_energies) {}

  std::int64_t height() const { return (3 * n + energies) * rows.m; }
  std::int64_t width() const { return (3 * n + energies) * columns.m; }

  pyff::GdmlMatrixParams matrix(Doubles& out) const {
    return {n, rows.view(), columns.view(),    p, perms.data(), profile, energies, false, out.data(), width(), nullptr,
            1, 0,           rows.m * columns.m};
  }
};

// Every third column, in reverse order, by the geometry that owns it.
struct Chosen {
  Indices point, first{0}, component, target, column;

  explicit Chosen(const Problem& q) {
    const std::int64_t forces = 3 * q.n, m = q.columns.m;
    for (std::int64_t k = q.width() - 1; k >= 0; k -= 3) column.push_back(k);
    for (std::int64_t j = 0; j < m; ++j) {
      for (std::size_t t = 0; t < column.size(); ++t) {
        const bool energy = column[t] >= forces * m;
        if ((energy ? column[t] - forces * m : column[t] / forces) != j) continue;
        component.push_back(energy ? forces : column[t] % forces);
        target.push_back(static_cast<std::int64_t>(t));
      }
      if (static_cast<std::int64_t>(target.size()) == first.back()) continue;
      point.push_back(j);
      first.push_back(static_cast<std::int64_t>(target.size()));
    }
  }

  pyff::GdmlColumnsParams params(const Problem& q, Doubles& out) const {
    return {q.n,
            q.rows.view(),
            q.columns.view(),
            q.p,
            q.inverse_perms.data(),
            q.profile,
            q.energies,
            static_cast<std::int64_t>(point.size()),
            point.data(),
            first.data(),
            component.data(),
            target.data(),
            out.data(),
            nullptr,
            1,
            0,
            static_cast<std::int64_t>(point.size()) * q.rows.m};
  }
};

}  // namespace gdml_matrix_test

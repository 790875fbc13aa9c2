#include "kernels/gdml_matrix.hpp"

#include <algorithm>
#include <vector>

namespace pyff::plain {
namespace {

namespace math = ::pyff::PYFF_ISA;
using Row = std::vector<double>;

// dx/dr, [D][3N], of one geometry, entries in the order of a permutation of its atoms
struct Geometry {
  Row x;
  std::vector<Row> jacobian;

  Geometry(const GdmlGeometries& all, std::int64_t index, std::int64_t n, const std::int64_t* perm) {
    const std::int64_t pairs = n * (n - 1) / 2;
    for (std::int64_t a = 1; a < n; ++a)
      for (std::int64_t b = 0; b < a; ++b) {
        const std::int64_t high = perm ? std::max(perm[a], perm[b]) : a, low = perm ? std::min(perm[a], perm[b]) : b;
        const std::int64_t entry = index * pairs + high * (high - 1) / 2 + low;
        Row row(3 * n);
        for (int axis = 0; axis < 3; ++axis) {
          row[3 * low + axis] = all.g[3 * entry + axis];
          row[3 * high + axis] = -all.g[3 * entry + axis];
        }
        x.push_back(all.x[entry]);
        jacobian.push_back(row);
      }
  }

  Row transposed_product(const Row& t) const {
    Row out(jacobian.empty() ? 0 : jacobian[0].size());
    for (std::size_t k = 0; k < t.size(); ++k)
      for (std::size_t c = 0; c < out.size(); ++c) out[c] += jacobian[k][c] * t[k];
    return out;
  }
};

void add_block(const GdmlMatrixParams& p, const Geometry& one, const Geometry& two, std::int64_t i, std::int64_t j) {
  const std::int64_t width = 3 * p.n_atoms;
  Row t(one.x.size());
  double square = 0;
  for (std::size_t k = 0; k < t.size(); ++k) t[k] = one.x[k] - two.x[k], square += t[k] * t[k];
  math::ProfileTerms<double> f{};
  math::with_radial_profile(p.profile, [&](const auto& profile) { f = profile(square); });
  const Row u = one.transposed_product(t), v = two.transposed_product(t);
  const auto at = [&](std::int64_t row, std::int64_t column) -> double& { return p.out[row * p.stride + column]; };
  for (std::int64_t r = 0; r < width; ++r)
    for (std::int64_t c = 0; c < width; ++c) {
      double metric = 0;
      for (std::size_t k = 0; k < t.size(); ++k) metric += one.jacobian[k][r] * two.jacobian[k][c];
      at(width * i + r, width * j + c) += f.g1 * metric - f.g2 * u[r] * v[c];
    }
  if (!p.energies) return;
  for (std::int64_t c = 0; c < width; ++c) {
    at(width * i + c, width * p.columns.n + j) += f.g1 * u[c];
    at(width * p.rows.n + i, width * j + c) -= f.g1 * v[c];
  }
  at(width * p.rows.n + i, width * p.columns.n + j) += f.k;
}

}  // namespace

void gdml_matrix(const GdmlMatrixParams& p) {
  const std::int64_t height = (3 * p.n_atoms + p.energies) * p.rows.n,
                     width = (3 * p.n_atoms + p.energies) * p.columns.n;
  for (std::int64_t row = 0; row < height; ++row) std::fill_n(p.out + row * p.stride, width, 0.0);
  for (std::int64_t i = 0; i < p.rows.n; ++i)
    for (std::int64_t j = 0; j < p.columns.n; ++j)
      for (std::int64_t k = 0; k < p.n_perms; ++k)
        add_block(p, Geometry(p.rows, i, p.n_atoms, nullptr),
                  Geometry(p.columns, j, p.n_atoms, p.perms + k * p.n_atoms), i, j);
}

}  // namespace pyff::plain

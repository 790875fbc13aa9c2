// The two matrix products of a GDML expansion for a few rows (permuted queries) and a tile of training points:
//
//   r^2 = |q|^2 + |x|^2 - 2 q.x,  S = q.a - x.a     ->     w1 = g2 S + c g1,  w2 = g1     ->     sum_j w1 x_j + w2 a_j
//
// Lanes are training points in both. The weights of the tile stay in the L1 cache between the products; the second one
// adds up its lanes once per tile.
#pragma once

#include "cpu/gdml_product_memory.hpp"
#include "math/simd.hpp"

namespace pyff::PYFF_ISA {

// Rows of a group, all of D' entries.
struct GdmlRowSums {
  const double* q;       // [rows, D'] centre - permuted query
  const double* square;  // [rows] |q|^2
  double* sum;           // [rows, D'] sum_j w1 x_j + w2 a_j
  double* weight;        // [rows] sum_j w1
  double* energy;        // [rows] sum_j w2 S + c k
};

// Blocks of the packed training set.
struct GdmlTile {
  const double* packed;
  std::int64_t n_blocks;
  std::int64_t width;  // D'
  std::int64_t stride() const { return (2 + width) * 2 * kGdmlPoints; }
};

using GdmlVec = Vec<double>;
constexpr int kGdmlLanes = kLanes<double>;

template <int Rows, int Vectors>
struct GdmlProducts {
  GdmlVec half[Rows][Vectors], s[Rows][Vectors];  // |x|^2 / 2 - q.x and -S
};

// x.q and a.q of Vectors vectors of training points; `block` points at the first of them.
template <int Rows, int Vectors>
inline __attribute__((always_inline)) GdmlProducts<Rows, Vectors> gdml_products(const double* block, const double* q,
                                                                                std::int64_t width) {
  GdmlProducts<Rows, Vectors> p;
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v) {
      p.half[r][v] = load(block + v * kGdmlLanes);
      p.s[r][v] = load(block + kGdmlPoints + v * kGdmlLanes);
    }
  const double* entry = block + 4 * kGdmlPoints;
  for (std::int64_t d = 0; d < width; ++d, entry += 2 * kGdmlPoints) {
    GdmlVec x[Vectors], a[Vectors];
    for (int v = 0; v < Vectors; ++v) {
      x[v] = load(entry + v * kGdmlLanes);
      a[v] = load(entry + kGdmlPoints + v * kGdmlLanes);
    }
    for (int r = 0; r < Rows; ++r) {
      const GdmlVec minus_q = splat(q[r * width + d]);
      for (int v = 0; v < Vectors; ++v) {
        p.half[r][v] += minus_q * x[v];
        p.s[r][v] += minus_q * a[v];
      }
    }
  }
  return p;
}

// Weights [blocks, Rows, 2, 16] of a tile, and their sums and energies, which are added to those of the rows.
template <int Rows, bool Energies, class Profile>
inline void gdml_weights(const Profile& profile, const GdmlTile& tile, const GdmlRowSums& rows, double* weights) {
  constexpr int kVectors = PYFF_VECTOR_BYTES == 64 || Rows <= 3 ? 2 : 1;
  GdmlVec weight[Rows] = {}, energy[Rows] = {};
  for (std::int64_t b = 0; b < tile.n_blocks; ++b)
    for (int first = 0; first < kGdmlPoints; first += kVectors * kGdmlLanes) {
      const double* block = tile.packed + b * tile.stride() + first;
      double* const w = weights + b * Rows * 2 * kGdmlPoints + first;
      const auto p = gdml_products<Rows, kVectors>(block, rows.q, tile.width);
      for (int r = 0; r < Rows; ++r)
        for (int v = 0; v < kVectors; ++v) {
          const GdmlVec r2 = 2 * p.half[r][v] + rows.square[r], s = -p.s[r][v];
          const auto terms = profile(select(r2 < 0.0, GdmlVec{}, r2));
          GdmlVec w1 = terms.g2 * s;
          energy[r] += terms.g1 * s;
          if constexpr (Energies) {
            const GdmlVec c = load(block + 2 * kGdmlPoints + v * kGdmlLanes);
            w1 += c * terms.g1;
            energy[r] += c * terms.k;
          }
          weight[r] += w1;
          store(w + r * 2 * kGdmlPoints + v * kGdmlLanes, w1);
          store(w + r * 2 * kGdmlPoints + kGdmlPoints + v * kGdmlLanes, terms.g1);
        }
    }
  for (int r = 0; r < Rows; ++r) {
    rows.weight[r] += sum<double>(weight[r]);
    rows.energy[r] += sum<double>(energy[r]);
  }
}

// sum_j w1 x_j + w2 a_j of Columns entries, added to the rows' sums.
template <int Rows, int Columns>
inline __attribute__((always_inline)) void gdml_sum_columns(const GdmlTile& tile, const double* weights,
                                                            std::int64_t column, double* out) {
  GdmlVec acc[Rows][Columns] = {};
  for (std::int64_t b = 0; b < tile.n_blocks; ++b) {
    const double* entry = tile.packed + b * tile.stride() + (2 + column) * 2 * kGdmlPoints;
    const double* const w = weights + b * Rows * 2 * kGdmlPoints;
    for (int part = 0; part < 2 * kGdmlPoints; part += kGdmlLanes) {  // the x of the points, then their a
      GdmlVec value[Columns];
      for (int c = 0; c < Columns; ++c) value[c] = load(entry + c * 2 * kGdmlPoints + part);
      for (int r = 0; r < Rows; ++r) {
        const GdmlVec factor = load(w + r * 2 * kGdmlPoints + part);
        for (int c = 0; c < Columns; ++c) acc[r][c] += factor * value[c];
      }
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int c = 0; c < Columns; ++c) out[r * tile.width + column + c] += sum<double>(acc[r][c]);
}

template <int Rows, bool Energies, class Profile>
inline void gdml_rows_and_tile(const Profile& profile, const GdmlTile& tile, const GdmlRowSums& rows, double* weights) {
  constexpr int kColumns = PYFF_VECTOR_BYTES == 64 || Rows <= 3 ? 4 : 2;
  gdml_weights<Rows, Energies>(profile, tile, rows, weights);
  for (std::int64_t column = 0; column < tile.width; column += kColumns)
    gdml_sum_columns<Rows, kColumns>(tile, weights, column, rows.sum);
}

// All rows of a group against a tile.
template <bool Energies, class Profile>
inline void gdml_group_and_tile(const Profile& profile, const GdmlTile& tile, const GdmlRowSums& group,
                                std::int64_t n_rows, double* weights) {
  static_assert(kGdmlRows == 6, "one case per number of rows");
  for (std::int64_t r = 0; r < n_rows; r += kGdmlRows) {
    const GdmlRowSums rows{group.q + r * tile.width, group.square + r, group.sum + r * tile.width, group.weight + r,
                           group.energy + r};
    switch (std::min(kGdmlRows, n_rows - r)) {
      case 1:
        gdml_rows_and_tile<1, Energies>(profile, tile, rows, weights);
        break;
      case 2:
        gdml_rows_and_tile<2, Energies>(profile, tile, rows, weights);
        break;
      case 3:
        gdml_rows_and_tile<3, Energies>(profile, tile, rows, weights);
        break;
      case 4:
        gdml_rows_and_tile<4, Energies>(profile, tile, rows, weights);
        break;
      case 5:
        gdml_rows_and_tile<5, Energies>(profile, tile, rows, weights);
        break;
      default:
        gdml_rows_and_tile<6, Energies>(profile, tile, rows, weights);
    }
  }
}

}  // namespace pyff::PYFF_ISA

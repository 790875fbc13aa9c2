// A geometry with its permutations against another one: what blocks of kernel matrices are made of.
//
// Geometries are tables of four planes over (atom c, atom e), symmetric x_ce and antisymmetric h_ce = (r_c - r_e) x^3,
// for which dx_ce/dr_c = -h_ce. The permutations act on the fixed geometry: A_p[c][e] is its entry for the pair
// (c, p^-1 e), which meets row p(c) of the moving geometry's table M. So all loops run along e, in both the tables and
// the matrix. With t = A_p - M and sums over atoms
//   u = J_fixed^T t:    u_{p^-1 e} = sum_c t_ce A_ce        v = J_moving^T t (permuted):    v_e = sum_c t_ce M_ce
//   block(c, e) = sum_p  -g1 A_ce M_ce^T - g2 u_c v_e^T,    and where e = p(c):  + g1 d_e,  d_e = sum_c A_ce M_ce^T
#pragma once

#include <cstdint>
#include <utility>

#include "cpu/gdml_memory.hpp"
#include "math/simd.hpp"

namespace pyff::PYFF_ISA {

struct GdmlShape {
  std::int64_t n;   // atoms
  std::int64_t ld;  // a row of a plane, whole vectors
  explicit GdmlShape(std::int64_t n_atoms)
      : n(n_atoms), ld((n_atoms + kLanes<double> - 1) / kLanes<double> * kLanes<double>) {}
  std::int64_t row() const { return 4 * ld; }  // the four planes of an atom
  std::int64_t table() const { return n * row(); }
};

inline double* gdml_aligned(double* scratch) {
  const auto address = reinterpret_cast<std::uintptr_t>(scratch);
  return scratch + (64 - address % 64) % 64 / sizeof(double);
}

// The table of a geometry; zero where c = e and in the padding.
inline void gdml_table(const GdmlShape& s, const double* x, const double* g, double* table) {
  for (std::int64_t k = 0; k < s.table(); ++k) table[k] = 0.0;
  for (std::int64_t a = 1; a < s.n; ++a)
    for (std::int64_t b = 0; b < a; ++b, ++x, g += 3) {
      double *const above = table + a * s.row() + b, *const below = table + b * s.row() + a;
      above[0] = below[0] = *x;
      for (int q = 0; q < 3; ++q) {
        above[(q + 1) * s.ld] = g[q];
        below[(q + 1) * s.ld] = -g[q];
      }
    }
}

// Word w of vectors x, y and z of consecutive atoms as numbers atom by atom: lane l is number w lanes + l.
template <int w, std::size_t... lane>
inline DoubleVec gdml_word(const DoubleVec (&v)[3], std::index_sequence<lane...>) {
#if defined(__has_builtin) && __has_builtin(__builtin_shufflevector)
  constexpr int n = kLanes<double>;
  const DoubleVec xy = __builtin_shufflevector(v[0], v[1], ((w * n + lane) / 3 + (w * n + lane) % 3 % 2 * n)...);
  return __builtin_shufflevector(xy, v[2], ((w * n + lane) % 3 == 2 ? n + (w * n + lane) / 3 : lane)...);
#else
  return DoubleVec{v[(w * kLanes<double> + lane) % 3][(w * kLanes<double> + lane) / 3]...};
#endif
}

// Vectors of x, y and z of `atoms` atoms, as numbers atom by atom.
inline __attribute__((always_inline)) void gdml_put(const DoubleVec (&v)[3], std::int64_t atoms, double* out,
                                                    bool add) {
  constexpr int n = kLanes<double>;
  constexpr auto lanes = std::make_index_sequence<n>();
  const DoubleVec words[3] = {gdml_word<0>(v, lanes), gdml_word<1>(v, lanes), gdml_word<2>(v, lanes)};
  if (atoms >= n && !add) {
    for (int w = 0; w < 3; ++w) store(out + w * n, words[w]);
    return;
  }
  double row[3 * n];
  for (int w = 0; w < 3; ++w) store(row + w * n, words[w]);
  const std::int64_t count = 3 * (atoms < n ? atoms : n);
  for (std::int64_t k = 0; k < count; ++k) out[k] = add ? out[k] + row[k] : row[k];
}

// One in this lane, zero in the others.
struct GdmlUnit {
  double lanes[2 * kLanes<double>] = {};
  constexpr GdmlUnit() { lanes[kLanes<double> - 1] = 1.0; }
};
inline DoubleVec gdml_unit(std::int64_t lane) {
  static constexpr GdmlUnit unit;
  return load(unit.lanes + kLanes<double> - 1 - lane);
}

template <class Profile>
class GdmlPair {
 public:
  const GdmlShape s;

  // scratch: gdml_thread_elements
  GdmlPair(std::int64_t n_atoms, std::int64_t n_perms, const Profile& profile, double* scratch)
      : s(n_atoms), profile_(profile) {
    const std::int64_t p = gdml_padded(gdml_perms_at_once(n_atoms, n_perms));
    own_ = scratch;
    tables_ = own_ + s.table();
    u_ = tables_ + p * s.table();
    v_ = u_ + 3 * p * s.ld;
    gu_ = v_ + 3 * p * s.ld;
    d_ = gu_ + 3 * p * s.ld;
    square_ = d_ + 9 * p * s.ld;
    k_ = square_ + p;
    g1_ = k_ + p;
    g2_ = g1_ + p;
    row_ = g2_ + p;
  }

  void fix(const double* x, const double* g) { gdml_table(s, x, g, own_); }

  // The permutations, [count, N], that the functions below sum over.
  void permute(const std::int64_t* perms, std::int64_t count) {
    perms_ = perms;
    count_ = count;
    for (std::int64_t p = 0; p < count; ++p)
      for (std::int64_t row = 0; row < 4 * s.n; ++row) {
        const double* from = own_ + row * s.ld;
        double* const to = tables_ + p * s.table() + row * s.ld;
        for (std::int64_t e = s.n; e < s.ld; ++e) to[e] = 0.0;
        for (std::int64_t e = 0; e < s.n; ++e) to[perms[p * s.n + e]] = from[e];
      }
  }

  // Meets a moving geometry, given by its table; kWithin: blocks of atoms with themselves are needed.
  template <bool kWithin>
  void meet(const double* moving) {
    moving_ = moving;
    for (std::int64_t p = 0; p < count_; ++p) square_[p] = 0.5 * contract<kWithin>(p);  // every pair is there twice
    for (std::int64_t p = count_; p < gdml_padded(count_); ++p) square_[p] = 0.0;
    for (std::int64_t p = 0; p < count_; p += kLanes<double>) {
      const auto terms = profile_(load(square_ + p));
      store(k_ + p, terms.k);
      store(g1_ + p, terms.g1);
      store(g2_ + p, terms.g2);
    }
    for (std::int64_t p = 0; p < count_; ++p)
      for (std::int64_t k = 3 * p * s.ld; k < 3 * (p + 1) * s.ld; ++k) gu_[k] = g2_[p] * u_[k];
  }

  // The 3N x 3N block.
  void block(double* out, std::int64_t stride, bool add) const {
    constexpr std::int64_t lanes = kLanes<double>;
    for (std::int64_t c = 0; c < s.n; ++c, out += 3 * stride)
      for (std::int64_t e = 0; e < s.n; e += lanes) {
        // the last vector may overlap the one before: stores of whole vectors are quicker
        if (!add && s.n >= lanes && e > s.n - lanes) e = s.n - lanes;
        block_piece(c, e, out + 3 * e, stride, add);
      }
  }

  // Row 3 c + axis of the block.
  void block_row(std::int64_t c, int axis, double* out, bool add) {
    for (std::int64_t k = 0; k < 3 * s.ld; ++k) row_[k] = 0.0;
    for (std::int64_t p = 0; p < count_; ++p) add_row(p, c, axis);
    put_row(out, add);
  }

  // Covariances of the fixed geometry's forces with the moving one's energy, [3N].
  void forces_energy(double* out, std::int64_t stride, bool add) const {
    for (std::int64_t c = 0; c < s.n; ++c)
      for (int a = 0; a < 3; ++a) {
        const double sum = force_energy(c, a);
        double& to = out[(3 * c + a) * stride];
        to = add ? to + sum : sum;
      }
  }

  // The same of component 3 c + axis alone.
  double force_energy(std::int64_t c, int axis) const {
    double sum = 0.0;
    for (std::int64_t p = 0; p < count_; ++p) sum += g1_[p] * u_[(3 * p + axis) * s.ld + perms_[p * s.n + c]];
    return sum;
  }

  // Covariances of the fixed geometry's energy with the moving one's forces, [3N].
  void energy_forces(double* out, std::int64_t stride, bool add) const {
    for (std::int64_t e = 0; e < s.n; ++e)
      for (int b = 0; b < 3; ++b) {
        double sum = 0.0;
        for (std::int64_t p = 0; p < count_; ++p) sum -= g1_[p] * v_[(3 * p + b) * s.ld + e];
        double& to = out[(3 * e + b) * stride];
        to = add ? to + sum : sum;
      }
  }

  double energy_energy() const {
    double sum = 0.0;
    for (std::int64_t p = 0; p < count_; ++p) sum += k_[p];
    return sum;
  }

 private:
  // u, v and, where wanted, d of one permutation; returns the sum of squares of t.
  template <bool kWithin>
  double contract(std::int64_t p) {
    const std::int64_t* const perm = perms_ + p * s.n;
    DoubleVec square{};
    for (std::int64_t e = 0; e < s.ld; e += kLanes<double>) {
      DoubleVec u[3]{}, v[3]{}, d[9]{};
      for (std::int64_t c = 0; c < s.n; ++c) {
        const double *const fixed = tables_ + p * s.table() + c * s.row() + e, *const other =
                                                                                   moving_ + perm[c] * s.row() + e;
        const DoubleVec t = load(fixed) - load(other);
        square += t * t;
        DoubleVec a[3], m[3];
        for (int q = 0; q < 3; ++q) {
          a[q] = load(fixed + (q + 1) * s.ld);
          m[q] = load(other + (q + 1) * s.ld);
          u[q] += t * a[q];
          v[q] += t * m[q];
        }
        if (kWithin)
          for (int q = 0; q < 9; ++q) d[q] += a[q / 3] * m[q % 3];
      }
      for (int q = 0; q < 3; ++q) {
        store(u_ + (3 * p + q) * s.ld + e, u[q]);
        store(v_ + (3 * p + q) * s.ld + e, v[q]);
      }
      if (kWithin)
        for (int q = 0; q < 9; ++q) store(d_ + (9 * p + q) * s.ld + e, d[q]);
    }
    return sum<double>(square);
  }

  // Rows of atom c, columns of the atoms from e on.
  void block_piece(std::int64_t c, std::int64_t e, double* out, std::int64_t stride, bool add) const {
    DoubleVec sums[3][3]{};
    for (std::int64_t p = 0; p < count_; ++p) {
      const std::int64_t image = perms_[p * s.n + c];
      const double *const fixed = tables_ + p * s.table() + c * s.row() + e, *const other =
                                                                                 moving_ + image * s.row() + e;
      const DoubleVec g1 = splat(g1_[p]);
      DoubleVec m[3], v[3];
      for (int b = 0; b < 3; ++b) {
        m[b] = load(other + (b + 1) * s.ld);
        v[b] = load(v_ + (3 * p + b) * s.ld + e);
      }
      for (int a = 0; a < 3; ++a) {
        const DoubleVec x = load(fixed + (a + 1) * s.ld) * g1, u = splat(gu_[(3 * p + a) * s.ld + image]);
        for (int b = 0; b < 3; ++b) {
          sums[a][b] -= x * m[b];
          sums[a][b] -= u * v[b];
        }
      }
      if (image >= e && image < e + kLanes<double>) {
        const DoubleVec here = g1 * gdml_unit(image - e);
        for (int q = 0; q < 9; ++q) sums[q / 3][q % 3] += here * load(d_ + (9 * p + q) * s.ld + e);
      }
    }
    for (int a = 0; a < 3; ++a) gdml_put(sums[a], s.n - e, out + a * stride, add);
  }

  void add_row(std::int64_t p, std::int64_t c, int axis) {
    const std::int64_t image = perms_[p * s.n + c];
    const double* const fixed = tables_ + p * s.table() + c * s.row() + (axis + 1) * s.ld;
    const double *const other = moving_ + image * s.row(), *const v = v_ + 3 * p * s.ld;
    const double u = gu_[(3 * p + axis) * s.ld + image];
    DoubleVec within[3]{};
    for (std::int64_t e = 0; e < s.ld; e += kLanes<double>) {
      const DoubleVec x = load(fixed + e) * g1_[p];
      for (int b = 0; b < 3; ++b) {
        const DoubleVec product = x * load(other + (b + 1) * s.ld + e);
        double* const to = row_ + b * s.ld + e;
        store(to, load(to) - product - u * load(v + b * s.ld + e));
        within[b] += product;
      }
    }
    for (int b = 0; b < 3; ++b) row_[b * s.ld + image] += sum<double>(within[b]);
  }

  void put_row(double* out, bool add) const {
    for (std::int64_t e = 0; e < s.ld; e += kLanes<double>) {
      const DoubleVec v[3] = {load(row_ + e), load(row_ + s.ld + e), load(row_ + 2 * s.ld + e)};
      gdml_put(v, s.n - e, out + 3 * e, add);
    }
  }

  Profile profile_;
  const std::int64_t* perms_ = nullptr;
  std::int64_t count_ = 0;
  const double* moving_ = nullptr;
  double *own_, *tables_, *u_, *v_, *gu_, *d_, *square_, *k_, *g1_, *g2_, *row_;
};

// body(perms, count, add): groups of permutations that are worked off at the same time; all but the first add.
template <class Body>
inline void gdml_for_perms(std::int64_t n_atoms, std::int64_t n_perms, const std::int64_t* perms, Body&& body) {
  const std::int64_t step = gdml_perms_at_once(n_atoms, n_perms);
  for (std::int64_t p = 0; p < n_perms; p += step)
    body(perms + p * n_atoms, n_perms - p < step ? n_perms - p : step, p > 0);
}

}  // namespace pyff::PYFF_ISA

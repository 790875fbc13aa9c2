// Sums of pair energies. With the cotangents g of the energies and w = (g_i + g_j) / 2 every receiver collects, over its
// own pairs alone,
//   energy_i = 1/2 sum e,   grad_pos_i = -sum w e' u,   grad_atom_i = sum w de/da_i,
//   virial_i = 1/2 sum shift (x) w e' u,   grad_law_i = 1/2 sum w de/dlaw;
// so no thread writes another's atoms, and the result does not depend on the number of threads. Double backward is the
// gradient's code run on dual numbers whose derivative is along the cotangents.
//
// A row is worked off in tiles: a scalar loop gathers the pairs within the cutoff, then vectors evaluate them.
#include <cmath>
#include <limits>

#include "api/pyff.hpp"
#include "core/parallel.hpp"
#include "math/simd.hpp"

namespace pyff::PYFF_ISA {
namespace {

constexpr std::int64_t kParallelThreshold = 1 << 11;  // pairs
constexpr int kTile = 128;
constexpr int kWide = kLanes<double>;
constexpr double kSmallest = 1e-200;  // A^2; keeps the direction of coincident atoms finite: zero

enum Order { kEnergy = 0, kGradient = 1, kDouble = 2 };

template <int order>
using Number = std::conditional_t<order == kDouble, Dual<DoubleVec>, DoubleVec>;

template <int atom>
struct Tile {
  double vec[3][kTile], shift[3][kTile], atom_j[atom][kTile], weight[kTile];
  double cot_vec[3][kTile], cot_atom[atom][kTile];
  int count;
};

// What a receiver collects: lanes of the value (energy, gradient) or of the derivative along the cotangents (double).
template <int atom, int law>
struct Sums {
  DoubleVec energy{}, force[3]{}, virial[9]{}, of_atom[atom]{}, of_law[law > 0 ? law : 1]{};
};

// shift @ cell of the pair at hand. Neighbors in a list mostly share their shift, so it is kept.
struct Translation {
  const double* cell;
  std::int32_t shift[3] = {0, 0, 0};
  double r[3] = {0, 0, 0};

  inline void move_to(const std::int32_t* s) {
    if (((s[0] ^ shift[0]) | (s[1] ^ shift[1]) | (s[2] ^ shift[2])) == 0) return;
    for (int a = 0; a < 3; ++a) {
      shift[a] = s[a];
      r[a] = s[0] * cell[a] + s[1] * cell[3 + a] + s[2] * cell[6 + a];
    }
  }
};

inline double radius_of(const PairLaw& law) {
  if (law.kind != static_cast<int>(PairKind::zbl)) return law.cutoff;
  return std::fmin(law.local.radius, law.width);
}

// Gathers pairs of receiver i from e on until the tile is full; returns the first pair that is not in it.
template <int order, int atom>
inline std::int64_t fill(const PairEnergyParams& p, double radius2, std::int64_t i, std::int64_t e, Tile<atom>& t) {
  const double* own = p.pos + 3 * i;
  const std::int64_t end = p.row_ptr[i + 1];
  Translation translation{p.cell + 9 * p.batch[i]};
  Translation cot_translation{order == kDouble ? p.cot_cell + 9 * p.batch[i] : nullptr};
  int n = 0;
  for (; e < end && n < kTile; ++e) {
    const std::int64_t j = p.idx_j[e];
    const std::int32_t* s = p.shift + 3 * e;
    double r[3];
    translation.move_to(s);
    for (int a = 0; a < 3; ++a) t.vec[a][n] = r[a] = p.pos[3 * j + a] - own[a] + translation.r[a];
    for (int a = 0; a < atom; ++a) t.atom_j[a][n] = p.atom[atom * j + a];
    if (order >= kGradient) t.weight[n] = 0.5 * (p.grad_energy[i] + p.grad_energy[j]);
    if (order >= kGradient && p.virial)
      for (int a = 0; a < 3; ++a) t.shift[a][n] = s[a];
    if (order == kDouble) {
      cot_translation.move_to(s);
      for (int a = 0; a < 3; ++a)
        t.cot_vec[a][n] = p.cot_pos[3 * j + a] - p.cot_pos[3 * i + a] + cot_translation.r[a];
      for (int a = 0; a < atom; ++a) t.cot_atom[a][n] = p.cot_atom[atom * j + a];
    }
    n += r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < radius2;
  }
  t.count = n;
  return e;
}

// Whole vectors: what is left of the last one repeats a pair, with no weight.
template <int order, int atom>
inline void pad(Tile<atom>& t) {
  for (int n = t.count; n % kWide != 0; ++n) {
    for (int a = 0; a < 3; ++a) t.vec[a][n] = t.vec[a][0], t.shift[a][n] = 0;
    for (int a = 0; a < atom; ++a) t.atom_j[a][n] = t.atom_j[a][0];
    t.weight[n] = 0;
    if (order < kDouble) continue;
    for (int a = 0; a < 3; ++a) t.cot_vec[a][n] = t.cot_vec[a][0];
    for (int a = 0; a < atom; ++a) t.cot_atom[a][n] = t.cot_atom[a][0];
  }
}

template <int order>
inline Number<order> number(const double* value, const double* derivative) {
  if constexpr (order == kDouble)
    return {load(value), load(derivative)};
  else
    return load(value);
}

inline DoubleVec collected(DoubleVec x) { return x; }
inline DoubleVec collected(Dual<DoubleVec> x) { return x.d; }

inline DoubleVec live_lanes(DoubleVec x, int n) {
  LongVec lane;
  for (int k = 0; k < kWide; ++k) lane[k] = k;
  return select(lane < LongVec{} + n, x, DoubleVec{});
}

template <int order, class Law>
inline void collect(const Law& law, const Number<order>* own, const Tile<Law::kAtom>& t, bool energy, bool virial,
                    Sums<Law::kAtom, Law::kLaw>& sums) {
  using N = Number<order>;
  for (int k = 0; k < t.count; k += kWide) {
    N vec[3], other[Law::kAtom];
    for (int a = 0; a < 3; ++a) vec[a] = number<order>(t.vec[a] + k, t.cot_vec[a] + k);
    for (int a = 0; a < Law::kAtom; ++a) other[a] = number<order>(t.atom_j[a] + k, t.cot_atom[a] + k);
    const N length2 = vec[0] * vec[0] + vec[1] * vec[1] + vec[2] * vec[2], least = Constant<N>::of(kSmallest);
    const N square = select(length2 < least, least, length2), r = sqrt_of(square);
    const auto terms = law(r, r * (1 / square), own, other);  // the root and the division at the same time
    if (energy) sums.energy += live_lanes(collected(terms.energy), t.count - k);
    if (order == kEnergy) continue;
    const DoubleVec w = load(t.weight + k);
    for (int a = 0; a < 3; ++a) {
      const DoubleVec force = w * collected(terms.pull * vec[a]);
      sums.force[a] += force;
      if (virial)
        for (int b = 0; b < 3; ++b) sums.virial[3 * b + a] += load(t.shift[b] + k) * force;
    }
    for (int a = 0; a < Law::kAtom; ++a) sums.of_atom[a] += w * collected(terms.atom[a]);
    for (int a = 0; a < Law::kLaw; ++a) sums.of_law[a] += w * collected(terms.law[a]);
  }
}

template <int n>
inline void put(double* out, std::int64_t i, const DoubleVec* sums, double factor) {
  if (!out) return;
  for (int a = 0; a < n; ++a) out[n * i + a] = factor * sum<double>(sums[a]);
}

template <int order>
inline Number<order> broadcast(const double* value, const double* derivative, std::int64_t k) {
  if constexpr (order == kDouble)
    return {splat(value[k]), splat(derivative[k])};
  else
    return splat(value[k]);
}

template <int order, class Law>
void run_rows(const PairEnergyParams& p, const Law& law, std::int64_t begin, std::int64_t end) {
  const double radius = radius_of(p.law), radius2 = radius * radius;
  Tile<Law::kAtom> tile;
  for (std::int64_t i = begin; i < end; ++i) {
    Sums<Law::kAtom, Law::kLaw> sums;
    Number<order> own[Law::kAtom];
    for (int a = 0; a < Law::kAtom; ++a) own[a] = broadcast<order>(p.atom, p.cot_atom, Law::kAtom * i + a);
    for (std::int64_t e = p.row_ptr[i]; e < p.row_ptr[i + 1];) {
      e = fill<order>(p, radius2, i, e, tile);
      pad<order>(tile);
      collect<order>(law, own, tile, p.energy != nullptr, p.virial != nullptr, sums);
    }
    put<1>(p.energy, i, &sums.energy, 0.5);
    if (order == kEnergy) continue;
    put<3>(p.grad_pos, i, sums.force, -1);
    put<9>(p.virial, i, sums.virial, 0.5);
    put<Law::kAtom>(p.grad_atom, i, sums.of_atom, 1);
    if constexpr (Law::kLaw > 0) put<Law::kLaw>(p.grad_law, i, sums.of_law, 0.5);
  }
}

template <int order>
void run(const PairEnergyParams& p) {
  Number<order> parameters[8] = {};
  if (p.law.kind == static_cast<int>(PairKind::zbl))
    for (int k = 0; k < 8; ++k) parameters[k] = broadcast<order>(p.law_parameters, p.cot_law, k);
  const int threads = p.row_ptr[p.n_atoms] < kParallelThreshold ? 1 : p.threads;
  with_pair_law(p.law, parameters, [&](const auto& law) {
    parallel_ranges(threads, p.n_atoms, [&](int, std::int64_t begin, std::int64_t end) {
      run_rows<order>(p, law, begin, end);
    });
  });
}

}  // namespace

void pair_energy_forward(const PairEnergyParams& p) { run<kEnergy>(p); }
void pair_energy_backward(const PairEnergyParams& p) { run<kGradient>(p); }
void pair_energy_double_backward(const PairEnergyParams& p) { run<kDouble>(p); }

}  // namespace pyff::PYFF_ISA

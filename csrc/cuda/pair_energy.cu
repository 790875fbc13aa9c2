#include "cuda/pair_energy.hpp"

#include "cuda/dual_numbers.hpp"
#include "math/pair_energy.hpp"

namespace pyff::cuda {
namespace {

constexpr double kSmallest = 1e-200;  // A^2; keeps the direction of coincident atoms finite: zero

template <int order, class Law>
struct PairEnergyKernel {
  static constexpr const char* kName = "pair energies";
  static constexpr int kThreads = 128;
  static constexpr bool kDual = order == kDoubleBackward;
  static constexpr int kAtom = Law::kAtom, kLaw = Law::kLaw;
  using N = Number<double, kDual>;

  PairEnergyParams p;
  double radius2;  // pairs from here on have no energy

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    N parameters[kLaw > 0 ? kLaw : 1];
    PYFF_UNROLL
    for (int k = 0; k < kLaw; ++k) parameters[k] = number<kDual>(p.law_parameters, p.cot_law, k);
    const Law law(p.law, parameters);
    const std::int64_t warps = block.global_threads() / simt::kWarp;
    for (std::int64_t i = block.global_thread() / simt::kWarp; i < p.n_atoms; i += warps) {
      N own[kAtom];
      PYFF_UNROLL
      for (int a = 0; a < kAtom; ++a) own[a] = number<kDual>(p.atom, p.cot_atom, kAtom * i + a);
      Sums sums{};
      for (std::int64_t e = p.row_ptr[i] + block.lane(); e < p.row_ptr[i + 1]; e += simt::kWarp)
        add_pair(law, own, i, e, sums);
      write(block, i, sums);
    }
  }

 private:
  // What a receiver collects: values, or in the double backward their derivatives along the cotangents.
  struct Sums {
    double energy[1], force[3], virial[9], of_atom[kAtom], of_law[kLaw > 0 ? kLaw : 1];
  };

  // r = pos[j] - pos[i] + shift cell
  static PYFF_DEVICE void vector(const double* pos, const double* cell, std::int64_t i, std::int64_t j,
                                 const std::int32_t* s, double (&r)[3]) {
    PYFF_UNROLL
    for (int a = 0; a < 3; ++a) r[a] = pos[3 * j + a] - pos[3 * i + a];
    if ((s[0] | s[1] | s[2]) == 0) return;
    PYFF_UNROLL
    for (int a = 0; a < 3; ++a) r[a] += s[0] * cell[a] + s[1] * cell[3 + a] + s[2] * cell[6 + a];
  }

  PYFF_DEVICE void add_pair(const Law& law, const N (&own)[kAtom], std::int64_t i, std::int64_t e, Sums& sums) const {
    const std::int64_t j = p.idx_j[e], b = 9 * p.batch[i];
    const std::int32_t* const shift = p.shift + 3 * e;
    double r[3], tangent[3] = {};
    vector(p.pos, p.cell + b, i, j, shift, r);
    if (!(r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < radius2)) return;
    if constexpr (kDual) vector(p.cot_pos, p.cot_cell + b, i, j, shift, tangent);
    N vec[3], other[kAtom];
    PYFF_UNROLL
    for (int a = 0; a < 3; ++a) vec[a] = number<kDual>(r, tangent, a);
    PYFF_UNROLL
    for (int a = 0; a < kAtom; ++a) other[a] = number<kDual>(p.atom, p.cot_atom, kAtom * j + a);
    const N length2 = vec[0] * vec[0] + vec[1] * vec[1] + vec[2] * vec[2], least = math::Constant<N>::of(kSmallest);
    const N square = math::select(length2 < least, least, length2), distance = math::sqrt_of(square);
    const auto terms = law(distance, distance * (1 / square), own, other);
    sums.energy[0] += emitted(terms.energy);
    if constexpr (order != kForward) add_gradients(terms, vec, shift, 0.5 * (p.grad_energy[i] + p.grad_energy[j]), sums);
  }

  template <class Terms>
  PYFF_DEVICE void add_gradients(const Terms& terms, const N (&vec)[3], const std::int32_t* shift, double weight,
                                 Sums& sums) const {
    PYFF_UNROLL
    for (int a = 0; a < 3; ++a) {
      const double force = weight * emitted(terms.pull * vec[a]);
      sums.force[a] += force;
      PYFF_UNROLL
      for (int b = 0; b < 3; ++b) sums.virial[3 * b + a] += shift[b] * force;
    }
    PYFF_UNROLL
    for (int a = 0; a < kAtom; ++a) sums.of_atom[a] += weight * emitted(terms.atom[a]);
    PYFF_UNROLL
    for (int a = 0; a < kLaw; ++a) sums.of_law[a] += weight * emitted(terms.law[a]);
  }

  PYFF_DEVICE void write(const simt::Block& block, std::int64_t i, const Sums& s) const {
    write_sums<1>(block, p.energy, i, s.energy, 0.5);
    if constexpr (order != kForward) {
      write_sums<3>(block, p.grad_pos, i, s.force, -1);
      write_sums<9>(block, p.virial, i, s.virial, 0.5);
      write_sums<kAtom>(block, p.grad_atom, i, s.of_atom, 1);
      if constexpr (kLaw > 0) write_sums<kLaw>(block, p.grad_law, i, s.of_law, 0.5);
    }
  }

  template <int n>
  static PYFF_DEVICE void write_sums(const simt::Block& block, double* out, std::int64_t i, const double* sums,
                                     double factor) {
    if (!out) return;
    PYFF_UNROLL
    for (int a = 0; a < n; ++a) {
      const double total = factor * simt::warp_sum(block, sums[a]);
      if (block.lane() == 0) out[n * i + a] = total;
    }
  }
};

double radius_of(const PairLaw& law) {
  if (law.kind != static_cast<int>(PairKind::zbl)) return law.cutoff;
  return law.local.radius < law.width ? law.local.radius : law.width;
}

template <int order>
void run(const PairEnergyParams& p, simt::Stream stream) {
  using N = Number<double, order == kDoubleBackward>;
  const N unused[8] = {};  // the law's parameters are on the device; here only its type counts
  const double radius = radius_of(p.law);
  math::with_pair_law(p.law, unused, [&](const auto& law) {
    using Kernel = PairEnergyKernel<order, std::decay_t<decltype(law)>>;
    const std::int64_t threads = p.n_atoms * simt::kWarp;
    simt::launch(Kernel{p, radius * radius}, simt::Grid{simt::blocks_for(threads, Kernel::kThreads), 0, stream});
  });
}

}  // namespace

std::int64_t pair_energy_scratch(int, const PairEnergyParams&) { return 0; }

void pair_energy(int order, const PairEnergyParams& p, const Call& call) {
  PYFF_REQUIRE(order >= kForward && order <= kDoubleBackward, "order must be 0, 1 or 2; received " << order);
  PYFF_REQUIRE(p.law.kind >= 0 && p.law.kind <= static_cast<int>(PairKind::zbl),
               "the kind of a pair law must lie in 0 .. " << static_cast<int>(PairKind::zbl) << "; received "
                                                          << p.law.kind);
  if (order == kForward) return run<kForward>(p, call.stream);
  if (order == kBackward) return run<kBackward>(p, call.stream);
  run<kDoubleBackward>(p, call.stream);
}

}  // namespace pyff::cuda

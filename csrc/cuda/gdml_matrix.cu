#include "cuda/gdml_matrix.hpp"

#include "cuda/gdml_pair.hpp"
#include "math/gdml_blocks.hpp"

namespace pyff::cuda {
namespace {

constexpr int kGdmlThreads = 128;

PYFF_DEVICE void put(double& to, double value, bool add) { to = add ? to + value : value; }

template <class Profile>
struct GdmlMatrixKernel {
  static constexpr const char* kName = "GDML matrix";
  static constexpr int kThreads = kGdmlThreads;

  GdmlMatrixParams p;
  math::GdmlBlocks blocks;
  Profile profile;
  std::int64_t step;  // permutations at a time

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    const std::int64_t n_pairs = p.n_atoms * (p.n_atoms - 1) / 2;
    GdmlPair<Profile> pair(p.n_atoms, profile, block, step);
    for (std::int64_t t = block.index(); t < blocks.count(); t += block.count()) {
      const std::int64_t i = blocks.row_of(t), j = blocks.first_column(i) + t - blocks.first_of(i);
      const GdmlGeometry fixed(p.rows, i, n_pairs), moving(p.columns, j, n_pairs);
      for (std::int64_t first = 0; first < p.n_perms; first += step) {
        const std::int64_t count = p.n_perms - first < step ? p.n_perms - first : step;
        pair.meet(block, fixed, moving, p.perms + first * p.n_atoms, count);
        write_forces(block, pair, fixed, moving, i, j, first > 0);
        if (p.energies) write_energies(block, pair, i, j, first > 0);
      }
    }
  }

 private:
  PYFF_DEVICE void write_forces(const simt::Block& block, const GdmlPair<Profile>& pair, const GdmlGeometry& fixed,
                                const GdmlGeometry& moving, std::int64_t i, std::int64_t j, bool add) const {
    const std::int64_t width = 3 * p.n_atoms;
    double* const out = p.out + width * i * p.stride + width * j;
    for (std::int64_t task = block.thread(); task < p.n_atoms * width; task += kThreads) {
      const std::int64_t c = task / width, column = task % width;
      double sums[3];
      pair.entries(fixed, moving, c, 0, column / 3, static_cast<int>(column % 3), sums);
      PYFF_UNROLL
      for (int a = 0; a < 3; ++a) put(out[(3 * c + a) * p.stride + column], sums[a], add);
    }
  }

  PYFF_DEVICE void write_energies(const simt::Block& block, const GdmlPair<Profile>& pair, std::int64_t i,
                                  std::int64_t j, bool add) const {
    const std::int64_t width = 3 * p.n_atoms, rows = width * p.rows.n, columns = width * p.columns.n;
    for (std::int64_t c = block.thread(); c < width; c += kThreads) {
      const int axis = static_cast<int>(c % 3);
      put(p.out[(width * i + c) * p.stride + columns + j], pair.force_energy(c / 3, axis), add);
      const double value = pair.energy_force(c / 3, axis);
      if (!p.upper)
        put(p.out[(rows + i) * p.stride + width * j + c], value, add);
      else if (i != j)
        put(p.out[(width * j + c) * p.stride + columns + i], value, add);  // its mirror image
    }
    if (block.thread() == 0) put(p.out[(rows + i) * p.stride + columns + j], pair.energy_energy(), add);
  }
};

template <class Profile>
struct GdmlColumnsKernel {
  static constexpr const char* kName = "GDML columns";
  static constexpr int kThreads = kGdmlThreads;

  GdmlColumnsParams p;
  Profile profile;
  std::int64_t step;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    const std::int64_t n_pairs = p.n_atoms * (p.n_atoms - 1) / 2;
    GdmlPair<Profile> pair(p.n_atoms, profile, block, step);
    for (std::int64_t t = block.index(); t < p.n_points * p.rows.n; t += block.count()) {
      const std::int64_t q = t / p.rows.n, i = t % p.rows.n;
      const GdmlGeometry fixed(p.columns, p.point[q], n_pairs), moving(p.rows, i, n_pairs);
      for (std::int64_t first = 0; first < p.n_perms; first += step) {
        const std::int64_t count = p.n_perms - first < step ? p.n_perms - first : step;
        pair.meet(block, fixed, moving, p.inverse_perms + first * p.n_atoms, count);
        for (std::int64_t c = p.first[q]; c < p.first[q + 1]; ++c) write(block, pair, fixed, moving, c, i, first > 0);
      }
    }
  }

 private:
  PYFF_DEVICE void write(const simt::Block& block, const GdmlPair<Profile>& pair, const GdmlGeometry& fixed,
                         const GdmlGeometry& moving, std::int64_t c, std::int64_t i, bool add) const {
    const std::int64_t width = 3 * p.n_atoms, height = (width + (p.energies ? 1 : 0)) * p.rows.n;
    double* const out = p.out + p.target[c] * height;
    const std::int64_t atom = p.component[c] / 3;
    const int axis = static_cast<int>(p.component[c] % 3);
    const bool of_energy = atom == p.n_atoms;
    for (std::int64_t k = block.thread(); k < width; k += kThreads) {
      double value[1];
      if (of_energy)
        value[0] = pair.energy_force(k / 3, static_cast<int>(k % 3));
      else
        pair.entries(fixed, moving, atom, axis, k / 3, static_cast<int>(k % 3), value);
      put(out[width * i + k], value[0], add);
    }
    if (p.energies && block.thread() == 0)
      put(out[width * p.rows.n + i], of_energy ? pair.energy_energy() : pair.force_energy(atom, axis), add);
  }
};

// Launches Kernel{..., profile, step} on a block of threads per pair.
template <class Make>
void launch_pairs(std::int64_t n_atoms, std::int64_t n_perms, std::int64_t pairs, const RadialProfile& profile,
                  simt::Stream stream, Make&& make) {
  const std::int64_t step = gdml_perms_in_shared(n_atoms, n_perms);
  const std::int64_t shared = step * gdml_shared_elements(n_atoms) * static_cast<std::int64_t>(sizeof(double));
  math::with_radial_profile(profile, [&](const auto& of_type) {
    simt::launch(make(of_type, step), simt::Grid{pairs < simt::kMaxBlocks ? pairs : simt::kMaxBlocks, shared, stream});
  });
}

}  // namespace

std::int64_t gdml_matrix_scratch(int, const GdmlMatrixParams&) { return 0; }

void gdml_matrix(int order, const GdmlMatrixParams& p, const Call& call) {
  PYFF_REQUIRE(order == kForward, "order must be 0; received " << order);
  const math::GdmlBlocks blocks{p.rows.n, p.columns.n, p.upper};
  launch_pairs(p.n_atoms, p.n_perms, blocks.count(), p.profile, call.stream,
               [&](const auto& profile, std::int64_t step) {
                 return GdmlMatrixKernel<std::decay_t<decltype(profile)>>{p, blocks, profile, step};
               });
}

std::int64_t gdml_columns_scratch(int, const GdmlColumnsParams&) { return 0; }

void gdml_columns(int order, const GdmlColumnsParams& p, const Call& call) {
  PYFF_REQUIRE(order == kForward, "order must be 0; received " << order);
  launch_pairs(p.n_atoms, p.n_perms, p.n_points * p.rows.n, p.profile, call.stream,
               [&](const auto& profile, std::int64_t step) {
                 return GdmlColumnsKernel<std::decay_t<decltype(profile)>>{p, profile, step};
               });
}

}  // namespace pyff::cuda

#include "kernels/gdml_product.hpp"

namespace pyff::plain {

double gdml_product(const GdmlTraining& training, const double* query, double* f) {
  const std::int64_t n = training.n_pairs, n_train = static_cast<std::int64_t>(training.train.size()) / n;
  const std::int64_t n_perms = static_cast<std::int64_t>(training.perms.size()) / n;
  double energy = 0;
  for (std::int64_t d = 0; d < n; ++d) f[d] = 0;
  for (std::int64_t j = 0; j < n_train; ++j)
    for (std::int64_t p = 0; p < n_perms; ++p) {
      const std::int64_t* const perm = &training.perms[p * n];
      const double *const x = &training.train[j * n], *const a = &training.coef[j * n];
      double r2 = 0, s = 0;
      for (std::int64_t d = 0; d < n; ++d) {
        const double t = query[d] - x[perm[d]];
        r2 += t * t;
        s += t * a[perm[d]];
      }
      const double c = training.coef_energy.empty() ? 0 : training.coef_energy[j];
      PYFF_ISA::with_radial_profile(training.profile, [&](const auto& profile) {
        const auto k = profile(r2);
        for (std::int64_t d = 0; d < n; ++d)
          f[d] += (k.g2 * s + c * k.g1) * (query[d] - x[perm[d]]) - k.g1 * a[perm[d]];
        energy += k.g1 * s + c * k.k;
      });
    }
  return energy;
}

GdmlPacked::GdmlPacked(const GdmlTraining& t) {
  const std::int64_t n = t.n_pairs, width = (n + 3) / 4 * 4, lines = 2 + width;
  const std::int64_t n_train = static_cast<std::int64_t>(t.train.size()) / n;
  const std::int64_t n_blocks = (n_train + kGdmlPoints - 1) / kGdmlPoints;
  const std::int64_t n_perms = static_cast<std::int64_t>(t.perms.size()) / n;
  centre.assign(n, 0);
  for (std::int64_t k = 0; k < n_train * n; ++k) centre[k % n] += t.train[k] / static_cast<double>(n_train);
  orders.assign(n_perms * n, 0);
  for (std::int64_t k = 0; k < n_perms * n; ++k) orders[k / n * n + t.perms[k]] = k % n;
  packed.assign(n_blocks * lines * 2 * kGdmlPoints, 0);
  for (std::int64_t j = 0; j < n_train; ++j) {
    const auto at = [&](std::int64_t line, int part) -> double& {
      return packed[((j / kGdmlPoints * lines + line) * 2 + part) * kGdmlPoints + j % kGdmlPoints];
    };
    if (!t.coef_energy.empty()) at(1, 0) = t.coef_energy[j];
    for (std::int64_t d = 0; d < n; ++d) {
      const double x = t.train[j * n + d] - centre[d], a = t.coef[j * n + d];
      at(0, 0) += x * x / 2;
      at(0, 1) += x * a;
      at(2 + d, 0) = x;
      at(2 + d, 1) = a;
    }
  }
  view = {t.profile, !t.coef_energy.empty(), n_blocks, n, n_perms, packed.data(), centre.data(), orders.data()};
}

}  // namespace pyff::plain

// The plain expansion of GDML: squared differences, permuted training points, one sum after the other, as the definition
// says. The oracle of the tests; nothing ships on it.
#pragma once

#include <cstdint>
#include <vector>

#include "api/gdml_product.hpp"

namespace pyff::plain {

struct GdmlTraining {
  std::int64_t n_pairs;
  std::vector<double> train, coef, coef_energy;  // [M, D], [M, D], [M] or empty
  std::vector<std::int64_t> perms;               // [P, D]: x[perm] is the permuted descriptor
  RadialProfile profile;
};

// f [D] and the energy, which is returned, of a query [D].
double gdml_product(const GdmlTraining& training, const double* query, double* f);

// The training set as the kernels want it (api/gdml_product.hpp).
struct GdmlPacked {
  std::vector<double> packed, centre;
  std::vector<std::int64_t> orders;
  GdmlExpansion view;
  explicit GdmlPacked(const GdmlTraining& training);
};

}  // namespace pyff::plain

// The plain sum of pair energies: one loop over directed pairs, each adding to both of its atoms, as the definition says.
// The oracle of the tests; nothing ships on it. The virial and law gradients of single receivers differ from the
// kernel's by where a pair's share is booked; their sums over the atoms are the same.
#pragma once

#include "api/pyff.hpp"

namespace pyff::plain {

void pair_energy_forward(const PairEnergyParams& params);
void pair_energy_backward(const PairEnergyParams& params);
void pair_energy_double_backward(const PairEnergyParams& params);

}  // namespace pyff::plain

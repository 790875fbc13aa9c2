// When a list built with a skin still holds every pair within the cutoff.
//
// Let the list hold all pairs with |D0| < cutoff + skin at positions R0 and cell H0. Take any linear map F with
// h0 F = h for each periodic lattice vector, and displacements u_i = R_i - m_i H - R0_i F with any integers m_i. Then
//   D = D0 F + u_j - u_i   and   |D| >= sigma_min(F) |D0| - 2 max_i |u_i - c|   for any vector c,
// so a pair that is not listed is not within the cutoff as long as
//   sigma_min(F) (cutoff + skin) - 2 max_i |u_i - c| >= cutoff.
// The integers m_i absorb positions that were wrapped between the calls; the listed shift becomes S - m_j + m_i.
#pragma once

#include <cstdint>

namespace pyff {

struct VerletReference {
  std::int64_t n_atoms;
  const double* pos;   // [N, 3] A, where the list was built
  const double* cell;  // [3, 3] A
  const bool* pbc;
  double cutoff;  // A
  double skin;    // A
};

enum class VerletState { complete, wrapped, outdated };

// complete: the list holds for these positions as it is; wrapped: with its shifts corrected by jump; outdated: pairs
// may be missing. jump [N, 3] receives m_i unless the list is outdated.
VerletState verlet_state(const VerletReference& reference, const double* pos, const double* cell, std::int32_t* jump);

}  // namespace pyff

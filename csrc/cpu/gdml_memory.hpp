// How much scratch the GDML matrix kernels need; the caller owns it.
#pragma once

#include <cstdint>

#include "api/gdml.hpp"
#include "core/macros.hpp"

namespace pyff::PYFF_ISA {

constexpr std::int64_t kGdmlLine = 8;                 // doubles; rows are padded to whole vectors of any length
constexpr std::int64_t kGdmlTableBytes = 512 * 1024;  // permuted tables of one geometry stay in L2
constexpr std::int64_t kGdmlVectors = 18;  // per permutation: u, v and g2 u, and the blocks of atoms with themselves
constexpr std::int64_t kGdmlNumbers = 4;   // per permutation: |t|^2, k, g1, g2

inline std::int64_t gdml_padded(std::int64_t n) { return (n + kGdmlLine - 1) / kGdmlLine * kGdmlLine; }

// Elements of the table of a geometry: four planes (x, and the three components of dx/dr) of N rows.
inline std::int64_t gdml_table_elements(std::int64_t n_atoms) { return 4 * n_atoms * gdml_padded(n_atoms); }

// Permutations whose tables are held at the same time.
inline std::int64_t gdml_perms_at_once(std::int64_t n_atoms, std::int64_t n_perms) {
  const std::int64_t bytes = gdml_table_elements(n_atoms) * static_cast<std::int64_t>(sizeof(double));
  const std::int64_t fit = bytes > 0 ? kGdmlTableBytes / bytes : n_perms;
  return fit < 1 ? 1 : fit < n_perms ? fit : n_perms;
}

inline std::int64_t gdml_thread_elements(std::int64_t n_atoms, std::int64_t n_perms) {
  const std::int64_t p = gdml_padded(gdml_perms_at_once(n_atoms, n_perms)), ld = gdml_padded(n_atoms);
  return (p + 1) * gdml_table_elements(n_atoms) + p * (kGdmlVectors * ld + kGdmlNumbers) + 4 * ld;
}

// Tables of `n_tables` geometries that all threads read, and what each thread holds; kGdmlLine to align the start.
inline std::int64_t gdml_scratch_elements(std::int64_t n_atoms, std::int64_t n_perms, std::int64_t n_tables,
                                          std::int64_t threads) {
  return n_tables * gdml_table_elements(n_atoms) + threads * gdml_thread_elements(n_atoms, n_perms) + kGdmlLine;
}

}  // namespace pyff::PYFF_ISA

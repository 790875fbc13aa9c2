#include "neighbors/search.hpp"

#include <pybind11/numpy.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bindings/module.hpp"
#include "core/status.hpp"
#include "neighbors/buffer_pool.hpp"
#include "neighbors/lattice.hpp"
#include "neighbors/search_lease.hpp"
#include "neighbors/verlet.hpp"

namespace {

using pyff::NeighborArrays;
using pyff::NeighborSearch;
using pyff::SearchLease;
using pyff::SearchOptions;
using pyff::Structure;

template <class T>
using Dense = py::array_t<T, py::array::c_style | py::array::forcecast>;

// A search of fewer atoms and possible pairs than this is shorter than handing the interpreter's lock over.
constexpr std::int64_t kKeepLockAtoms = 256;
constexpr double kKeepLockPairs = 1 << 20;

// Upper estimate of the pairs to be looked at, from the number of images within reach.
double possible_pairs(const Structure& s, double cutoff) {
  pyff::baseline::Lattice lattice{};
  pyff::baseline::make_lattice(s.cell, s.pbc, lattice);
  double pairs = static_cast<double>(s.n_atoms) * static_cast<double>(s.n_atoms);
  for (int k = 0; k < 3; ++k)
    if (s.pbc[k]) pairs *= 1 + 2 * cutoff / lattice.height[k];
  return pairs;
}

bool keeps_lock(const Structure* structures, std::int64_t n_structures, std::int64_t n_atoms, double cutoff) {
  if (n_atoms >= kKeepLockAtoms || n_structures >= kKeepLockAtoms) return false;
  double pairs = 0;
  for (std::int64_t b = 0; b < n_structures; ++b) pairs += possible_pairs(structures[b], cutoff);
  return pairs < kKeepLockPairs;  // false for NaN: the search refuses that cell
}

template <class Work>
void with_lock(bool keep, Work&& work) {
  if (keep) {
    work();
  } else {
    py::gil_scoped_release release;
    work();
  }
}

// Rows of open axes are not read, whatever they hold.
void read_cell(const double* cell, Structure& s) {
  for (int k = 0; k < 9; ++k) s.cell[k] = s.pbc[k / 3] ? cell[k] : 0.0;
}

Structure structure_of(const Dense<double>& pos, const Dense<double>& cell, const Dense<bool>& pbc) {
  PYFF_REQUIRE(pos.ndim() == 2 && pos.shape(1) == 3, "positions must have shape (N, 3); received ndim = "
                                                         << pos.ndim() << (pos.ndim() == 2 ? ", second size " : "")
                                                         << (pos.ndim() == 2 ? std::to_string(pos.shape(1)) : ""));
  PYFF_REQUIRE(cell.ndim() == 2 && cell.shape(0) == 3 && cell.shape(1) == 3,
               "cell must have shape (3, 3); received ndim = " << cell.ndim() << ", size " << cell.size());
  PYFF_REQUIRE(pbc.size() == 3, "pbc must be one or three booleans; received " << pbc.size());
  Structure s;
  s.n_atoms = pos.shape(0);
  s.pos = pos.data();
  for (int k = 0; k < 3; ++k) s.pbc[k] = pbc.data()[k];
  read_cell(cell.data(), s);
  return s;
}

// Small arrays are as cheap from numpy's own allocator.
constexpr std::int64_t kPooledFrom = std::int64_t{1} << 15;

// A new array of n values or, with three columns, [n, 3]; its memory returns to the pool when the array is freed.
template <class T>
T* new_array(py::object& slot, std::int64_t n, int columns) {
  using Shape = std::vector<py::ssize_t>;
  const Shape shape = columns == 1 ? Shape{n} : Shape{n, columns};
  const std::int64_t bytes = n * columns * static_cast<std::int64_t>(sizeof(T));
  if (bytes < kPooledFrom) {
    py::array_t<T> a(shape);
    T* data = a.mutable_data();
    slot = std::move(a);
    return data;
  }
  struct Lease {
    void* data;
    std::size_t bytes;
  };
  const auto size = static_cast<std::size_t>(bytes);
  auto lease = std::make_unique<Lease>(Lease{nullptr, size});
  lease->data = pyff::take_buffer(size);
  T* data = static_cast<T*>(lease->data);
  py::capsule owner(lease.release(), [](void* p) {
    std::unique_ptr<Lease> mine(static_cast<Lease*>(p));
    pyff::give_back_buffer(mine->data, mine->bytes);
  });
  slot = py::array_t<T>(shape, data, owner);
  return data;
}

// Pair-specific cutoffs; empty arrays mean that there are none.
struct PairCutoffs {
  Dense<double> radius;
  Dense<std::int32_t> species;
  Dense<double> table;

  void apply(SearchOptions& options, std::int64_t n_atoms) const {
    if (radius.size() > 0) {
      PYFF_REQUIRE(radius.size() == n_atoms,
                   "cutoff must hold one radius per atom (" << n_atoms << "); received " << radius.size());
      options.radius = radius.data();
    } else if (table.size() > 0) {
      PYFF_REQUIRE(species.size() == n_atoms,
                   "numbers must hold one entry per atom (" << n_atoms << "); received " << species.size());
      options.species = species.data();
      options.table = table.data();
      options.n_species = table.shape(0);
    }
  }
};

void check_cutoff(double cutoff) {
  PYFF_REQUIRE(cutoff >= 0 && cutoff <= 1e15, "cutoff must be a finite number >= 0; received " << cutoff);
}

struct Slots {
  py::object i, j, shift, vec, distance;

  NeighborArrays allocate(const std::string& quantities, std::int64_t n) {
    NeighborArrays out;
    for (char q : quantities) {
      if (q == 'i' && !out.idx_i) out.idx_i = new_array<std::int64_t>(i, n, 1);
      if (q == 'j' && !out.idx_j) out.idx_j = new_array<std::int64_t>(j, n, 1);
      if (q == 'S' && !out.shift) out.shift = new_array<std::int32_t>(shift, n, 3);
      if (q == 'D' && !out.vec) out.vec = new_array<double>(vec, n, 3);
      if (q == 'd' && !out.distance) out.distance = new_array<double>(distance, n, 1);
    }
    return out;
  }

  py::object result(const std::string& quantities) const {
    const auto of = [&](char q) { return q == 'i' ? i : q == 'j' ? j : q == 'S' ? shift : q == 'D' ? vec : distance; };
    if (quantities.size() == 1) return of(quantities[0]);
    py::tuple out(quantities.size());
    for (std::size_t k = 0; k < quantities.size(); ++k) out[k] = of(quantities[k]);
    return out;
  }
};

std::int64_t bytes_per_pair(const std::string& quantities) {
  std::int64_t bytes = 0;
  for (char q : quantities) {
    PYFF_REQUIRE(std::string("ijdDS").find(q) != std::string::npos,
                 "quantities must be made of the letters i, j, d, D and S; received '" << quantities << "'");
    bytes += q == 'D' ? 24 : q == 'S' ? 12 : 8;
  }
  PYFF_REQUIRE(bytes > 0, "quantities must name at least one of i, j, d, D and S; received ''");
  return bytes;
}

py::object neighbor_list(const std::string& quantities, const Dense<double>& pos, const Dense<double>& cell,
                         const Dense<bool>& pbc, double cutoff, bool half, bool self_interaction, int threads,
                         const PairCutoffs& pair_cutoffs) {
  SearchOptions options;
  options.bytes_per_pair = bytes_per_pair(quantities);
  const Structure structure = structure_of(pos, cell, pbc);
  check_cutoff(cutoff);
  options.cutoff = cutoff;
  options.half = half;
  options.self_interaction = self_interaction;
  options.threads = threads;
  pair_cutoffs.apply(options, structure.n_atoms);
  SearchLease lease;
  NeighborSearch& search = lease.search();
  const bool keep = keeps_lock(&structure, 1, structure.n_atoms, cutoff);
  with_lock(keep, [&] { search.search(&structure, 1, options); });
  Slots slots;
  const NeighborArrays out = slots.allocate(quantities, search.n_pairs());
  with_lock(keep, [&] { search.fill(out); });
  return slots.result(quantities);
}

// Addresses of a batch of structures: pos [N, 3]; cell [B, 3, 3] and pbc [B, 3], or 0 for open structures; the atoms
// of each structure from ptr [B + 1] or batch [N], or 0 and 0 for one structure.
struct Batch {
  std::int64_t n_atoms, n_structures;
  std::uintptr_t pos, cell, pbc, ptr, batch;

  std::vector<std::int64_t> sizes() const {
    std::vector<std::int64_t> out(static_cast<std::size_t>(n_structures), 0);
    if (ptr) {
      const auto* first = pointer<const std::int64_t>(ptr);
      bool fits = first[0] == 0 && first[n_structures] == n_atoms;
      for (std::int64_t b = 0; b < n_structures; ++b) fits &= (out[b] = first[b + 1] - first[b]) >= 0;
      PYFF_REQUIRE(fits, "ptr must ascend from 0 to the number of atoms, " << n_atoms);
    } else if (batch) {
      const auto* of = pointer<const std::int64_t>(batch);
      for (std::int64_t i = 0; i < n_atoms; ++i) {
        const bool fits = of[i] >= 0 && of[i] < n_structures && (i == 0 || of[i - 1] <= of[i]);
        PYFF_REQUIRE(fits, "batch must be ascending and not negative; sort the atoms by structure");
        ++out[of[i]];
      }
    } else if (n_structures == 1) {
      out[0] = n_atoms;
    }
    return out;
  }

  std::vector<Structure> structures() const {
    const std::vector<std::int64_t> n = sizes();
    std::vector<Structure> out(n.size());
    std::int64_t first = 0;
    for (std::size_t b = 0; b < n.size(); ++b) {
      Structure& s = out[b];
      s.n_atoms = n[b];
      s.pos = pointer<const double>(pos) + 3 * first;
      for (int k = 0; k < 3; ++k) s.pbc[k] = pbc && pointer<const bool>(pbc)[3 * b + k];
      if (cell) read_cell(pointer<const double>(cell) + 9 * b, s);
      first += n[b];
    }
    return out;
  }
};

// (idx_i, idx_j, shift, row_ptr, edge_rev)
py::tuple neighbor_batch(const Batch& batch, double cutoff, int threads) {
  check_cutoff(cutoff);
  const std::vector<Structure> structures = batch.structures();
  const std::int64_t n_atoms = batch.n_atoms;
  SearchOptions options;
  options.cutoff = cutoff;
  options.threads = threads;
  options.bytes_per_pair = 36;
  SearchLease lease;
  NeighborSearch& search = lease.search();
  const bool keep = keeps_lock(structures.data(), batch.n_structures, n_atoms, cutoff);
  with_lock(keep, [&] { search.search(structures.data(), batch.n_structures, options); });
  py::object idx_i, idx_j, shift, row_ptr, edge_rev;
  NeighborArrays out;
  out.idx_i = new_array<std::int64_t>(idx_i, search.n_pairs(), 1);
  out.idx_j = new_array<std::int64_t>(idx_j, search.n_pairs(), 1);
  out.shift = new_array<std::int32_t>(shift, search.n_pairs(), 3);
  out.edge_rev = new_array<std::int64_t>(edge_rev, search.n_pairs(), 1);
  std::int64_t* rows = new_array<std::int64_t>(row_ptr, n_atoms + 1, 1);
  with_lock(keep, [&] {
    std::copy(search.row_ptr().begin(), search.row_ptr().end(), rows);
    search.fill(out);
  });
  return py::make_tuple(idx_i, idx_j, shift, row_ptr, edge_rev);
}

}  // namespace

void bind_neighbors(py::module_& m) {
  m.def(
      "neighbor_list",
      [](const std::string& quantities, const Dense<double>& pos, const Dense<double>& cell, const Dense<bool>& pbc,
         double cutoff, bool half, bool self_interaction, int threads) {
        return neighbor_list(quantities, pos, cell, pbc, cutoff, half, self_interaction, threads, {});
      },
      "Neighbor list of one structure with one cutoff; see pyff.neighbor_list.");
  m.def(
      "neighbor_list_by_pair",
      [](const std::string& quantities, const Dense<double>& pos, const Dense<double>& cell, const Dense<bool>& pbc,
         double cutoff, bool half, bool self_interaction, int threads, Dense<double> radius,
         Dense<std::int32_t> species, Dense<double> table) {
        return neighbor_list(quantities, pos, cell, pbc, cutoff, half, self_interaction, threads,
                             {std::move(radius), std::move(species), std::move(table)});
      },
      "The same with a radius per atom, or a cutoff per pair of species.");
  m.def(
      "neighbor_batch",
      [](std::int64_t n_atoms, std::int64_t n_structures, std::uintptr_t pos, std::uintptr_t cell, std::uintptr_t pbc,
         std::uintptr_t ptr, std::uintptr_t batch, double cutoff,
         int threads) { return neighbor_batch({n_atoms, n_structures, pos, cell, pbc, ptr, batch}, cutoff, threads); },
      "Neighbor lists of many structures with reversed edges; see pyff.ops.neighbor_list.");
  m.def(
      "verlet_state",
      [](std::int64_t n_atoms, std::uintptr_t reference_pos, std::uintptr_t reference_cell, std::uintptr_t pbc,
         double cutoff, double skin, std::uintptr_t pos, std::uintptr_t cell, std::uintptr_t jump) {
        const pyff::VerletReference reference{n_atoms,
                                              pointer<const double>(reference_pos),
                                              pointer<const double>(reference_cell),
                                              pointer<const bool>(pbc),
                                              cutoff,
                                              skin};
        return static_cast<int>(pyff::verlet_state(reference, pointer<const double>(pos), pointer<const double>(cell),
                                                   pointer<std::int32_t>(jump)));
      },
      "0: the list is complete; 1: complete with shifts corrected by jump; 2: outdated.");
}

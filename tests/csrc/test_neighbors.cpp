// The neighbor search without Python: lattice completion, search and fill, reversed edges, Verlet test.
#include <array>
#include <cstdint>
#include <random>
#include <set>
#include <vector>

#include "check.hpp"
#include "core/status.hpp"
#include "neighbors/buffer_pool.hpp"
#include "neighbors/lattice.hpp"
#include "neighbors/search.hpp"
#include "neighbors/search_lease.hpp"
#include "neighbors/verlet.hpp"

namespace {

using pyff::NeighborArrays;
using pyff::NeighborSearch;
using pyff::SearchOptions;
using pyff::Structure;
using pyff::VerletState;

using Pair = std::array<std::int64_t, 5>;

struct List {
  std::vector<std::int64_t> i, j, reverse;
  std::vector<std::int32_t> shift;
  std::vector<double> vec, distance;
  std::set<Pair> pairs;
};

std::vector<double> random_positions(int n, double size, int seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(0, size);
  std::vector<double> pos(3 * n);
  for (double& x : pos) x = uniform(random);
  return pos;
}

Structure structure_of(const std::vector<double>& pos, std::array<double, 9> cell, std::array<bool, 3> pbc) {
  Structure s{};
  s.n_atoms = static_cast<std::int64_t>(pos.size() / 3);
  s.pos = pos.data();
  for (int k = 0; k < 9; ++k) s.cell[k] = cell[k];
  for (int k = 0; k < 3; ++k) s.pbc[k] = pbc[k];
  return s;
}

List list_of(const std::vector<Structure>& structures, double cutoff, int threads, NeighborSearch& search) {
  SearchOptions options{};
  options.cutoff = cutoff;
  options.threads = threads;
  search.search(structures.data(), static_cast<std::int64_t>(structures.size()), options);
  const auto n = static_cast<std::size_t>(search.n_pairs());
  List out;
  out.i.resize(n), out.j.resize(n), out.reverse.resize(n), out.shift.resize(3 * n);
  out.vec.resize(3 * n), out.distance.resize(n);
  NeighborArrays arrays;
  arrays.idx_i = out.i.data(), arrays.idx_j = out.j.data(), arrays.edge_rev = out.reverse.data();
  arrays.shift = out.shift.data(), arrays.vec = out.vec.data(), arrays.distance = out.distance.data();
  search.fill(arrays);
  for (std::size_t e = 0; e < n; ++e)
    out.pairs.insert({out.i[e], out.j[e], out.shift[3 * e], out.shift[3 * e + 1], out.shift[3 * e + 2]});
  search.release();
  return out;
}

std::set<Pair> brute_force(const Structure& s, double cutoff, int images) {
  std::set<Pair> out;
  const int m[3] = {s.pbc[0] ? images : 0, s.pbc[1] ? images : 0, s.pbc[2] ? images : 0};
  for (std::int64_t i = 0; i < s.n_atoms; ++i)
    for (std::int64_t j = 0; j < s.n_atoms; ++j)
      for (int a = -m[0]; a <= m[0]; ++a)
        for (int b = -m[1]; b <= m[1]; ++b)
          for (int c = -m[2]; c <= m[2]; ++c) {
            if (i == j && a == 0 && b == 0 && c == 0) continue;
            double d2 = 0;
            for (int x = 0; x < 3; ++x) {
              const double v =
                  (s.pos[3 * j + x] - s.pos[3 * i + x]) + ((a * s.cell[x] + b * s.cell[3 + x]) + c * s.cell[6 + x]);
              d2 += v * v;
            }
            if (std::sqrt(d2) < cutoff) out.insert({i, j, a, b, c});
          }
  return out;
}

constexpr std::array<double, 9> kSkewed = {6, 0, 0, 2.5, 5.5, 0, -1.5, 2, 5};

}  // namespace

TEST(lattice_completes_open_axes) {
  for (int mask = 0; mask < 8; ++mask) {
    double cell[9];
    const bool pbc[3] = {(mask & 1) != 0, (mask & 2) != 0, (mask & 4) != 0};
    for (int k = 0; k < 9; ++k) cell[k] = pbc[k / 3] ? kSkewed[k] : 0.0;
    pyff::baseline::Lattice lattice;
    CHECK(pyff::baseline::make_lattice(cell, pbc, lattice));
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b < 3; ++b) {
        CHECK_NEAR(pyff::baseline::dot3(lattice.inverse[a], lattice.row[b]), a == b ? 1.0 : 0.0, 1e-13);
        if (a != b && !pbc[a]) CHECK_NEAR(pyff::baseline::dot3(lattice.row[a], lattice.row[b]), 0.0, 1e-13);
      }
  }
}

TEST(lattice_refuses_dependent_vectors) {
  const bool pbc[3] = {true, true, true};
  pyff::baseline::Lattice lattice;
  const double flat[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, zero[9] = {};
  CHECK(!pyff::baseline::make_lattice(flat, pbc, lattice));
  CHECK(!pyff::baseline::make_lattice(zero, pbc, lattice));
}

TEST(search_matches_brute_force) {
  NeighborSearch search;
  for (int mask = 0; mask < 8; ++mask) {
    const auto pos = random_positions(40, 7, mask);
    const Structure s = structure_of(pos, kSkewed, {(mask & 1) != 0, (mask & 2) != 0, (mask & 4) != 0});
    const List list = list_of({s}, 3.5, 1, search);
    CHECK_EQUAL(list.pairs.size(), list.i.size());
    CHECK(list.pairs == brute_force(s, 3.5, 5));
  }
}

TEST(search_fills_vectors_distances_and_reversed_edges) {
  NeighborSearch search;
  const auto pos = random_positions(60, 6, 1);
  const Structure s = structure_of(pos, kSkewed, {true, true, true});
  const List list = list_of({s}, 4.0, 1, search);
  for (std::size_t e = 0; e < list.i.size(); ++e) {
    const auto r = static_cast<std::size_t>(list.reverse[e]);
    CHECK_EQUAL(list.reverse[r], static_cast<std::int64_t>(e));
    CHECK_EQUAL(list.i[r], list.j[e]);
    double d2 = 0;
    for (int x = 0; x < 3; ++x) {
      CHECK_EQUAL(list.shift[3 * r + x], -list.shift[3 * e + x]);
      CHECK_EQUAL(list.vec[3 * r + x], -list.vec[3 * e + x]);
      d2 += list.vec[3 * e + x] * list.vec[3 * e + x];
    }
    CHECK_NEAR(list.distance[e], std::sqrt(d2), 1e-14);
    CHECK(list.distance[e] < 4.0);
  }
}

TEST(search_gives_the_same_for_any_thread_count) {
  NeighborSearch search;
  const auto pos = random_positions(3000, 30, 2);
  const Structure s = structure_of(pos, {30, 0, 0, 0, 30, 0, 0, 0, 30}, {true, true, true});
  const List one = list_of({s}, 4.0, 1, search);
  CHECK(one.i.size() > 50000);
  for (int threads : {2, 3, 8}) {
    const List many = list_of({s}, 4.0, threads, search);
    CHECK(many.j == one.j);
    CHECK(many.shift == one.shift);
    CHECK(many.vec == one.vec);
    CHECK(many.reverse == one.reverse);
  }
}

TEST(search_of_many_structures_numbers_atoms_through) {
  NeighborSearch search;
  std::vector<std::vector<double>> pos;
  std::vector<Structure> structures;
  for (int k = 0; k < 50; ++k) pos.push_back(random_positions(k % 7 == 3 ? 0 : 20 + k, 6, k));
  for (const auto& p : pos) structures.push_back(structure_of(p, kSkewed, {true, false, true}));
  for (int threads : {1, 4}) {
    const List all = list_of(structures, 3.0, threads, search);
    std::size_t edge = 0;
    std::int64_t first = 0;
    for (const Structure& s : structures) {
      NeighborSearch fresh;
      const List own = list_of({s}, 3.0, 1, fresh);
      for (std::size_t e = 0; e < own.i.size(); ++e, ++edge) {
        CHECK_EQUAL(all.i[edge], own.i[e] + first);
        CHECK_EQUAL(all.j[edge], own.j[e] + first);
      }
      first += s.n_atoms;
    }
    CHECK_EQUAL(edge, all.i.size());
  }
}

TEST(search_can_be_used_again_after_an_error) {
  NeighborSearch search;
  auto pos = random_positions(30, 5, 3);
  const Structure good = structure_of(pos, kSkewed, {true, true, true});
  const std::size_t n = list_of({good}, 3.0, 1, search).i.size();
  const std::vector<double> bad = {0, 0, std::nan("")};
  CHECK_THROWS(list_of({structure_of(bad, kSkewed, {true, true, true})}, 3.0, 1, search), pyff::Error,
               "positions must be finite");
  CHECK_THROWS(list_of({good}, 1e7, 1, search), pyff::Error, "cutoff must be small enough");
  CHECK_EQUAL(list_of({good}, 3.0, 1, search).i.size(), n);
}

TEST(search_that_interrupts_another_on_its_thread_leaves_that_one_alone) {
  const auto pos = random_positions(40, 7, 0), other = random_positions(9, 3, 1);
  const Structure s = structure_of(pos, kSkewed, {true, true, true});
  const Structure small = structure_of(other, kSkewed, {true, true, true});
  SearchOptions options{};
  options.cutoff = 3.5;
  pyff::SearchLease outer;
  outer.search().search(&s, 1, options);
  const auto before = outer.search().row_ptr();
  for (int k = 0; k < 2; ++k) {
    pyff::SearchLease inner;
    CHECK(&inner.search() != &outer.search());
    list_of({small}, 3.0, 1, inner.search());
  }
  CHECK(outer.search().row_ptr() == before);
  CHECK_EQUAL(static_cast<std::size_t>(outer.search().n_pairs()), brute_force(s, 3.5, 5).size());
}

TEST(search_names_the_error_of_a_structure_on_any_thread) {
  NeighborSearch search;
  const auto pos = random_positions(600, 20, 4);
  const std::vector<double> bad = {0, 0, std::nan("")};
  std::vector<Structure> structures(8, structure_of(pos, kSkewed, {false, false, false}));
  structures.back() = structure_of(bad, kSkewed, {false, false, false});
  CHECK_THROWS(list_of(structures, 2.0, 4, search), pyff::Error, "positions must be finite");
}

TEST(verlet_state_follows_displacement_wrapping_and_cell) {
  const auto pos = random_positions(20, 6, 5);
  const bool pbc[3] = {true, true, true};
  const double* cell = kSkewed.data();
  std::vector<std::int32_t> jump(60);
  const pyff::VerletReference reference{20, pos.data(), cell, pbc, 3.0, 0.6};
  auto moved = pos;
  CHECK(verlet_state(reference, moved.data(), cell, jump.data()) == VerletState::complete);
  moved[7] += 0.2;
  CHECK(verlet_state(reference, moved.data(), cell, jump.data()) == VerletState::complete);
  for (int c = 0; c < 3; ++c) moved[9 + c] += cell[c] - 2 * cell[6 + c];
  CHECK(verlet_state(reference, moved.data(), cell, jump.data()) == VerletState::wrapped);
  CHECK_EQUAL(jump[9], 1);
  CHECK_EQUAL(jump[10], 0);
  CHECK_EQUAL(jump[11], -2);
  moved[7] += 0.2;
  CHECK(verlet_state(reference, moved.data(), cell, jump.data()) == VerletState::outdated);
  double small[9], tiny[9];
  for (int k = 0; k < 9; ++k) small[k] = 0.99 * cell[k], tiny[k] = 0.8 * cell[k];
  for (std::size_t k = 0; k < pos.size(); ++k) moved[k] = 0.99 * pos[k];
  CHECK(verlet_state(reference, moved.data(), small, jump.data()) == VerletState::complete);
  for (std::size_t k = 0; k < pos.size(); ++k) moved[k] = 0.8 * pos[k];
  CHECK(verlet_state(reference, moved.data(), tiny, jump.data()) == VerletState::outdated);
  moved[0] = std::nan("");
  CHECK(verlet_state(reference, moved.data(), cell, jump.data()) == VerletState::outdated);
}

TEST(buffer_pool_reuses_and_bounds_memory) {
  void* first = pyff::take_buffer(1000000);
  pyff::give_back_buffer(first, 1000000);
  void* second = pyff::take_buffer(999000);  // the same size class
  CHECK(first == second);
  pyff::give_back_buffer(second, 999000);
  for (int k = 0; k < 100; ++k) {  // more than is kept; the sanitizer sees leaks and double frees
    void* a = pyff::take_buffer(3000000 + 40000 * k);
    void* b = pyff::take_buffer(3000000 + 40000 * k);
    CHECK(a != b);
    pyff::give_back_buffer(a, 3000000 + 40000 * k);
    pyff::give_back_buffer(b, 3000000 + 40000 * k);
  }
}

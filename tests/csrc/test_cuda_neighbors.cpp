// The CUDA neighbor list, on the CPU through cuda/simt.hpp, against brute force over a box of images.
#include "cuda/neighbor_list.cu"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <tuple>
#include <vector>

#include "check.hpp"

namespace {

using pyff::cuda::NeighborParams;
using Vec = std::array<double, 3>;
using Pair = std::tuple<std::int64_t, std::int64_t, int, int, int>;  // i, j, shift

struct Structure {
  std::vector<Vec> pos;
  std::array<Vec, 3> cell{};
  std::array<std::uint8_t, 3> pbc{};
};

double distance(const Structure& s, std::size_t i, std::size_t j, const std::array<int, 3>& shift) {
  double square = 0;
  for (int c = 0; c < 3; ++c) {
    const double translation = shift[0] * s.cell[0][c] + shift[1] * s.cell[1][c] + shift[2] * s.cell[2][c];
    const double d = (s.pos[j][c] - s.pos[i][c]) + translation;
    square += d * d;
  }
  return std::sqrt(square);
}

// Every image within `images` cells of where atom j lies closest to atom i.
void brute_force(const Structure& s, double cutoff, int images, std::int64_t offset, std::vector<Pair>& out) {
  const auto range = [&](int c) { return s.pbc[c] ? images : 0; };
  for (std::size_t i = 0; i < s.pos.size(); ++i)
    for (std::size_t j = 0; j < s.pos.size(); ++j) {
      // whole cells between the two atoms, found by walking: independent of the code under test
      std::array<int, 3> near{};
      for (bool moved = true; moved;) {
        moved = false;
        for (int c = 0; c < 3; ++c)
          for (const int step : {-1000, 1000, -1, 1}) {
            auto next = near;
            next[c] += step;
            if (!s.pbc[c] || !(distance(s, i, j, next) < distance(s, i, j, near))) continue;
            near = next;
            moved = true;
          }
      }
      for (int a = near[0] - range(0); a <= near[0] + range(0); ++a)
        for (int b = near[1] - range(1); b <= near[1] + range(1); ++b)
          for (int c = near[2] - range(2); c <= near[2] + range(2); ++c) {
            if (i == j && a == 0 && b == 0 && c == 0) continue;
            if (distance(s, i, j, {a, b, c}) < cutoff) out.emplace_back(offset + i, offset + j, a, b, c);
          }
    }
}

struct List {
  std::int64_t faults = 0;
  std::vector<std::int64_t> row_ptr, idx_i, idx_j, edge_rev;
  std::vector<std::int32_t> shift;

  std::vector<Pair> pairs() const {
    std::vector<Pair> out;
    for (std::size_t e = 0; e < idx_i.size(); ++e)
      out.emplace_back(idx_i[e], idx_j[e], shift[3 * e], shift[3 * e + 1], shift[3 * e + 2]);
    return out;
  }
};

// What the caller of the library does, with memory that holds garbage.
List search(const std::vector<Structure>& structures, double cutoff) {
  std::vector<double> pos, cell;
  std::vector<std::uint8_t> pbc;
  std::vector<std::int64_t> batch, ptr{0};
  for (const Structure& s : structures) {
    for (const Vec& r : s.pos) pos.insert(pos.end(), r.begin(), r.end());
    for (const Vec& r : s.cell) cell.insert(cell.end(), r.begin(), r.end());
    pbc.insert(pbc.end(), s.pbc.begin(), s.pbc.end());
    batch.insert(batch.end(), s.pos.size(), ptr.size() - 1);
    ptr.push_back(ptr.back() + static_cast<std::int64_t>(s.pos.size()));
  }
  List out;
  out.row_ptr.assign(ptr.back() + 1, -77);
  pyff::cuda::NeighborSummary summary{-77, -77};
  NeighborParams p{};
  p.n_atoms = ptr.back();
  p.n_systems = static_cast<std::int64_t>(structures.size());
  p.pos = pos.data();
  p.cell = cell.data();
  p.pbc = pbc.data();
  p.batch = batch.data();
  p.ptr = ptr.data();
  p.cutoff = cutoff;
  p.row_ptr = out.row_ptr.data();
  p.summary = &summary;
  std::vector<double> work(pyff::cuda::neighbor_count_scratch(p) / sizeof(double) + 1, NAN);
  const auto bytes = static_cast<std::int64_t>(work.size() * sizeof(double));
  pyff::cuda::neighbor_count(p, {nullptr, work.data(), bytes});
  out.faults = summary.faults;
  p.n_edges = summary.n_edges;
  for (auto* x : {&out.idx_i, &out.idx_j, &out.edge_rev}) x->assign(p.n_edges, -77);
  out.shift.assign(3 * p.n_edges, -77);
  p.idx_i = out.idx_i.data();
  p.idx_j = out.idx_j.data();
  p.edge_rev = out.edge_rev.data();
  p.shift = out.shift.data();
  std::vector<double> scratch(pyff::cuda::neighbor_fill_scratch(p) / sizeof(double) + 1, NAN);
  pyff::cuda::neighbor_fill(p, work.data(),
                            {nullptr, scratch.data(), static_cast<std::int64_t>(scratch.size() * sizeof(double))});
  return out;
}

void check_consistent(const List& list) {
  const auto pairs = list.pairs();
  CHECK(std::is_sorted(pairs.begin(), pairs.end()));
  CHECK_EQUAL(list.row_ptr.back(), static_cast<std::int64_t>(pairs.size()));
  for (std::size_t i = 0; i + 1 < list.row_ptr.size(); ++i)
    for (std::int64_t e = list.row_ptr[i]; e < list.row_ptr[i + 1]; ++e)
      CHECK_EQUAL(list.idx_i[e], static_cast<std::int64_t>(i));
  for (std::size_t e = 0; e < pairs.size(); ++e) {
    const auto [i, j, a, b, c] = pairs[e];
    CHECK(list.edge_rev[e] != static_cast<std::int64_t>(e));
    CHECK((pairs.at(list.edge_rev[e]) == Pair{j, i, -a, -b, -c}));
  }
}

// Returns the number of pairs, so that a test can tell that it tested something.
std::size_t check_against_brute_force(const std::vector<Structure>& structures, double cutoff, int images = 3) {
  std::vector<Pair> want;
  std::int64_t offset = 0;
  for (const Structure& s : structures) {
    brute_force(s, cutoff, images, offset, want);
    offset += static_cast<std::int64_t>(s.pos.size());
  }
  std::sort(want.begin(), want.end());
  for (const auto order : {pyff::simt::Order::forward, pyff::simt::Order::reverse}) {
    pyff::simt::host_order() = order;
    const List list = search(structures, cutoff);
    pyff::simt::host_order() = pyff::simt::Order::forward;
    CHECK_EQUAL(list.faults, 0);
    check_consistent(list);
    CHECK_EQUAL(list.pairs().size(), want.size());
    CHECK(list.pairs() == want);
  }
  return want.size();
}

Structure random_structure(int n, const std::array<Vec, 3>& cell, std::array<std::uint8_t, 3> pbc, unsigned seed,
                           double spread = 1.0) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> unit(0.0, spread);
  Structure s{{}, cell, pbc};
  for (int k = 0; k < n; ++k) {
    const double f[3] = {unit(random), unit(random), unit(random)};
    Vec r{};
    for (int c = 0; c < 3; ++c) r[c] = f[0] * cell[0][c] + f[1] * cell[1][c] + f[2] * cell[2][c];
    s.pos.push_back(r);
  }
  return s;
}

constexpr std::array<Vec, 3> kCube{{{8, 0, 0}, {0, 8, 0}, {0, 0, 8}}};
constexpr std::array<Vec, 3> kSkewed{{{3, 0, 0}, {2.5, 2.8, 0}, {-1.4, 2.0, 3.1}}};
constexpr std::array<Vec, 3> kLeftHanded{{{0, 7, 1}, {6, 0, 0}, {1, 2, 9}}};

}  // namespace

TEST(cuda_neighbors_with_any_pbc_match_brute_force) {
  for (unsigned k = 0; k < 8; ++k) {
    const std::array<std::uint8_t, 3> pbc{static_cast<std::uint8_t>(k & 1), static_cast<std::uint8_t>(k >> 1 & 1),
                                          static_cast<std::uint8_t>(k >> 2)};
    CHECK(check_against_brute_force({random_structure(14, kCube, pbc, k)}, 3.5) > 20);
    CHECK(check_against_brute_force({random_structure(5, kSkewed, pbc, k)}, 4.0, 7) > 10);
    CHECK(check_against_brute_force({random_structure(9, kLeftHanded, pbc, k)}, 5.0) > 10);
  }
}

TEST(cuda_neighbors_of_a_large_system_in_many_bins_match_brute_force) {
  std::array<Vec, 3> cell = kCube;
  for (int c = 0; c < 3; ++c) cell[c][c] = 12;
  CHECK(check_against_brute_force({random_structure(160, cell, {1, 1, 1}, 5)}, 2.4, 1) > 500);
  CHECK(check_against_brute_force({random_structure(160, cell, {0, 1, 0}, 6)}, 2.4, 1) > 500);
}

TEST(cuda_neighbors_of_open_axes_ignore_what_the_cell_says_there) {
  Structure s = random_structure(12, kCube, {1, 0, 0}, 9);
  const auto want = search({s}, 4.0).pairs();
  CHECK(!want.empty());
  for (const Vec& row : {Vec{0, 0, 0}, Vec{8, 0, 0}, Vec{1e-300, 0, 1e300}}) {
    s.cell[1] = s.cell[2] = row;
    CHECK(search({s}, 4.0).pairs() == want);
  }
}

TEST(cuda_neighbors_of_atoms_many_images_outside_match_brute_force) {
  Structure s = random_structure(8, kSkewed, {1, 1, 1}, 3);
  const int moves[8][3] = {{0, 0, 0},        {5, 0, 0}, {-3, 2, 1},   {0, -40, 7},
                           {3000, 0, -2000}, {0, 0, 1}, {-1, -1, -1}, {0, 9, 0}};
  for (int k = 0; k < 8; ++k)
    for (int c = 0; c < 3; ++c)
      for (int d = 0; d < 3; ++d) s.pos[k][c] += moves[k][d] * s.cell[d][c];
  CHECK(check_against_brute_force({s}, 3.0, 6) > 20);
}

TEST(cuda_neighbors_of_coincident_atoms_and_own_images_match_brute_force) {
  Structure s{{{1, 1, 1}, {1, 1, 1}, {1, 1, 1}}, kCube, {1, 1, 1}};
  CHECK_EQUAL(check_against_brute_force({s}, 2.0), 6u);       // d = 0 counts, the atom itself does not
  CHECK(check_against_brute_force({s}, 8.5) > 6u);            // and its images do
  const Structure one{{{0.3, 0.2, 0.1}}, kSkewed, {1, 1, 1}};  // cell smaller than the cutoff
  CHECK(check_against_brute_force({one}, 6.0, 9) > 20u);
}

TEST(cuda_neighbors_at_exactly_the_cutoff_are_left_out) {
  Structure s{{{0, 0, 0}, {3, 0, 0}, {0, 4, 0}}, kCube, {0, 0, 0}};
  CHECK_EQUAL(check_against_brute_force({s}, 3.0), 0u);
  CHECK_EQUAL(check_against_brute_force({s}, std::nextafter(3.0, 4.0)), 2u);
  CHECK_EQUAL(check_against_brute_force({s}, 5.0), 4u);
}

TEST(cuda_neighbors_of_a_batch_stay_within_their_structure) {
  std::vector<Structure> batch{random_structure(7, kCube, {0, 0, 0}, 1), Structure{{}, kCube, {1, 1, 1}},
                               random_structure(5, kSkewed, {1, 1, 1}, 2), Structure{{{0, 0, 0}}, kCube, {0, 0, 0}},
                               random_structure(40, kLeftHanded, {1, 1, 0}, 3)};
  CHECK(check_against_brute_force(batch, 3.0, 6) > 100);
}

TEST(cuda_neighbors_of_nothing_are_an_empty_list) {
  CHECK_EQUAL(search({}, 3.0).row_ptr.size(), 1u);
  const List list = search({Structure{{}, kCube, {1, 1, 1}}}, 3.0);
  CHECK_EQUAL(list.row_ptr[0], 0);
  CHECK_EQUAL(list.faults, 0);
  CHECK_EQUAL(search({Structure{{{1, 2, 3}}, {}, {0, 0, 0}}}, 3.0).row_ptr[1], 0);
}

TEST(cuda_neighbors_in_a_huge_sparse_cell_use_no_more_bins_than_atoms) {
  std::array<Vec, 3> cell = kCube;
  for (int c = 0; c < 3; ++c) cell[c][c] = 1e6;
  Structure s = random_structure(3, cell, {1, 1, 1}, 4);
  s.pos.push_back(s.pos[0]);
  s.pos[3][0] += 1.0;
  CHECK_EQUAL(check_against_brute_force({s}, 5.0, 1), 2u);
}

TEST(cuda_neighbors_with_long_rows_match_brute_force) {
  CHECK(check_against_brute_force({random_structure(70, kCube, {0, 0, 0}, 8, 0.2)}, 5.0) == 70u * 69u);
}

TEST(cuda_neighbors_report_bad_input) {
  using namespace pyff::cuda;
  Structure s = random_structure(4, kCube, {1, 1, 1}, 2);
  s.pos[2][1] = NAN;
  CHECK_EQUAL(search({s}, 3.0).faults, kBadPosition);
  s.pos[2][1] = INFINITY;
  CHECK_EQUAL(search({random_structure(4, kCube, {1, 1, 1}, 2), s}, 3.0).faults, kBadPosition);
  s = random_structure(4, kCube, {1, 1, 1}, 2);
  s.cell[2] = {8, 8, 0};
  CHECK_EQUAL(search({s}, 3.0).faults, kSingularCell);
  s.cell[2] = {0, 0, NAN};
  CHECK_EQUAL(search({s}, 3.0).faults, kSingularCell);
  s.cell[2] = {0, 0, 8};
  s.pos[1][0] = 8e9;
  CHECK_EQUAL(search({s}, 3.0).faults, kFarPosition);
  CHECK_EQUAL(search({random_structure(4, kCube, {1, 1, 1}, 2)}, 1e5).faults, kTooManyImages);
  CHECK_EQUAL(search({s}, 3.0).row_ptr[4], 0);
  CHECK_THROWS(search({random_structure(4, kCube, {1, 1, 1}, 2)}, -1.0), pyff::Error, "cutoff must be");
  CHECK_THROWS(search({random_structure(4, kCube, {1, 1, 1}, 2)}, NAN), pyff::Error, "cutoff must be");
}

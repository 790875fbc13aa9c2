// Linear assignment against all permutations, and on hard costs.
#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "check.hpp"
#include "cpu/assignment.hpp"

namespace {

using namespace pyff::PYFF_ISA;
using Doubles = std::vector<double>;
using Indices = std::vector<std::int64_t>;

double total(const Doubles& cost, const Indices& columns) {
  double sum = 0;
  for (std::size_t row = 0; row < columns.size(); ++row) sum += cost[row * columns.size() + columns[row]];
  return sum;
}

Indices assigned(std::int64_t n, const Doubles& cost) {
  Doubles numbers(AssignmentMemory::numbers(n), NAN);
  Indices indices(AssignmentMemory::indices(n), -7);
  AssignmentMemory memory(n, numbers.data(), indices.data());
  assign(n, cost.data(), memory);
  return Indices(memory.column_of, memory.column_of + n);
}

double least(std::int64_t n, const Doubles& cost) {
  Indices order(n);
  std::iota(order.begin(), order.end(), 0);
  double best = total(cost, order);
  while (std::next_permutation(order.begin(), order.end())) best = std::min(best, total(cost, order));
  return best;
}

bool is_permutation(Indices columns) {
  std::sort(columns.begin(), columns.end());
  for (std::size_t k = 0; k < columns.size(); ++k)
    if (columns[k] != static_cast<std::int64_t>(k)) return false;
  return true;
}

}  // namespace

TEST(assignment_is_the_cheapest_of_all_permutations) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 200; ++round) {
    const std::int64_t n = 1 + round % 7;
    Doubles cost(n * n);
    // every third round small integers: many assignments cost the same
    for (double& c : cost)
      c = round % 3 ? std::normal_distribution<double>()(random) : static_cast<double>(random() % 4);
    const Indices columns = assigned(n, cost);
    CHECK(is_permutation(columns));
    CHECK_NEAR(total(cost, columns), least(n, cost), 1e-13);
  }
}

TEST(assignment_finds_a_hidden_permutation) {
  std::mt19937_64 random(6);
  const std::int64_t n = 60;
  Indices hidden(n);
  std::iota(hidden.begin(), hidden.end(), 0);
  std::shuffle(hidden.begin(), hidden.end(), random);
  Doubles cost(n * n);
  for (double& c : cost) c = std::uniform_real_distribution<double>(0, 1)(random);
  for (std::int64_t row = 0; row < n; ++row) cost[row * n + hidden[row]] = -1;
  CHECK(assigned(n, cost) == hidden);
}

TEST(assignment_of_equal_costs_and_of_none) {
  CHECK(is_permutation(assigned(5, Doubles(25, 3.0))));
  CHECK(assigned(0, {}).empty());
  CHECK(assigned(1, {-2.0}) == Indices{0});
}

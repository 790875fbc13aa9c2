// The assignment of rows to columns of least total cost: shortest augmenting paths (Jonker & Volgenant, Computing 38,
// 325 (1987)), O(n^3).
#pragma once

#include <cstdint>
#include <limits>
#include <utility>

#include "core/macros.hpp"

namespace pyff::PYFF_ISA {

// Memory of assignments of n rows: the caller's.
struct AssignmentMemory {
  double *row_price, *column_price, *reach;             // [n]
  std::int64_t *row_of, *column_of, *before, *reached;  // [n]

  static std::int64_t numbers(std::int64_t n) { return 3 * n; }
  static std::int64_t indices(std::int64_t n) { return 4 * n; }
  AssignmentMemory(std::int64_t n, double* d, std::int64_t* i)
      : row_price(d),
        column_price(d + n),
        reach(d + 2 * n),
        row_of(i),
        column_of(i + n),
        before(i + 2 * n),
        reached(i + 3 * n) {}
};

// Grows the tree of cheapest paths from the free row `start` until it meets a free column, which it returns. `left`
// are the columns not in the tree; reached says how far each was when the tree took it.
inline std::int64_t cheapest_free_column(std::int64_t n, const double* cost, std::int64_t start, AssignmentMemory& m,
                                         double* length) {
  constexpr double kFar = std::numeric_limits<double>::infinity();
  for (std::int64_t c = 0; c < n; ++c) m.reach[c] = kFar, m.reached[c] = 0;
  double so_far = 0.0;
  for (std::int64_t row = start;;) {
    std::int64_t next = -1;
    double nearest = kFar;
    for (std::int64_t c = 0; c < n; ++c) {
      if (m.reached[c]) continue;
      const double path = so_far + cost[row * n + c] - m.row_price[row] - m.column_price[c];
      if (path < m.reach[c]) m.reach[c] = path, m.before[c] = row;
      if (m.reach[c] < nearest) nearest = m.reach[c], next = c;
    }
    so_far = nearest;
    m.reached[next] = 1;
    if (m.row_of[next] < 0) {
      *length = so_far;
      return next;
    }
    row = m.row_of[next];
  }
}

// m.column_of[row] of the cheapest assignment; cost [n, n] is finite.
inline void assign(std::int64_t n, const double* cost, AssignmentMemory& m) {
  for (std::int64_t k = 0; k < n; ++k) {
    m.row_price[k] = m.column_price[k] = 0.0;
    m.row_of[k] = m.column_of[k] = -1;
  }
  for (std::int64_t start = 0; start < n; ++start) {
    double length = 0.0;
    std::int64_t column = cheapest_free_column(n, cost, start, m, &length);
    m.row_price[start] += length;
    for (std::int64_t c = 0; c < n; ++c) {
      if (!m.reached[c] || c == column) continue;
      m.row_price[m.row_of[c]] += length - m.reach[c];
      m.column_price[c] -= length - m.reach[c];
    }
    for (std::int64_t row = -1; row != start;) {  // along the path back
      row = m.before[column];
      m.row_of[column] = row;
      std::swap(m.column_of[row], column);
    }
  }
}

}  // namespace pyff::PYFF_ISA

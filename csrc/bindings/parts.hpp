// Long calls in parts, between which Python looks for signals: Ctrl-C is heard within a second.
#pragma once

#include <algorithm>
#include <cstdint>

#include "bindings/module.hpp"

namespace {

// Runs body(begin, end), without the GIL, until [0, n) is done. flop: of one item; most: of a part, for each thread.
// Parts depend on the sizes and the threads only, and are multiples of the threads, which then all have as much to do.
// A Python exception of a signal's handler, KeyboardInterrupt, ends the call between two parts.
template <class Body>
void in_parts(std::int64_t n, double flop, double most, int threads, Body&& body) {
  const double items = std::min(std::max(most / std::max(flop, 1.0), 2.0), 1e15);
  const std::int64_t size = static_cast<std::int64_t>(items) * std::max(threads, 1);
  std::int64_t begin = 0;
  for (;;) {
    const std::int64_t end = n - begin < 2 * size ? n : begin + size;
    {
      py::gil_scoped_release release;
      body(begin, end);
    }
    if (end == n) return;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    begin = end;
  }
}

}  // namespace

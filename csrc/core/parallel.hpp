// A small pool of sleeping threads. Work is cut into static chunks, one per thread, so results are bitwise the same
// for a fixed thread count. No OpenMP: a child forked after an OpenMP region hangs.
#pragma once

#include <cstdint>

#include "core/macros.hpp"

namespace pyff {

// Runs task(context, chunk) for chunk = 0 .. n_chunks - 1, each on its own thread (chunk 0 on the caller's). Returns
// when all are done; an exception of a task is thrown then. Calls from several threads at once and from within a task
// are safe: one uses the pool, the others run their chunks themselves, in order. Safe after fork.
void run_chunks(int n_chunks, void (*task)(void* context, int chunk), void* context);

// Wakes the threads of a run_chunks(n_chunks, ...) that is less than 50 us away, so that they get up while the caller
// does its serial part.
void wake_threads(int n_chunks);

}  // namespace pyff

namespace pyff::PYFF_ISA {

// body(chunk, begin, end) over [0, n) cut into `threads` contiguous pieces of equal length.
template <class Body>
inline void parallel_ranges(int threads, std::int64_t n, Body&& body) {
  if (threads > n) threads = static_cast<int>(n);
  if (threads <= 1) {
    if (n > 0) body(0, std::int64_t{0}, n);
    return;
  }
  struct Context {
    Body* body;
    std::int64_t n;
    int threads;
  } context{&body, n, threads};
  run_chunks(
      threads,
      [](void* opaque, int chunk) {
        auto& c = *static_cast<Context*>(opaque);
        (*c.body)(chunk, c.n* chunk / c.threads, c.n * (chunk + 1) / c.threads);
      },
      &context);
}

}  // namespace pyff::PYFF_ISA

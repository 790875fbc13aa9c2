// The CPU implementation of cuda/simt.hpp keeps the promises that kernels rely on, and reports their misuse.
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "check.hpp"
#include "cuda/reduce.hpp"
#include "cuda/simt.hpp"

namespace {

using pyff::simt::Block;
using pyff::simt::Grid;
using pyff::simt::kWarp;
using pyff::simt::launch;
using pyff::simt::Order;

// Runs body with threads in forward and in reverse order.
template <class Body>
void in_both_orders(Body&& body) {
  for (const Order order : {Order::forward, Order::reverse}) {
    pyff::simt::host_order() = order;
    body();
  }
  pyff::simt::host_order() = Order::forward;
}

template <class Body, int Threads = 64>
struct BodyKernel {
  static constexpr const char* kName = "test kernel";
  static constexpr int kThreads = Threads;
  Body body;
  void operator()(const Block& block) const { body(block); }
};

template <int Threads = 64, class Body>
void run(std::int64_t blocks, std::int64_t shared_bytes, Body body) {
  launch(BodyKernel<Body, Threads>{body}, Grid{blocks, shared_bytes, nullptr});
}

TEST(every_thread_of_every_block_runs_once) {
  in_both_orders([] {
    std::vector<int> seen(3 * 64, 0);
    run(3, 0, [out = seen.data()](const Block& b) {
      CHECK_EQUAL(b.global_thread(), b.index() * 64 + b.thread());
      CHECK_EQUAL(b.global_threads(), 3 * 64);
      CHECK_EQUAL(b.warp() * kWarp + b.lane(), b.thread());
      ++out[b.global_thread()];
    });
    for (int n : seen) CHECK_EQUAL(n, 1);
  });
}

TEST(values_written_before_a_barrier_are_read_after_it) {
  in_both_orders([] {
    std::vector<int> got(2 * 64, -1);
    run(2, 64 * sizeof(int), [out = got.data()](const Block& b) {
      int* shared = reinterpret_cast<int*>(b.shared());
      for (int round = 0; round < 5; ++round) {
        shared[b.thread()] = 1000 * round + b.thread();
        b.sync();
        out[b.global_thread()] = shared[(b.thread() + 17) % 64];
        b.sync();
      }
    });
    for (int t = 0; t < 128; ++t) CHECK_EQUAL(got[t], 4000 + (t % 64 + 17) % 64);
  });
}

// Without the barrier the result must depend on the order, or the tests of the kernels would be blind.
TEST(a_missing_barrier_shows_in_one_of_the_orders) {
  bool wrong = false;
  in_both_orders([&] {
    std::vector<int> got(64, -1);
    run(1, 64 * sizeof(int), [out = got.data()](const Block& b) {
      int* shared = reinterpret_cast<int*>(b.shared());
      shared[b.thread()] = b.thread();
      out[b.thread()] = shared[63 - b.thread()];
    });
    for (int t = 0; t < 64; ++t) wrong |= got[t] != 63 - t;
  });
  CHECK(wrong);
}

TEST(shared_memory_starts_as_nan_in_every_block) {
  run(2, 64 * sizeof(double), [](const Block& b) {
    double* shared = reinterpret_cast<double*>(b.shared());
    CHECK(std::isnan(shared[b.thread()]));
    CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(shared) % 16, 0u);
    b.sync();
    shared[b.thread()] = 1;
  });
}

TEST(shuffles_and_ballots_exchange_within_the_warp) {
  in_both_orders([] {
    run(1, 0, [](const Block& b) {
      for (int round = 0; round < 3; ++round) {
        CHECK_EQUAL(b.shuffle(b.thread() + round, 5), b.warp() * kWarp + 5 + round);
        CHECK_EQUAL(b.shuffle_xor(0.5 * b.thread(), 16), 0.5 * (b.thread() ^ 16));
        CHECK_EQUAL(b.ballot(b.lane() % 3 == 0), 0x49249249u);
        CHECK_EQUAL(b.ballot(b.warp() == 1), b.warp() == 1 ? 0xffffffffu : 0u);
      }
    });
  });
}

TEST(warps_may_exchange_different_numbers_of_times_between_barriers) {
  run(1, 0, [](const Block& b) {
    for (int k = 0; k < 1 + 3 * b.warp(); ++k) CHECK_EQUAL(pyff::simt::warp_sum(b, 1), kWarp);
    b.sync();
    CHECK_EQUAL(pyff::simt::warp_prefix_sum(b, 2), 2 * (b.lane() + 1));
  });
}

TEST(atomics_lose_nothing_and_return_the_old_value) {
  std::int32_t sum = 0;
  std::uint32_t bits = 0;
  unsigned long long low = 1000, high = 0;
  double total = 0;
  run(2, 0, [&](const Block& b) {
    const std::int32_t old = pyff::simt::atomic_add(&sum, std::int32_t{1});
    CHECK(old >= 0 && old < 128);
    pyff::simt::atomic_or(&bits, 1u << b.warp());
    pyff::simt::atomic_min(&low, static_cast<unsigned long long>(b.global_thread() + 7));
    pyff::simt::atomic_max(&high, static_cast<unsigned long long>(b.global_thread()));
    pyff::simt::atomic_add(&total, 0.5);
  });
  CHECK_EQUAL(sum, 128);
  CHECK_EQUAL(bits, 3u);
  CHECK_EQUAL(low, 7u);
  CHECK_EQUAL(high, 127u);
  CHECK_EQUAL(total, 64.0);
}

TEST(a_barrier_that_some_threads_skip_is_an_error) {
  CHECK_THROWS(run(1, 0, [](const Block& b) {
                 if (b.thread() < 40) b.sync();
               }),
               pyff::RuntimeFailure, "divergent barrier");
}

TEST(threads_that_wait_at_different_barriers_are_an_error) {
  // not inside the macro, which puts everything on one line
  const auto divergent = [] {
    run(1, 0, [](const Block& b) {
      if (b.thread() == 3)
        b.sync();
      else
        b.sync();
    });
  };
  CHECK_THROWS(divergent(), pyff::RuntimeFailure, "thread 3 on waits at the barrier of line");
}

TEST(a_shuffle_without_all_lanes_is_an_error) {
  CHECK_THROWS(run(1, 0, [](const Block& b) {
                 if (b.lane() < 31) b.shuffle(1, 0);
               }),
               pyff::RuntimeFailure, "warp function");
}

TEST(an_exception_in_a_kernel_reaches_the_caller) {
  CHECK_THROWS(run(1, 0, [](const Block& b) { PYFF_REQUIRE(b.thread() < 9, "thread " << b.thread()); }), pyff::Error,
               "thread 9");
}

TEST(a_launch_refuses_too_much_shared_memory_and_an_empty_grid_does_nothing) {
  CHECK_THROWS(run(1, 1 << 20, [](const Block&) {}), pyff::RuntimeFailure, "shared memory");
  run(0, 0, [](const Block&) { CHECK(false); });
}

TEST(exclusive_scan_matches_the_running_sum_over_several_levels) {
  for (const std::int64_t n : {1, 2, 255, 2048, 2049, 10000}) {
    std::vector<std::int64_t> data(n), want(n), scratch(pyff::cuda::scan_scratch(n), -1);
    for (std::int64_t k = 0; k < n; ++k) data[k] = (k * 7919) % 31;
    std::exclusive_scan(data.begin(), data.end(), want.begin(), std::int64_t{0});
    pyff::cuda::exclusive_scan(data.data(), n, scratch.data(), nullptr);
    CHECK(data == want);
  }
}

TEST(sum_partials_adds_in_order_and_gives_zero_for_none) {
  const std::vector<double> partial{1, 2, -1, 10, 20, -1, 100, 200, -1};  // stride 3, the last column unused
  std::vector<double> out(2, NAN);
  pyff::cuda::sum_partials(pyff::cuda::SumPartials<double>{partial.data(), 3, 3, 2, out.data()}, nullptr);
  CHECK_EQUAL(out[0], 111.0);
  CHECK_EQUAL(out[1], 222.0);
  pyff::cuda::sum_partials(pyff::cuda::SumPartials<double>{partial.data(), 0, 3, 2, out.data()}, nullptr);
  CHECK_EQUAL(out[1], 0.0);
}

}  // namespace

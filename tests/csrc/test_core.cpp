// Thread pool, instruction-set choice, error macro.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "check.hpp"
#include "core/isa.hpp"
#include "core/parallel.hpp"
#include "core/status.hpp"

namespace {

using pyff::run_chunks;
using pyff::PYFF_ISA::parallel_ranges;

// Sum over [0, n) of k, with one partial sum per chunk.
std::int64_t parallel_sum(int threads, std::int64_t n) {
  std::vector<std::int64_t> partial(64, 0);
  parallel_ranges(threads, n, [&](int chunk, std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) partial[chunk] += k;
  });
  std::int64_t total = 0;
  for (std::int64_t p : partial) total += p;
  return total;
}

constexpr std::int64_t kCount = 10000, kSum = kCount * (kCount - 1) / 2;

}  // namespace

TEST(ranges_cover_everything_once) {
  for (int threads : {1, 2, 3, 7, 16}) {
    for (std::int64_t n : {0, 1, 2, 5, 16, 1000}) {
      std::vector<std::atomic<int>> visits(n);
      parallel_ranges(threads, n, [&](int, std::int64_t begin, std::int64_t end) {
        for (std::int64_t k = begin; k < end; ++k) ++visits[k];
      });
      for (auto& v : visits) CHECK_EQUAL(v.load(), 1);
    }
  }
}

TEST(nonpositive_thread_counts_mean_one) {
  for (int threads : {0, -3}) CHECK_EQUAL(parallel_sum(threads, kCount), kSum);
}

TEST(chunks_run_on_threads_of_their_own) {
  std::vector<std::thread::id> ids(4);
  std::atomic<int> arrived{0};
  parallel_ranges(4, 4, [&](int chunk, std::int64_t, std::int64_t) {
    ids[chunk] = std::this_thread::get_id();
    ++arrived;
    while (arrived < 4) std::this_thread::yield();  // would hang if one thread ran two chunks
  });
  CHECK(ids[0] == std::this_thread::get_id());
  for (int a = 0; a < 4; ++a)
    for (int b = 0; b < a; ++b) CHECK(ids[a] != ids[b]);
}

TEST(many_short_runs_with_changing_counts) {
  for (int k = 0; k < 20000; ++k) CHECK_EQUAL(parallel_sum(1 + k % 5, 100), 4950);
}

TEST(runs_after_the_workers_fell_asleep) {
  for (int k = 0; k < 20; ++k) {
    std::this_thread::sleep_for(std::chrono::microseconds(300 * (k % 3)));
    CHECK_EQUAL(parallel_sum(3, kCount), kSum);
  }
}

TEST(runs_after_the_workers_were_woken_early) {
  for (int k = 0; k < 200; ++k) {
    pyff::wake_threads(3);
    CHECK_EQUAL(parallel_sum(3, kCount), kSum);
    if (k % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    pyff::wake_threads(2);  // and nothing follows
  }
}

TEST(concurrent_callers_get_their_own_results) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&wrong, c] {
      for (int k = 0; k < 2000; ++k) {
        const std::int64_t n = 1000 + 17 * c + k % 3;
        wrong += parallel_sum(3, n) != n * (n - 1) / 2;
      }
    });
  for (auto& caller : callers) caller.join();
  CHECK_EQUAL(wrong.load(), 0);
}

TEST(a_task_may_call_run_chunks) {
  std::atomic<std::int64_t> total{0};
  parallel_ranges(3, 3, [&](int, std::int64_t, std::int64_t) { total += parallel_sum(2, kCount); });
  CHECK_EQUAL(total.load(), 3 * kSum);
}

TEST(an_exception_of_any_chunk_reaches_the_caller) {
  for (int thrower = 0; thrower < 3; ++thrower) {
    const auto run = [&] {
      parallel_ranges(3, 3, [&](int chunk, std::int64_t, std::int64_t) {
        if (chunk == thrower) throw std::runtime_error("from chunk " + std::to_string(chunk));
      });
    };
    CHECK_THROWS(run(), std::runtime_error, "from chunk " + std::to_string(thrower));
    CHECK_EQUAL(parallel_sum(3, kCount), kSum);  // the pool is still usable
  }
}

#if defined(__unix__) || defined(__APPLE__)

TEST(workers_block_signals) {
  sigset_t mask;
  sigemptyset(&mask);
  parallel_ranges(2, 2, [&](int chunk, std::int64_t, std::int64_t) {
    if (chunk == 1) pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  });
  CHECK_EQUAL(sigismember(&mask, SIGINT), 1);
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  CHECK_EQUAL(sigismember(&mask, SIGINT), 0);  // the caller's mask is as before
}

#if !defined(__SANITIZE_THREAD__)  // ThreadSanitizer refuses threads in a forked child

namespace {

// Exit status of a child that sums in parallel; alarm() kills it if it hangs.
int sum_in_child() {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(parallel_sum(3, kCount) == kSum ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace

TEST(a_forked_child_has_a_pool) {
  CHECK_EQUAL(parallel_sum(3, kCount), kSum);
  for (int k = 0; k < 5; ++k) CHECK_EQUAL(sum_in_child(), 0);
  CHECK_EQUAL(parallel_sum(3, kCount), kSum);
}

TEST(a_child_forked_while_the_pool_works_has_a_pool) {
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) parallel_sum(3, kCount);
  });
  for (int k = 0; k < 10; ++k) CHECK_EQUAL(sum_in_child(), 0);
  stop = true;
  busy.join();
}

#endif
#endif

TEST(instruction_set_is_the_best_unless_chosen) {
  using pyff::Isa;
  for (const char* wish : {static_cast<const char*>(nullptr), ""})
    CHECK(pyff::choose_isa(wish, Isa::avx2) == Isa::avx2);
  CHECK(pyff::choose_isa("baseline", Isa::avx512) == Isa::baseline);
  if (pyff::is_built(Isa::avx2)) CHECK(pyff::choose_isa("avx2", Isa::avx512) == Isa::avx2);
  CHECK(pyff::active_isa() <= pyff::best_isa());
}

TEST(instruction_set_that_the_processor_lacks_is_an_error) {
  CHECK_THROWS(pyff::choose_isa("avx512", pyff::Isa::avx2), pyff::Error, "the best is avx2; unset PYFF_ISA");
  CHECK_THROWS(pyff::choose_isa("avx2", pyff::Isa::baseline), pyff::Error, "the best is baseline");
}

TEST(unknown_instruction_set_is_an_error) {
  CHECK_THROWS(pyff::choose_isa("sse9", pyff::Isa::avx2), pyff::Error,
               "PYFF_ISA must be baseline, avx2 or avx512; received 'sse9'");
}

TEST(require_streams_its_message) {
  const auto run = [](int n) { PYFF_REQUIRE(n > 0, "n must be positive; received " << n); };
  run(1);
  CHECK_THROWS(run(-2), pyff::Error, "n must be positive; received -2");
}

#include "core/parallel.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace pyff {
namespace {

// Spinning this many times before sleeping hides the wake-up latency between the calls of one MD step.
constexpr int kSpins = 2000;

class Pool {
 public:
  void run(int n_chunks, void (*task)(void*, int), void* context) {
    grow(n_chunks - 1);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      task_ = task;
      context_ = context;
      n_chunks_ = n_chunks;
      pending_.store(n_chunks - 1, std::memory_order_relaxed);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    task(context, 0);
    for (int spin = 0; pending_.load(std::memory_order_acquire) > 0; ++spin) {
      if (spin < kSpins) continue;
      std::unique_lock<std::mutex> lock(mutex_);
      done_.wait(lock, [&] { return pending_.load(std::memory_order_acquire) == 0; });
    }
  }

 private:
  void grow(int n_workers) {
    while (static_cast<int>(workers_.size()) < n_workers) {
      const int id = static_cast<int>(workers_.size()) + 1;
      const std::uint64_t seen = generation_.load(std::memory_order_acquire);
      workers_.emplace_back([this, id, seen] { work(id, seen); });
      workers_.back().detach();
    }
  }

  void work(int id, std::uint64_t seen) {
    for (;;) {
      for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spin) {
      }
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
      seen = generation_.load(std::memory_order_acquire);
      if (id >= n_chunks_) continue;
      auto* task = task_;
      auto* context = context_;
      lock.unlock();
      task(context, id);
      if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard<std::mutex> relock(mutex_);
        done_.notify_one();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<int> pending_{0};
  int n_chunks_ = 0;
  void (*task_)(void*, int) = nullptr;
  void* context_ = nullptr;
  std::vector<std::thread> workers_;
};

// Leaked on purpose: its sleeping threads outlive static destruction, and a forked child, whose threads are gone,
// starts with a fresh pool.
Pool* pool = nullptr;
std::mutex* pool_owner = nullptr;

void fresh_pool() {
  pool = new Pool;
  pool_owner = new std::mutex;
}

void start_once() {
  static const bool started = [] {
    fresh_pool();
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork(nullptr, nullptr, fresh_pool);
#endif
    return true;
  }();
  (void)started;
}

}  // namespace

void run_chunks(int n_chunks, void (*task)(void*, int), void* context) {
  if (n_chunks > 1) {
    start_once();
    std::unique_lock<std::mutex> owner(*pool_owner, std::try_to_lock);
    if (owner.owns_lock()) {
      pool->run(n_chunks, task, context);
      return;
    }
  }
  for (int chunk = 0; chunk < n_chunks; ++chunk) task(context, chunk);
}

}  // namespace pyff

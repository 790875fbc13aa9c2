#include "core/parallel.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#define PYFF_POSIX_THREADS
#endif
#if defined(__linux__)
#include <sched.h>
#endif

namespace pyff {
namespace {

using Task = void (*)(void*, int);

// How long a thread waits awake before it sleeps. Waking a sleeper costs 5-50 us, as long as a small kernel; the calls
// of one MD step follow each other within this time. Long enough for that, short enough to leave the core to others.
constexpr std::chrono::microseconds kSpinTime{50};

inline void pause_processor() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

// Waits awake until ready() or the time is over.
template <class Ready>
void spin(Ready&& ready) {
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int k = 0; k < 32; ++k) {
      if (ready()) return;
      pause_processor();
    }
  } while (std::chrono::steady_clock::now() < end);
}

// Processors this process may use; spinning with more threads than that keeps the working ones from running.
int usable_processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

// A thread that is started with every signal blocked: signals stay with the threads of the host program, whose
// blocking calls they are meant to interrupt (Ctrl-C in Python).
template <class Body>
void start_thread(Body&& body) {
#if defined(PYFF_POSIX_THREADS)
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  struct Restore {
    const sigset_t& mask;
    ~Restore() { pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
  } restore{before};
#endif
  std::thread(std::forward<Body>(body)).detach();
}

class Pool {
 public:
  bool try_acquire() { return !busy_.exchange(true, std::memory_order_acquire); }
  void release() { busy_.store(false, std::memory_order_release); }

  // By the thread that acquired the pool.
  void nudge(int n_chunks) {
    if (n_chunks > processors_) return;
    for (int k = 0; k < n_chunks - 1 && k < static_cast<int>(workers_.size()); ++k) workers_[k]->nudge();
  }

  // By the thread that acquired the pool. Chunk c runs on worker c; those for which no thread could be started, and
  // chunk 0, run on the caller.
  void run(int n_chunks, Task task, void* context) {
    const int helpers = grow(n_chunks - 1);
    awake_ = n_chunks <= processors_;
    task_ = task;
    context_ = context;
    failure_ = nullptr;
    pending_.store(helpers, std::memory_order_relaxed);
    for (int k = 0; k < helpers; ++k) workers_[k]->post();
    attempt(0);
    for (int chunk = helpers + 1; chunk < n_chunks; ++chunk) attempt(chunk);
    wait_for_helpers();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  // The mailbox of one thread: `posted` counts the runs it was called to.
  struct Worker {
    std::mutex mutex;
    std::condition_variable wake;
    std::atomic<std::uint64_t> posted{0};
    bool nudged = false;  // under the mutex

    void post() {
      {
        std::lock_guard<std::mutex> lock(mutex);
        posted.fetch_add(1, std::memory_order_release);
      }
      wake.notify_one();
    }

    // Ends a sleep early: the next run is about to come.
    void nudge() {
      {
        std::lock_guard<std::mutex> lock(mutex);
        nudged = true;
      }
      wake.notify_one();
    }

    void wait_beyond(std::uint64_t seen, bool awake) {
      const auto ready = [&] { return posted.load(std::memory_order_acquire) != seen; };
      for (;; awake = true) {
        if (awake) spin(ready);
        if (ready()) return;
        std::unique_lock<std::mutex> lock(mutex);
        wake.wait(lock, [&] { return ready() || nudged; });
        nudged = false;
        if (ready()) return;
      }
    }
  };

  // Returns how many of the wanted workers there are: fewer when the system refuses more threads.
  int grow(int wanted) {
    if (static_cast<int>(workers_.size()) < wanted) processors_ = usable_processors();
    while (static_cast<int>(workers_.size()) < wanted) {
      const int chunk = static_cast<int>(workers_.size()) + 1;
      workers_.push_back(std::make_unique<Worker>());
      Worker* worker = workers_.back().get();
      try {
        start_thread([this, worker, chunk] { work(*worker, chunk); });
      } catch (const std::system_error&) {
        workers_.pop_back();
        return chunk - 1;
      }
    }
    return wanted;
  }

  void work(Worker& self, int chunk) {
    bool awake = false;
    for (std::uint64_t seen = 0;; ++seen) {
      self.wait_beyond(seen, awake);
      awake = awake_;  // read before the caller may start the next run
      attempt(chunk);
      if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard<std::mutex> lock(done_mutex_);
        done_.notify_one();
      }
    }
  }

  // Keeps the first exception for the caller, who must not unwind while others read its stack.
  void attempt(int chunk) {
    try {
      task_(context_, chunk);
    } catch (...) {
      std::lock_guard<std::mutex> lock(done_mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
  }

  void wait_for_helpers() {
    const auto ready = [&] { return pending_.load(std::memory_order_acquire) == 0; };
    if (awake_) spin(ready);
    if (ready()) return;
    std::unique_lock<std::mutex> lock(done_mutex_);
    done_.wait(lock, ready);
  }

  std::atomic<bool> busy_{false};
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<int> pending_{0};
  int processors_ = 1;
  bool awake_ = false;
  Task task_ = nullptr;
  void* context_ = nullptr;
  std::exception_ptr failure_;
  std::mutex done_mutex_;
  std::condition_variable done_;
};

// Leaked on purpose: its sleeping threads outlive static destruction, and a forked child, whose threads are gone and
// whose mutexes may be held by them, starts with a fresh pool. Made on load, before any fork could interrupt it.
Pool* pool = nullptr;
void fresh_pool() { pool = new Pool; }

const bool registered = [] {
  fresh_pool();
#if defined(PYFF_POSIX_THREADS)
  pthread_atfork(nullptr, nullptr, fresh_pool);
#endif
  return true;
}();

}  // namespace

void run_chunks(int n_chunks, Task task, void* context) {
  if (n_chunks > 1 && pool->try_acquire()) {
    struct Release {
      Pool* held;
      ~Release() { held->release(); }
    } release{pool};
    pool->run(n_chunks, task, context);
    return;
  }
  for (int chunk = 0; chunk < n_chunks; ++chunk) task(context, chunk);
}

void wake_threads(int n_chunks) {
  if (n_chunks < 2 || !pool->try_acquire()) return;
  pool->nudge(n_chunks);
  pool->release();
}

}  // namespace pyff

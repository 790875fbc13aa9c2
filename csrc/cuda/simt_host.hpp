// The CPU side of simt.hpp, for tests: one block at a time, one fiber per thread of the block. A barrier yields until
// all threads have arrived; a warp exchange until all lanes have. Include simt.hpp, not this file.
//
// It is stricter than a GPU, so that mistakes surface: threads that wait at different barriers, or that return while
// others wait, are an error; shared memory starts as NaN; the order in which threads run can be reversed, which shows
// a missing barrier as a changed result.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define PYFF_DEVICE inline
#define PYFF_DEVICE_NOINLINE inline

namespace pyff::simt {

enum class Order { forward, reverse };

// Order in which blocks and the threads of a block run.
inline Order& host_order() {
  static Order order = Order::forward;
  return order;
}

enum class Wait { nothing, block, warp };

// The threads of one block as fibers.
class HostBlock {
 public:
  HostBlock(int threads, std::int64_t shared_bytes, const char* name)
      : name_(name), fibers_(threads), slots_(threads), shared_(static_cast<std::size_t>(shared_bytes) + 16) {
    // uninitialised, so that pages are touched only as needed
    for (auto& fiber : fibers_) fiber.stack.reset(new char[kStackBytes]);
  }

  // Runs body(thread) for every thread of the block.
  template <class Body>
  void run(Body&& body) {
    std::fill(shared_.begin(), shared_.end(), static_cast<char>(0xff));
    call_ = [](void* b, int thread) { (*static_cast<std::remove_reference_t<Body>*>(b))(thread); };
    body_ = &body;
    for (int t = 0; t < size(); ++t) start(t);
    while (!finished()) {
      if (!run_ready() && !release()) throw RuntimeFailure(describe_deadlock());
    }
  }

  void wait(int thread, Wait scope, int line) {
    Fiber& fiber = fibers_[thread];
    fiber.wait = scope;
    fiber.line = line;
    switch_to_scheduler(fiber);
  }

  // Leaves a value for the warp and waits until all lanes did. The two buffers take turns: no lane can reach the
  // exchange after next before all lanes have read this one.
  void exchange(int thread, std::uint64_t bits, int line) {
    Fiber& fiber = fibers_[thread];
    fiber.parity ^= 1;
    slots_[thread].bits[fiber.parity] = bits;
    wait(thread, Wait::warp, line);
  }
  std::uint64_t received(int thread, int lane) const {
    return slots_[thread / kWarp * kWarp + lane].bits[fibers_[thread].parity];
  }

  char* shared() { return shared_.data() + (16 - reinterpret_cast<std::uintptr_t>(shared_.data()) % 16) % 16; }
  int size() const { return static_cast<int>(fibers_.size()); }

 private:
  static constexpr std::size_t kStackBytes = 128 * 1024;

  struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    Wait wait = Wait::nothing;
    int line = 0;
    int parity = 0;
    bool done = false;
    void* fake_stack = nullptr;  // AddressSanitizer's bookkeeping
  };
  struct Slot {
    std::uint64_t bits[2];
  };

  void start(int thread) {
    Fiber& fiber = fibers_[thread];
    fiber.wait = Wait::nothing;
    fiber.parity = 0;
    fiber.done = false;
    fiber.fake_stack = nullptr;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    // makecontext passes ints
    makecontext(&fiber.context, reinterpret_cast<void (*)()>(&HostBlock::enter), 3, static_cast<unsigned>(self),
                static_cast<unsigned>(static_cast<std::uint64_t>(self) >> 32), thread);
  }

  static void enter(unsigned low, unsigned high, int thread) {
    const std::uint64_t address = (static_cast<std::uint64_t>(high) << 32) | low;
    auto* self = reinterpret_cast<HostBlock*>(static_cast<std::uintptr_t>(address));
    self->arrived_in_fiber(self->fibers_[thread]);
    try {
      self->call_(self->body_, thread);
    } catch (...) {
      self->error_ = std::current_exception();
    }
    self->fibers_[thread].done = true;
    self->switch_to_scheduler(self->fibers_[thread]);
  }

#if defined(__SANITIZE_ADDRESS__)
  void arrived_in_fiber(Fiber& fiber) {
    __sanitizer_finish_switch_fiber(fiber.fake_stack, &main_stack_, &main_stack_bytes_);
  }
  void switch_to_scheduler(Fiber& fiber) {
    __sanitizer_start_switch_fiber(fiber.done ? nullptr : &fiber.fake_stack, main_stack_, main_stack_bytes_);
    swapcontext(&fiber.context, &scheduler_);
    arrived_in_fiber(fiber);
  }
  void switch_to_fiber(Fiber& fiber) {
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, fiber.stack.get(), kStackBytes);
    swapcontext(&scheduler_, &fiber.context);
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
  }
  const void* main_stack_ = nullptr;
  std::size_t main_stack_bytes_ = 0;
#else
  void arrived_in_fiber(Fiber&) {}
  void switch_to_scheduler(Fiber& fiber) { swapcontext(&fiber.context, &scheduler_); }
  void switch_to_fiber(Fiber& fiber) { swapcontext(&scheduler_, &fiber.context); }
#endif

  bool run_ready() {
    bool any = false;
    for (int k = 0; k < size(); ++k) {
      Fiber& fiber = fibers_[host_order() == Order::forward ? k : size() - 1 - k];
      if (fiber.done || fiber.wait != Wait::nothing) continue;
      any = true;
      switch_to_fiber(fiber);
      if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    }
    return any;
  }

  // Lets threads pass a barrier (or lanes an exchange) that all of them have reached.
  bool release() {
    if (release_range(0, size(), Wait::block)) return true;
    bool any = false;
    for (int first = 0; first < size(); first += kWarp) any |= release_range(first, first + kWarp, Wait::warp);
    return any;
  }

  bool release_range(int first, int last, Wait scope) {
    for (int t = first; t < last; ++t)
      if (fibers_[t].done || fibers_[t].wait != scope || fibers_[t].line != fibers_[first].line) return false;
    for (int t = first; t < last; ++t) fibers_[t].wait = Wait::nothing;
    return true;
  }

  bool finished() const {
    return std::all_of(fibers_.begin(), fibers_.end(), [](const Fiber& f) { return f.done; });
  }

  std::string describe_deadlock() const {
    std::ostringstream text;
    text << "kernel " << name_ << ": divergent barrier or warp function;";
    const char* separator = " ";
    for (int t = 0; t < size(); ++t) {
      const auto same = [&](int s) {
        return fibers_[s].done == fibers_[t].done && fibers_[s].wait == fibers_[t].wait &&
               fibers_[s].line == fibers_[t].line;
      };
      if (t > 0 && same(t - 1)) continue;
      text << separator << "thread " << t;
      if (fibers_[t].done) {
        text << " on returned";
      } else {
        text << " on waits at the " << (fibers_[t].wait == Wait::block ? "barrier" : "warp function") << " of line "
             << fibers_[t].line;
      }
      separator = ", ";
    }
    return text.str() + ".";
  }

  const char* name_;
  std::vector<Fiber> fibers_;
  std::vector<Slot> slots_;
  std::vector<char> shared_;
  ucontext_t scheduler_;
  std::exception_ptr error_;
  void (*call_)(void*, int) = nullptr;
  void* body_ = nullptr;
};

class Block {
 public:
  Block(HostBlock* host, int thread, std::int64_t index, std::int64_t count)
      : host_(host), thread_(thread), index_(index), count_(count) {}
  int thread() const { return thread_; }
  int threads() const { return host_->size(); }
  int lane() const { return thread_ % kWarp; }
  int warp() const { return thread_ / kWarp; }
  std::int64_t index() const { return index_; }
  std::int64_t count() const { return count_; }
  std::int64_t global_thread() const { return index_ * threads() + thread_; }
  std::int64_t global_threads() const { return count_ * threads(); }
  char* shared() const { return host_->shared(); }
  void sync(int line = __builtin_LINE()) const { host_->wait(thread_, Wait::block, line); }
  void sync_warp(int line = __builtin_LINE()) const { host_->wait(thread_, Wait::warp, line); }
  template <class T>
  T shuffle(T value, int source_lane, int line = __builtin_LINE()) const {
    static_assert(sizeof(T) <= sizeof(std::uint64_t));
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    host_->exchange(thread_, bits, line);
    bits = host_->received(thread_, source_lane & (kWarp - 1));
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  template <class T>
  T shuffle_xor(T value, int mask, int line = __builtin_LINE()) const {
    return shuffle(value, lane() ^ mask, line);
  }
  unsigned ballot(bool predicate, int line = __builtin_LINE()) const {
    host_->exchange(thread_, predicate, line);
    unsigned bits = 0;
    for (int l = 0; l < kWarp; ++l) bits |= static_cast<unsigned>(host_->received(thread_, l)) << l;
    return bits;
  }

 private:
  HostBlock* host_;
  int thread_;
  std::int64_t index_, count_;
};

inline int popcount(unsigned bits) { return __builtin_popcount(bits); }

template <class T>
T atomic_add(T* at, T value) {
  const T old = *at;
  *at = old + value;
  return old;
}
inline std::uint32_t atomic_or(std::uint32_t* at, std::uint32_t value) {
  const std::uint32_t old = *at;
  *at = old | value;
  return old;
}
template <class T>
T atomic_min(T* at, T value) {
  const T old = *at;
  *at = std::min(old, value);
  return old;
}
template <class T>
T atomic_max(T* at, T value) {
  const T old = *at;
  *at = std::max(old, value);
  return old;
}

// What the smallest supported GPUs (compute capability 8.6, 8.9, 12.0) grant a block.
inline std::int64_t max_shared_bytes() { return 99 * 1024; }

template <class Kernel>
void launch(const Kernel& kernel, const Grid& grid) {
  check_launch<Kernel>(grid);
  if (grid.blocks <= 0) return;
  if (grid.shared_bytes > max_shared_bytes())
    throw RuntimeFailure(std::string("kernel ") + Kernel::kName + " asks for more shared memory than a block has.");
  HostBlock host(Kernel::kThreads, grid.shared_bytes, Kernel::kName);
  for (std::int64_t k = 0; k < grid.blocks; ++k) {
    const std::int64_t index = host_order() == Order::forward ? k : grid.blocks - 1 - k;
    host.run([&](int thread) { kernel(Block(&host, thread, index, grid.blocks)); });
  }
}

inline void set_zero(void* at, std::int64_t bytes, Stream) {
  if (bytes > 0) std::memset(at, 0, static_cast<std::size_t>(bytes));
}

}  // namespace pyff::simt

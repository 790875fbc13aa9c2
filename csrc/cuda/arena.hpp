// Scratch memory of the caller, cut into arrays.
#pragma once

#include "core/status.hpp"
#include "cuda/call.hpp"
#include "cuda/simt.hpp"

namespace pyff::cuda {

// Cuts arrays from scratch memory. Without memory it only counts, so one layout serves the query and the call.
class Arena {
 public:
  Arena() = default;
  explicit Arena(const Call& call)
      : base_(static_cast<char*>(call.scratch)), bytes_(call.scratch_bytes), counting_(false) {}

  template <class T>
  T* take(std::int64_t n) {
    const std::int64_t at = used_;
    used_ += simt::divide_up(n * static_cast<std::int64_t>(sizeof(T)), kAlign) * kAlign;
    if (counting_) return nullptr;
    PYFF_REQUIRE(used_ <= bytes_, "scratch must have at least " << used_ << " bytes; received " << bytes_
                                                                << ": ask the scratch function with the same Params");
    return reinterpret_cast<T*>(base_ + at);
  }

  std::int64_t used() const { return used_; }
  std::int64_t left() const { return bytes_ - used_; }

 private:
  static constexpr std::int64_t kAlign = 256;
  char* base_ = nullptr;
  std::int64_t bytes_ = 0;
  std::int64_t used_ = 0;
  bool counting_ = true;
};

}  // namespace pyff::cuda

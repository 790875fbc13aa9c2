// Memory that lives for one search: bump allocation from blocks that are kept between searches up to a bound.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

namespace pyff {

class Arena {
 public:
  Arena() = default;
  Arena(Arena&& other) noexcept : blocks_(std::move(other.blocks_)), current_(other.current_), used_(other.used_) {
    other.blocks_.clear();
  }
  Arena& operator=(Arena&&) = delete;
  ~Arena() {
    for (const Block& b : blocks_) std::free(b.data);
  }

  // Uninitialised room for n values of a plain type, aligned to 64 bytes.
  template <class T>
  T* allocate(std::int64_t n) {
    const std::size_t bytes = (static_cast<std::size_t>(n) * sizeof(T) + 63) / 64 * 64;
    while (current_ < blocks_.size() && blocks_[current_].size - used_ < bytes) {
      ++current_;
      used_ = 0;
    }
    if (current_ == blocks_.size()) add_block(bytes);
    char* at = blocks_[current_].data + used_;
    used_ += bytes;
    return reinterpret_cast<T*>(at);
  }

  // Everything allocated so far may be overwritten.
  void reset() {
    current_ = 0;
    used_ = 0;
  }

  // Resets and gives back all but `keep` bytes.
  void trim(std::size_t keep) {
    reset();
    std::size_t total = 0, n = 0;
    for (Block& b : blocks_) {
      if (total + b.size <= keep) {
        total += b.size;
        blocks_[n++] = b;
      } else {
        std::free(b.data);
      }
    }
    blocks_.resize(n);
  }

 private:
  struct Block {
    char* data;
    std::size_t size;
  };
  static constexpr std::size_t kSmallestBlock = std::size_t{1} << 18;

  void add_block(std::size_t bytes) {
    const std::size_t size = bytes < kSmallestBlock ? kSmallestBlock : bytes;
    blocks_.reserve(blocks_.size() + 1);
    void* data = std::aligned_alloc(64, size);
    if (!data) throw std::bad_alloc();
    blocks_.push_back({static_cast<char*>(data), size});
    used_ = 0;
  }

  std::vector<Block> blocks_;
  std::size_t current_ = 0;
  std::size_t used_ = 0;
};

}  // namespace pyff

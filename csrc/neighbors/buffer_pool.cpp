#include "neighbors/buffer_pool.hpp"

#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pyff {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// The size actually allocated: at most an eighth more, so that lists of slightly different length share buffers.
std::size_t rounded(std::size_t bytes) {
  std::size_t power = 4096;
  while (power < bytes) power *= 2;
  const std::size_t step = power >= 32768 ? power / 16 : 4096;
  return (bytes + step - 1) / step * step;
}

struct Kept {
  void* data;
  std::size_t size;
};

struct Pool {
  std::mutex mutex;
  std::vector<Kept> kept;  // oldest first
  std::size_t bytes = 0;
};

// Leaked on purpose: arrays may be freed after static destruction.
Pool& pool() {
  static Pool* const p = new Pool;
  return *p;
}

void* allocate(std::size_t size) {
  const bool large = size >= 2 * kHugePage;
  const std::size_t alignment = large ? kHugePage : 64;
  void* data = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (!data) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (large) madvise(data, size / kHugePage * kHugePage, MADV_HUGEPAGE);  // advice: failure changes nothing
#endif
  return data;
}

}  // namespace

void* take_buffer(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  {
    Pool& p = pool();
    std::lock_guard<std::mutex> lock(p.mutex);
    for (std::size_t k = p.kept.size(); k-- > 0;) {
      if (p.kept[k].size != size) continue;
      void* data = p.kept[k].data;
      p.kept.erase(p.kept.begin() + static_cast<std::ptrdiff_t>(k));
      p.bytes -= size;
      return data;
    }
  }
  return allocate(size);
}

void give_back_buffer(void* buffer, std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  if (size > kPooledBytes) return std::free(buffer);
  Pool& p = pool();
  std::lock_guard<std::mutex> lock(p.mutex);
  std::size_t gone = 0;
  while (p.bytes + size > kPooledBytes) {
    p.bytes -= p.kept[gone].size;
    std::free(p.kept[gone++].data);
  }
  p.kept.erase(p.kept.begin(), p.kept.begin() + static_cast<std::ptrdiff_t>(gone));
  p.kept.push_back({buffer, size});
  p.bytes += size;
}

}  // namespace pyff

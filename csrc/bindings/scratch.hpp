// Scratch memory that outlives a call and only grows: one per calling thread and scalar type.
#pragma once

#include <memory>
#include <vector>

namespace {

// Begins at a cache line, as do all panels in it: a 64-byte load that crosses lines takes twice as long.
template <class T>
T* scratch(std::size_t elements) {
  constexpr std::size_t line = 64;
  thread_local std::vector<T> memory;
  if (memory.size() < elements + line / sizeof(T)) memory.resize(elements + line / sizeof(T));
  void* begin = memory.data();
  std::size_t bytes = memory.size() * sizeof(T);
  return static_cast<T*>(std::align(line, elements * sizeof(T), begin, bytes));
}

}  // namespace

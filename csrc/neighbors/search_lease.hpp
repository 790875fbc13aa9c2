// Working memory of a neighbor search for the length of a call.
#pragma once

#include <memory>

#include "neighbors/search.hpp"

namespace pyff {

// The calling thread's own memory, given back beyond a few MiB when the call ends, however it ends. Python code that
// runs in the middle of a call (a garbage collection) may search too: a second lease of the same thread has separate
// memory.
class SearchLease {
 public:
  SearchLease() : own_(kept().busy ? std::make_unique<NeighborSearch>() : nullptr) { kept().busy = true; }
  ~SearchLease() {
    if (own_) return;
    kept().search.release();
    kept().busy = false;
  }
  SearchLease(const SearchLease&) = delete;
  SearchLease& operator=(const SearchLease&) = delete;

  NeighborSearch& search() { return own_ ? *own_ : kept().search; }

 private:
  struct Kept {
    NeighborSearch search;
    bool busy = false;
  };
  static Kept& kept() {
    static thread_local Kept kept;
    return kept;
  }

  std::unique_ptr<NeighborSearch> own_;
};

}  // namespace pyff

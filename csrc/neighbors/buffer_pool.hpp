// Memory of result arrays, reused after the arrays are gone. Touching fresh pages costs more than computing what goes
// into them (measured: half to two thirds of the time of a list of 1e4 atoms), so a bounded amount is kept.
#pragma once

#include <cstddef>

namespace pyff {

// Bytes that may be kept for reuse; larger buffers go back to the system at once.
constexpr std::size_t kPooledBytes = std::size_t{64} << 20;

// Uninitialised memory aligned to 64 bytes; throws std::bad_alloc. Any thread may take and give back.
void* take_buffer(std::size_t bytes);
void give_back_buffer(void* buffer, std::size_t bytes);

}  // namespace pyff

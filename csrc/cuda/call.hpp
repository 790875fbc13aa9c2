// What every function of the CUDA library gets beside its Params: a stream and scratch memory of the caller.
#pragma once

#include <cstdint>

namespace pyff::cuda {

enum Order : int { kForward = 0, kBackward = 1, kDoubleBackward = 2 };

// Work is enqueued on the stream; nothing waits for it. The scratch may be reused once the stream has passed the call.
struct Call {
  void* stream;  // cudaStream_t
  void* scratch;
  std::int64_t scratch_bytes;
  int device = 0;  // index of the GPU that the stream and all memory belong to
};

}  // namespace pyff::cuda

// libpyff_cuda, opened on first use.
#pragma once

#include <string>

#include "cuda/library.hpp"

// The library's functions. Throws pyff::RuntimeFailure, one sentence, where there is no library of this build or no
// GPU that it runs on; the same sentence at every call.
const pyff::cuda::Library& cuda_library();

// The names of the usable GPUs; throws like cuda_library.
const std::string& cuda_devices();

// Turns a status of the library into the exception it stands for.
void check_cuda(const pyff::cuda::Library& library, pyff::cuda::Status status);

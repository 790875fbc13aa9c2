#include "bindings/cuda_library.hpp"

#include <dlfcn.h>

#include <cstdlib>

#include "core/status.hpp"

namespace {

using pyff::RuntimeFailure;
using pyff::cuda::Library;

// The library lies beside this module; PYFF_CUDA_LIBRARY names another one, for tests of the host implementation.
std::string library_path() {
  const char* other = std::getenv("PYFF_CUDA_LIBRARY");
  if (other && *other) return other;
  Dl_info info;
  if (!dladdr(reinterpret_cast<void*>(&cuda_library), &info) || !info.dli_fname)
    throw RuntimeFailure("pyff cannot tell where its native module lies, so it cannot find its CUDA library.");
  const std::string self = info.dli_fname;
  const auto slash = self.rfind('/');
  return (slash == std::string::npos ? std::string("./") : self.substr(0, slash + 1)) + "libpyff_cuda.so";
}

const Library* open_library() {
  const std::string path = library_path();
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const std::string reason = dlerror();
    if (reason.find("No such file") != std::string::npos)
      throw RuntimeFailure(
          "this pyff was built without CUDA kernels (no CUDA compiler was found, or PYFF_CUDA=OFF); "
          "reinstall it on a machine with nvcc, or keep tensors on the CPU.");
    throw RuntimeFailure("pyff's CUDA library cannot be loaded: " + reason + ".");
  }
  const auto entry = reinterpret_cast<pyff::cuda::LibraryEntry>(dlsym(handle, pyff::cuda::kLibraryEntry));
  const Library* library = entry ? entry(pyff::cuda::library_layout()) : nullptr;
  if (!library) throw RuntimeFailure(path + " belongs to another build of pyff; reinstall pyff.");
  return library;
}

// Either the library or the reason why there is none; decided once, as drivers do not come and go.
struct Loaded {
  const Library* library = nullptr;
  std::string text;

  Loaded() {
    try {
      const Library* opened = open_library();
      if (opened->probe() == pyff::cuda::kOk) library = opened;
      text = opened->message();
    } catch (const RuntimeFailure& e) {
      text = e.what();
    }
  }
};

const Loaded& loaded() {
  static const Loaded instance;
  return instance;
}

}  // namespace

const Library& cuda_library() {
  if (!loaded().library) throw RuntimeFailure(loaded().text);
  return *loaded().library;
}

const std::string& cuda_devices() {
  cuda_library();
  return loaded().text;
}

void check_cuda(const Library& library, pyff::cuda::Status status) {
  if (status == pyff::cuda::kCallerError) throw pyff::Error(library.message());
  if (status != pyff::cuda::kOk) throw RuntimeFailure(library.message());
}

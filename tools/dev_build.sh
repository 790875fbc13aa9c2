#!/usr/bin/env bash
# Build the native module in place, for work on pyff itself: tools/dev_build.sh [cmake options]
# Then run with the source tree first on the path: PYTHONPATH=. python ...
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
python=${PYTHON:-python3}
cmake -S . -B build/dev -G Ninja -DCMAKE_BUILD_TYPE=Release -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" -DSKBUILD_PROJECT_VERSION=0.1.0+dev -DPYFF_CUDA=OFF -DPYFF_WERROR=ON "$@" > build/dev.log 2>&1 || { cat build/dev.log; exit 1; }
cmake --build build/dev
# moved into place, so that running processes keep the file they have mapped
for library in build/dev/_core*.so build/dev/libpyff_cuda*.so; do
  if [ -e "$library" ]; then cp "$library" pyff/.new.so && mv pyff/.new.so "pyff/$(basename "$library")"; fi
done

# libpyff_cuda, the library of CUDA kernels that pyff loads when it meets a CUDA tensor. nvcc is called directly: the
# library needs nothing of CMake's CUDA support, whose versions lag behind those of nvcc.
#
#   PYFF_CUDA        AUTO: build where nvcc works; ON: or fail; OFF: never
#   PYFF_CUDA_ARCHS  compute capabilities, as in "90" or "80;90"; the last is kept as PTX too, for later GPUs. Empty:
#                    those of the GPUs of this machine; without a GPU PTX of the oldest supported one, which the
#                    driver compiles on first use
#   PYFF_CUDA_WHEEL  ON: "80;90;100;120", for wheels that are given away
#
# Defines pyff_cuda (the library) and pyff_cuda_ptx (compile every .cu file to PTX, a quick check) where nvcc works.
set(PYFF_CUDA_ARCHS "" CACHE STRING "Compute capabilities of the CUDA kernels; empty: this machine's GPUs")
option(PYFF_CUDA_WHEEL "Build the CUDA kernels for all supported GPUs" OFF)
set(PYFF_CUDA_OLDEST 80)

if(PYFF_CUDA STREQUAL "OFF")
  return()
endif()
if(NOT PYFF_CUDA MATCHES "^(AUTO|ON)$")
  message(FATAL_ERROR "PYFF_CUDA must be AUTO, ON or OFF; received '${PYFF_CUDA}'")
endif()

find_program(PYFF_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
if(NOT PYFF_NVCC)
  if(PYFF_CUDA STREQUAL "ON")
    message(FATAL_ERROR "PYFF_CUDA=ON needs the CUDA compiler, and no nvcc was found on PATH or in CUDA_HOME/bin; "
                        "install the CUDA toolkit or build with PYFF_CUDA=OFF")
  endif()
  return()
endif()

set(PYFF_NVCC_FLAGS -std=c++17 -O3 -I${CMAKE_CURRENT_SOURCE_DIR}/csrc -ccbin ${CMAKE_CXX_COMPILER}
    -Xcompiler -Wall,-Wextra,-fPIC,-fvisibility=hidden)
set(PYFF_NVCC_STRICT -Xcompiler -Werror -Werror all-warnings)  # what CI compiles with

# A host compiler that is too new for nvcc is found here, not in the middle of the build.
set(probe ${CMAKE_BINARY_DIR}/nvcc_probe.cu)
file(WRITE ${probe} "#include <string>\n__global__ void k() {}\nint main() { return std::string().size(); }\n")
execute_process(COMMAND ${PYFF_NVCC} ${PYFF_NVCC_FLAGS} -arch=compute_${PYFF_CUDA_OLDEST} -ptx ${probe} -o ${probe}.ptx
                RESULT_VARIABLE probe_result ERROR_VARIABLE probe_error OUTPUT_VARIABLE probe_error)
if(NOT probe_result EQUAL 0)
  if(PYFF_CUDA STREQUAL "ON")
    message(FATAL_ERROR "PYFF_CUDA=ON, but ${PYFF_NVCC} does not work with ${CMAKE_CXX_COMPILER}:\n${probe_error}")
  endif()
  message(STATUS "No CUDA kernels: ${PYFF_NVCC} does not work with ${CMAKE_CXX_COMPILER}")
  return()
endif()

# ---- which GPUs
if(PYFF_CUDA_WHEEL)
  set(archs 80 90 100 120)
elseif(PYFF_CUDA_ARCHS)
  set(archs ${PYFF_CUDA_ARCHS})
else()
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
                  RESULT_VARIABLE smi_result OUTPUT_VARIABLE archs ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(smi_result EQUAL 0 AND archs MATCHES "^[0-9. \n]+$")
    string(REGEX REPLACE "[. ]" "" archs "${archs}")
    string(REPLACE "\n" ";" archs "${archs}")
    list(REMOVE_DUPLICATES archs)
    list(SORT archs COMPARE NATURAL)
  else()
    set(archs "")
  endif()
endif()
set(gencode "")
foreach(arch ${archs})
  list(APPEND gencode -gencode arch=compute_${arch},code=sm_${arch})
  set(newest ${arch})
endforeach()
if(NOT archs)
  set(newest ${PYFF_CUDA_OLDEST})
endif()
list(APPEND gencode -gencode arch=compute_${newest},code=compute_${newest})
message(STATUS "CUDA kernels: ${PYFF_NVCC}, compute capabilities ${archs} and PTX of ${newest}")

# ---- objects, PTX, library
file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/csrc/cuda/*.cu)
set(objects "")
set(ptx_files "")
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/cuda)
foreach(source ${cuda_sources})
  get_filename_component(stem ${source} NAME_WE)
  set(out ${CMAKE_BINARY_DIR}/cuda/${stem})
  set(flags ${PYFF_NVCC_FLAGS})
  if(stem STREQUAL "neighbor_list")
    list(APPEND flags --fmad=false)  # the same rounding, hence the same list, as on the CPU
  endif()
  add_custom_command(OUTPUT ${out}.o
                     COMMAND ${PYFF_NVCC} ${flags} ${gencode} -MD -MF ${out}.d -c ${source} -o ${out}.o
                     DEPENDS ${source} DEPFILE ${out}.d COMMENT "CUDA ${stem}" VERBATIM)
  add_custom_command(OUTPUT ${out}.ptx
                     COMMAND ${PYFF_NVCC} ${flags} ${PYFF_NVCC_STRICT} -arch=compute_${PYFF_CUDA_OLDEST} -MD -MF
                             ${out}.ptx.d -ptx ${source} -o ${out}.ptx
                     DEPENDS ${source} DEPFILE ${out}.ptx.d COMMENT "PTX ${stem}" VERBATIM)
  list(APPEND objects ${out}.o)
  list(APPEND ptx_files ${out}.ptx)
endforeach()
add_custom_target(pyff_cuda_ptx DEPENDS ${ptx_files})

set(PYFF_CUDA_LIBRARY ${CMAKE_BINARY_DIR}/libpyff_cuda.so)
add_custom_command(OUTPUT ${PYFF_CUDA_LIBRARY}
                   COMMAND ${PYFF_NVCC} -shared -cudart static -ccbin ${CMAKE_CXX_COMPILER} ${gencode} ${objects}
                           -Xlinker --exclude-libs=ALL -o ${PYFF_CUDA_LIBRARY}
                   DEPENDS ${objects} COMMENT "CUDA library" VERBATIM)
add_custom_target(pyff_cuda DEPENDS ${PYFF_CUDA_LIBRARY})
if(TARGET _core)
  add_dependencies(_core pyff_cuda)
  install(FILES ${PYFF_CUDA_LIBRARY} DESTINATION . COMPONENT python)
endif()

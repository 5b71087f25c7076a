# SPDX-License-Identifier: Apache-2.0
# BPF objects and their libbpf skeletons.
find_program(CLANG NAMES clang-19 clang-16 REQUIRED)
find_program(BPFTOOL NAMES bpftool PATHS /usr/sbin REQUIRED)

# add_bpf_skeleton(NAME): bpf/NAME.bpf.c -> NAME.bpf.o -> NAME.skel.h; target NAME_skeleton to link.
function(add_bpf_skeleton name)
  set(source ${PROJECT_SOURCE_DIR}/bpf/${name}.bpf.c)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(header ${CMAKE_CURRENT_BINARY_DIR}/skeletons/${name}.skel.h)
  add_custom_command(
    OUTPUT ${object}
    COMMAND
      ${CLANG} -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -Wno-address-of-packed-member
      -I${PROJECT_SOURCE_DIR} -idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE} -MMD -MF ${object}.d -MT ${object}
      -c ${source} -o ${object}
    DEPENDS ${source}
    DEPFILE ${object}.d
    COMMENT "BPF ${name}"
    VERBATIM)
  add_custom_command(
    OUTPUT ${header}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/skeletons
    COMMAND sh -c "\"$1\" gen skeleton \"$2\" name \"$3\" > \"$4\".tmp && mv \"$4\".tmp \"$4\"" sh ${BPFTOOL}
            ${object} ${name} ${header}
    DEPENDS ${object}
    COMMENT "Skeleton ${name}"
    VERBATIM)
  add_custom_target(${name}_skeleton_header DEPENDS ${header})
  add_library(${name}_skeleton INTERFACE)
  add_dependencies(${name}_skeleton ${name}_skeleton_header)
  target_include_directories(${name}_skeleton SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR}/skeletons)
  target_link_libraries(${name}_skeleton INTERFACE PkgConfig::LIBBPF)
endfunction()

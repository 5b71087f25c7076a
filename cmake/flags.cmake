# SPDX-License-Identifier: Apache-2.0
# Flags of our own targets: link podlane_flags.
add_library(podlane_flags INTERFACE)
target_include_directories(podlane_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(
  podlane_flags
  INTERFACE -Wall
            -Wextra
            -Wpedantic
            -Wshadow
            -Wconversion
            -Wnon-virtual-dtor
            -Wold-style-cast
            -Werror=return-type)
target_compile_definitions(podlane_flags INTERFACE PODLANE_VERSION="${PROJECT_VERSION}")

if(PODLANE_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()

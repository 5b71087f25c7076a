# SPDX-License-Identifier: Apache-2.0
# `cpack -G DEB` in the build folder: podlane_VERSION_ARCHITECTURE.deb.
#
# Component `runtime` is what `cmake --install` puts below any prefix; `system` is what a package alone may do: files
# outside of the prefix, with the paths of /usr written in them.
install(FILES ${PROJECT_SOURCE_DIR}/deploy/systemd/podlane-agent.service DESTINATION /lib/systemd/system
        COMPONENT system EXCLUDE_FROM_ALL)
install(FILES ${PROJECT_SOURCE_DIR}/deploy/debian/podlane.yaml DESTINATION /etc/podlane COMPONENT system
        EXCLUDE_FROM_ALL)
install(FILES ${PROJECT_SOURCE_DIR}/deploy/debian/copyright DESTINATION /usr/share/doc/podlane COMPONENT system
        EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME podlane)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Pod network for Kubernetes, in BPF")
set(CPACK_PACKAGE_CONTACT "The podlane authors <podlane@localhost>")
set(CPACK_COMPONENTS_ALL runtime system)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "The agent of a node, its operator's tool agentctl, and the CNI plugin. BPF\nprograms at tc and XDP carry pods' packets between nodes by VXLAN or directly\nand translate what leaves the cluster."
)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# host-local gives pods their addresses.
set(CPACK_DEBIAN_PACKAGE_DEPENDS containernetworking-plugins)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${PROJECT_SOURCE_DIR}/deploy/debian/conffiles ${PROJECT_SOURCE_DIR}/deploy/debian/postinst
    ${PROJECT_SOURCE_DIR}/deploy/debian/prerm ${PROJECT_SOURCE_DIR}/deploy/debian/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)

#
# Installs the one wheel that SRC_URI brings (with subdir=wheel;unpack=0), without compiling it again.
#
# SPDX-License-Identifier: Apache-2.0

inherit python3native python3-dir

DEPENDS:append = " python3-installer-native"

# Older releases unpack into WORKDIR.
S = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}/wheel"

WHEEL_PYTHON = "python3"
WHEEL_PYTHON:class-native = "nativepython3"

FILES:${PN} += "${PYTHON_SITEPACKAGES_DIR}"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

edgewright_wheel_do_install[doc] = "Installs the wheel with pypa/installer"
edgewright_wheel_do_install() {
    nativepython3 -m installer --compile-bytecode=0 --interpreter "${USRBINPATH}/env ${WHEEL_PYTHON}" \
        --destdir=${D} ${S}/*.whl
    # It names digests of files that packaging changes.
    find ${D} -path '*.dist-info/RECORD' -delete
}

EXPORT_FUNCTIONS do_install

#
# Installs the one wheel that SRC_URI brings (with subdir=wheel;unpack=0), without compiling it again.
#
# SPDX-License-Identifier: Apache-2.0

inherit python3native python3-dir

# Older releases unpack into WORKDIR.
S = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}/wheel"

FILES:${PN} += "${PYTHON_SITEPACKAGES_DIR}"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

edgewright_wheel_do_install[doc] = "Unpacks the wheel to where the device's Python looks"
edgewright_wheel_do_install() {
    install -d ${D}${PYTHON_SITEPACKAGES_DIR}
    nativepython3 -m zipfile -e ${S}/*.whl ${D}${PYTHON_SITEPACKAGES_DIR}/
    # It names digests of files that packaging changes.
    find ${D}${PYTHON_SITEPACKAGES_DIR} -path '*.dist-info/RECORD' -delete
}

EXPORT_FUNCTIONS do_install

SUMMARY = "Compiles trained models for devices, and checks and runs what came out"
DESCRIPTION = "On the device it verifies, runs, measures and gates bundles; on the build machine (native) it compiles them."
SECTION = "devel/python"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

# The wheel is of your own making (python3 -m build --wheel), and this the folder in which it lies.
EDGEWRIGHT_DIST ?= "${EDGEWRIGHT_LAYERDIR}/../../../dist"

FILESEXTRAPATHS:prepend := "${EDGEWRIGHT_DIST}:"

EDGEWRIGHT_WHEEL = "edgewright-${PV}-py3-none-any.whl"
SRC_URI = "file://${EDGEWRIGHT_WHEEL};subdir=wheel;unpack=0"

inherit edgewright_wheel

EDGEWRIGHT_PYTHON = "python3"
EDGEWRIGHT_PYTHON:class-native = "nativepython3"

do_install:append() {
    install -d ${D}${bindir}
    printf '#!%s/env %s\nimport sys\n\nfrom edgewright.cli import main\n\nsys.exit(main())\n' \
        "${USRBINPATH}" "${EDGEWRIGHT_PYTHON}" > ${D}${bindir}/edgewright
    chmod 0755 ${D}${bindir}/edgewright
}

RDEPENDS:${PN} += "\
    python3-core \
    python3-numpy \
    python3-onnxruntime \
    python3-rich \
"
# What only the compiler needs.
RDEPENDS:${PN}:append:class-native = " \
    python3-onnx-ir-native \
    python3-onnx-native \
    python3-onnxscript-native \
"

# A recipe whose file is missing would end every build that has this layer.
python () {
    wheel = os.path.join(d.getVar("EDGEWRIGHT_DIST"), d.getVar("EDGEWRIGHT_WHEEL"))
    bb.parse.mark_dependency(d, wheel)
    if not os.path.exists(wheel):
        raise bb.parse.SkipRecipe("there is no %s: make it, or set EDGEWRIGHT_DIST" % wheel)
}

BBCLASSEXTEND = "native"

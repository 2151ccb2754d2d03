SUMMARY = "ONNX Runtime, the wheel that its authors publish"
DESCRIPTION = "Runs ONNX models on the CPU. Nothing is compiled here: the wheel needs glibc 2.28 or newer."
HOMEPAGE = "https://onnxruntime.ai"
SECTION = "devel/python"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

ORT_CPYTHON = "cp${@d.getVar('PYTHON_BASEVERSION').replace('.', '')}"
ORT_WHEEL = "onnxruntime-${PV}-${ORT_CPYTHON}-${ORT_CPYTHON}-manylinux_2_28_${HOST_ARCH}.whl"
ORT_SHA256[cp312-aarch64] = "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc"
ORT_SHA256[cp312-x86_64] = "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536"
ORT_SHA256[cp313-aarch64] = "dcaedc50333876f3829ab966b242147f0e548229e29c36fe44622ecf748c25ee"
ORT_SHA256[cp313-x86_64] = "74a6a52994616c4d18b33db1e13c226333a70a6ba07480a5cab9c2a50dff1430"
ORT_SHA256[cp314-aarch64] = "c878686b75cade1ed59131aa018ab004b1e64368b0d54041912450b9642cf04f"
ORT_SHA256[cp314-x86_64] = "c20d7f15d84427db070b163f78c2c7146cc93edd6113fa7327671259a24184fe"

SRC_URI = "https://files.pythonhosted.org/packages/${ORT_CPYTHON}/o/onnxruntime/${ORT_WHEEL};subdir=wheel;unpack=0"
SRC_URI[sha256sum] = "${@d.getVarFlag('ORT_SHA256', '%s-%s' % (d.getVar('ORT_CPYTHON'), d.getVar('HOST_ARCH'))) or ''}"

inherit edgewright_wheel

CVE_PRODUCT = "onnxruntime"
COMPATIBLE_HOST = "(aarch64|x86_64).*-linux"
COMPATIBLE_HOST:libc-musl = "null"

RDEPENDS:${PN} += "\
    python3-core \
    python3-flatbuffers \
    python3-numpy \
    python3-packaging \
    python3-protobuf \
"

# Its libraries come stripped, and linked with the flags of their authors.
INSANE_SKIP:${PN} += "already-stripped ldflags"

BBCLASSEXTEND = "native"

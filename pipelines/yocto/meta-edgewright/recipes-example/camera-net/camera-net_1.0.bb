SUMMARY = "A camera's model, compiled for the device while its image is built"
DESCRIPTION = "An example of edgewright.bbclass: net.onnx becomes a bundle, and a ptest that judges it on the device."
SECTION = "examples"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

SRC_URI = "file://net.onnx"

inherit edgewright

EDGEWRIGHT_MODEL = "net.onnx"
EDGEWRIGHT_TARGET = "rpi5/onnxruntime"
EDGEWRIGHT_PRECISION = "fp32"
EDGEWRIGHT_MAX_SIZE = "10kB"
EDGEWRIGHT_MAX_LATENCY = "8ms"

SUMMARY = "A small image with a compiled model, what verifies it, and its ptest"
DESCRIPTION = "An example: what a device needs to check a bundle by itself, and to run its ptest. Leave ptest-pkgs out of what ships."
SECTION = "images"
LICENSE = "Apache-2.0"

inherit core-image

IMAGE_FEATURES += "ptest-pkgs"
IMAGE_INSTALL:append = " camera-net python3-edgewright"

#
# Compiles a trained model in do_compile, installs the bundle, and packages what judges it on the device.
#
# SPDX-License-Identifier: Apache-2.0
#
# What the compile reads has to be in SRC_URI: BitBake then builds again when it changed. Whatever else
# the compile opens outside of ${S} ends the task.

inherit python3native ptest

# A name on the PATH, from python3-edgewright-native; or an absolute path, such as /opt/edgewright/bin/edgewright.
EDGEWRIGHT_PROGRAM ?= "edgewright"

# As of `edgewright compile`; relative to ${S}. A limit that is missed ends the build.
EDGEWRIGHT_MODEL ?= ""
EDGEWRIGHT_TARGET ?= ""
EDGEWRIGHT_DATA ?= ""
EDGEWRIGHT_EVAL_DATA ?= ""
EDGEWRIGHT_RECIPE ?= ""
EDGEWRIGHT_PLAN ?= ""
EDGEWRIGHT_PRECISION ?= ""
EDGEWRIGHT_MAX_DROP ?= ""
EDGEWRIGHT_MAX_SIZE ?= ""
EDGEWRIGHT_OPTIONS ?= ""

# Where the bundle goes on the device: ${datadir}/edgewright/${EDGEWRIGHT_BUNDLE}
EDGEWRIGHT_BUNDLE ?= "${BPN}.ewb"

# Judged on the device, by its ptest: a gates.toml of yours, or a limit of the median such as "8ms".
EDGEWRIGHT_GATES ?= ""
EDGEWRIGHT_MAX_LATENCY ?= ""

# Results of earlier compiles, shared by all recipes; it changes nothing of what comes out.
EDGEWRIGHT_CACHE_DIR ?= "${TMPDIR}/work-shared/edgewright"

DEPENDS += "${@'' if d.getVar('EDGEWRIGHT_PROGRAM').startswith('/') else 'python3-edgewright-native'}"

# Older releases unpack into WORKDIR.
S = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"
B = "${WORKDIR}/build"

# Bundles are for one device.
PACKAGE_ARCH = "${MACHINE_ARCH}"
FILES:${PN} += "${datadir}/edgewright/${EDGEWRIGHT_BUNDLE}"
RDEPENDS:${PN}-ptest += "python3-edgewright"

python () {
    missing = [name for name in ("EDGEWRIGHT_MODEL", "EDGEWRIGHT_TARGET") if not d.getVar(name)]
    if missing:
        raise bb.parse.SkipRecipe("edgewright.bbclass needs %s" % " and ".join(missing))
    if d.getVar("EDGEWRIGHT_GATES") and d.getVar("EDGEWRIGHT_MAX_LATENCY"):
        raise bb.parse.SkipRecipe("EDGEWRIGHT_MAX_LATENCY belongs into the file of EDGEWRIGHT_GATES")
}

edgewright_run[doc] = "Runs a command, puts its words into the log, and leaves the exit code in $status"
edgewright_run() {
    status=0
    "$@" > ${B}/said 2>&1 || status=$?
    cat ${B}/said
}

edgewright_fatal[doc] = "Ends the task with the message of the command before, and its exit code"
edgewright_fatal() {
    bbfatal "$1: exit code $status. $(sed -n '/^error: /,$p' ${B}/said)"
}

edgewright_undeclared[doc] = "Prints the files that the compile read although no SRC_URI brings them"
edgewright_undeclared() {
    here=$(pwd -P)
    # The prerequisites of the first rule, without make's escapes.
    sed -n -e 's/ \\$//' -e 's/^  //p' ${B}/depfile | sed -e 's/\$\$/$/g' -e 's/\\\(.\)/\1/g' |
        grep -e '^/' -e '^\.\./' | grep -v -F -e "${S}/" -e "$here/" || true
}

do_configure[noexec] = "1"

do_compile[cleandirs] = "${B}"
edgewright_do_compile[vardepsexclude] += "EDGEWRIGHT_CACHE_DIR"
edgewright_do_compile[doc] = "Compiles the model, and verifies the bundle as far as this machine can"
edgewright_do_compile() {
    unset HOME
    export EDGEWRIGHT_OFFLINE=1
    export EDGEWRIGHT_CACHE_DIR="${EDGEWRIGHT_CACHE_DIR}"
    export PYTHONDONTWRITEBYTECODE=1
    cd ${S}

    set -- "${EDGEWRIGHT_MODEL}" --target "${EDGEWRIGHT_TARGET}"
    [ -z "${EDGEWRIGHT_DATA}" ] || set -- "$@" --data "${EDGEWRIGHT_DATA}"
    [ -z "${EDGEWRIGHT_EVAL_DATA}" ] || set -- "$@" --eval-data "${EDGEWRIGHT_EVAL_DATA}"
    [ -z "${EDGEWRIGHT_RECIPE}" ] || set -- "$@" --recipe "${EDGEWRIGHT_RECIPE}"
    [ -z "${EDGEWRIGHT_PLAN}" ] || set -- "$@" --plan "${EDGEWRIGHT_PLAN}"
    [ -z "${EDGEWRIGHT_PRECISION}" ] || set -- "$@" --precision "${EDGEWRIGHT_PRECISION}"
    [ -z "${EDGEWRIGHT_MAX_DROP}" ] || set -- "$@" --max-drop "${EDGEWRIGHT_MAX_DROP}"
    [ -z "${EDGEWRIGHT_MAX_SIZE}" ] || set -- "$@" --max-size "${EDGEWRIGHT_MAX_SIZE}"

    bundle="${B}/${EDGEWRIGHT_BUNDLE}"
    edgewright_run ${EDGEWRIGHT_PROGRAM} compile "$@" ${EDGEWRIGHT_OPTIONS} \
        -o "$bundle" --depfile ${B}/depfile --record ${B}/record.json
    [ $status -eq 0 ] || edgewright_fatal "${PN}: the model was not compiled"

    undeclared=$(edgewright_undeclared)
    [ -z "$undeclared" ] || bbfatal "${PN}: the compile read what is not in SRC_URI: $undeclared"

    edgewright_run ${EDGEWRIGHT_PROGRAM} verify "$bundle"
    case $status in
        0) ;;
        77) bbnote "${PN}: ${EDGEWRIGHT_TARGET} is not this machine; the ptest verifies the bundle on the device" ;;
        *) edgewright_fatal "${PN}: the bundle does not hold what it says" ;;
    esac
}

edgewright_do_install[doc] = "Installs the bundle into ${datadir}/edgewright"
edgewright_do_install() {
    install -d ${D}${datadir}/edgewright
    install -m 0644 "${B}/${EDGEWRIGHT_BUNDLE}" ${D}${datadir}/edgewright/
}

# A run-ptest of the recipe's own comes first.
do_install_ptest_base[file-checksums] += "${EDGEWRIGHT_LAYERDIR}/files/run-ptest:True"
do_install_ptest[vardepsexclude] += "EDGEWRIGHT_LAYERDIR"
do_install_ptest() {
    install -d ${D}${PTEST_PATH}
    [ -e ${D}${PTEST_PATH}/run-ptest ] || install -m 0755 ${EDGEWRIGHT_LAYERDIR}/files/run-ptest ${D}${PTEST_PATH}/
    echo "${datadir}/edgewright/${EDGEWRIGHT_BUNDLE}" > ${D}${PTEST_PATH}/bundle
    if [ -n "${EDGEWRIGHT_GATES}" ]; then
        install -m 0644 "${S}/${EDGEWRIGHT_GATES}" ${D}${PTEST_PATH}/gates.toml
    elif [ -n "${EDGEWRIGHT_MAX_LATENCY}" ]; then
        printf 'schema = "edgewright.gates/1"\n\n[defaults.latency]\nmax = "%s"\n' "${EDGEWRIGHT_MAX_LATENCY}" \
            > ${D}${PTEST_PATH}/gates.toml
    fi
}

EXPORT_FUNCTIONS do_compile do_install

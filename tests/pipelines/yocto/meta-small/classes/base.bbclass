# The steps of a recipe, as oe-core orders them; fetching and unpacking are BitBake's own.
do_fetch[dirs] = "${DL_DIR}"
do_fetch[file-checksums] = "${@bb.fetch.get_checksum_file_list(d)}"
python do_fetch() {
    bb.fetch2.Fetch((d.getVar("SRC_URI") or "").split(), d).download()
}

do_unpack[cleandirs] = "${UNPACKDIR}"
python do_unpack() {
    bb.fetch2.Fetch((d.getVar("SRC_URI") or "").split(), d).unpack(d.getVar("UNPACKDIR"))
}

do_configure() {
    :
}
do_configure[dirs] = "${B}"

base_do_compile() {
    :
}
do_compile[dirs] = "${B}"

base_do_install() {
    :
}
do_install[dirs] = "${B}"
do_install[cleandirs] = "${D}"

EXPORT_FUNCTIONS do_compile do_install

addtask fetch
addtask unpack after do_fetch
addtask configure after do_unpack
addtask compile after do_configure
addtask install after do_compile

bbnote() {
    echo "NOTE: $*"
}

bbfatal() {
    echo "ERROR: $*"
    exit 1
}

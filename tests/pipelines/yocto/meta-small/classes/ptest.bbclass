# As oe-core's, without packaging and the stripping of Makefiles.
do_install_ptest() {
    :
}

do_install_ptest_base() {
    if [ -f ${UNPACKDIR}/run-ptest ]; then
        install -D ${UNPACKDIR}/run-ptest ${D}${PTEST_PATH}/run-ptest
    fi
    do_install_ptest
}
do_install_ptest_base[dirs] = "${B}"
do_install_ptest_base[cleandirs] = "${D}${PTEST_PATH}"

addtask install_ptest_base after do_install

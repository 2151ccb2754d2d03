#!/bin/sh
# Runs one command of a build. What fails says its class as well: not every build tool shows an exit code.
"$@"
code=$?
case $code in
    0) exit 0 ;;
    1) class=limit-missed ;;
    2) class=usage ;;
    65) class=bad-input ;;
    69) class=unavailable ;;
    70) class=bug ;;
    73) class=cannot-write ;;
    74) class=io-error ;;
    75) class=retryable ;;
    77) class=target-absent ;;
    130) class=interrupted ;;
    143) class=terminated ;;
    *) class="not one of edgewright's" ;;
esac
echo "edgewright: exit code $code: $class" >&2
exit $code

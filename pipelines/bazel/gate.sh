#!/bin/sh
# gate.sh PASS_WHERE_ABSENT BUNDLE PROGRAM VERB WORD...: judges a bundle as Bazel's tests do, which know no "skipped".
set -eu
pass_where_absent=$1 bundle=$2 program=$3 verb=$4
shift 4

# Records are written beside a bundle, and where Bazel keeps it nothing may be.
kept=$(mktemp -d "${TEST_TMPDIR:-/tmp}/gate.XXXXXX")
cp "$bundle" "$kept/"
[ "$verb" = verify ] || [ -z "${XML_OUTPUT_FILE:-}" ] || set -- "$@" --junit "$XML_OUTPUT_FILE"

status=0
EDGEWRIGHT_CACHE_SIZE=0 "$program" "$verb" "$kept/$(basename "$bundle")" "$@" || status=$?
rm -rf "$kept"
if [ $status -eq 77 ] && [ "$pass_where_absent" = 1 ]; then
    echo "not judged: the target is not on this machine"
    exit 0
fi
[ $status -eq 0 ] || echo "edgewright: exit code $status"
exit $status

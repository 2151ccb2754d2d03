#!/bin/sh
# compile.sh DECLARED COMMAND...: runs it with a depfile, and fails where it read a file that DECLARED does not list.
set -eu
declared=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

status=0
"$@" --depfile "$work/depfile" || status=$?
if [ $status -ne 0 ]; then
    echo "edgewright: exit code $status" >&2
    exit $status
fi

# Files as links lead to them: a sandbox is made of links, and what one leads to lies beside files that nobody declared.
while IFS= read -r name; do
    realpath "$name"
done <"$declared" >"$work/known"

# The prerequisites of the first rule, without make's escapes. A folder counts by the files in it.
sed -n -e 's/ \\$//' -e 's/^  //p' "$work/depfile" | sed -e 's/\$\$/$/g' -e 's/\\\(.\)/\1/g' |
    while IFS= read -r name; do
        real=$(realpath "$name")
        [ -d "$real" ] || grep -q -x -F -e "$real" "$work/known" || echo "  $real"
    done >"$work/undeclared"
if [ -s "$work/undeclared" ]; then
    echo "error: the compile read what the rule does not declare:" >&2
    cat "$work/undeclared" >&2
    echo "  Add it to srcs." >&2
    exit 1
fi

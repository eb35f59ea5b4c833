#!/bin/sh
# fuzz.sh TIME: runs every fuzz target of the module for that time, one after the
# other, and fails with the first that finds something. What it finds is kept under
# the package's testdata/fuzz, to be committed with the fix.
set -eu

time=${1:-10s}
grep -rlE '^func Fuzz[A-Za-z0-9_]*\(' --include='*_test.go' . | sort | while read -r file; do
    package=./$(dirname "${file#./}")
    sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
        echo "== $package $target"
        go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
    done
done

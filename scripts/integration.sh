#!/usr/bin/env bash
# Runs the tests that need more than Go: those of files with the build tag integration.
# Usage: scripts/integration.sh go test [flag ...]
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t files < <(grep -rlE --include='*_test.go' --exclude-dir=node_modules '^//go:build .*\bintegration\b' . | sort)
names=$(sed -nE 's/^func (Test[[:alnum:]_]*)\(.*/\1/p' "${files[@]}" | paste -sd'|')
mapfile -t opcua < <(dirname "${files[@]}" | sort -u | grep '/opcua')
mapfile -t others < <(dirname "${files[@]}" | sort -u | grep -v '/opcua')

test=("$@" -tags integration -count=1 -p 1 -timeout 20m -run "^($names)\$")
status=0
# Those of OPC UA wait for other programs most of the time: more than there are processors
# go side by side.
"${test[@]}" -parallel 6 "${opcua[@]}" || status=$?
"${test[@]}" "${others[@]}" || status=$?
exit "$status"

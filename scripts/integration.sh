#!/usr/bin/env bash
# Runs the tests that need more than Go: those of files with the build tag integration.
# Usage: scripts/integration.sh go test [flag ...]
set -euo pipefail
cd "$(dirname "$0")/.."

files=$(grep -rlE --include='*_test.go' --exclude-dir=node_modules '^//go:build .*\bintegration\b' . | sort)
# shellcheck disable=SC2086 # a list of files without blanks
names=$(sed -nE 's/^func (Test[[:alnum:]_]*)\(.*/\1/p' $files | paste -sd'|')
# shellcheck disable=SC2086
packages=$(dirname $files | sort -u)
# shellcheck disable=SC2086
exec "$@" -tags integration -count=1 -p 1 -timeout 20m -run "^($names)\$" $packages

#!/usr/bin/env bash
# run.sh PROGRAM [FOLDER]: starts the program's demo on free ports with data of its
# own, looks at its pages with a browser (page.mjs), and stops it. Screenshots go to
# FOLDER, if one is given. Fails if a check fails or the program does not end with 0.
set -euo pipefail

program=$(realpath "$1")
pictures=${2:+$(realpath -m "$2")}
cd "$(dirname "$0")"

work=$(mktemp -d)
pid=
finish() {
    if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap finish EXIT

key=browser-check-key-0001
PLANTGATE_API_KEY=$key PLANTGATE_SERVER_LISTEN=127.0.0.1:0 PLANTGATE_METRICS_LISTEN=127.0.0.1:0 \
    PLANTGATE_MQTT_BROKER_LISTEN=127.0.0.1:0 \
    "$program" demo --folder "$work/data" --opcua-listen 127.0.0.1:0 >"$work/out" 2>"$work/log" &
pid=$!

url=
for _ in $(seq 300); do
    url=$(sed -nE 's,^ *live page +(https://[^/]+)/.*,\1,p' "$work/out")
    if [ -n "$url" ] && curl -fsk "$url/readyz" >/dev/null 2>&1; then break; fi
    if ! kill -0 "$pid" 2>/dev/null; then break; fi
    sleep 0.1
done
if [ -z "$url" ]; then
    echo "the demo does not start:" >&2
    cat "$work/out" "$work/log" >&2
    exit 1
fi

node page.mjs "$url" "$key" ${pictures:+"$pictures"} || {
    tail -n 20 "$work/log" >&2
    exit 1
}

kill -TERM "$pid"
code=0
wait "$pid" || code=$?
pid=
if [ "$code" -ne 0 ]; then
    echo "the demo ended with $code:" >&2
    tail -n 20 "$work/log" >&2
    exit 1
fi

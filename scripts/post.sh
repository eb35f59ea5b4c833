#!/bin/sh
# post.sh: posts one reading of one machine to plantgate over HTTPS.
#
#   post.sh --url https://plantgate:8443 --cacert ca.crt --machine M001 \
#           --status Running temperature=72.31 tool=T12
#   post.sh --body readings.json          # a body as it is: one, an array; - is stdin
#
# 201 and 200 mean that the reading is on disk (200: it was there already). On 503,
# 429 or no answer the same body is sent again, so it needs a timestamp or a
# message id to be stored once only; the script always sends a timestamp.
#
#   --url URL          EDGE_URL       default https://localhost:8443
#   --key KEY          EDGE_API_KEY   better in the environment: others see arguments
#   --cacert FILE      EDGE_CACERT    the CA that plantgate prints at its start
#   --machine ID       EDGE_MACHINE   machine_id
#   --status STATUS    Running, Idle, Stopped or Maintenance
#   --time TIME        default now, in UTC; without an offset: local time of the site
#   --message-id ID    the sender's own id of the message
#   --retries N        EDGE_RETRIES   default 5
#   NAME=VALUE         a signal; numbers, true, false and null are sent as such
#
# Exit: 0 stored, 1 refused (of a list: in part), 2 wrong usage, 75 no answer after
# all retries.
set -eu

url=${EDGE_URL:-https://localhost:8443}
key=${EDGE_API_KEY:-}
cacert=${EDGE_CACERT:-}
machine=${EDGE_MACHINE:-}
retries=${EDGE_RETRIES:-5}
status='' message_id='' body='' members=''
time=$(date -u +%Y-%m-%dT%H:%M:%SZ)

usage() {
    echo "post.sh: $1 (see the head of the script)" >&2
    exit 2
}

# quote prints a JSON string.
quote() {
    printf '"%s"' "$(printf '%s' "$1" | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g')"
}

# value prints a number, a boolean or null as it is, anything else as a string.
value() {
    if printf '%s' "$1" | grep -Eqx -- '-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?|true|false|null'; then
        printf '%s' "$1"
    else
        quote "$1"
    fi
}

while [ $# -gt 0 ]; do
    case $1 in
    --*) [ $# -ge 2 ] || usage "$1 needs a value" ;;
    esac
    case $1 in
    --url) url=$2 ;;
    --key) key=$2 ;;
    --cacert) cacert=$2 ;;
    --machine) machine=$2 ;;
    --status) status=$2 ;;
    --time) time=$2 ;;
    --message-id) message_id=$2 ;;
    --retries) retries=$2 ;;
    --body) body=$2 ;;
    --*) usage "unknown option $1" ;;
    ?*=*)
        members="$members,$(quote "${1%%=*}"):$(value "${1#*=}")"
        shift
        continue
        ;;
    *) usage "$1 is neither an option nor NAME=VALUE" ;;
    esac
    shift 2
done
[ -n "$key" ] || usage "an API key is required"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -n "$body" ]; then
    cat -- "$body" >"$work/body"
else
    [ -n "$machine" ] || usage "--machine is required"
    [ -z "$status" ] || members=",\"status\":$(quote "$status")$members"
    [ -z "$message_id" ] || members=",\"message_id\":$(quote "$message_id")$members"
    printf '{"machine_id":%s,"timestamp":%s%s}' "$(quote "$machine")" "$(quote "$time")" "$members" >"$work/body"
fi

# post sends the body once and prints the HTTP status; without a whole answer also
# curl's exit code. The key goes through a pipe, so that it does not stand in the
# list of processes.
post() {
    printf 'header = "x-api-key: %s"\n' "$key" |
        curl --config - --silent --show-error --max-time 30 ${cacert:+--cacert "$cacert"} \
            --header 'Content-Type: application/json' --data-binary "@$work/body" \
            --dump-header "$work/headers" --output "$work/answer" --write-out '%{http_code}' \
            "${url%/}/data" || echo " curl $?"
}

attempt=0
while :; do
    : >"$work/answer"
    : >"$work/headers"
    code=$(post)
    case $code in
    200 | 201)
        printf '%s\n' "$(cat "$work/answer")"
        exit 0
        ;;
    *"curl 60" | *"curl 77")
        echo "post.sh: the server's certificate is not trusted; give its CA with --cacert" >&2
        exit 1
        ;;
    *curl* | 429 | 503) ;;
    *)
        # 207 tells of each item of a list; what was not accepted is in quarantine.
        echo "post.sh: refused with $code" >&2
        printf '%s\n' "$(cat "$work/answer")" >&2
        exit 1
        ;;
    esac
    attempt=$((attempt + 1))
    if [ "$attempt" -gt "$retries" ]; then
        echo "post.sh: not stored after $attempt attempts (last answer $code)" >&2
        exit 75
    fi
    wait=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9][0-9]*\).*/\1/p' "$work/headers" | tail -n 1)
    sleep "${wait:-$attempt}"
done

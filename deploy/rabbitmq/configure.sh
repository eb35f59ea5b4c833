#!/usr/bin/env bash
# Gives a running RabbitMQ what plantgate needs: a vhost, a user with the rights that MQTT
# needs and no others, a limit of the queue that loses nothing silently. It may be run
# again: it brings everything to what the parameters say. install.sh calls it.
#
# Parameters, by environment:
#   PLANTGATE_MQTT_PASSWORD_FILE  file with the user's password (required)
#   PLANTGATE_MQTT_USER           user name                                (plantgate)
#   PLANTGATE_MQTT_CLIENT_ID      beginning of client ids of plantgate      (plantgate)
#   PLANTGATE_MQTT_VHOST          as mqtt.vhost of rabbitmq.conf            (plant)
#   PLANTGATE_MQTT_WRITE          topics it may write, as a regular expression with dots
#                                 for slashes                                (.*)
#   PLANTGATE_MQTT_READ           topics it may read                        (.*)
#   PLANTGATE_QUEUE_BYTES         what may wait for plantgate, in bytes     (4294967296)
#   PLANTGATE_MESSAGE_TTL_MS      how long a message may wait; what is older goes to the
#                                 queue plantgate-expired, and is not lost   (unset: for ever)
#   RABBITMQCTL                   the program                               (rabbitmqctl)
set -euo pipefail

user=${PLANTGATE_MQTT_USER:-plantgate}
client=${PLANTGATE_MQTT_CLIENT_ID:-plantgate}
vhost=${PLANTGATE_MQTT_VHOST:-plant}
write=${PLANTGATE_MQTT_WRITE:-.*}
read=${PLANTGATE_MQTT_READ:-.*}
bytes=${PLANTGATE_QUEUE_BYTES:-4294967296}
ttl=${PLANTGATE_MESSAGE_TTL_MS:-}
ctl=${RABBITMQCTL:-rabbitmqctl}
passwords=${PLANTGATE_MQTT_PASSWORD_FILE:?is the file with the password of the MQTT user}

for number in "$bytes" ${ttl:+"$ttl"}; do
    if ! [[ $number =~ ^[1-9][0-9]*$ ]]; then
        echo "PLANTGATE_QUEUE_BYTES and PLANTGATE_MESSAGE_TTL_MS must be positive whole numbers" >&2
        exit 2
    fi
done
if ! [[ $client =~ ^[A-Za-z0-9_-]+$ ]]; then
    echo "PLANTGATE_MQTT_CLIENT_ID must have letters, digits, - and _ only: it becomes part of patterns" >&2
    exit 2
fi
if [ ! -s "$passwords" ]; then
    echo "PLANTGATE_MQTT_PASSWORD_FILE is empty or can't be read" >&2
    exit 2
fi

# has LIST... NAME tells whether a list of rabbitmqctl has a name in its first column.
has() {
    local name=${*: -1}
    "$ctl" --quiet --no-table-headers "${@:1:$#-1}" | cut -f1 | grep -Fx -- "$name" >/dev/null
}

has list_vhosts name "$vhost" || "$ctl" --quiet add_vhost "$vhost"

# The password goes by standard input: arguments can be read by every user of the machine.
if has list_users "$user"; then
    head -n1 "$passwords" | "$ctl" --quiet change_password "$user"
else
    head -n1 "$passwords" | "$ctl" --quiet add_user "$user"
fi

# Its session is the queue mqtt-subscription-CLIENTqos1; it publishes to, and binds the
# queue to, the exchange amq.topic.
queue="mqtt-subscription-${client}.*"
"$ctl" --quiet set_permissions -p "$vhost" "$user" "^${queue}$" "^(amq[.]topic|${queue})$" "^(amq[.]topic|${queue})$"
"$ctl" --quiet set_topic_permissions -p "$vhost" "$user" amq.topic "$write" "$read"

# Anybody knows its password.
if has list_users guest; then "$ctl" --quiet delete_user guest; fi

# At the limit a publisher gets no PUBACK (reject-publish) and keeps the message; the
# default, drop-head, throws the oldest away and tells nobody.
policy="\"max-length-bytes\":${bytes},\"overflow\":\"reject-publish\""
if [ -n "$ttl" ]; then
    policy+=",\"message-ttl\":${ttl},\"dead-letter-exchange\":\"plantgate-expired\""
    # rabbitmqctl can't declare what keeps the expired ones; a definition can.
    definitions=$(mktemp)
    trap 'rm -f "$definitions"' EXIT
    chmod 0644 "$definitions" # the server reads it as its own user
    cat >"$definitions" <<JSON
{"vhosts":[{"name":"${vhost}"}],
 "exchanges":[{"name":"plantgate-expired","vhost":"${vhost}","type":"fanout","durable":true,"auto_delete":false,"internal":false,"arguments":{}}],
 "queues":[{"name":"plantgate-expired","vhost":"${vhost}","durable":true,"auto_delete":false,"arguments":{}}],
 "bindings":[{"source":"plantgate-expired","vhost":"${vhost}","destination":"plantgate-expired","destination_type":"queue","routing_key":"","arguments":{}}]}
JSON
    "$ctl" --quiet import_definitions "$definitions"
fi
"$ctl" --quiet set_policy -p "$vhost" --apply-to queues --priority 10 plantgate "^mqtt-subscription-${client}" "{${policy}}"

echo "RabbitMQ is configured: vhost ${vhost}, user ${user}"

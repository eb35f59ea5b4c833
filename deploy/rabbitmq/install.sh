#!/usr/bin/env bash
# Sets up RabbitMQ for plantgate on Debian or Ubuntu, such as on an EC2 machine. Run it as
# root, beside rabbitmq.conf and configure.sh. It may be run again.
#
# Parameters, by environment: those of configure.sh, and
#   PLANTGATE_TLS_CA, PLANTGATE_TLS_CERT, PLANTGATE_TLS_KEY   files (PEM) for the listener
#                                                             on 8883 (required)
#   PLANTGATE_OPEN_FILES          open files of the service (65536): one a connection, and
#                                 some a queue
set -euo pipefail
cd "$(dirname "$0")"

ca=${PLANTGATE_TLS_CA:?is the CA of the broker and of client certificates}
cert=${PLANTGATE_TLS_CERT:?is the certificate of the broker}
key=${PLANTGATE_TLS_KEY:?is the key of the broker}
files=${PLANTGATE_OPEN_FILES:-65536}
: "${PLANTGATE_MQTT_PASSWORD_FILE:?is the file with the password of the MQTT user}"

if [ "$(id -u)" -ne 0 ]; then
    echo "run it as root" >&2
    exit 2
fi

if ! dpkg-query -W -f '${Status}' rabbitmq-server 2>/dev/null | grep -q 'ok installed'; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rabbitmq-server
fi

changed=
# put FILE TARGET MODE copies a file if it differs.
put() {
    if ! cmp -s "$1" "$2"; then
        install -o root -g rabbitmq -m "$3" "$1" "$2"
        changed=yes
    fi
}
install -d -o root -g rabbitmq -m 0750 /etc/rabbitmq/tls
put "$ca" /etc/rabbitmq/tls/ca.pem 0644
put "$cert" /etc/rabbitmq/tls/cert.pem 0644
put "$key" /etc/rabbitmq/tls/key.pem 0640

conf=$(mktemp)
limits=$(mktemp)
trap 'rm -f "$conf" "$limits"' EXIT
sed "s/^mqtt\.vhost = .*/mqtt.vhost = ${PLANTGATE_MQTT_VHOST:-plant}/" rabbitmq.conf >"$conf"
put "$conf" /etc/rabbitmq/rabbitmq.conf 0644

install -d /etc/systemd/system/rabbitmq-server.service.d
cat >"$limits" <<UNIT
[Service]
LimitNOFILE=${files}
Restart=on-failure
RestartSec=5
UNIT
put "$limits" /etc/systemd/system/rabbitmq-server.service.d/plantgate.conf 0644

rabbitmq-plugins --quiet enable --offline rabbitmq_mqtt
systemctl daemon-reload
systemctl enable --quiet rabbitmq-server
if [ -n "$changed" ] || ! systemctl --quiet is-active rabbitmq-server; then
    systemctl restart rabbitmq-server
fi
rabbitmqctl --quiet await_startup

./configure.sh
echo "now try it: plantgate doctor --config plantgate.yaml"

package demo

import (
	"fmt"
	"strings"
)

// Welcome says where everything is, and how to talk to it.
func Welcome(url, caFile, brokerURL, opcuaEndpoint string, s Secrets) string {
	curl := "curl"
	if caFile != "" {
		curl += " --cacert " + caFile
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("")
	line("  plantgate is running with a simulated plant. Stop it with Ctrl-C.")
	line("")
	line("  live page    %s/#key=%s", url, s.APIKey)
	line("  Swagger UI   %s/swagger/", url)
	line("  API key      %s", s.APIKey)
	line("  MQTT         %s  user %s  password %s", brokerURL, MQTTUser, s.MQTTPassword)
	line("  OPC UA       %s  (the simulated machines)", opcuaEndpoint)
	line("")
	line("  Post a reading:")
	line("    %s -H 'x-api-key: %s' -H 'Content-Type: application/json' \\", curl, s.APIKey)
	line("      -d '{\"machine_id\":\"M001\",\"temperature\":72.31,\"status\":\"Running\"}' %s/data", url)
	line("")
	line("  Give a command to %s, which answers it by MQTT; its state is at the same address:", Answering)
	line("    %s -H 'x-api-key: %s' -H 'Content-Type: application/json' \\", curl, s.APIKey)
	line("      -d '{\"command\":\"stop\"}' %s/api/v1/equipment/%s/commands", url, Answering)
	line("")
	line("  List the machines:")
	line("    %s -H 'x-api-key: %s' %s/api/v1/equipment", curl, s.APIKey, url)
	line("")
	return b.String()
}

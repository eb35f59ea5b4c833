//go:build integration

package main

import "testing"

func TestBrokersAreMeasured(t *testing.T) {
	figures, _ := measured(t, "-short", "-scenarios=mqtt", "-preload=0", "-mqtt-messages=3000")
	for _, broker := range defaults(true).brokers {
		for name, unit := range map[string]string{
			"/publish": "messages/s", "/drain": "messages/s", "/plantgate": "records/s", "/ratio": "rate/drain",
		} {
			if figures["mqtt/"+broker+name][unit].Median <= 0 {
				t.Errorf("nothing was measured of mqtt/%s%s", broker, name)
			}
		}
	}
}

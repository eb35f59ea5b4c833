package sparkplug_test

import (
	"context"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// birthList are births that do not change.
type birthList []mes.SparkplugBirth

func (l birthList) SparkplugBirths(context.Context, string) ([]mes.SparkplugBirth, error) {
	return l, nil
}
func (l birthList) ChangeSparkplugBirths(context.Context, string, mes.SparkplugChange) error {
	return nil
}

// nextDecoder makes a signal of the whole body.
type nextDecoder struct{}

func (nextDecoder) Decode(src ingest.Source, body []byte) []mes.Record {
	return []mes.Record{{
		MachineID: src.MachineID, TimeOrigin: mes.TimeReceipt,
		Signals: []mes.Signal{{Name: "next", Value: mes.String(string(body))}},
	}}
}

// sourceOf is what quarantine knows of a record.
func sourceOf(r mes.Record) ingest.Source {
	return ingest.Source{Origin: r.Origin, SiteID: r.SiteID, MachineID: r.MachineID, DataType: r.DataType, ReceivedAt: r.ReceivedAt}
}

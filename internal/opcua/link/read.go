package link

import (
	"context"
	"errors"
	"fmt"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"
)

// read is one call of Read; there is a value for each node.
func read(ctx context.Context, c *opcua.Client, nodes []*ua.ReadValueID) ([]*ua.DataValue, error) {
	res, err := c.Read(ctx, &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnNeither, NodesToRead: nodes})
	if err != nil {
		return nil, err
	}
	if len(res.Results) != len(nodes) {
		return nil, fmt.Errorf("the server gave %d values for %d nodes", len(res.Results), len(nodes))
	}
	return res.Results, nil
}

// isTooMany tells whether a call had more than the server takes.
func isTooMany(err error) bool {
	return errors.Is(err, ua.StatusBadTooManyOperations) || errors.Is(err, ua.StatusBadEncodingLimitsExceeded) ||
		errors.Is(err, ua.StatusBadRequestTooLarge) || errors.Is(err, ua.StatusBadResponseTooLarge)
}

package opcua

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

const (
	// modelHandle marks the item of the server's model changes. No node gets so far.
	// node-opcua makes 0 of the highest number of all.
	modelHandle = math.MaxInt32
	// settle is how long after a model change the nodes are looked for: changes come in
	// bursts.
	settle = time.Second
)

// monitorModel asks for GeneralModelChangeEvents, which tell of nodes added or deleted
// (OPC 10000-3, 9.32). The type is named itself: not every server knows supertypes here.
// A server that has none is looked at every browse_interval all the same.
func (s *session) monitorModel(ctx context.Context) error {
	if !s.a.moving() {
		return nil
	}
	r := createRequest(ua.NewNumericNodeID(0, id.Server), modelHandle, 0, 10)
	r.ItemToMonitor.AttributeID = ua.AttributeIDEventNotifier
	r.RequestedParameters.Filter = ua.NewExtensionObject(&ua.EventFilter{
		SelectClauses: []*ua.SimpleAttributeOperand{{
			TypeDefinitionID: ua.NewNumericNodeID(0, id.BaseEventType),
			BrowsePath:       []*ua.QualifiedName{{Name: "EventType"}},
			AttributeID:      ua.AttributeIDValue,
		}},
		WhereClause: &ua.ContentFilter{Elements: []*ua.ContentFilterElement{{
			FilterOperator: ua.FilterOperatorOfType,
			FilterOperands: []*ua.ExtensionObject{
				ua.NewExtensionObject(&ua.LiteralOperand{Value: ua.MustVariant(ua.NewNumericNodeID(0, id.GeneralModelChangeEventType))}),
			},
		}}},
	})
	results, err := s.createItems(ctx, []*ua.MonitoredItemCreateRequest{r})
	if err != nil {
		return fmt.Errorf("monitor the server's model changes: %w", err)
	}
	if code := results[0].StatusCode; code != ua.StatusOK {
		s.log.Debug("opcua: the server tells no model changes", "status", code.Error())
	}
	return nil
}

// modelChanges notes that the nodes are to be looked for.
func (s *session) modelChanges(events []*ua.EventFieldList) {
	if !s.changing && modelChanged(events) {
		s.changing = true
		s.soon.Reset(settle)
	}
}

// settled looks for the nodes, or waits for the look that is going on, which may have
// been too early.
func (s *session) settled(ctx context.Context) {
	if s.scanning {
		s.soon.Reset(settle)
		return
	}
	if s.changing {
		s.changing = false
		s.startScan(ctx)
	}
}

// modelChanged tells whether one of the events is a change of the model.
func modelChanged(events []*ua.EventFieldList) bool {
	for _, e := range events {
		if e != nil && e.ClientHandle == modelHandle {
			return true
		}
	}
	return false
}

package alarm

import (
	"slices"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// Filter is what of a notifier's events is wanted.
type Filter struct {
	// Types are event types; none is all.
	Types []*ua.NodeID
	// MinSeverity is the least severity; 0 is all. Conditions come whatever theirs is.
	MinSeverity uint16
	// Everything leaves the choice to the receiver: no condition is sent.
	Everything bool
	// BaseOnly asks for the fields of BaseEventType only.
	BaseOnly bool
}

// system are the events that are wanted whatever the filter: they tell of the
// subscription itself.
var system = []uint32{id.RefreshStartEventType, id.RefreshEndEventType, id.RefreshRequiredEventType, id.EventQueueOverflowEventType}

// EventFilter is the filter of a monitored item (OPC 10000-4, 7.22.3).
func (f Filter) EventFilter() *ua.EventFilter {
	asked := fields[:]
	if f.BaseOnly {
		asked = fields[:baseFields]
	}
	filter := &ua.EventFilter{WhereClause: &ua.ContentFilter{}}
	for _, field := range asked {
		filter.SelectClauses = append(filter.SelectClauses, field.operand())
	}
	if !f.Everything && (len(f.Types) > 0 || f.MinSeverity > 1) {
		filter.WhereClause.Elements = f.where()
	}
	return filter
}

// where is (type and severity) or system. Operands refer to elements behind their own.
func (f Filter) where() []*ua.ContentFilterElement {
	var e expression
	wanted := e.anyOf(f.Types)
	if f.MinSeverity > 1 {
		severe := e.add(ua.FilterOperatorGreaterThanOrEqual,
			ua.NewExtensionObject(fields[severity].operand()), literal(f.MinSeverity))
		// A condition may end with a lower severity than it began with.
		severe = e.add(ua.FilterOperatorOr, e.ref(severe), e.ref(e.anyOf([]*ua.NodeID{ua.NewNumericNodeID(0, id.ConditionType)})))
		if wanted < 0 {
			wanted = severe
		} else {
			wanted = e.add(ua.FilterOperatorAnd, e.ref(wanted), e.ref(severe))
		}
	}
	var types []*ua.NodeID
	for _, t := range system {
		types = append(types, ua.NewNumericNodeID(0, t))
	}
	e.add(ua.FilterOperatorOr, e.ref(wanted), e.ref(e.anyOf(types)))
	return e.elements()
}

// expression builds a content filter from its leaves on: the last element added is the
// whole, which a filter has first.
type expression struct {
	list []*ua.ContentFilterElement
	// refs are operands that refer to an element by its place in list.
	refs []*ua.ElementOperand
}

func (e *expression) add(op ua.FilterOperator, operands ...*ua.ExtensionObject) int {
	e.list = append(e.list, &ua.ContentFilterElement{FilterOperator: op, FilterOperands: operands})
	return len(e.list) - 1
}

func (e *expression) ref(to int) *ua.ExtensionObject {
	o := &ua.ElementOperand{Index: uint32(to)}
	e.refs = append(e.refs, o)
	return ua.NewExtensionObject(o)
}

// anyOf adds that an event is of one of the types, and tells where; -1 if there are none.
func (e *expression) anyOf(types []*ua.NodeID) int {
	at := -1
	for _, t := range types {
		is := e.add(ua.FilterOperatorOfType, literal(t))
		if at < 0 {
			at = is
		} else {
			at = e.add(ua.FilterOperatorOr, e.ref(at), e.ref(is))
		}
	}
	return at
}

// elements turns the order around, so that the whole is first.
func (e *expression) elements() []*ua.ContentFilterElement {
	last := uint32(len(e.list) - 1)
	for _, r := range e.refs {
		r.Index = last - r.Index
	}
	slices.Reverse(e.list)
	return e.list
}

func literal(x any) *ua.ExtensionObject {
	return ua.NewExtensionObject(&ua.LiteralOperand{Value: ua.MustVariant(x)})
}

// IsFilterFault tells whether a server refuses an item because of its filter, so that it
// may take a simpler one.
func IsFilterFault(code ua.StatusCode) bool {
	switch code {
	case ua.StatusBadEventFilterInvalid, ua.StatusBadContentFilterInvalid, ua.StatusBadMonitoredItemFilterInvalid,
		ua.StatusBadMonitoredItemFilterUnsupported, ua.StatusBadFilterNotAllowed, ua.StatusBadFilterOperatorInvalid,
		ua.StatusBadFilterOperatorUnsupported, ua.StatusBadFilterOperandInvalid, ua.StatusBadFilterOperandCountMismatch,
		ua.StatusBadFilterElementInvalid, ua.StatusBadFilterLiteralInvalid, ua.StatusBadTypeDefinitionInvalid,
		ua.StatusBadNotSupported, ua.StatusBadNotImplemented, ua.StatusBadInternalError, ua.StatusBadUnexpectedError,
		ua.StatusBadDecodingError, ua.StatusBadStructureMissing:
		return true
	}
	return false
}

package mqtt

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"
)

// delivery checks, below the scratch topic, what comes back of what is published.
func (e *examination) delivery(ctx context.Context) {
	if !e.returns(ctx) {
		return
	}
	e.dotsInTopics(ctx)
	e.sharing(ctx)
	e.qos2(ctx)
	e.retained(ctx)
	e.large(ctx)
	e.waiting(ctx)
}

// trip subscribes to a filter and publishes to a topic, both below the scratch topic, and
// returns the topic by which the message comes back, "" if none does, and how long it took.
func (e *examination) trip(ctx context.Context, filter, name string, payload []byte) (came string, took time.Duration, err error) {
	c, err := e.connect(ctx)
	if err != nil {
		return "", 0, err
	}
	defer c.end()
	code, err := c.subscribe(ctx, filter, 1)
	if err != nil {
		return "", 0, err
	}
	if code == refusedQoS {
		return "", 0, errNotPermitted
	}
	began := time.Now()
	if err := c.await(ctx, c.client.Publish(name, 1, false, payload)); err != nil {
		return "", 0, err
	}
	came, err = c.comes(ctx, payload)
	return came, time.Since(began), err
}

var errNotPermitted = errors.New("the subscription is refused")

// comes waits for a payload and returns the topic that it comes by, "" if it does not.
func (c *examiner) comes(ctx context.Context, payload []byte) (string, error) {
	timer, lost := time.NewTimer(examineQuiet), c.lost
	defer timer.Stop()
	for {
		select {
		case m := <-c.came:
			if bytes.Equal(m.Payload(), payload) {
				return m.Topic(), nil
			}
		case <-lost:
			return "", errClosed
		case <-timer.C:
			return "", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// returns tells whether the user may publish and read the scratch topic: without that
// nothing further can be known.
func (e *examination) returns(ctx context.Context) bool {
	name := e.base + "/trip"
	came, took, err := e.trip(ctx, name, name, []byte("plantgate doctor"))
	switch {
	case ctx.Err() != nil:
		e.subject.Note("delivery", "", "not checked: the examination was ended")
	case err != nil:
		e.subject.Note("delivery", "to have it checked, let the user write and read "+scratch+"#",
			"not checked: %s on publishing to %s", err, scratch)
	case came == "":
		e.subject.Note("delivery", "to have it checked, let the user write and read "+scratch+"#",
			"not checked: what is published to %s is acknowledged and does not come back, as of a user without the right", scratch)
	default:
		e.subject.OK("delivery", "a message of QoS 1 came back after %s", took.Round(100*time.Microsecond))
		return true
	}
	return false
}

// dotsInTopics tells RabbitMQ, whose topics are those of AMQP: dots come back as slashes.
func (e *examination) dotsInTopics(ctx context.Context) {
	came, _, err := e.trip(ctx, e.base+"/#", e.base+"/a.b", []byte("dots"))
	const check = "dots in topics"
	switch {
	case err != nil:
		e.subject.Warn(check, "", "not checked: %s", err)
	case came == e.base+"/a.b":
		e.subject.OK(check, "they stay dots")
	case came == e.base+"/a/b":
		e.dotted = true
		e.subject.Note("broker", "see docs/rabbitmq.md", "it is RabbitMQ, or like it: dots in topics come back as slashes")
		list := dots(e.cfg)
		if len(list) == 0 {
			e.subject.Note(check, "machines whose ids have dots must not stand in topics", "they come back as slashes; nothing configured has any")
			return
		}
		e.subject.Warn(check, "use names without dots on this broker", "they come back as slashes, and these have dots: %s", strings.Join(list, ", "))
	default:
		e.subject.Warn(check, "use names without dots on this broker", "a message to a topic with a dot does not come back")
	}
}

// sharing tells whether shared subscriptions deliver: RabbitMQ grants them and never does.
func (e *examination) sharing(ctx context.Context) {
	const check = "shared subscriptions"
	name := e.base + "/shared"
	came, _, err := e.trip(ctx, "$share/plantgate-doctor-"+e.base[len(scratch):]+"/"+name, name, []byte("shared"))
	advice := "leave shared_group away: one server at a time has the connection then"
	switch {
	case err == nil && came != "":
		e.subject.OK(check, "they are delivered")
	case e.shares() && err != nil:
		e.subject.Fail(check, advice, "the configuration has some, and the broker has none: %s", err)
	case e.shares():
		e.subject.Fail(check, advice, "the configuration has some; the broker grants them and delivers nothing")
	case err != nil:
		e.subject.Note(check, "", "the broker has none: %s", err)
	default:
		e.subject.Note(check, "do not set shared_group", "the broker grants them and delivers nothing")
	}
}

// qos2 tells whether the broker has QoS 2.
func (e *examination) qos2(ctx context.Context) {
	c, err := e.connect(ctx)
	if err != nil {
		return
	}
	defer c.end()
	switch code, err := c.subscribe(ctx, e.base+"/qos2", 2); {
	case err != nil || code == refusedQoS:
		e.subject.Note("QoS 2", "use QoS 1", "the broker does not grant it")
	case code < 2:
		e.subject.Note("QoS 2", "use QoS 1: with the identity of records the effect is the same", "the broker grants QoS %d in its place", code)
	default:
		e.subject.OK("QoS 2", "granted")
	}
}

// retained tells whether a retained message is delivered to a later subscription: to its
// topic, and to a filter with a wildcard.
func (e *examination) retained(ctx context.Context) {
	const check = "retained messages"
	name, payload := e.base+"/kept/retained", []byte("retained")
	keep := func(ctx context.Context, payload []byte) error {
		c, err := e.connect(ctx)
		if err != nil {
			return err
		}
		defer c.end()
		return c.await(ctx, c.client.Publish(name, 1, true, payload))
	}
	if err := keep(ctx, payload); err != nil {
		e.subject.Note(check, "", "not checked: %s", err)
		return
	}
	// An empty one deletes it (MQTT 3.1.1, 3.3.1.3), also if the examination is ended.
	defer func() { _ = keep(context.WithoutCancel(ctx), []byte{}) }()
	later := func(filter string) bool {
		r, err := e.connect(ctx)
		if err != nil {
			return false
		}
		defer r.end()
		if _, err := r.subscribe(ctx, filter, 1); err != nil {
			return false
		}
		came, err := r.comes(ctx, payload)
		return err == nil && came != ""
	}
	switch exact, wild := later(name), later(e.base+"/kept/+"); {
	case exact && wild:
		e.subject.OK(check, "they are delivered")
	case exact:
		e.subject.Note(check, "subscribe to each topic whose retained message counts", "a subscription with wildcards does not get them")
	default:
		e.subject.Note(check, "do not rely on them", "they are not delivered")
	}
}

// large tells whether the largest payload comes through.
func (e *examination) large(ctx context.Context) {
	const check = "largest message"
	name := e.base + "/large"
	came, _, err := e.trip(ctx, name, name, bytes.Repeat([]byte("x"), e.largest))
	if err == nil && came != "" {
		e.subject.OK(check, "%s come through (data.max_record)", describe(e.largest))
		return
	}
	e.subject.Warn(check, "raise the limit of the broker, or lower data.max_record", "%s do not come through (data.max_record)", describe(e.largest))
}

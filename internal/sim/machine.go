package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// State is what a simulated machine is doing, as the integer its controller
// shows.
type State int32

// The states.
const (
	Stopped     State = 0
	Running     State = 1
	Idle        State = 2
	Maintenance State = 3
)

// String returns the name of the status that records bear.
func (s State) String() string {
	switch s {
	case Running:
		return "Running"
	case Idle:
		return "Idle"
	case Maintenance:
		return "Maintenance"
	default:
		return "Stopped"
	}
}

// Reading is one signal of a machine at the moment.
type Reading struct {
	Name string
	Unit string
	// Value is a float64, an int64 or an int32.
	Value any
}

// Machine is one simulated machine. It is used by one goroutine at a time.
type Machine struct {
	id      string
	rng     *rand.Rand
	process process

	state     State
	remaining time.Duration // of the state
	cycle     time.Duration // into the present part
	cycleTime time.Duration // of the present part
	lastCycle time.Duration
	good      int64
	scrap     int64
}

// process is the physics of one kind of machine.
type process interface {
	// step advances the physics by dt while the machine is in the state; part is
	// how far the present part is, from 0 to 1.
	step(dt time.Duration, s State, part float64, rng *rand.Rand)
	readings() []Reading
	// nominalCycle is the time of one part.
	nominalCycle() time.Duration
}

// ID returns the machine's id.
func (m *Machine) ID() string { return m.id }

// State returns what the machine is doing.
func (m *Machine) State() State { return m.state }

// Good returns the count of good parts.
func (m *Machine) Good() int64 { return m.good }

func newMachine(id string, seed uint64, p process) *Machine {
	m := &Machine{id: id, rng: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), process: p}
	m.enter(Running)
	m.startPart()
	m.lastCycle = p.nominalCycle()
	return m
}

// maxStep keeps the physics stable and parts whole, however long a step is.
const maxStep = 250 * time.Millisecond

// Step advances the machine by dt.
func (m *Machine) Step(dt time.Duration) {
	for dt > 0 {
		part := min(dt, maxStep)
		m.step(part)
		dt -= part
	}
}

func (m *Machine) step(dt time.Duration) {
	if m.remaining -= dt; m.remaining <= 0 {
		m.enter(m.next())
	}
	if m.state == Running {
		m.produce(dt)
	}
	m.process.step(dt, m.state, float64(m.cycle)/float64(m.cycleTime), m.rng)
}

// produce works on the part; one in fifty is scrap.
func (m *Machine) produce(dt time.Duration) {
	m.cycle += dt
	if m.cycle < m.cycleTime {
		return
	}
	m.lastCycle = m.cycleTime
	if m.rng.Float64() < 0.02 {
		m.scrap++
	} else {
		m.good++
	}
	m.startPart()
}

func (m *Machine) startPart() {
	m.cycle = 0
	m.cycleTime = spread(m.process.nominalCycle(), 0.08, m.rng)
}

// dwell is the mean time in each state, shorter than in a plant so that a
// viewer sees changes.
var dwell = [...]time.Duration{
	Stopped:     40 * time.Second,
	Running:     3 * time.Minute,
	Idle:        25 * time.Second,
	Maintenance: time.Minute,
}

func (m *Machine) enter(s State) {
	m.state = s
	m.remaining = spread(dwell[s], 0.4, m.rng)
}

// next draws what follows: mostly a short wait for material, at times a stop,
// seldom maintenance after a stop.
func (m *Machine) next() State {
	p := m.rng.Float64()
	switch {
	case m.state == Running && p < 0.75:
		return Idle
	case m.state == Running:
		return Stopped
	case m.state == Stopped && p < 0.3:
		return Maintenance
	default:
		return Running
	}
}

// Readings returns every signal of the machine, the state as an integer.
func (m *Machine) Readings() []Reading {
	list := []Reading{
		{Name: "State", Value: int32(m.state)},
		{Name: "GoodCount", Unit: "pcs", Value: m.good},
		{Name: "ScrapCount", Unit: "pcs", Value: m.scrap},
		{Name: "CycleTime", Unit: "s", Value: round(m.lastCycle.Seconds(), 2)},
	}
	return append(list, m.process.readings()...)
}

// spread draws around d, by at most the fraction f.
func spread(d time.Duration, f float64, rng *rand.Rand) time.Duration {
	return time.Duration(float64(d) * (1 + f*(2*rng.Float64()-1)))
}

// lag moves a value towards its target as a first-order system does: after the
// time constant tau, 63 % of the way.
func lag(value, target float64, dt, tau time.Duration) float64 {
	return target + (value-target)*math.Exp(-float64(dt)/float64(tau))
}

// round keeps the digits that a sensor shows.
func round(v float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}

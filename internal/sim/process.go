package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

const ambient = 22.0 // °C

// Press returns a hydraulic press: a force at the end of each stroke, and oil
// that warms with work.
func Press(id string, seed uint64) *Machine {
	return newMachine(id, seed, &press{oil: 38})
}

// Mill returns a CNC mill: a spindle that is loaded while it cuts and warms
// slowly.
func Mill(id string, seed uint64) *Machine {
	return newMachine(id, seed, &mill{spindle: 35})
}

// Oven returns a curing oven with a controlled temperature.
func Oven(id string, seed uint64) *Machine {
	return newMachine(id, seed, &oven{temperature: 165})
}

type press struct {
	oil, force float64
}

func (p *press) nominalCycle() time.Duration { return 4 * time.Second }

func (p *press) step(dt time.Duration, s State, part float64, rng *rand.Rand) {
	target, force := ambient, 0.0
	if s == Running {
		target = 52
		if part > 0.6 && part < 0.85 { // the ram is down
			force = 1250
		}
	}
	p.oil = lag(p.oil, target, dt, 6*time.Minute)
	p.force = max(0, lag(p.force, force, dt, 120*time.Millisecond)+rng.NormFloat64()*1.5)
}

func (p *press) readings() []Reading {
	return []Reading{
		{Name: "OilTemperature", Unit: "°C", Value: round(p.oil, 2)},
		{Name: "Force", Unit: "kN", Value: round(p.force, 1)},
	}
}

type mill struct {
	spindle, load, speed, vibration float64
}

func (m *mill) nominalCycle() time.Duration { return 18 * time.Second }

func (m *mill) step(dt time.Duration, s State, part float64, rng *rand.Rand) {
	target, load, speed := ambient, 0.0, 0.0
	if s == Running {
		speed = 8000
		if part > 0.15 && part < 0.9 { // between tool changes
			load = 58 + 14*math.Sin(part*6*math.Pi)
		}
		target = ambient + 18 + load*0.25
	}
	m.speed = lag(m.speed, speed, dt, 1500*time.Millisecond)
	m.load = min(100, max(0, lag(m.load, load, dt, 400*time.Millisecond)+rng.NormFloat64()*0.6))
	m.spindle = lag(m.spindle, target, dt, 4*time.Minute)
	m.vibration = max(0, 0.2+m.speed/8000*0.9+m.load/100*1.6+rng.NormFloat64()*0.05)
}

func (m *mill) readings() []Reading {
	return []Reading{
		{Name: "SpindleTemperature", Unit: "°C", Value: round(m.spindle, 2)},
		{Name: "SpindleLoad", Unit: "%", Value: round(m.load, 1)},
		{Name: "SpindleSpeed", Unit: "rpm", Value: round(m.speed, 0)},
		{Name: "Vibration", Unit: "mm/s", Value: round(m.vibration, 2)},
	}
}

type oven struct {
	temperature, heating, energy float64
}

func (o *oven) nominalCycle() time.Duration { return 30 * time.Second }

// step holds 180 °C with a proportional controller; a heater of 24 kW.
func (o *oven) step(dt time.Duration, s State, _ float64, rng *rand.Rand) {
	setpoint := 180.0
	switch s {
	case Idle:
		setpoint = 150
	case Stopped, Maintenance:
		setpoint = ambient
	}
	o.heating = min(100, max(0, (setpoint-o.temperature)*8+(setpoint-ambient)*0.30))
	o.temperature = lag(o.temperature, ambient+o.heating*5.2, dt, 8*time.Minute) + rng.NormFloat64()*0.02
	o.energy += o.heating / 100 * 24 * dt.Hours()
}

func (o *oven) readings() []Reading {
	return []Reading{
		{Name: "Temperature", Unit: "°C", Value: round(o.temperature, 2)},
		{Name: "HeatingPower", Unit: "%", Value: round(o.heating, 1)},
		{Name: "Energy", Unit: "kWh", Value: round(o.energy, 3)},
	}
}

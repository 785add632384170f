package schedule

import (
	"sync"
	"time"
)

// On a slow network, pulls that share the link all end late, and nothing is pushed meanwhile. So no more is pulled at once
// there than keeps the link busy. Measured with links of 100 Mbit/s and 30 ms.
const (
	slowSpeed     = 25e6                   // bytes/s: a network that is not faster, or has not been measured, is slow
	maxInFlight   = 32 << 20               // bytes
	flightTime    = 5 * time.Second        // for which a pull counts: one that does not end holds up nobody
	measuringTime = 500 * time.Millisecond // of pulls, which is enough for their speed
)

// inFlight is what is being pulled, and how fast.
type inFlight struct {
	pulls   int           // under way
	bytes   int64         // that those of them bring which have not taken long
	speed   float64       // bytes/s, of late; 0: not known
	brought int64         // bytes since the last measurement
	busy    time.Duration // in which there were pulls, since then
	at      time.Time     // when busy was last updated
}

// admits reports whether a pull of so many bytes may begin.
func (f *inFlight) admits(bytes int64) bool {
	return f.bytes == 0 || f.speed > slowSpeed || f.bytes+bytes <= maxInFlight
}

// begin records that a pull of so many bytes begins. late has to be called when it takes long, and ended when it has ended.
func (f *inFlight) begin(bytes int64) (late func(), ended func(brought int64)) {
	f.pass()
	f.pulls++
	f.bytes += bytes
	late = sync.OnceFunc(func() { f.bytes -= bytes })
	return late, func(brought int64) {
		late()
		f.pass()
		f.pulls--
		f.measure(brought)
	}
}

// pass adds the time that has passed.
func (f *inFlight) pass() {
	now := time.Now()
	if f.pulls > 0 {
		f.busy += now.Sub(f.at)
	}
	f.at = now
}

// measure updates the speed. Earlier measurements count half.
func (f *inFlight) measure(brought int64) {
	f.brought += brought
	if f.busy < measuringTime {
		return
	}
	speed := float64(f.brought) / f.busy.Seconds()
	if f.speed > 0 {
		speed = (speed + f.speed) / 2
	}
	f.speed, f.brought, f.busy = speed, 0, 0
}

// countInFlight counts what the item brings as being pulled, until its pull ends or has taken long.
func (s *Schedule) countInFlight(g *Grant) {
	late, ended := s.inFlight.begin(s.disk.catalog.Bytes(g.Bring))
	timer := time.AfterFunc(flightTime, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		defer s.announce()
		late()
	})
	g.ended = func(brought int64) {
		timer.Stop()
		ended(brought)
	}
}

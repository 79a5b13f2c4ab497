package pool

import (
	"time"

	"recado/modem"
	"recado/modem/pdu"
)

// Evidence takes what the networks say of the time of day. It must not block. A
// *clock.Clock is one.
type Evidence interface {
	// NITZ: a modem's clock says told, in UTC when zoned. fromNetwork: the network
	// has just set it.
	NITZ(modem string, told time.Time, zoned, fromNetwork bool)
	// SCTS: a service centre has stamped something so. live: it did so just now.
	SCTS(centre string, stamp time.Time, live bool)
}

// settled is how long a modem must have been ready before what comes counts as
// new: what waited for it at a service centre comes soon after it registers, and
// its stamp may agree with the old time at which a box without a battery starts.
const settled = 10 * time.Minute

// timedSink is a sink that is told the time, too. An emulated network knows no
// more of it than this box.
type timedSink struct{ sink }

// Time implements modem.TimeSink.
func (s timedSink) Time(t modem.NetworkTime) {
	s.l.p.times.NITZ(s.l.port.Name, t.Time, t.Zoned, t.FromNetwork)
}

func (l *line) sink() modem.Sink {
	if l.p.times == nil || l.port.Emulated {
		return sink{l}
	}
	return timedSink{sink{l}}
}

// weigh passes the stamps of something received on.
func (l *line) weigh(r modem.Received) {
	if l.p.times == nil || l.port.Emulated {
		return
	}
	stamp := r.PDU.SCTS
	if r.PDU.Kind == pdu.KindStatusReport {
		stamp = r.PDU.DT // that of the delivery; SCTS is of the submission
	}
	if stamp.IsZero() {
		return
	}
	centre := r.PDU.SCA
	if centre == "" {
		centre = l.simKey()
	}
	l.mu.Lock()
	long := !l.up.IsZero() && time.Since(l.up) >= settled
	l.mu.Unlock()
	l.p.times.SCTS(centre, stamp, long && (r.Fresh || r.Memory == ""))
}

// sawUp notes since when the modem has been ready.
func (l *line) sawUp(s modem.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case lasting(s) != modem.StateReady:
		l.up = time.Time{}
	case l.up.IsZero():
		l.up = time.Now()
	}
}

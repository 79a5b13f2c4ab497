package pool

import (
	"context"
	"errors"
	"time"

	"recado/modem"
	"recado/modem/pdu"
	"recado/queue"
	"recado/queue/inbox"
)

// sink is where a line's modem puts what it receives and what it has become.
type sink struct{ l *line }

// Store commits a received TPDU. Only then does the modem delete its copy.
func (s sink) Store(ctx context.Context, r modem.Received) error {
	l := s.l
	if l.simKey() == "" {
		l.apply(l.modem.Snapshot()) // found while the modem was still coming up
	}
	l.weigh(r)
	me := l.queueLine()
	if key := l.p.named(leftBehind(r, l.said().SIM)); key != "" {
		me.ICCID, me.IMSI, me.Number = key, r.IMSI, l.p.numberOf(key, "")
	}
	l.p.canaries.arrived(me.ICCID, r.PDU.Kind == pdu.KindStatusReport)
	if r.PDU.Kind == pdu.KindStatusReport {
		l.mu.Lock()
		l.reports.came = true
		l.mu.Unlock()
		if me.ICCID == "" {
			me.ICCID = standIn(l.port.Name) // until follow knows better
		}
		return l.p.store.Report(ctx, queue.ReportIn{ICCID: me.ICCID, IMSI: me.IMSI, Modem: me.Modem, PDU: r.PDU, At: r.At, Unhurried: true})
	}
	return l.p.inbox.Ingest(ctx, inbox.In{
		PDU: r.PDU, ICCID: me.ICCID, IMSI: me.IMSI, Number: me.Number, Modem: me.Modem,
		Memory: r.Memory, Fresh: r.Fresh, At: r.At,
	})
}

// leftBehind is the key of the SIM that a message was read from, when that is not
// the one in the modem now but has been taken out since; else "".
func leftBehind(r modem.Received, now modem.SIM) string {
	switch {
	case r.ICCID != "" && r.ICCID != now.ICCID:
		return r.ICCID
	case r.ICCID == "" && r.IMSI != "" && r.IMSI != now.IMSI:
		return ofIMSI + r.IMSI // as rawKey has it
	}
	return ""
}

// Changed notes the new snapshot; what must be written is left to follow.
func (s sink) Changed(snap modem.Snapshot) {
	s.l.apply(snap)
	s.l.sawSMSC()
	s.l.sawUp(s.l.said().State)
	s.l.hint()
	s.l.p.changed()
	if s.l.takeable() {
		s.l.p.kick()
	}
}

func (l *line) hint() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// sawAgain is after which time a SIM's row that could not be written is written
// anew.
const sawAgain = 3 * time.Second

// follow writes down what became of the modem and the SIM: the SIM's row, and
// an event when a state changed that people or applications may wait for.
func (l *line) follow(ctx context.Context) {
	var row queue.SIMRow
	var modemState modem.State
	var simState string
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.news:
		case <-again:
			again = nil
		}
		s := l.snapshot()
		key := l.simKey()
		if now := l.simRow(key, s); key != "" && now != row {
			row = now
			err := l.p.saw(ctx, now)
			if err == nil {
				err = l.adopt(ctx, key, now.IMSI)
			}
			if own := standIn(l.port.Name); err == nil && key != own {
				err = l.p.store.AdoptReports(ctx, own, key)
			}
			if err == nil {
				err = l.p.store.SawPort(ctx, l.port.Name, s.ID, key)
			}
			if err != nil && ctx.Err() == nil {
				if !errors.Is(err, queue.ErrInHand) {
					l.p.quietly("noting the SIM of "+l.port.Name, err)
				}
				// Nothing leaves on a SIM without its row, and no change may come.
				row, again = queue.SIMRow{}, time.After(sawAgain)
			} else {
				l.mu.Lock()
				l.kept = key
				l.mu.Unlock()
				l.p.changed()
				l.p.kick()
			}
		}
		if st := lasting(s.State); st != modemState {
			modemState = st
			l.p.emit(ctx, "modem.state", modemEvent{ID: s.ID, IMEI: said(s.IMEI), Port: s.Port, State: string(st), Reason: said(s.Reason), SIM: said(key)})
		}
		if key == "" {
			continue
		}
		st, reason := l.simState(s)
		if st == SIMBusy {
			st = SIMReady
		}
		if st != simState {
			simState = st
			l.p.emit(ctx, "sim.state", simEvent{ICCID: key, State: st, Reason: said(reason), Modem: s.ID})
		}
	}
}

// lasting leaves out the states that come and go with every message.
func lasting(s modem.State) modem.State {
	if s == modem.StateSending {
		return modem.StateReady
	}
	return s
}

type modemEvent struct {
	ID     string  `json:"id"`
	IMEI   *string `json:"imei"`
	Port   string  `json:"port"`
	State  string  `json:"state"`
	Reason *string `json:"reason"`
	SIM    *string `json:"sim"`
}

type simEvent struct {
	ICCID  string  `json:"iccid"`
	State  string  `json:"state"`
	Reason *string `json:"reason"`
	Modem  string  `json:"modem"`
}

// said is null in JSON for "", as everywhere in the API.
func said(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (p *Pool) emit(ctx context.Context, typ string, data any) {
	p.complain(ctx, "writing an event "+typ, p.store.Emit(ctx, typ, data))
}

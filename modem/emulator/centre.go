package emulator

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// terminated is an SMS-DELIVER or an SMS-STATUS-REPORT that waits at the
// service centre for its SIM.
type terminated struct {
	entry Entry // what is recorded when it arrives
	tpdu  []byte
	// arrived is called once when the modem has it; nil: nobody asks.
	arrived func()
}

// partKey is one concatenated message on its way.
type partKey struct {
	sim, da    string
	ref, total int
}

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// submission is one SMS-SUBMIT on its way through the network.
type submission struct {
	modem  *Modem
	sim    *sim
	tpdu   submit
	mr     byte
	effect Effect
	scts   time.Time
	seq    int // in the ledger
}

// begin gives a submission its TP-MR and finds out what will become of it.
func (n *Network) begin(m *Modem, s *sim, t submit) *submission {
	n.mu.Lock()
	defer n.mu.Unlock()
	sub := &submission{modem: m, sim: s, tpdu: t, mr: s.mr, effect: n.effectLocked(s, t.number)}
	if !n.payLocked(s) && sub.effect.CMS == 0 && !sub.effect.Silent {
		sub.effect.CMS = poorCMS
	}
	s.mr++
	return sub
}

func (n *Network) record(sub *submission, accepted, answered bool, code int) {
	sub.seq = n.ledger.add(Entry{
		Time: sub.scts, Type: EntrySubmit, Modem: sub.modem.o.Name, SIM: sub.sim.iccid,
		OA: sub.sim.number, DA: sub.tpdu.number, Text: sub.tpdu.text, MR: int(sub.mr),
		PDU: upperHex(sub.tpdu.raw), UDH: upperHex(sub.tpdu.udh), DCS: int(sub.tpdu.dcs),
		Accepted: accepted, Answered: answered, Code: code, Report: sub.tpdu.fo&foSRR != 0,
	})
}

// refuse records that the network did not take a submission.
func (n *Network) refuse(sub *submission, answered bool, code int) {
	sub.scts = n.o.Now()
	n.record(sub, false, answered, code)
}

// accept is the moment of truth: the service centre has the message. It goes
// on to the recipient after the report delay, or at once with ReportFirst.
func (n *Network) accept(sub *submission, answered bool, code int) {
	sub.scts = n.o.Now()
	n.record(sub, true, answered, code)
	n.mu.Lock()
	n.chargeLocked(sub.sim, sub.effect.Drain)
	n.mu.Unlock()
	if _, gone := sub.modem.fault("", FaultSwallow); gone {
		return
	}
	if sub.effect.ReportFirst {
		n.route(sub)
		return
	}
	n.after(n.o.ReportDelay+sub.effect.ReportLate, func() { n.route(sub) })
}

// route brings an accepted message to its recipient: another SIM of the
// network, or everyone else, who always gets it.
func (n *Network) route(sub *submission) {
	n.mu.Lock()
	to := n.simLocked(sub.tpdu.number)
	n.mu.Unlock()
	e := sub.effect
	switch {
	case to != nil && e.Status == nil:
		n.carry(sub, to)
	case e.NoReport:
	case e.Status == nil:
		n.report(sub, 0)
	default:
		n.reports(sub, e.Status)
	}
	if e.Reply != nil {
		n.reply(sub)
	}
}

// reports sends one report after the other.
func (n *Network) reports(sub *submission, status []byte) {
	n.report(sub, status[0])
	if len(status) > 1 {
		n.after(n.o.ReportDelay, func() { n.reports(sub, status[1:]) })
	}
}

// carry brings a message to another emulated SIM; its report waits until it
// has arrived or expired.
func (n *Network) carry(sub *submission, to *sim) {
	t := sub.tpdu
	tpdu := deliverOf(t, sub.sim.number, sub.scts)
	from := Entry{
		Type: EntryInbound, SIM: to.iccid, OA: sub.sim.number, DA: to.number, Text: t.text, MR: -1,
		PDU: upperHex(tpdu), UDH: upperHex(t.udh), DCS: int(t.dcs), Accepted: true, Ref: sub.seq,
	}
	item := n.toSIM(from, tpdu)
	validity := t.validity
	if validity == 0 {
		validity = n.o.Validity
	}
	report := func(st byte) {
		if !sub.effect.NoReport {
			n.report(sub, st)
		}
	}
	stop := n.after(validity, func() {
		if n.withdraw(to, item) {
			report(0x46)
		}
	})
	item.arrived = func() {
		stop()
		report(0)
	}
	n.enqueue(to, item)
}

// toSIM records that the network holds a message for a SIM.
func (n *Network) toSIM(e Entry, tpdu []byte) *terminated {
	e.Time = n.o.Now()
	e.Ref = n.ledger.add(e)
	e.Type = EntryDeliver
	return &terminated{entry: e, tpdu: tpdu}
}

// report sends the sender a status report when it asked for one.
func (n *Network) report(sub *submission, st byte) {
	if sub.tpdu.fo&foSRR == 0 {
		return
	}
	tpdu := statusReport(sub.mr, sub.tpdu.da, sub.scts, n.o.Now(), st)
	n.enqueue(sub.sim, &terminated{tpdu: tpdu, entry: Entry{
		Type: EntryReport, SIM: sub.sim.iccid, OA: sub.sim.number, DA: sub.tpdu.number, MR: int(sub.mr),
		PDU: upperHex(tpdu), Accepted: true, ST: int(st), Ref: sub.seq,
	}})
}

// reply lets the recipient answer, to a concatenated message once and when all
// of it has come.
func (n *Network) reply(sub *submission) {
	text := sub.tpdu.text
	if ref, total, seq := concatOf(sub.tpdu.udh); total > 1 {
		n.mu.Lock()
		key := partKey{sub.sim.iccid, sub.tpdu.number, ref, total}
		if n.parts[key] == nil {
			n.parts[key] = make(map[int]string)
		}
		n.parts[key][seq] = text
		got := n.parts[key]
		if len(got) == total {
			delete(n.parts, key)
		}
		n.mu.Unlock()
		if len(got) < total {
			return
		}
		text = ""
		for i := range total {
			text += got[i+1]
		}
	}
	from := sub.effect.From
	if from == "" {
		from = sub.tpdu.number
	}
	if answer := sub.effect.Reply(text); answer != "" {
		_ = n.Inbound(sub.sim.iccid, from, answer)
	}
}

// Inbound lets the network deliver a message to one of its SIMs, named by its
// ICCID or its number. It comes from a number or an alphanumeric name, in GSM
// 7-bit or UCS-2, concatenated when it is long. A SIM that cannot take it now
// gets it when it can.
func (n *Network) Inbound(sim, from, text string) error {
	n.mu.Lock()
	to := n.simLocked(sim)
	n.ref++
	ref := n.ref
	n.mu.Unlock()
	if to == nil {
		return fmt.Errorf("deliver to %q: %w", sim, ErrNoSuchSIM)
	}
	scts := n.o.Now()
	parts := segments(text, ref)
	if len(parts) > 255 {
		return fmt.Errorf("deliver %d segments: at most 255", len(parts))
	}
	for _, p := range parts {
		tpdu := p.deliver(from, scts)
		e := Entry{
			Type: EntryInbound, SIM: to.iccid, OA: from, DA: to.number, Text: p.text, MR: -1,
			PDU: upperHex(tpdu), DCS: int(p.dcs), Accepted: true,
		}
		if p.udhi {
			e.UDH = upperHex(p.ud[:1+int(p.ud[0])])
		}
		n.enqueue(to, n.toSIM(e, tpdu))
	}
	return nil
}

// InboundTPDU delivers an SMS-DELIVER as it is, without SMSC octets: for
// messages that no honest network would make.
func (n *Network) InboundTPDU(sim string, tpdu []byte) error {
	n.mu.Lock()
	to := n.simLocked(sim)
	n.mu.Unlock()
	if to == nil {
		return fmt.Errorf("deliver to %q: %w", sim, ErrNoSuchSIM)
	}
	e := Entry{Type: EntryInbound, SIM: to.iccid, DA: to.number, MR: -1, PDU: upperHex(tpdu), Accepted: true}
	n.enqueue(to, n.toSIM(e, slices.Clone(tpdu)))
	return nil
}

// enqueue puts something into a SIM's queue and tries to deliver.
func (n *Network) enqueue(s *sim, t *terminated) {
	n.mu.Lock()
	s.queue = append(s.queue, t)
	n.mu.Unlock()
	n.pump(s)
}

// withdraw takes something out of a queue; false when it has gone already.
func (n *Network) withdraw(s *sim, t *terminated) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.Index(s.queue, t)
	if i < 0 || i == 0 && (s.pumping || s.waiting) {
		return false
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	return true
}

// poke tries to deliver what waits for the modem's SIM: it has room, is
// registered or is listened to again.
func (n *Network) poke(m *Modem) {
	m.mu.Lock()
	s := m.sim
	m.mu.Unlock()
	if s != nil {
		n.pump(s)
	}
}

// pump delivers a SIM's queue in order, until it is empty or the modem cannot
// take more. One goroutine at a time does it; others only say that something
// changed.
func (n *Network) pump(s *sim) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.pumping {
		s.again = true
		return
	}
	s.pumping = true
	defer func() { s.pumping = false }()
	for len(s.queue) > 0 && !s.waiting && !n.closed {
		s.again = false
		head, m := s.queue[0], s.modem
		s.waiting = true // until the modem said otherwise
		n.mu.Unlock()
		taken := refused
		if m != nil {
			taken = m.receive(head, func(ok bool) { n.acknowledged(s, head, ok) })
		}
		n.mu.Lock()
		switch taken {
		case delivered:
			s.waiting = false
			n.popLocked(s, head)
		case refused:
			s.waiting = false
			if !s.again {
				return
			}
		case unacknowledged:
			if s.waiting {
				return
			}
		}
	}
}

// popLocked removes what has arrived; n.mu is held, and not during arrived.
func (n *Network) popLocked(s *sim, head *terminated) {
	if i := slices.Index(s.queue, head); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
	}
	if head.arrived != nil {
		n.mu.Unlock()
		head.arrived()
		n.mu.Lock()
	}
}

// acknowledged is the host's AT+CNMA, or its absence: then the network has an
// error and tries again later.
func (n *Network) acknowledged(s *sim, head *terminated, ok bool) {
	n.mu.Lock()
	s.waiting = false
	if ok {
		n.popLocked(s, head)
	}
	n.mu.Unlock()
	if ok {
		n.pump(s)
		return
	}
	n.after(10*time.Second, func() { n.pump(s) })
}

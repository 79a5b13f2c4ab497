package pool

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"recado/modem"
	"recado/queue"
)

// SIM states as the API names them.
const (
	SIMReady        = "ready"
	SIMBusy         = "busy"
	SIMUnavailable  = "unavailable"
	SIMDisabled     = "disabled"
	SIMLimitReached = "limit_reached"
	SIMNoCredit     = "no_credit"
	SIMBlocked      = "blocked"
	SIMQuarantined  = "quarantined"
)

// failureWindow is what SIM.FailedRecent looks back.
const failureWindow = time.Hour

// SIM is a subscription with what is known of it now and what was kept.
type SIM struct {
	ICCID, IMSI, Name string
	// Number is the one a person entered, else the SIM's own.
	Number, Operator string
	State, Reason    string
	Modem            string // id of the modem it is in; "" when in none
	Emulated         bool
	Enabled          bool
	Signal           modem.Signal
	Registration     string
	AccessTechnology string
	SMSC             string
	SentTotal        int // segments the network accepted
	FailedRecent     int // refused and lost attempts in the last hour
	LastSentAt       time.Time
	// Now is the message being sent: "" when idle.
	Now string
}

// simRecord is a SIM's kept row and its recent failures; guarded by simMu.
type simRecord struct {
	row      queue.SIMRow
	failures []time.Time
	// held is why the SIM is on hold, "" not; heldSMSC its service centre then.
	held, heldSMSC string
}

func (p *Pool) loadSIMs(ctx context.Context) error {
	rows, err := p.store.SIMs(ctx)
	if err != nil {
		return fmt.Errorf("reading the known SIMs: %w", err)
	}
	p.simMu.Lock()
	defer p.simMu.Unlock()
	for _, r := range rows {
		p.sims[r.ICCID] = &simRecord{row: r}
	}
	return nil
}

func (p *Pool) enabled(key string) bool {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	r := p.sims[key]
	return r == nil || r.row.Enabled
}

// numberOf is the number a person entered for the SIM, else own.
func (p *Pool) numberOf(key, own string) string {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	if r := p.sims[key]; r != nil && r.row.Number != "" {
		return r.row.Number
	}
	return own
}

// lastUsed is when the line last began a message, in this run or, by its SIM's
// row, in an earlier one.
func (l *line) lastUsed() time.Time {
	l.mu.Lock()
	used, key := l.used, l.key
	l.mu.Unlock()
	if !used.IsZero() {
		return used
	}
	l.p.simMu.Lock()
	defer l.p.simMu.Unlock()
	if r := l.p.sims[key]; r != nil {
		return r.row.LastSentAt
	}
	return time.Time{}
}

// record counts an outcome for the SIM. The store counts what was accepted on
// disk in the same transaction as the outcome; this is the copy in memory.
func (p *Pool) record(key string, o modem.Outcome) {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	r := p.sims[key]
	if r == nil {
		return
	}
	switch o.Verdict {
	case modem.Accepted:
		r.row.SentTotal++
		r.row.LastSentAt = p.clock.Now()
	case modem.Rejected, modem.Ambiguous:
		r.failures = append(r.failures, time.Now())
	}
}

func (r *simRecord) failedRecent() int {
	now := time.Now()
	r.failures = slices.DeleteFunc(r.failures, func(t time.Time) bool { return now.Sub(t) > failureWindow })
	return len(r.failures)
}

// simRow is what the line's modem says of its SIM.
func (l *line) simRow(key string, s modem.Snapshot) queue.SIMRow {
	return queue.SIMRow{ICCID: key, IMSI: s.SIM.IMSI, OwnNumber: s.SIM.Number, Operator: s.Operator,
		SMSC: s.SIM.SMSC, Emulated: l.port.Emulated}
}

// saw keeps what a modem says of its SIM, on disk and in memory.
func (p *Pool) saw(ctx context.Context, row queue.SIMRow) error {
	if err := p.store.SawSIM(ctx, row); err != nil {
		return err
	}
	p.simMu.Lock()
	defer p.simMu.Unlock()
	r := p.sims[row.ICCID]
	if r == nil {
		row.Enabled = true
		row.FirstSeen = p.clock.Now()
		p.sims[row.ICCID] = &simRecord{row: row}
		return nil
	}
	r.row.IMSI, r.row.Emulated = row.IMSI, row.Emulated
	for _, f := range []struct{ kept, said *string }{
		{&r.row.OwnNumber, &row.OwnNumber}, {&r.row.Operator, &row.Operator}, {&r.row.SMSC, &row.SMSC},
	} {
		if *f.said != "" {
			*f.kept = *f.said
		}
	}
	return nil
}

// simState is the state of the line's SIM, and in plain words why.
func (l *line) simState(s modem.Snapshot) (state, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.p.enabled(l.key):
		return SIMDisabled, "switched off by a person"
	case s.State == modem.StateSIMBlocked:
		return SIMBlocked, s.Reason
	case l.twin != "":
		return SIMUnavailable, s.Reason
	}
	if why := l.p.held(l.key); why != "" {
		return SIMBlocked, why
	}
	if why := l.quarantine(time.Now()); why != "" {
		return SIMQuarantined, why
	}
	switch {
	case s.State == modem.StateReady && !l.busy:
		return SIMReady, ""
	case s.State == modem.StateReady, s.State == modem.StateSending:
		return SIMBusy, ""
	case s.Reason != "":
		return SIMUnavailable, s.Reason
	}
	return SIMUnavailable, "the modem is " + string(s.State)
}

// SIMs lists all known ones: those in a modem first, in the order of the
// ports; then the others by name.
func (p *Pool) SIMs(ctx context.Context) ([]SIM, error) {
	var list []SIM
	present := map[string]bool{}
	for _, l := range p.all() {
		s := l.snapshot()
		key := l.simKey()
		if key == "" || present[key] {
			continue
		}
		present[key] = true
		list = append(list, p.liveSIM(l, key, s))
	}
	p.simMu.Lock()
	defer p.simMu.Unlock()
	var rest []SIM
	for key, r := range p.sims {
		if present[key] {
			continue
		}
		s := r.sim()
		s.State, s.Reason = SIMUnavailable, "in no modem"
		if !s.Enabled {
			s.State, s.Reason = SIMDisabled, "switched off by a person"
		}
		rest = append(rest, s)
	}
	slices.SortFunc(rest, func(a, b SIM) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ICCID, b.ICCID))
	})
	return append(list, rest...), nil
}

// sim is the kept part of a SIM; simMu is held.
func (r *simRecord) sim() SIM {
	number := r.row.Number
	if number == "" {
		number = r.row.OwnNumber
	}
	return SIM{ICCID: r.row.ICCID, IMSI: r.row.IMSI, Name: r.row.Name, Number: number, Operator: r.row.Operator,
		Emulated: r.row.Emulated, Enabled: r.row.Enabled, SMSC: r.row.SMSC, SentTotal: r.row.SentTotal,
		LastSentAt: r.row.LastSentAt, FailedRecent: r.failedRecent(), Signal: modem.Signal{BER: -1}}
}

func (p *Pool) liveSIM(l *line, key string, s modem.Snapshot) SIM {
	state, reason := l.simState(s)
	sim := SIM{ICCID: key, Enabled: true, Emulated: l.port.Emulated, Number: s.SIM.Number}
	p.simMu.Lock()
	if r := p.sims[key]; r != nil {
		sim = r.sim()
	}
	p.simMu.Unlock()
	sim.State, sim.Reason, sim.Modem = state, reason, s.ID
	sim.Signal, sim.Registration, sim.AccessTechnology = s.Signal, s.Registration, s.AccessTechnology
	if s.SIM.IMSI != "" {
		sim.IMSI = s.SIM.IMSI
	}
	if s.Operator != "" {
		sim.Operator = s.Operator
	}
	if s.SIM.SMSC != "" {
		sim.SMSC = s.SIM.SMSC
	}
	l.mu.Lock()
	sim.Now = l.now
	l.mu.Unlock()
	return sim
}

// SIM finds one by its ICCID or its name. ErrNoSIM when there is none.
func (p *Pool) SIM(ctx context.Context, iccidOrName string) (SIM, error) {
	list, err := p.SIMs(ctx)
	if err != nil {
		return SIM{}, err
	}
	for _, s := range list {
		if s.ICCID == iccidOrName {
			return s, nil
		}
	}
	for _, s := range list {
		if s.Name != "" && s.Name == iccidOrName {
			return s, nil
		}
	}
	return SIM{}, ErrNoSIM
}

// UpdateSIM changes what a person may change. A SIM that is switched off
// finishes the submission it has open.
func (p *Pool) UpdateSIM(ctx context.Context, iccid string, patch queue.SIMPatch) (SIM, error) {
	if err := p.store.UpdateSIM(ctx, iccid, patch); err != nil {
		return SIM{}, err
	}
	p.simMu.Lock()
	if r := p.sims[iccid]; r != nil {
		if patch.Name != nil {
			r.row.Name = *patch.Name
		}
		if patch.Number != nil {
			r.row.Number = *patch.Number
		}
		if patch.Enabled != nil {
			r.row.Enabled = *patch.Enabled
		}
	}
	p.simMu.Unlock()
	p.release(iccid)
	return p.SIM(ctx, iccid)
}

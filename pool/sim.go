package pool

import (
	"cmp"
	"context"
	"errors"
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
	// Limits are the SIM's, with what is used of them, its reserve and what it may
	// still send.
	Limits queue.SIMLimits
	// Paused by a person. Pace is what somebody chose (see queue.SIMRow), PerMinute
	// what holds: submissions a minute of normal and bulk; 0: as fast as it can.
	Paused          bool
	Pace, PerMinute int
	Window          queue.SendWindow
	// Routes are the ids of those that name the SIM.
	Routes []int64
	// Credit is what is known of its balance, and how that is asked for.
	Credit Credit
}

// simRecord is a SIM's kept row and its recent failures; guarded by simMu.
type simRecord struct {
	row      queue.SIMRow
	failures []time.Time
	// held is why the SIM is on hold, "" not; heldSMSC its service centre then.
	held, heldSMSC string
	// perMinute is its limit of segments a minute, 0 none; left the smallest share
	// that is left of a limit, 0–1, when that was last looked at.
	perMinute int
	left      float64
	// pacedUntil is when the next normal or bulk submission may begin.
	pacedUntil time.Time
	// full says that a limit keeps it from sending anything of the usual kind: that
	// of the window tight. capped: only to those that it has written to before.
	// moreAt is when there may be more; zero: nobody knows.
	full, capped bool
	tight        queue.Window
	moreAt       time.Time
	// shut are the lanes that its limits keep from being sent to just anybody, for
	// more than a moment; longest how long a message may be by day and month.
	shut    queue.Lanes
	longest [lanes]int
	// strangers are those of them that it may send to whom it has written to before;
	// closed those that its send window keeps away.
	strangers, closed queue.Lanes
	// fled is since when its line cannot send; zero: it can. freed is when that was let
	// go last which prefers it and which it refused; unfreed: it has to be again.
	fled, freed time.Time
	refused     queue.Refusal
	unfreed     bool
}

func (p *Pool) loadSIMs(ctx context.Context) error {
	rows, err := p.store.SIMs(ctx)
	if err != nil {
		return fmt.Errorf("reading the known SIMs: %w", err)
	}
	p.simMu.Lock()
	defer p.simMu.Unlock()
	for _, r := range rows {
		p.sims[r.ICCID] = &simRecord{row: r, left: 1}
	}
	return nil
}

func (p *Pool) enabled(key string) bool {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	r := p.terms(key)
	return r == nil || r.row.Enabled
}

// inUse says that no person keeps a SIM from sending.
func (p *Pool) inUse(key string) bool {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	r := p.terms(key)
	return r == nil || r.row.Enabled && !r.row.Paused
}

// terms is the record with the settings that hold for a SIM: its contract's. simMu
// is held.
func (p *Pool) terms(key string) *simRecord {
	if r := p.sims[queue.Contract(key)]; r != nil {
		return r
	}
	return p.sims[key]
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
	if p.noted(row) {
		p.recognise()
	}
	p.readLimits(ctx) // of a new one its pace, before it sends anything
	return nil
}

// noted keeps what a modem says of its SIM in memory; true when it was not known
// that there is one with this IMSI.
func (p *Pool) noted(row queue.SIMRow) (news bool) {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	for _, key := range []string{queue.Contract(row.ICCID), row.ICCID} {
		if p.sims[key] == nil {
			fresh := row
			fresh.ICCID, fresh.Enabled, fresh.FirstSeen, fresh.Window.From = key, true, p.clock.Now(), -1
			p.sims[key] = &simRecord{row: fresh, left: 1}
			news = true
		}
	}
	r := p.sims[row.ICCID]
	news = (news || row.IMSI != "" && row.IMSI != r.row.IMSI) && row.IMSI != "" && !makeshift(queue.Contract(row.ICCID))
	r.row.Emulated = row.Emulated
	for _, f := range []struct{ kept, said *string }{
		{&r.row.IMSI, &row.IMSI}, {&r.row.OwnNumber, &row.OwnNumber}, {&r.row.Operator, &row.Operator}, {&r.row.SMSC, &row.SMSC},
	} {
		if *f.said != "" {
			*f.kept = *f.said
		}
	}
	return news
}

// simState is the state of the line's SIM, and in plain words why.
func (l *line) simState(s modem.Snapshot) (state, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.p.enabled(l.key):
		return SIMDisabled, "switched off by a person"
	case !l.p.inUse(l.key):
		return SIMDisabled, pausedWords
	case s.State == modem.StateSIMBlocked:
		return SIMBlocked, s.Reason
	case l.twin != "":
		return SIMUnavailable, s.Reason
	}
	if why := l.p.held(l.key); why != "" {
		return SIMBlocked, why
	}
	if why := l.p.noCredit(l.key); why != "" {
		return SIMNoCredit, why
	}
	if why := l.quarantine(time.Now()); why != "" {
		return SIMQuarantined, why
	}
	if why := l.p.muteWhy(l.key); why != "" {
		return SIMQuarantined, why
	}
	if s.State == modem.StateReady || s.State == modem.StateSending {
		if state, why := l.p.withheld(l.key); state != "" {
			return state, why
		}
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

// withheld is what keeps a SIM whose line is well from sending anything of the
// usual kind; "" nothing.
func (p *Pool) withheld(key string) (state, why string) {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	r := p.sims[key]
	switch {
	case r == nil:
		return "", ""
	case r.full:
		return SIMLimitReached, limitWords[r.tight]
	case r.capped:
		return SIMLimitReached, "it has written to as many different people as it may; those are still written to"
	}
	window := p.terms(key).row.Window
	if p.openLimits || window.None() {
		return "", ""
	}
	if !p.clock.Trusted() {
		return SIMUnavailable, "the time of day is not certain: in case these are not the hours in which it may send, only codes and alerts leave on it"
	}
	if open, change := windowUntil(window, p.clock.Now(), p.home); !open {
		why = "outside the hours in which it may send"
		if !change.IsZero() {
			why += "; they begin on " + change.In(p.home).Format(Moment)
		}
		return SIMUnavailable, why
	}
	return "", ""
}

// Moment is how a reason tells a day and a time, by the box's clock.
const Moment = "2006-01-02 at 15:04"

const pausedWords = "paused by a person; what waits for it stays in the queue"

// limitWords say which limit is reached.
var limitWords = map[queue.Window]string{
	queue.WindowMinute: "it has sent as much within a minute as it may; it goes on in a moment",
	queue.WindowHour:   "it has sent as much within an hour as it may; it goes on when the first of that is an hour old",
	queue.WindowDay:    "it has sent as much today as it may; it goes on tomorrow",
	queue.WindowMonth:  "it has sent as much this month as it may; it goes on when the next billing month begins",
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
	limits, err := p.store.AllLimits(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the SIMs' limits: %w", err)
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
		switch {
		case !s.Enabled:
			s.State, s.Reason = SIMDisabled, "switched off by a person"
		case s.Paused:
			s.State, s.Reason = SIMDisabled, pausedWords
		}
		rest = append(rest, s)
	}
	slices.SortFunc(rest, func(a, b SIM) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ICCID, b.ICCID))
	})
	list = append(list, rest...)
	rules := p.rules.Load()
	for i := range list {
		s := &list[i]
		s.Limits, s.Routes = limits[s.ICCID], []int64{}
		for id, to := range rules.routes {
			if to.weight(s.ICCID) > 0 {
				s.Routes = append(s.Routes, id)
			}
		}
		slices.Sort(s.Routes)
		s.Credit = p.creditOf(*s)
	}
	return list, nil
}

// sim is the kept part of a SIM; simMu is held.
func (r *simRecord) sim() SIM {
	number := r.row.Number
	if number == "" {
		number = r.row.OwnNumber
	}
	return SIM{ICCID: r.row.ICCID, IMSI: r.row.IMSI, Name: r.row.Name, Number: number, Operator: r.row.Operator,
		Emulated: r.row.Emulated, Enabled: r.row.Enabled, SMSC: r.row.SMSC, SentTotal: r.row.SentTotal,
		LastSentAt: r.row.LastSentAt, FailedRecent: r.failedRecent(), Signal: modem.Signal{BER: -1},
		Paused: r.row.Paused, Pace: r.row.Pace, PerMinute: r.pace(), Window: r.row.Window}
}

func (p *Pool) liveSIM(l *line, key string, s modem.Snapshot) SIM {
	state, reason := l.simState(s)
	sim := SIM{ICCID: key, Enabled: true, Emulated: l.port.Emulated, Number: s.SIM.Number}
	p.simMu.Lock()
	if r := p.sims[key]; r != nil {
		sim = r.sim()
		its := p.terms(key).sim()
		sim.Enabled, sim.Paused, sim.Pace, sim.PerMinute, sim.Window = its.Enabled, its.Paused, its.Pace, its.PerMinute, its.Window
		sim.Number = cmp.Or(sim.Number, its.Number)
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
	i := slices.IndexFunc(list, func(s SIM) bool { return s.ICCID == iccidOrName })
	if i < 0 {
		i = slices.IndexFunc(list, func(s SIM) bool { return s.Name != "" && s.Name == iccidOrName })
	}
	if i < 0 {
		return SIM{}, ErrNoSIM
	}
	s := list[i]
	// Of one it is told also what it has used where it has no limit. Not of a SIM
	// whose row is still to be written.
	if limits, err := p.store.Limits(ctx, s.ICCID); err == nil {
		s.Limits = limits
	} else if !errors.Is(err, queue.ErrNoSIM) {
		return SIM{}, fmt.Errorf("read the SIM's limits: %w", err)
	}
	return s, nil
}

// UpdateSIM changes what a person may change. A SIM that is switched off
// finishes the submission it has open.
func (p *Pool) UpdateSIM(ctx context.Context, iccid string, patch queue.SIMPatch) (SIM, error) {
	if contract := queue.Contract(iccid); contract != iccid && p.known(iccid) {
		its := queue.SIMPatch{Enabled: patch.Enabled, Pace: patch.Pace, Window: patch.Window, Paused: patch.Paused}
		if its != (queue.SIMPatch{}) {
			if _, err := p.UpdateSIM(ctx, contract, its); err != nil {
				return SIM{}, err
			}
		}
		patch = queue.SIMPatch{Name: patch.Name, Number: patch.Number}
	}
	if patch.Paused != nil {
		if err := p.PauseSIM(ctx, iccid, *patch.Paused); err != nil {
			return SIM{}, err
		}
		patch.Paused = nil // it is kept: somebody else may have changed it since
	}
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
		if patch.Pace != nil {
			r.row.Pace, r.pacedUntil = *patch.Pace, time.Time{}
		}
		if patch.Window != nil {
			r.row.Window = *patch.Window
		}
	}
	p.simMu.Unlock()
	p.release(iccid)
	if patch.Number != nil { // the one before may have been another's
		p.complain(ctx, "looking at a line in quarantine again", p.probeSoon(ctx, iccid))
	}
	return p.SIM(ctx, iccid)
}

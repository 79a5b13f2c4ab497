package pool

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"recado/modem"
	"recado/queue"
)

const (
	// patience is how long a state that leads to another may last before it is a
	// finding, goneFor how long a port may be away: a modem that restarts is.
	patience = 2 * time.Minute
	goneFor  = time.Minute
	// weakSignal in dBm: below it messages get lost.
	weakSignal = -105
	// Parts of ten of the SMS memory.
	fillingTenths, fullTenths = 7, 9
	// repeatedly is how often something must have happened to be a finding.
	answersMost, refusalsMost, restartsMost = 2, 5, 3
)

// Findings says in plain words what is wrong with the ports, modems, SIMs and
// registrations of this box, and what to do: what concerns all of it first, then
// each line in the order of the ports. None: all is well.
func (p *Pool) Findings(ctx context.Context) []Finding {
	var list []Finding
	lines := p.all()
	if len(lines) == 0 {
		list = append(list, NewFinding("no_modem", FindingWarn, AboutProgram, "", nil))
	}
	if p.Paused() {
		list = append(list, NewFinding("sending_paused", FindingWarn, AboutProgram, "", nil))
	}
	if paused := p.Pauses().Classes; len(paused) > 0 {
		names := make([]string, len(paused))
		for i, c := range paused {
			names[i] = string(c)
		}
		list = append(list, NewFinding("class_paused", FindingWarn, AboutProgram, "", map[string]string{"classes": strings.Join(names, ", ")}))
	}
	list = append(list, p.heldFindings(ctx)...)
	list = append(list, p.damageFindings(ctx)...)
	if !p.clock.Trusted() {
		list = append(list, NewFinding("clock_untrusted", FindingWarn, AboutBox, "", nil))
	}
	sims := map[string]SIM{}
	if all, err := p.SIMs(ctx); err == nil { // else the lines still say what they know
		for _, s := range all {
			sims[s.ICCID] = s
		}
	}
	for _, l := range lines {
		v := l.vitals(p.clock.Now())
		v.sim = sims[v.snap.SIM.ICCID]
		list = append(list, v.findings()...)
	}
	return list
}

// heldFindings tell of messages that leave only when somebody decides so.
func (p *Pool) heldFindings(ctx context.Context) []Finding {
	held, err := p.store.HeldCounts(ctx)
	if err != nil {
		return nil // a database that cannot be read has findings of its own
	}
	n, reasons := 0, map[string]bool{}
	for _, g := range held {
		n += g.N
		reasons[g.Reason] = true
	}
	if n == 0 {
		return nil
	}
	facts := map[string]string{"count": strconv.Itoa(n), "reasons": strings.Join(slices.Sorted(maps.Keys(reasons)), ", ")}
	return []Finding{NewFinding("messages_held", FindingWarn, AboutProgram, "", facts)}
}

// damageFindings tell of stored rows that are not what was written.
func (p *Pool) damageFindings(ctx context.Context) []Finding {
	n, list, err := p.store.Damaged(ctx, 1)
	if err != nil || n == 0 || len(list) == 0 {
		return nil
	}
	facts := map[string]string{"count": strconv.Itoa(n), "kind": list[0].Kind, "id": list[0].ID, "at": list[0].FoundAt.UTC().Format("2006-01-02 15:04 UTC")}
	return []Finding{NewFinding("rows_damaged", FindingWarn, AboutProgram, "", facts)}
}

// vitals are what a line's findings are drawn from.
type vitals struct {
	now     time.Time
	port    string
	snap    modem.Snapshot
	sim     SIM // zero when it is not known
	twin    string
	domains modem.Domains
	history []modem.Entry
	crashes []modem.Crash
	// sent says that the network accepted something in this run.
	sent    bool
	reports reports
	mute    queue.Mute // of its SIM
}

func (l *line) vitals(now time.Time) vitals {
	v := vitals{now: now, port: l.port.Name, snap: l.view(), domains: l.modem.Domains(),
		history: l.modem.History(), crashes: l.modem.Crashes()}
	l.mu.Lock()
	defer l.mu.Unlock()
	// What the modem itself says: the view's reason may be the line's.
	v.snap.Reason, v.twin, v.sent, v.reports = l.heard.Reason, l.twin, l.took > 0, l.reports
	v.mute, _ = l.p.mute(l.key)
	if v.mute.ICCID == "" {
		v.mute = l.p.mutesNow()[l.key]
	}
	return v
}

// found makes a finding about this line; facts are name, value pairs.
func (v vitals) found(code, severity, subject string, facts ...string) Finding {
	all := map[string]string{"port": v.port, "modem": v.snap.ID}
	if id := cmp.Or(v.sim.Name, v.snap.SIM.ICCID); id != "" {
		all["sim"] = id
	}
	for i := 0; i+1 < len(facts); i += 2 {
		if facts[i+1] != "" {
			all[facts[i]] = facts[i+1]
		}
	}
	name := map[string]string{AboutPort: v.port, AboutModem: v.snap.ID, AboutNetwork: v.snap.ID, AboutSIM: cmp.Or(all["sim"], v.port)}[subject]
	return NewFinding(code, severity, subject, name, all)
}

// in is how long the modem has been in its state.
func (v vitals) in() time.Duration { return v.now.Sub(v.snap.Since) }

func (v vitals) minutes() string { return strconv.Itoa(int(v.in().Minutes())) }

// findings of one line: the state says which to look for.
func (v vitals) findings() []Finding {
	one := func(code, severity, subject string, facts ...string) []Finding {
		return append([]Finding{v.found(code, severity, subject, facts...)}, v.past()...)
	}
	s := v.snap
	if silent(s) {
		return one("modem_mute", FindingFail, AboutModem, "reason", s.Reason)
	}
	switch s.State {
	case modem.StateDisabled:
		return one("modem_disabled", FindingInfo, AboutModem)
	case modem.StateAbsent:
		severity := FindingFail
		if v.in() < goneFor {
			severity = FindingWarn
		}
		return one(v.absent(), severity, AboutPort)
	case modem.StateLocked:
		program, pid := holderIn(s.Reason)
		return one("port_busy", FindingFail, AboutPort, "program", program, "pid", pid)
	case modem.StateFault:
		code, facts := v.fault()
		subject := AboutModem
		if strings.HasPrefix(code, "port_") {
			subject = AboutPort
		}
		return one(code, FindingFail, subject, facts...)
	case modem.StateNoSIM:
		code := map[string]string{"FAILURE": "sim_failure", "BUSY": "sim_busy"}[s.SIM.State]
		return one(cmp.Or(code, "sim_absent"), FindingFail, AboutSIM, "minutes", v.minutes())
	case modem.StateSIMBlocked:
		return append(v.blocked(), v.past()...)
	case modem.StateSIMDenied:
		return one("registration_denied", FindingFail, AboutNetwork)
	case modem.StateRegister:
		return append(append(v.unregistered(), v.standing()...), v.past()...)
	case modem.StateRecover:
		if v.in() >= patience {
			return one("modem_recovering", FindingWarn, AboutModem, "minutes", v.minutes(), "reason", cmp.Or(s.Reason, s.LastError, "?"))
		}
	case modem.StateReady, modem.StateSending, modem.StateUnknown:
		return append(v.ready(), v.past()...)
	default:
		if v.in() >= patience {
			if s.State == modem.StateSIM && s.SIM.State == "BUSY" {
				return one("sim_busy", FindingWarn, AboutSIM, "minutes", v.minutes())
			}
			return one("modem_slow", FindingWarn, AboutModem, "minutes", v.minutes(), "state", string(s.State))
		}
	}
	return v.past()
}

// silent says that a modem does not answer and is being brought back.
func silent(s modem.Snapshot) bool {
	return (s.State == modem.StateRecover || s.State == modem.StateSync) &&
		(strings.Contains(s.Reason, "fell silent") || strings.Contains(s.Reason, "does not answer"))
}

// absent tells a cable from an address.
func (v vitals) absent() string {
	if strings.HasPrefix(v.port, "tcp:") {
		return "port_unreachable"
	}
	return "port_absent"
}

// What the texts of modem and modem/tty say, beyond the state.
var (
	heldBy   = regexp.MustCompile(`is in use by (?:(\S+) \(process (\d+)\)|process (\d+))`)
	forGroup = regexp.MustCompile(`is for group (\S+);`)
)

// holderIn finds who holds the port in the words of tty.BusyError.
func holderIn(reason string) (program, pid string) {
	if m := heldBy.FindStringSubmatch(reason); m != nil {
		return m[1], cmp.Or(m[2], m[3])
	}
	return "", ""
}

// fault tells from its reason which of its kinds a fault is.
func (v vitals) fault() (code string, facts []string) {
	reason := v.snap.Reason
	for text, is := range map[string]string{
		"not a serial port": "port_not_tty", "not a port's name": "port_name",
		"nothing on this port answers AT": "port_silent", "only text mode": "modem_text_mode",
	} {
		if strings.Contains(reason, text) {
			return is, nil
		}
	}
	if strings.Contains(reason, "no permission for the port") {
		group := ""
		if m := forGroup.FindStringSubmatch(reason); m != nil {
			group = m[1]
		}
		return "port_permission", []string{"group", group}
	}
	return "modem_fault", []string{"reason", reason}
}

// blocked is a SIM that waits for somebody.
func (v vitals) blocked() []Finding {
	sim := v.snap.SIM
	tries := ""
	if sim.PINTries >= 0 {
		tries = strconv.Itoa(sim.PINTries)
	}
	switch {
	case v.twin != "":
		return []Finding{v.found("sim_twin", FindingInfo, AboutSIM, "other", v.twin)}
	case sim.State == "SIM PIN" && (tries == "1" || tries == "0"):
		return []Finding{v.found("sim_pin_last", FindingFail, AboutSIM, "tries", tries)}
	case sim.State == "SIM PIN":
		return []Finding{v.found("sim_pin", FindingFail, AboutSIM, "tries", tries)}
	case sim.State == "SIM PUK":
		return []Finding{v.found("sim_puk", FindingFail, AboutSIM)}
	case sim.State == "WRONG", strings.HasPrefix(sim.State, "PH-"):
		return []Finding{v.found("sim_locked", FindingFail, AboutSIM, "lock", sim.State)}
	}
	return []Finding{v.found("sim_blocked", FindingFail, AboutSIM, "reason", cmp.Or(v.snap.Reason, sim.State, "?"))}
}

// unregistered is a modem that waits for the network.
func (v vitals) unregistered() []Finding {
	switch {
	case v.domains.CS == "emergency" || v.domains.EPS == "emergency":
		return []Finding{v.found("registration_emergency", FindingFail, AboutNetwork)}
	case v.snap.Registration == "denied" && v.in() >= goneFor:
		return []Finding{v.found("registration_denied", FindingFail, AboutNetwork)}
	case v.in() >= patience:
		return []Finding{v.found("registration_searching", FindingFail, AboutNetwork, "minutes", v.minutes())}
	}
	return nil
}

// ready is a modem that could send: whether its SIM and its network let it.
func (v vitals) ready() []Finding {
	s := v.snap
	if v.twin != "" {
		return []Finding{v.found("sim_twin", FindingInfo, AboutSIM, "other", v.twin)}
	}
	var list []Finding
	add := func(code, severity, subject string, facts ...string) {
		list = append(list, v.found(code, severity, subject, facts...))
	}
	switch v.sim.State {
	case SIMDisabled:
		code, severity := "sim_disabled", FindingInfo
		if v.sim.Paused && v.sim.Enabled {
			code, severity = "sim_paused", FindingWarn
		}
		add(code, severity, AboutSIM)
	case SIMLimitReached:
		add("sim_limit", FindingInfo, AboutSIM, v.sim.tightest()...)
	case SIMBlocked:
		add("sim_held", FindingFail, AboutSIM, "reason", v.sim.Reason)
	case SIMNoCredit:
		add("sim_no_credit", FindingFail, AboutSIM, v.sim.Credit.facts()...)
	case SIMQuarantined:
		if code := muteFinding(v.mute); code != "" {
			add(code, FindingFail, AboutSIM, "count", strconv.Itoa(len(v.mute.Legs)))
		} else if code := refusal.FindString(v.sim.Reason); strings.Contains(v.sim.Reason, "refused this SIM") {
			add("sim_refused", FindingFail, AboutSIM, "code", code)
		} else {
			add("line_quarantined", FindingWarn, AboutSIM, "reason", v.sim.Reason)
		}
	}
	switch v.mute.Doubt {
	case queue.DoubtNumber:
		add("sim_number_doubtful", FindingWarn, AboutSIM, "count", strconv.Itoa(len(v.mute.Legs)))
	case queue.DoubtAlone:
		add("line_untested", FindingWarn, AboutSIM, "count", strconv.Itoa(len(v.mute.Legs)))
	}
	switch c := v.sim.Credit; {
	case v.sim.State == SIMNoCredit:
	case c.IsLow():
		add("sim_credit_low", FindingWarn, AboutSIM, c.facts()...)
	case c.Error == balanceUnreadable || c.Error == balanceMany:
		add("sim_credit_unreadable", FindingInfo, AboutSIM)
	}
	lost := max(s.AmbiguousRecent, v.answersLost())
	lte := registered(v.domains.EPS) && !registered(v.domains.CS)
	switch {
	case s.Alarm != "":
		add(s.Alarm, FindingFail, AboutNetwork, "technology", s.AccessTechnology)
	case lte && !v.sent && lost >= answersMost:
		add(modem.AlarmNoSMSService, FindingFail, AboutNetwork, "technology", s.AccessTechnology)
	case lte && !v.sent:
		add("lte_only", FindingInfo, AboutNetwork)
	case v.domains.EPS == "refused" && old(s.AccessTechnology):
		add("network_2g3g_only", FindingInfo, AboutNetwork, "technology", s.AccessTechnology)
	}
	if v.domains.CS == "emergency" && !registered(v.domains.PS) && !registered(v.domains.EPS) {
		add("registration_emergency", FindingFail, AboutNetwork)
	}
	if lost >= answersMost {
		add("answers_lost", FindingWarn, AboutModem, "count", strconv.Itoa(lost))
	}
	if n := v.sim.FailedRecent; n >= refusalsMost && n > lost {
		add("sim_failing", FindingWarn, AboutSIM, "count", strconv.Itoa(n))
	}
	if s.SIM.SMSC == "" && !v.sent {
		add("sim_no_smsc", FindingWarn, AboutSIM)
	}
	switch r := v.reports; {
	case s.ReportsBy == 0:
		add("reports_none", FindingWarn, AboutModem)
	case !r.came && r.accepted >= reportsWanted && time.Since(r.last) >= reportsPatience:
		add("reports_missing", FindingWarn, AboutModem, "count", strconv.Itoa(r.accepted))
	}
	return append(list, v.standing()...)
}

var refusal = regexp.MustCompile(`c[me][se]_\d+`)

// standing are the signal and the memory, which matter with and without a network.
func (v vitals) standing() []Finding {
	s := v.snap
	var list []Finding
	if s.Signal.Known && s.Signal.RSSI < weakSignal {
		list = append(list, v.found("signal_weak", FindingWarn, AboutNetwork, "dbm", strconv.Itoa(s.Signal.RSSI)))
	}
	memory := []string{"memory", s.StorageName, "used", strconv.Itoa(s.StorageUsed), "total", strconv.Itoa(s.StorageTotal),
		"foreign", strconv.Itoa(s.StorageForeign)}
	switch used := 10 * s.StorageUsed; {
	case s.StorageTotal == 0 || used < fillingTenths*s.StorageTotal:
	case 2*s.StorageForeign >= s.StorageUsed:
		list = append(list, v.found("storage_foreign", FindingWarn, AboutModem, memory...))
		if used >= fullTenths*s.StorageTotal {
			list[len(list)-1].Severity = FindingFail
		}
	case used >= fullTenths*s.StorageTotal:
		list = append(list, v.found("storage_full", FindingFail, AboutModem, memory...))
	default:
		list = append(list, v.found("storage_filling", FindingWarn, AboutModem, memory...))
	}
	return list
}

// past is what happened too often of late.
func (v vitals) past() []Finding {
	var list []Finding
	day := v.now.Add(-24 * time.Hour)
	crashes, last := 0, ""
	for _, c := range v.crashes {
		if c.At.After(day) && !strings.Contains(c.Reason, "by an operator") {
			crashes, last = crashes+1, c.Reason
		}
	}
	lately := slices.ContainsFunc(v.history, func(e modem.Entry) bool {
		return e.At.After(day) && (e.Kind == modem.EntryStep || e.Kind == modem.EntryFault)
	})
	switch {
	case v.snap.Restarts >= restartsMost && lately:
		list = append(list, v.found("modem_restarts", FindingWarn, AboutModem, "count", strconv.Itoa(v.snap.Restarts)))
	case crashes >= restartsMost:
		list = append(list, v.found("modem_crashes", FindingWarn, AboutModem, "count", strconv.Itoa(crashes), "reason", cmp.Or(last, "not known")))
	}
	return list
}

// answersLost counts the submissions of the last hour whose answer was lost and
// did not come since.
func (v vitals) answersLost() int {
	n := 0
	for _, e := range v.history {
		if e.Kind != modem.EntrySend || v.now.Sub(e.At) > time.Hour {
			continue
		}
		if strings.Contains(e.Text, "late") {
			n = max(n-1, 0)
		} else {
			n++
		}
	}
	return n
}

func registered(word string) bool { return word == "home" || word == "roaming" || word == "sms_only" }

// old says that a technology is of the second or third generation.
func old(technology string) bool {
	return strings.HasPrefix(technology, "GSM") || strings.HasPrefix(technology, "UTRAN")
}

// Diagnose is what can be said of a modem that is not the pool's, and was only
// looked at: nothing of what it sends and receives.
func Diagnose(port string, s modem.Snapshot, domains modem.Domains, now time.Time) []Finding {
	v := vitals{now: now, port: port, snap: s, domains: domains, sent: true}
	v.snap.StorageTotal = 0 // it was not asked
	if v.snap.ReportsBy == 0 {
		v.snap.ReportsBy = 1
	}
	return v.findings()
}

// Recording is what is kept of a modem's dialogue with it, redacted: longer back
// than Trace, without the routine; and what was said before it last failed.
// ErrNoModem when there is none.
func (p *Pool) Recording(id string) (Recording, error) {
	l := p.lineOf(id)
	if l == nil {
		return Recording{}, ErrNoModem
	}
	return Recording{Dialogue: l.modem.Recording(), Crashes: l.modem.Crashes(), Domains: l.modem.Domains()}, nil
}

// Codes are those of all findings that have words, for tests and translations.
func Codes() []string { return slices.Sorted(maps.Keys(findingWords)) }

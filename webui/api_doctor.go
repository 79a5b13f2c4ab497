package webui

import (
	"context"
	"slices"
	"strings"
	"time"

	"recado/modem"
	"recado/modem/at"
	"recado/pool"
)

// Finding is one thing that is wrong, or good to know.
type Finding struct {
	Code     string            `json:"code" doc:"Stable, for programs: sim_pin, port_busy, registration_denied …"`
	Severity string            `json:"severity" enum:"fail,warn,info" doc:"fail: it does not work; warn: it works, somebody should look"`
	Subject  string            `json:"subject" enum:"port,modem,sim,network,program,box"`
	Name     *string           `json:"name" doc:"Which one: the port, the modem's id, the SIM's name or ICCID"`
	Says     string            `json:"says" doc:"What is the matter, in plain words"`
	Do       *string           `json:"do" doc:"What to do about it"`
	Facts    map[string]string `json:"facts" doc:"What the words are made of: port, modem, sim, program, pid …"`
}

// Doctor is what is wrong with the box.
type Doctor struct {
	Status   string    `json:"status" enum:"pass,warn,fail" doc:"The worst of the findings"`
	Findings []Finding `json:"findings" nullable:"false"`
}

// findings are the pool's and those of the rest of the program.
func (s *Server) findings(ctx context.Context) []pool.Finding {
	var list []pool.Finding
	if s.beside != nil {
		list = s.beside(ctx)
	}
	return append(list, s.pool.Findings(ctx)...)
}

func (s *Server) getDoctor() *operation {
	type (
		in struct {
			Language string `query:"lang" enum:"en,es" default:"en" doc:"Language of says and do"`
		}
		out struct{ Body Doctor }
	)
	return op(operation{id: "get-doctor", tag: "Status", summary: "What is wrong, and what to do",
		description: "In plain words, for each port, modem, SIM and registration. No findings: all is well."},
		func(ctx context.Context, in *in) (*out, error) {
			list := s.findings(ctx)
			d := Doctor{Status: Pass, Findings: make([]Finding, len(list))}
			if worst := pool.Worst(list); worst == pool.FindingFail || worst == pool.FindingWarn {
				d.Status = worst
			}
			for i, f := range list {
				says, do := f.In(in.Language)
				if f.Facts == nil {
					f.Facts = map[string]string{}
				}
				d.Findings[i] = Finding{Code: f.Code, Severity: f.Severity, Subject: f.Subject, Name: some(f.Name), Says: says, Do: some(do), Facts: f.Facts}
			}
			return &out{d}, nil
		})
}

// healthOf are the checks of the ports, modems, SIMs and networks, of what is held
// and of what is stored: a line that does not work is no reason to call the box out of order.
func healthOf(findings []pool.Finding) []Check {
	var checks []Check
	for _, c := range []struct{ name, subject string }{
		{"ports", pool.AboutPort}, {"modems", pool.AboutModem}, {"sims", pool.AboutSIM}, {"networks", pool.AboutNetwork},
	} {
		check := Check{c.name, Pass, ""}
		var details []string
		for _, f := range findings {
			if f.Subject == c.subject && f.Severity != pool.FindingInfo {
				check.Status = Warn
				details = append(details, f.Says)
			}
		}
		if len(details) > 5 {
			details = append(details[:5], "and more: see GET /api/v1/doctor")
		}
		check.Detail = strings.Join(details, " ")
		checks = append(checks, check)
	}
	for _, c := range []struct{ name, code string }{{"held", "messages_held"}, {"stored", "rows_damaged"}} {
		check := Check{c.name, Pass, ""}
		for _, f := range findings {
			if f.Code == c.code {
				check.Status, check.Detail = Warn, strings.TrimSpace(f.Says+" "+f.Do)
			}
		}
		checks = append(checks, check)
	}
	return checks
}

// HistoryEntry is one thing that happened to a modem.
type HistoryEntry struct {
	At     time.Time `json:"at"`
	Kind   string    `json:"kind" doc:"state, fault, step, sim, network, storage, ussd, order, send"`
	Step   *string   `json:"step" doc:"The rung of the recovery ladder, L0 to L7"`
	Text   string    `json:"text"`
	Detail *string   `json:"detail" doc:"The evidence, over several lines"`
}

// HistoryList is what happened to a modem.
type HistoryList list[HistoryEntry]

func (s *Server) modemHistory() *operation {
	type (
		in struct {
			ModemID
			Paging
		}
		out struct{ Body HistoryList }
	)
	return op(operation{id: "modem-history", tag: "SIMs and modems", summary: "What happened to a modem",
		description: "Faults, what was done about them, SIM and network, since the program started; newest first. Numbers are masked."},
		func(_ context.Context, in *in) (*out, error) {
			entries, err := s.pool.History(in.ID)
			if err != nil {
				return nil, err
			}
			slices.Reverse(entries)
			part, next, err := cut(entries, in.Paging)
			return &out{HistoryList(listed(part, next, historyOf))}, err
		})
}

func historyOf(e modem.Entry) HistoryEntry {
	return HistoryEntry{At: e.At.UTC(), Kind: string(e.Kind), Step: some(e.Step), Text: e.Text, Detail: some(e.Detail)}
}

// TraceLine is one line of the AT dialogue.
type TraceLine struct {
	At   time.Time `json:"at"`
	Out  bool      `json:"out" doc:"To the modem"`
	Line string    `json:"line" doc:"Without PIN, text and PDU, numbers masked"`
}

// Trace is a modem's flight recorder.
type Trace struct {
	Items         []TraceLine         `json:"items" nullable:"false" doc:"Oldest first; of what is older than half an hour without the routine"`
	Crashes       []Crash             `json:"crashes" nullable:"false" doc:"What was said before the modem last ceased to be ready by itself"`
	Registrations DomainRegistrations `json:"registrations"`
}

// Crash is the dialogue that led to the end of a ready modem.
type Crash struct {
	At     time.Time   `json:"at"`
	State  string      `json:"state" doc:"The modem's afterwards"`
	Reason *string     `json:"reason"`
	Items  []TraceLine `json:"items" nullable:"false"`
}

// DomainRegistrations are what AT+CREG, AT+CGREG and AT+CEREG last said.
type DomainRegistrations struct {
	CS  *string `json:"cs" doc:"As in a SIM's registration; also emergency, and refused where the modem does not know the command"`
	PS  *string `json:"ps"`
	EPS *string `json:"eps"`
}

func (s *Server) modemTrace() *operation {
	type (
		in struct {
			ModemID
			Limit int `query:"limit" minimum:"1" maximum:"2000" default:"200" doc:"How many of the last lines"`
		}
		out struct{ Body Trace }
	)
	return op(operation{id: "modem-trace", tag: "SIMs and modems", summary: "A modem's flight recorder",
		description: "The last AT dialogue, redacted: no PIN, no text, no PDU, of a number the last three digits."},
		func(_ context.Context, in *in) (*out, error) {
			kept, err := s.pool.Recording(in.ID)
			if err != nil {
				return nil, err
			}
			d := kept.Domains
			t := Trace{Items: traceOf(kept.Dialogue, in.Limit), Crashes: []Crash{},
				Registrations: DomainRegistrations{CS: some(d.CS), PS: some(d.PS), EPS: some(d.EPS)}}
			for _, c := range kept.Crashes {
				t.Crashes = append(t.Crashes, Crash{At: c.At.UTC(), State: string(c.State), Reason: some(c.Reason), Items: traceOf(c.Dialogue, in.Limit)})
			}
			return &out{t}, nil
		})
}

// traceOf are the last lines of a dialogue.
func traceOf(entries []at.TraceEntry, most int) []TraceLine {
	lines := []TraceLine{}
	for _, e := range entries[max(0, len(entries)-most):] {
		lines = append(lines, TraceLine{At: e.At.UTC(), Out: e.Out, Line: e.Line})
	}
	return lines
}

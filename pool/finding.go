package pool

import (
	"maps"
	"regexp"
	"strings"

	"recado/modem"
	"recado/modem/at"
)

// Severities of a Finding.
const (
	FindingFail = "fail" // it does not work
	FindingWarn = "warn" // it works, somebody should look
	FindingInfo = "info" // good to know
)

// Subjects of a Finding.
const (
	AboutPort    = "port"
	AboutModem   = "modem"
	AboutSIM     = "sim"
	AboutNetwork = "network"
	AboutProgram = "program"
	AboutBox     = "box"
)

// Finding is one thing that is wrong, or good to know, with what to do.
type Finding struct {
	// Code is stable, in snake_case: programs and translations go by it.
	Code string
	// Severity is fail, warn or info; Subject is port, modem, sim, network,
	// program or box.
	Severity, Subject string
	// Name is which one: the port, the modem's ID, the SIM's name or ICCID; ""
	// for the program and the box.
	Name string
	// Says what is the matter and Do what to do about it, in English; Do is ""
	// when there is nothing to be done.
	Says, Do string
	// Facts are what the words are made of: port, modem, sim, program, pid ….
	Facts map[string]string
}

// NewFinding makes a finding with the words that its code has, in which {name}
// stands for a fact.
func NewFinding(code, severity, subject, name string, facts map[string]string) Finding {
	f := Finding{Code: code, Severity: severity, Subject: subject, Name: name, Facts: maps.Clone(facts)}
	f.Says, f.Do = f.In("en")
	return f
}

// In gives the finding's words in a language, "es" or "en"; what nobody has
// translated is in English.
func (f Finding) In(language string) (says, do string) {
	w, ok := findingWords[f.Code]
	switch {
	case !ok:
		return f.Says, f.Do
	case strings.HasPrefix(language, "es"):
		return fill(w.es.says, f.Facts), fill(w.es.do, f.Facts)
	}
	return fill(w.en.says, f.Facts), fill(w.en.do, f.Facts)
}

// optional is a part of a sentence that is left out when a fact in it is not
// known: "[ (process {pid})]".
var (
	optional = regexp.MustCompile(`\[[^\]]*\]`)
	factName = regexp.MustCompile(`\{[a-z]+\}`)
)

// fill puts the facts into a sentence.
func fill(text string, facts map[string]string) string {
	text = optional.ReplaceAllStringFunc(text, func(part string) string {
		for _, name := range factName.FindAllString(part, -1) {
			if facts[strings.Trim(name, "{}")] == "" {
				return ""
			}
		}
		return part[1 : len(part)-1]
	})
	return factName.ReplaceAllStringFunc(text, func(name string) string { return facts[strings.Trim(name, "{}")] })
}

// Worst is the greatest severity of the findings; "" for none.
func Worst(findings []Finding) string {
	worst := ""
	for _, f := range findings {
		if rankOf(f.Severity) > rankOf(worst) {
			worst = f.Severity
		}
	}
	return worst
}

func rankOf(severity string) int {
	switch severity {
	case FindingFail:
		return 3
	case FindingWarn:
		return 2
	case FindingInfo:
		return 1
	}
	return 0
}

// Recording is a modem's flight recorder.
type Recording struct {
	Dialogue []at.TraceEntry
	Crashes  []modem.Crash
	Domains  modem.Domains
}

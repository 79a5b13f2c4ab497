package family

import (
	"strconv"
	"strings"
)

// PINQuery is a question for the tries that one of the SIM's codes has left.
type PINQuery struct {
	// Command is sent without "AT"; it uses no try up.
	Command string
	// Tries reads the information lines of the answer; false when they do not
	// tell.
	Tries func(lines []string) (int, bool)
}

// mostTries is more than a PIN or PUK ever has (TS 31.101 9.5.1 leaves four
// bits).
const mostTries = 15

var (
	// cpinr is TS 27.007 8.65: +CPINR: SIM PIN,3,3.
	cpinr    = PINQuery{`+CPINR="SIM PIN"`, labelled("+CPINR", "SIM PIN", 1)}
	cpinrPUK = PINQuery{`+CPINR="SIM PUK"`, labelled("+CPINR", "SIM PUK", 1)}
	// csim is an empty VERIFY (TS 31.101 11.1.9), which answers 63Cx, x the tries
	// left, and uses none up; csimPUK is an empty RESET RETRY COUNTER (11.1.12).
	csim    = PINQuery{`+CSIM=10,"0020000100"`, verifyStatus}
	csimPUK = PINQuery{`+CSIM=10,"002C000100"`, verifyStatus}
)

// The counters of the chips that are in modems of many makes; each is known to
// the others as an error, or not at all.
var (
	mtk      = counters{"+EPINC?", "+EPINC", 0, 2}   // MediaTek: PIN, PIN2, PUK, PUK2
	icera    = counters{"%PINNUM?", "%PINNUM", 0, 1} // Icera: PIN, PUK, PIN2, PUK2
	ericsson = counters{"*EPIN?", "*EPIN", 0, 1}     // Ericsson: the same
)

// counters is a query that tells of the PIN and the PUK at once, each in a
// field of its answer.
type counters struct {
	command, prefix string
	pin, puk        int
}

// asks makes this the first question of a family, before those that everybody
// may know.
func (f *Family) asks(c counters) {
	f.PINTries = []PINQuery{{c.command, field(c.prefix, c.pin)}, cpinr, csim}
	f.PUKTries = []PINQuery{{c.command, field(c.prefix, c.puk)}, cpinrPUK, csimPUK}
}

// unknownPINTries and unknownPUKTries are what a modem of no known make is
// asked, only while its SIM is locked: the standard's two, then one read
// command for each chip that is sold under many names. None of them changes
// anything anywhere.
func unknownPINTries() []PINQuery {
	list := []PINQuery{cpinr, csim}
	for _, c := range []counters{mtk, icera, ericsson} {
		list = append(list, PINQuery{c.command, field(c.prefix, c.pin)})
	}
	return list
}

func unknownPUKTries() []PINQuery {
	list := []PINQuery{cpinrPUK, csimPUK}
	for _, c := range []counters{mtk, icera, ericsson} {
		list = append(list, PINQuery{c.command, field(c.prefix, c.puk)})
	}
	return list
}

// field reads the tries from a field of the first line that begins with prefix.
func field(prefix string, i int) func([]string) (int, bool) {
	return func(lines []string) (int, bool) {
		for _, l := range lines {
			if fs, ok := answer(l, prefix); ok {
				return tries(fs, i)
			}
		}
		return 0, false
	}
}

// labelled reads the tries from a field of the line whose first field is label:
// +CPINR: SIM PIN,3,3; +QPINC: "SC",3,10; $NWPINR: PIN1, 3. The answer may tell
// of others as well, each on a line of its own.
func labelled(prefix, label string, i int) func([]string) (int, bool) {
	return func(lines []string) (int, bool) {
		for _, l := range lines {
			if fs, ok := answer(l, prefix); ok && strings.EqualFold(fs[0], label) {
				return tries(fs, i)
			}
		}
		return 0, false
	}
}

// verifyStatus reads the status word: 63Cx has x tries left, 6983 none. 9000
// tells nothing: the code is switched off, or was given already.
func verifyStatus(lines []string) (int, bool) {
	for _, l := range lines {
		fs, ok := answer(l, "+CSIM")
		if !ok || len(fs) < 2 {
			continue
		}
		status := strings.ToUpper(fs[1])
		if status == "6983" {
			return 0, true
		}
		x, ok := strings.CutPrefix(status, "63C")
		n, err := strconv.ParseUint(x, 16, 8)
		return int(n), ok && err == nil && len(x) == 1
	}
	return 0, false
}

// tries is a field that must be a number that can be one of tries.
func tries(fs []string, i int) (int, bool) {
	if i >= len(fs) || strings.Trim(fs[i], "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(fs[i])
	return n, err == nil && n <= mostTries
}

// answer is the fields of a line that is the code prefix, without quotes and
// brackets. "+SPIC" is not the code of "+SPICX: 3".
func answer(line, prefix string) ([]string, bool) {
	line = strings.TrimSpace(line)
	if len(line) < len(prefix) || !strings.EqualFold(line[:len(prefix)], prefix) {
		return nil, false
	}
	rest, ok := strings.CutPrefix(strings.TrimLeft(line[len(prefix):], " \t"), ":")
	if !ok {
		return nil, false
	}
	fs := strings.Split(rest, ",")
	for i := range fs {
		fs[i] = strings.Trim(fs[i], " \t\"()")
	}
	return fs, true
}

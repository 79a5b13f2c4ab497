package family

import (
	"strconv"
	"strings"
)

// PINQuery is a question for the tries that the SIM's PIN has left.
type PINQuery struct {
	// Command is sent without "AT"; it uses no try up.
	Command string
	// Tries reads the information lines of the answer; false when they do not
	// tell.
	Tries func(lines []string) (int, bool)
}

// mostTries is more than a PIN ever has (TS 31.101 9.5.1 leaves four bits).
const mostTries = 15

var (
	// cpinr is TS 27.007 8.65: +CPINR: SIM PIN,3,3.
	cpinr = PINQuery{`+CPINR="SIM PIN"`, field("+CPINR", 1)}
	// csim is an empty VERIFY (TS 31.101 11.1.9), which answers 63Cx, x the tries
	// left, and uses none up.
	csim = PINQuery{`+CSIM=10,"0020000100"`, verifyStatus}
)

// field reads the tries from a field of the line that begins with prefix.
func field(prefix string, i int) func([]string) (int, bool) {
	return func(lines []string) (int, bool) {
		fs := answer(lines, prefix)
		if i >= len(fs) {
			return 0, false
		}
		n, err := strconv.Atoi(fs[i])
		return n, err == nil && n >= 0 && n <= mostTries
	}
}

func verifyStatus(lines []string) (int, bool) {
	fs := answer(lines, "+CSIM")
	if len(fs) < 2 {
		return 0, false
	}
	x, ok := strings.CutPrefix(strings.ToUpper(fs[1]), "63C")
	n, err := strconv.ParseUint(x, 16, 8)
	return int(n), ok && err == nil && len(x) == 1
}

// answer is the fields of the first line that begins with prefix, without
// quotes and brackets.
func answer(lines []string, prefix string) []string {
	for _, l := range lines {
		rest, ok := strings.CutPrefix(strings.TrimSpace(l), prefix)
		if !ok {
			continue
		}
		fs := strings.Split(strings.TrimLeft(rest, ": \t"), ",")
		for i := range fs {
			fs[i] = strings.Trim(fs[i], " \t\"()")
		}
		return fs
	}
	return nil
}

package modem

import (
	"slices"
	"strconv"
	"strings"
)

// memory is one of the three of +CPMS.
type memory struct {
	Name        string
	Used, Total int
}

// parseMemories reads the answers of AT+CPMS? (names and numbers) and AT+CPMS=
// (numbers only; name is what was asked for then).
func parseMemories(s, name string) (memory, bool) {
	fs := fields(s)
	at := 0
	if _, isNumber := number(fs, 0); !isNumber {
		name, at = fs[0], 1
	}
	used, ok1 := number(fs, at)
	total, ok2 := number(fs, at+1)
	if !ok1 || !ok2 || name == "" {
		return memory{}, false
	}
	return memory{Name: printable(name, 4), Used: used, Total: total}, true
}

// parseMemoryNames reads AT+CPMS=?, whose first list is what messages can be
// read from: ("SM","ME"),("SM"),("SM"). Wavecom nests it one deeper:
// (("SM","BM","SR"),("SM")).
func parseMemoryNames(s string) []string {
	s = strings.TrimLeft(s, "( ")
	if i := strings.IndexByte(s, ')'); i >= 0 {
		s = s[:i]
	}
	var names []string
	for _, n := range fields(s) {
		if n = strings.Trim(n, `"() `); len(n) == 2 && n == strings.ToUpper(n) && printable(n, 2) == n {
			names = append(names, n)
		}
	}
	return names
}

// stored is an entry of +CMGL, or the answer of +CMGR.
type stored struct {
	Index int
	Stat  int // 0 unread, 1 read, 2 unsent, 3 sent
	PDU   string
}

// foreign says that the entry is a SUBMIT that somebody stored: not ours.
func (s stored) foreign() bool { return s.Stat == 2 || s.Stat == 3 }

// blank says that nothing is there: no PDU, or an erased record of the SIM, all
// FF (TS 31.102 4.2.25), which some modems list as a message.
func (s stored) blank() bool { return strings.Trim(strings.ToUpper(s.PDU), "F") == "" }

// parseList reads the lines of AT+CMGL in PDU mode: +CMGL: index,stat,[alpha],
// length, then the PDU on its own line.
func parseList(lines []string) []stored {
	var list []stored
	for i, l := range lines {
		rest, ok := cutPrefix(l, "+CMGL")
		if !ok {
			continue
		}
		fs := fields(rest)
		index, ok1 := number(fs, 0)
		stat, ok2 := status(fs, 1)
		if !ok1 || !ok2 {
			continue
		}
		s := stored{Index: index, Stat: stat}
		if i+1 < len(lines) && isHex(lines[i+1]) {
			s.PDU = strings.TrimSpace(lines[i+1])
		}
		list = append(list, s)
	}
	return list
}

// parseRead reads the lines of AT+CMGR in PDU mode; false when there was no
// message.
func parseRead(lines []string, index int) (stored, bool) {
	for i, l := range lines {
		rest, ok := cutPrefix(l, "+CMGR")
		if !ok {
			continue
		}
		stat, ok := status(fields(rest), 0)
		if !ok || i+1 >= len(lines) || !isHex(lines[i+1]) {
			return stored{}, false
		}
		return stored{Index: index, Stat: stat, PDU: strings.TrimSpace(lines[i+1])}, true
	}
	return stored{}, false
}

// status is the stat of +CMGL and +CMGR. Some modems give the text mode's words
// in PDU mode too (TS 27.005 3.1).
func status(fs []string, i int) (int, bool) {
	if n, ok := number(fs, i); ok || i >= len(fs) {
		return n, ok
	}
	n := slices.Index([]string{"REC UNREAD", "REC READ", "STO UNSENT", "STO SENT"}, strings.ToUpper(fs[i]))
	return n, n >= 0
}

func isHex(s string) bool {
	s = strings.TrimSpace(s)
	return s != "" && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// parseIndexes reads the list of AT+CMGD=?: (1,3,7),(0-4), or (1-20),(0-4).
// Bounded: nobody has more than limit messages.
func parseIndexes(s string, limit int) []int {
	s = strings.TrimLeft(s, "( ")
	if i := strings.IndexByte(s, ')'); i >= 0 {
		s = s[:i]
	}
	var out []int
	for f := range strings.SplitSeq(s, ",") {
		lo, hi, isRange := strings.Cut(strings.TrimSpace(f), "-")
		a, err := strconv.Atoi(strings.TrimSpace(lo))
		if err != nil || a < 0 {
			continue
		}
		b := a
		if isRange {
			if b, err = strconv.Atoi(strings.TrimSpace(hi)); err != nil {
				continue
			}
		}
		for n := a; n <= b && len(out) < limit; n++ {
			out = append(out, n)
		}
	}
	return out
}

// parseHint reads the memory and index of +CMTI and +CDSI. An index below zero
// or no index at all (seen with messages that are announced and kept elsewhere)
// gives -1: the whole store is to be looked through.
func parseHint(s string) (mem string, index int) {
	fs := fields(s)
	index = -1
	if len(fs) > 0 && len(fs[0]) == 2 {
		mem = printable(strings.ToUpper(fs[0]), 2)
	}
	if n, ok := number(fs, 1); ok && n >= 0 {
		index = n
	}
	if mem == "" {
		index = -1
	}
	return mem, index
}

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
	if name = printable(name, 4); !ok1 || !ok2 || used < 0 || total < 0 || name == "" {
		return memory{}, false
	}
	return memory{Name: name, Used: used, Total: total}, true
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
	// Cut says that the PDU is not as long as the line before it says, or that
	// this said no length: a part of it was lost, it is still being written, or
	// the modem has fallen back to text mode, where a text of digits looks like
	// a PDU.
	Cut bool
}

// foreign says that the entry is a SUBMIT that somebody stored: not ours.
func (s stored) foreign() bool { return s.Stat == 2 || s.Stat == 3 }

// blank says that nothing is there: no PDU, or an erased record of the SIM, all
// FF (TS 31.102 4.2.25), which some modems list as a message.
func (s stored) blank() bool { return strings.Trim(strings.ToUpper(s.PDU), "F") == "" }

// parseList reads the lines of AT+CMGL in PDU mode: +CMGL: index,stat,[alpha],
// length, then the PDU on its own line. What stands between the two, or after
// them, is chatter.
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
		s.PDU, s.Cut = pduAfter(lines[i+1:], "+CMGL", fs[2:])
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
		fs := fields(rest)
		stat, ok := status(fs, 0)
		if !ok {
			return stored{}, false
		}
		s := stored{Index: index, Stat: stat}
		s.PDU, s.Cut = pduAfter(lines[i+1:], "+CMGR", fs[1:])
		return s, s.PDU != ""
	}
	return stored{}, false
}

// pduAfter finds the PDU that follows a head, whose last field is the length of
// the TPDU in octets (TS 27.005 3.1): the first line of hex digits before the
// next head, with those that carry it on when it was broken. cut says that it
// does not have that length.
func pduAfter(lines []string, head string, fs []string) (pdu string, cut bool) {
	octets, said := 0, false
	if len(fs) > 0 {
		octets, said = number(fs, len(fs)-1)
	}
	for _, l := range lines {
		if _, next := cutPrefix(l, head); next {
			break
		}
		l = strings.TrimSpace(l)
		if !isHex(l) {
			if pdu != "" {
				break
			}
			continue
		}
		if pdu += l; !said || len(pdu) >= digitsOf(pdu, octets) {
			break
		}
	}
	return pdu, !said || pdu == "" || len(pdu) != digitsOf(pdu, octets)
}

// digitsOf is how many hex digits the PDU has that begins so, with a TPDU of so
// many octets: the service centre's address comes before it.
func digitsOf(pdu string, octets int) int {
	if len(pdu) < 2 {
		return 2 * (1 + octets)
	}
	smsc, _ := strconv.ParseUint(pdu[:2], 16, 8) // hex digits they are
	return 2 * (1 + int(smsc) + octets)
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

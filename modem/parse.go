package modem

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// The parsers of answers. Modems quote or do not, leave the space after the
// colon out, add fields and drop some: each parser takes what it needs and
// says whether it was there.

// after returns what follows prefix and its colon on the first line that has
// it: after(lines, "+CSQ") of "+CSQ: 17,99" is "17,99".
func after(lines []string, prefix string) (string, bool) {
	for _, l := range lines {
		if rest, ok := cutPrefix(l, prefix); ok {
			return rest, true
		}
	}
	return "", false
}

// cutPrefix is after for one line. "+CREG" does not match "+CREGX: 1".
func cutPrefix(line, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), prefix)
	if !ok {
		return "", false
	}
	rest = strings.TrimLeft(rest, " ")
	if rest, ok = strings.CutPrefix(rest, ":"); !ok {
		return "", false
	}
	return strings.TrimSpace(rest), true
}

// fields splits at commas outside of quotes and takes the quotes off.
func fields(s string) []string {
	var out []string
	start, quoted := 0, false
	for i := range len(s) {
		switch s[i] {
		case '"':
			quoted = !quoted
		case ',':
			if !quoted {
				out = append(out, unquote(s[start:i]))
				start = i + 1
			}
		}
	}
	return append(out, unquote(s[start:]))
}

func unquote(s string) string {
	s = strings.TrimSpace(s)
	s = strings.TrimPrefix(s, `"`)
	return strings.TrimSuffix(s, `"`)
}

// number reads a field that must be digits only.
func number(fs []string, i int) (int, bool) {
	if i >= len(fs) || fs[i] == "" || len(fs[i]) > 9 {
		return 0, false
	}
	n, err := strconv.Atoi(fs[i])
	return n, err == nil
}

// digits is the longest run of digits in s.
func digits(s string) string {
	best, start := "", -1
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] >= '0' && s[i] <= '9' {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 && i-start > len(best) {
			best = s[start:i]
		}
		start = -1
	}
	return best
}

// identity is a line of AT+CGMI, +CGMM, +CGMR: the first that says something,
// without an echoed prefix and quotes.
func identity(lines []string, prefix string) string {
	for _, l := range lines {
		if rest, ok := cutPrefix(l, prefix); ok {
			l = rest
		}
		if l = unquote(l); l != "" && !strings.HasPrefix(l, "AT+") {
			return printable(l, 64)
		}
	}
	return ""
}

// printable keeps foreign bytes from reaching pages and terminals as control
// characters, and bounds them.
func printable(s string, limit int) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "") {
		if b.Len() >= limit {
			break
		}
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		}
	}
	return strings.TrimSpace(b.String())
}

// registration is what +CREG, +CGREG and +CEREG say (TS 27.007 7.2, 10.1.20,
// 10.1.22).
type registration struct {
	Stat int
	// AcT is the access technology, -1 when it was not said.
	AcT int
}

// parseRegistration reads "n,stat[,lac,ci[,AcT…]]" of an answer, and
// "stat[,lac,ci[,AcT…]]" of an unsolicited code. "000,001" is n 0, stat 1. The
// access technology is the field after the cell's identity; it may be missing.
func parseRegistration(s string, unsolicited bool) (registration, bool) {
	raw := strings.Split(s, ",")
	fs := fields(s)
	at := 0
	// The second field is stat when it is a bare number; lac is quoted, or hex
	// of four digits. Some modems put n into the unsolicited code as well.
	if len(fs) >= 2 && len(raw) >= 2 && isStat(raw[1]) && (!unsolicited || len(fs) == 2 || len(fs) >= 4 && !isStat(raw[2])) {
		at = 1
	}
	stat, ok := number(fs, at)
	if !ok || stat > 20 {
		return registration{}, false
	}
	r := registration{Stat: stat, AcT: -1}
	if act, ok := number(fs, at+3); ok && act >= 0 && act <= 20 {
		r.AcT = act
	}
	return r, true
}

// isStat tells a bare small number from a location code.
func isStat(raw string) bool {
	raw = strings.TrimSpace(raw)
	n, err := strconv.Atoi(raw)
	return err == nil && n >= 0 && len(raw) <= 3
}

// registered says whether a status lets messages through: home, roaming, and
// the two "SMS only" ones.
func (r registration) registered() bool {
	switch r.Stat {
	case 1, 5, 6, 7:
		return true
	}
	return false
}

// word is the status as Snapshot.Registration names it.
func (r registration) word() string {
	switch r.Stat {
	case 0:
		return "not_registered"
	case 1:
		return "home"
	case 2:
		return "searching"
	case 3:
		return "denied"
	case 5:
		return "roaming"
	case 6, 7:
		return "sms_only"
	}
	return "unknown"
}

// technology names AcT (TS 27.007 7.3).
func technology(act int) string {
	switch act {
	case 0, 1:
		return "GSM"
	case 3:
		return "GSM/EDGE"
	case 2:
		return "UTRAN"
	case 4, 5, 6:
		return "UTRAN/HSPA"
	case 7:
		return "E-UTRAN"
	case 8:
		return "EC-GSM-IoT"
	case 9:
		return "E-UTRAN/NB-IoT"
	case 10, 13:
		return "E-UTRAN/5GC"
	case 11, 12:
		return "NG-RAN"
	}
	return ""
}

// parseSignal reads "rssi,ber" of +CSQ (TS 27.007 8.5); 99 is unknown, and some
// modems count the other technologies from 100.
func parseSignal(s string) (Signal, bool) {
	fs := fields(s)
	rssi, ok := number(fs, 0)
	if !ok {
		return Signal{}, false
	}
	sig := Signal{BER: -1}
	if ber, ok := number(fs, 1); ok && ber >= 0 && ber <= 7 {
		sig.BER = ber
	}
	switch {
	case rssi >= 0 && rssi <= 31:
		sig.Known, sig.RSSI = true, -113+2*rssi
	case rssi >= 100 && rssi <= 191: // TD-SCDMA and LTE in steps of 1 dB
		sig.Known, sig.RSSI = true, -116+(rssi-100)
	}
	return sig, true
}

// parseOperator reads the name of "mode[,format,oper[,AcT]]" of +COPS?; a modem
// that is not registered says only the mode.
func parseOperator(s string) (name string, act int) {
	fs := fields(s)
	act = -1
	if len(fs) < 3 {
		return "", act
	}
	if n, ok := number(fs, 3); ok && n >= 0 && n <= 20 {
		act = n
	}
	return printable(fs[2], 40), act
}

// parseOwnNumber reads +CNUM: [alpha],number[,type…]; type 145 is
// international (TS 27.007 7.1). Digits and a leading + only; "" when there is
// nothing usable.
func parseOwnNumber(s string) string {
	fs := fields(s)
	if len(fs) < 2 {
		return ""
	}
	n := strings.TrimPrefix(fs[1], "+")
	if n == "" || len(n) > 15 || strings.Trim(n, "0123456789") != "" {
		return ""
	}
	if typ, ok := number(fs, 2); fs[1] != n || ok && typ == 145 {
		return "+" + n
	}
	return n
}

// parseICCID reads the answers of the various commands: a run of 18–22 digits,
// hex letters for the padding, or the file of AT+CRSM (TS 31.102 4.2.1; the
// digits of each octet are swapped).
func parseICCID(lines []string) string {
	if rest, ok := after(lines, "+CRSM"); ok {
		fs := fields(rest)
		if sw1, ok := number(fs, 0); !ok || sw1 != 144 && sw1 != 145 || len(fs) < 3 {
			return ""
		}
		return iccid(swapNibbles(fs[2]))
	}
	for _, l := range lines {
		if i := strings.LastIndexByte(l, ':'); i >= 0 {
			l = l[i+1:]
		}
		for _, f := range fields(l) {
			if id := iccid(f); id != "" {
				return id
			}
		}
	}
	return ""
}

// iccid accepts 18–20 digits, with the padding F at the end taken off.
func iccid(s string) string {
	s = strings.TrimRight(strings.ToUpper(strings.TrimSpace(s)), "F")
	if len(s) < 18 || len(s) > 20 || strings.Trim(s, "0123456789") != "" {
		return ""
	}
	return s
}

func swapNibbles(s string) string {
	b, err := hex.DecodeString(s)
	if err != nil {
		return ""
	}
	for i, o := range b {
		b[i] = o<<4 | o>>4
	}
	return hex.EncodeToString(b)
}

package at

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxTrace is how much of a line a trace keeps.
const maxTrace = 200

// secret are the commands whose digits are codes of the SIM or the modem, private
// the codes that carry names, texts or USSD, public those whose long numbers are
// nobody's, bare the commands whose answers have no code in front and are no text.
var (
	secret  = []string{"CPIN=", "CLCK=", "CPWD=", "CPIN2=", "CPUK=", "EPIN=", "UPIN=", "CARDLOCK=", "CSIM=", "CMLCK=", "CPUC="}
	private = []string{"CUSD", "CNUM", "CLIP", "COLP", "CNAP", "CMT", "CDS", "CBM", "CMGR", "CMGL", "CPBR", "CPBF", "CPBW", "CCWA", "HCMT", "HCMGR", "HCMGL", "PSUSSD"}
	public  = []string{"+CREG", "+CGREG", "+CEREG", "+COPS", "+CCLK", "+CSQ"}
	bare    = []string{"+CGMI", "+CGMM", "+CGMR", "+CGSN", "+GMI", "+GMM", "+GMR", "+GSN", "+CIMI", "I",
		"+CCID", "+ICCID", "+QCCID", "+CICCID", "^ICCID", "#CCID", "!ICCID", "%CCID", "+CSIM", "+QPINC"}
)

// hidden stands for a text in a trace.
func hidden(text string) string { return fmt.Sprintf("<text of %d>", utf8.RuneCountInString(text)) }

// redact makes a line fit for a trace: no PIN, no text, of a number the last
// three digits, of a PDU its length. text says that the line belongs to a
// message or a USSD answer.
func redact(line string, text bool) string {
	if isHex(line) && (len(line) >= 26 || len(line) >= 20 && strings.ContainsAny(line, "ABCDEFabcdef")) {
		return fmt.Sprintf("<PDU of %d octets>", len(line)/2)
	}
	if text {
		return hidden(line)
	}
	upper := strings.ToUpper(line)
	if containsAny(upper, secret) {
		line = maskDigits(line, 1)
	}
	name, _, _, _ := code(upper)
	switch {
	case isPrivate(upper):
		line = hideWords(hideQuoted(line))
	case strings.HasPrefix(upper, "ATD"): // a call, or USSD dialled
		line = line[:3] + hidden(line[3:])
	}
	if !slices.Contains(public, name) {
		line = hideNumbers(line)
	}
	line = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '.'
		}
		return r
	}, line), ".")
	if len(line) > maxTrace {
		line = strings.ToValidUTF8(line[:maxTrace], "") + "…"
	}
	return line
}

// redactIn makes what the modem said fit for a trace. A line with a code in
// front is taken by its code. One without is shown only where a command has it
// for an answer: else it may be a message in text mode, a further line of a USSD
// answer, or a piece of something that noise has cut.
func (l *line) redactIn(s string) string {
	if _, ok := final(s, nil); ok || s == ">" {
		return redact(s, false)
	}
	var now *part // the command that is being answered
	if l.cur != nil {
		now = &l.cur.parts[0]
	}
	name, _, _, coded := code(s)
	switch {
	case slices.Contains(public, name):
		return redact(s, false)
	case l.open != nil && l.open.quoted:
		return redact(s, true)
	case now != nil && containsAny(strings.ToUpper(l.cur.cmd), secret):
		return redact(maskDigits(s, 4), !coded && !l.isEcho(s)) // an echo may have lost its head
	case l.isEcho(s), isWord(s):
		return redact(s, false)
	case coded:
		if now != nil && isPrivate(now.name+":") && !isPrivate(strings.ToUpper(s)) && !slices.Contains(public, name) {
			return redact(hideWords(hideQuoted(s)), false) // its own answer, under a name that noise has spoilt
		}
		return redact(s, false)
	case now != nil && slices.Contains(bare, now.name):
		return redact(s, false)
	case s != "" && strings.ContainsRune(sigils, rune(s[0])):
		// What kind of line it is shows a wrong port: $GPGGA,… is a GPS.
		i := 1
		for i < len(s) && i < 10 && s[i] >= 'A' && s[i] <= 'Z' {
			i++
		}
		return redact(s[:i], false) + hidden(s[i:])
	}
	return redact(s, true)
}

// maskDigits hides runs of at least so many digits.
func maskDigits(line string, least int) string {
	b := []byte(line)
	for i := 0; i < len(b); {
		j := i
		for j < len(b) && b[j] >= '0' && b[j] <= '9' {
			j++
		}
		for k := i; j-i >= least && k < j; k++ {
			b[k] = '*'
		}
		i = max(j, i+1)
	}
	return string(b)
}

func containsAny(s string, list []string) bool {
	for _, sub := range list {
		if strings.Contains(s, sub) {
			return true
		}
	}
	return false
}

// isPrivate says whether the line is a code or command of the private list:
// +CUSD: …, AT+CUSD=….
func isPrivate(upper string) bool {
	upper = strings.TrimPrefix(upper, "AT")
	if len(upper) < 2 || !strings.ContainsRune(sigils, rune(upper[0])) {
		return false
	}
	i := strings.IndexAny(upper, ":=?")
	if i < 0 {
		return false
	}
	for _, name := range private {
		if strings.TrimSpace(upper[1:i]) == name {
			// AT+CMGL="ALL" has no text, and its quotes say what was asked.
			return !(upper[i] == '=' && name == "CMGL")
		}
	}
	return false
}

// hideWords hides, behind the code of a private line, each field outside quotes
// that has a letter in it or four digits in a row: a text without quotes.
func hideWords(line string) string {
	i := strings.IndexAny(line, ":=")
	if i < 0 {
		return line
	}
	fields := strings.Split(line[i+1:], ",")
	for n, f := range fields {
		if strings.ContainsAny(f, `"<`) || strings.TrimSpace(f) == "" {
			continue // dealt with by hideQuoted
		}
		if strings.ContainsFunc(f, unicode.IsLetter) || maskDigits(f, 4) != f {
			word := strings.TrimSpace(f)
			fields[n] = strings.Replace(f, word, hidden(word), 1)
		}
	}
	return line[:i+1] + strings.Join(fields, ",")
}

// hideQuoted hides what is between quotes, but for numbers, of which hideNumbers
// keeps the end. An unclosed quote reaches to the line's end.
func hideQuoted(line string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(line, `"`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		quoted, after, closed := strings.Cut(rest, `"`)
		if strings.Trim(quoted, "+0123456789") == "" && len(quoted) >= 7 || quoted == "" {
			b.WriteString(`"` + quoted + `"`)
		} else {
			b.WriteString(hidden(quoted))
		}
		if !closed {
			return b.String()
		}
		line = after
	}
}

// hideNumbers hides long runs of hex digits, and of decimal digits all but the
// last three.
func hideNumbers(line string) string {
	var b strings.Builder
	for i := 0; i < len(line); {
		j := i
		decimal, digits := 0, 0
		for j < len(line) && isHexDigit(line[j]) {
			if line[j] <= '9' {
				digits++
				if digits == j-i+1 {
					decimal = digits
				}
			}
			j++
		}
		switch {
		case j == i:
			b.WriteByte(line[i])
			i++
		case j-i >= 20 && digits > 0 && digits < j-i, j-i >= 12 && digits > 0 && j-i-digits >= 3, j-i > 22:
			fmt.Fprintf(&b, "<hex of %d>", j-i)
			i = j
		case decimal >= 7:
			b.WriteString(strings.Repeat("*", decimal-3) + line[i+decimal-3:i+decimal])
			i += decimal
		default:
			// One octet on: a long number may begin inside, as in 9F0034600111222.
			b.WriteByte(line[i])
			i++
			for i < j && line[i-1] <= '9' && line[i] <= '9' {
				b.WriteByte(line[i])
				i++
			}
		}
	}
	return b.String()
}

func isHex(s string) bool {
	for i := range len(s) {
		if !isHexDigit(s[i]) {
			return false
		}
	}
	return s != "" && len(s)%2 == 0
}

func isHexDigit(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'A' && b <= 'F' || b >= 'a' && b <= 'f'
}

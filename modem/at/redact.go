package at

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxTrace is how much of a line a trace keeps.
const maxTrace = 200

// secret are the commands whose digits are codes of the SIM, private the codes
// whose quoted strings are names or texts, public those whose long numbers are
// nobody's.
var (
	secret  = []string{"CPIN=", "CLCK=", "CPWD=", "CPIN2=", "CPUK=", "EPIN=", "UPIN="}
	private = []string{"CUSD", "CNUM", "CLIP", "COLP", "CNAP", "CMT", "CDS", "CBM", "CMGR", "CMGL", "CPBR", "CPBF", "CPBW"}
	public  = []string{"CREG:", "CGREG:", "CEREG:", "COPS:", "CCLK:", "CSQ:"}
)

// redact makes a line fit for a trace: no PIN, no text, of a number the last
// three digits, of a PDU its length. text says that the line belongs to a
// message or a USSD answer.
func redact(line string, text bool) string {
	if text && !isHex(line) {
		return fmt.Sprintf("<text of %d>", utf8.RuneCountInString(line))
	}
	if isHex(line) && (len(line) >= 26 || len(line) >= 20 && strings.ContainsAny(strings.ToUpper(line), "ABCDEF")) {
		return fmt.Sprintf("<PDU of %d octets>", len(line)/2)
	}
	upper := strings.ToUpper(line)
	if containsAny(upper, secret) {
		line = strings.Map(func(r rune) rune {
			if unicode.IsDigit(r) {
				return '*'
			}
			return r
		}, line)
	}
	if isPrivate(upper) {
		line = hideQuoted(line)
	}
	if !containsAny(upper, public) {
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
	for _, name := range private {
		if i > 0 && upper[1:i] == name {
			// AT+CMGL="ALL" has no text, and its quotes say what was asked.
			return !(upper[i] == '=' && name == "CMGL")
		}
	}
	return false
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
			fmt.Fprintf(&b, "<text of %d>", utf8.RuneCountInString(quoted))
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
		case j-i >= 20 && digits > 0 && digits < j-i, j-i > 22:
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

package main

import (
	"fmt"
	"regexp"
	"strings"
)

// What must not leave the box, by its looks. It is the last of several nets: the papers are made
// of what has no texts and no PINs in it.
var (
	secretWord   = `(?i)\b(pin2?|puk2?|new_?pin|password|passwd|passphrase|secret|token|setup_?code|authorization|cookie|api_?key|idempotency_?key)`
	assignment   = regexp.MustCompile(secretWord + `(=|"\s*:\s*|:\s+)("(?:[^"\\]|\\.)*"|[^\s",;}]+)`)
	bearer       = regexp.MustCompile(`(?i)\bbearer\s+\S+`)
	keyLike      = regexp.MustCompile(`\b(rk_|whsec_)[A-Za-z0-9+/=_-]+`)
	setupLike    = regexp.MustCompile(`\b[A-Z2-7]{26}\b|\b(?:[A-Z2-7]{3,6}-){3,}[A-Z2-7]{1,6}\b`)
	tokenLike    = regexp.MustCompile(`[A-Za-z0-9_-]{40,}`)
	hexLike      = regexp.MustCompile(`\b[0-9A-Fa-f]{20,}\b`)
	digitRun     = regexp.MustCompile(`[0-9]{7,}`)
	spacedNumber = regexp.MustCompile(`\+[0-9](?:[ .-]?[0-9]){7,14}`)
)

// scrub takes out of a text what looks like a secret, and masks what looks like a number: of
// fourteen digits or more (IMEI, IMSI, ICCID) it leaves four, of seven or more three.
func scrub(text string) string {
	text = keyLike.ReplaceAllString(text, "${1}<hidden>")
	text = bearer.ReplaceAllString(text, "Bearer <hidden>")
	text = assignment.ReplaceAllStringFunc(text, func(found string) string {
		m := assignment.FindStringSubmatch(found)
		// "PIN: enter it" is an advice, "pin: 1234" is not.
		advice := strings.HasPrefix(m[2], ":") && strings.HasPrefix(strings.ToLower(m[1]), "p") && !strings.HasPrefix(strings.ToLower(m[1]), "pass")
		if advice && !strings.ContainsAny(m[3], "0123456789") {
			return found
		}
		return m[1] + m[2] + "<hidden>"
	})
	text = setupLike.ReplaceAllString(text, "<hidden>")
	text = hexLike.ReplaceAllStringFunc(text, func(run string) string {
		if strings.Trim(run, "0123456789") == "" {
			return run // a number
		}
		return fmt.Sprintf("<hex of %d>", len(run))
	})
	text = tokenLike.ReplaceAllStringFunc(text, func(run string) string {
		if !strings.ContainsAny(run, "0123456789") || strings.Trim(run, "-_0123456789") == "" {
			return run
		}
		return "<hidden>"
	})
	text = spacedNumber.ReplaceAllStringFunc(text, func(number string) string {
		return "+" + maskRun(strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, number), 3)
	})
	return digitRun.ReplaceAllStringFunc(text, func(run string) string {
		if len(run) >= 14 {
			return maskRun(run, 4)
		}
		return maskRun(run, 3)
	})
}

// maskRun leaves the last digits of a run.
func maskRun(run string, left int) string {
	return strings.Repeat("*", len(run)-left) + run[len(run)-left:]
}

// longNumbersQuoted makes strings of JSON's numbers that will be masked: it stays JSON.
func longNumbersQuoted(text string) string {
	var b strings.Builder
	for within, i := false, 0; i < len(text); i++ {
		c := text[i]
		n := 0
		if !within {
			n = len(text[i:]) - len(strings.TrimLeft(text[i:], "+-.0123456789eE"))
		}
		switch {
		case n > 0 && (c == '-' || c >= '0' && c <= '9') && digitRun.MatchString(text[i:i+n]):
			b.WriteString(`"` + text[i:i+n] + `"`)
			i += n - 1
			continue
		case within && c == '\\' && i+1 < len(text):
			b.WriteByte(c)
			i++
		case c == '"':
			within = !within
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

package console

import (
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// shown is a text as this terminal can show it.
func (c *Console) shown(text string) string {
	if c.o.ASCII {
		return ascii(text)
	}
	return text
}

// charset makes a writer keep to what the terminal can show, and keeps what comes from
// modems and networks (names, chatter) from steering it.
func (c *Console) charset(w io.Writer) io.Writer { return charsetWriter{w, c.o.ASCII} }

type charsetWriter struct {
	w     io.Writer
	ascii bool
}

// Write expects whole characters: what fmt gives.
func (c charsetWriter) Write(p []byte) (int, error) {
	text := strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) {
			return '.'
		}
		return r
	}, string(p))
	if c.ascii {
		text = ascii(text)
	}
	if _, err := io.WriteString(c.w, text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// ascii takes accents off and replaces what is left outside ASCII by ?.
func ascii(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x80:
			return r
		case unicode.Is(unicode.Mn, r), r == '¿', r == '¡':
			return -1
		}
		return '?'
	}, norm.NFD.String(text))
}

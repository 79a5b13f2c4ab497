package emulator

import (
	"errors"
	"strings"
)

// verb is the form of an extended command (V.250 clause 5.4).
type verb uint8

const (
	exec verb = iota // AT+CMD, ATE0
	read             // AT+CMD?
	test             // AT+CMD=?
	set              // AT+CMD=…
)

// command is one command of a line.
type command struct {
	name string // "+CMGS", "E", "&F", "S0"; upper case
	verb verb
	args string // what follows "="; the number of a basic command
}

var errSyntax = errors.New("no AT command")

// parseLine takes a command line apart: what stands after AT, without CR. Basic
// commands follow one another directly, extended ones need a semicolon before
// the next (V.250 clause 5.2). The commands before a syntax error are given
// with it, since a modem has carried them out by then.
func parseLine(line string) ([]command, error) {
	var out []command
	for {
		line = strings.TrimLeft(line, " ;")
		if line == "" {
			return out, nil
		}
		var c command
		var ok bool
		if strings.IndexByte("+^*#$%!", line[0]) >= 0 {
			c, line, ok = parseExtended(line)
		} else {
			c, line, ok = parseBasic(line)
		}
		if !ok {
			return out, errSyntax
		}
		out = append(out, c)
	}
}

func parseExtended(line string) (command, string, bool) {
	i := 1
	for i < len(line) && isNameByte(line[i]) {
		i++
	}
	c := command{name: strings.ToUpper(line[:i])}
	rest := line[i:]
	if i == 1 {
		return c, rest, false
	}
	end := unquotedSemicolon(rest)
	tail := strings.TrimRight(rest[:end], " ")
	rest = rest[end:]
	switch {
	case tail == "":
	case tail == "?":
		c.verb = read
	case tail == "=?":
		c.verb = test
	case tail[0] == '=':
		c.verb, c.args = set, tail[1:]
	default:
		return c, rest, false
	}
	return c, rest, true
}

// parseBasic reads a letter with a number, &X with a number, Sn, Sn=v, Sn? or
// D with the rest of the line.
func parseBasic(line string) (command, string, bool) {
	i := 1
	if line[0] == '&' {
		i = 2
	}
	if i > len(line) || !isLetter(line[i-1]) {
		return command{}, line, false
	}
	c := command{name: strings.ToUpper(line[:i])}
	if c.name == "D" {
		end := unquotedSemicolon(line)
		c.args = line[1:end]
		return c, line[end:], true
	}
	rest := line[i:]
	n := countDigits(rest)
	c.args, rest = rest[:n], rest[n:]
	if c.name == "S" {
		c.name, c.args = "S"+c.args, ""
		switch {
		case strings.HasPrefix(rest, "?"):
			c.verb, rest = read, rest[1:]
		case strings.HasPrefix(rest, "="):
			n := countDigits(rest[1:])
			c.verb, c.args, rest = set, rest[1:1+n], rest[1+n:]
		}
	}
	return c, rest, true
}

// unquotedSemicolon is the place of the first semicolon outside quotes, or the
// length of the line.
func unquotedSemicolon(s string) int {
	quoted := false
	for i := range len(s) {
		switch s[i] {
		case '"':
			quoted = !quoted
		case ';':
			if !quoted {
				return i
			}
		}
	}
	return len(s)
}

func countDigits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

// isNameByte: the characters of extended names (V.250 clause 5.4.1).
func isNameByte(b byte) bool {
	return isLetter(b) || b >= '0' && b <= '9' || b == '_' || b == '-' || b == '.' || b == '/' || b == ':' || b == '%' || b == '!'
}

// argument is one parameter of a set command.
type argument struct {
	text   string // without quotes
	quoted bool
}

// arguments splits parameters at commas outside quotes. A parameter left out
// is empty.
func arguments(s string) []argument {
	var out []argument
	for {
		end, quoted := len(s), false
		for i := range len(s) {
			if s[i] == '"' {
				quoted = !quoted
			} else if s[i] == ',' && !quoted {
				end = i
				break
			}
		}
		a := argument{text: strings.TrimSpace(s[:end])}
		if n := len(a.text); n >= 2 && a.text[0] == '"' && a.text[n-1] == '"' {
			a = argument{text: a.text[1 : n-1], quoted: true}
		}
		out = append(out, a)
		if end == len(s) {
			return out
		}
		s = s[end+1:]
	}
}

// number is the parameter's value; def when it was left out; ok is false when
// it is no number.
func (a argument) number(def int) (n int, ok bool) {
	if a.text == "" {
		return def, true
	}
	if len(a.text) > 9 || countDigits(a.text) != len(a.text) {
		return 0, false
	}
	for i := range len(a.text) {
		n = n*10 + int(a.text[i]-'0')
	}
	return n, true
}

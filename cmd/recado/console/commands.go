package console

import (
	"fmt"
	"slices"
	"strings"
)

// command is one thing that the console can do: an item of the menu, and its scriptable twin.
type command struct {
	name string // as typed: "modem list"
	help string // key of its text
	args []argument
	// rest: the last argument takes the rest of the line.
	rest bool
	// needs: a running daemon.
	needs bool
	// typed: it is in no menu, which has to fit an old terminal; help lists it.
	typed bool
	run   func(s *session, args []string) error
}

// argument is what a command wants to know; the menu asks for it.
type argument struct {
	name   string // as usage shows it: MODEM
	prompt string // key of the question
	// propose gives the default in [brackets]; "" none.
	propose func(s *session) string
	// optional ones are not asked for.
	optional bool
}

// commands in the order of the menu; those that are only typed after it.
func commands() []command {
	var (
		modem  = argument{name: "MODEM", prompt: "a.modem", propose: (*session).onlyModem}
		sim    = argument{name: "SIM", prompt: "a.sim", propose: (*session).onlySIM}
		reason = argument{name: "REASON|all", prompt: "a.reason", propose: (*session).onlyReason}
		class  = argument{name: "CLASS", optional: true}
		person = argument{name: "PERSON", prompt: "a.person", propose: (*session).onlyAdmin}
	)
	return []command{
		{name: "status", help: "c.status", run: (*session).status},
		{name: "lines", help: "c.lines", needs: true, run: (*session).lines},
		{name: "modem list", help: "c.modems", needs: true, run: (*session).modems},
		{name: "modem show", help: "c.modem", args: []argument{modem}, needs: true, run: (*session).modem},
		{name: "modem restart", help: "c.restart", args: []argument{modem}, needs: true, run: (*session).restart},
		{name: "modem trace", help: "c.trace", args: []argument{modem, {name: "LINES", optional: true}}, needs: true, run: (*session).trace},
		{name: "modem history", help: "c.history", args: []argument{modem, {name: "LINES", optional: true}}, needs: true, run: (*session).history},
		{name: "sim list", help: "c.sims", needs: true, run: (*session).sims},
		{name: "sim show", help: "c.sim", args: []argument{sim}, needs: true, run: (*session).sim},
		{name: "sim name", help: "c.name", args: []argument{sim, {name: "NAME", prompt: "a.name"}}, rest: true, needs: true, run: (*session).nameSIM},
		{name: "sim enable", help: "c.enable", args: []argument{sim}, needs: true, run: (*session).enableSIM},
		{name: "sim disable", help: "c.disable", args: []argument{sim}, needs: true, run: (*session).disableSIM},
		{name: "sim limits", help: "c.limits", args: []argument{sim, {name: "CHANGES", optional: true}}, rest: true, needs: true, run: (*session).limits},
		{name: "sim balance", help: "c.balance", args: []argument{sim}, needs: true, run: (*session).balance},
		{name: "sim test", help: "c.test", args: []argument{sim}, needs: true, run: (*session).test},
		{name: "pin", help: "c.pin", args: []argument{modem}, needs: true, run: (*session).enterPIN},
		{name: "puk", help: "c.puk", args: []argument{modem}, needs: true, run: (*session).enterPUK},
		{name: "ussd", help: "c.ussd", args: []argument{sim, {name: "CODE", prompt: "a.code"}, {name: "REPLIES", optional: true}}, rest: true, needs: true, run: (*session).ussd},
		{name: "send", help: "c.send", args: []argument{{name: "TO", prompt: "a.to"}, {name: "TEXT", prompt: "a.text"}}, rest: true, run: (*session).send},
		{name: "queue", help: "c.queue", run: (*session).queue},
		{name: "held list", help: "c.held", run: (*session).heldList},
		{name: "held release", help: "c.release", args: []argument{reason, class}, run: (*session).release},
		{name: "held discard", help: "c.discard", args: []argument{reason, class}, run: (*session).discard},
		{name: "uncertain list", help: "c.uncertain", run: (*session).uncertain},
		{name: "uncertain resolve", help: "c.resolve", args: []argument{{name: "ID", prompt: "a.id"}, {name: "resend|mark_sent|mark_failed", prompt: "a.resolve"}}, run: (*session).resolve},
		{name: "pause", help: "c.pause", args: []argument{{name: "SIM|CLASS", optional: true}}, rest: true, run: (*session).pause},
		{name: "resume", help: "c.resume", args: []argument{{name: "SIM|CLASS", optional: true}}, rest: true, run: (*session).resume},
		{name: "clock", help: "c.clock", run: (*session).clock},
		{name: "clock trust", help: "c.trust", args: []argument{{name: sureFlag, optional: true}, {name: "TIME", optional: true}}, rest: true, needs: true, run: (*session).trustClock},
		{name: "backup list", help: "c.backups", needs: true, run: (*session).backups},
		{name: "backup now", help: "c.backup", needs: true, run: (*session).backupNow},
		{name: "log", help: "c.log", needs: true, run: (*session).log},
		{name: "doctor", help: "c.doctor", run: (*session).doctor},
		{name: "password", help: "c.password", args: []argument{person}, run: (*session).password},
		{name: "lang", help: "c.lang", args: []argument{{name: "es|en", prompt: "a.lang"}}, run: (*session).setLanguage},
		{name: "quit", help: "c.quit", run: (*session).quit},
		{name: "modem power", help: "c.power", args: []argument{modem}, needs: true, typed: true, run: (*session).power},
		{name: "sim forget-pin", help: "c.forget", args: []argument{sim}, needs: true, typed: true, run: (*session).forgetPIN},
		{name: "help", help: "c.help", typed: true, run: (*session).help},
	}
}

// usage is how the command is typed.
func (c command) usage() string {
	text := c.name
	for _, a := range c.args {
		if a.optional {
			text += " [" + a.name + "]"
		} else {
			text += " " + a.name
		}
	}
	return text
}

// find takes a line apart: a menu number or a command's name, then its arguments.
func find(line string) (command, []string, bool) {
	all := commands()
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return command{}, nil, false
	}
	for i, c := range all {
		if fields[0] == fmt.Sprint(i+1) {
			return c, c.split(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), fields[0]))), true
		}
	}
	alias := map[string]string{"?": "help", "exit": "quit", "logout": "quit", "modem": "modem list", "modems": "modem list",
		"sim": "sim list", "sims": "sim list",
		"held": "held list", "uncertain": "uncertain list", "backup": "backup list", "backups": "backup list"}
	for _, n := range []int{2, 1} {
		if len(fields) < n {
			continue
		}
		name := strings.ToLower(strings.Join(fields[:n], " "))
		if to, ok := alias[name]; ok && len(fields) == n {
			name = to
		}
		i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
		if i < 0 {
			continue
		}
		rest := strings.TrimSpace(line)
		for _, f := range fields[:n] {
			rest = strings.TrimSpace(strings.TrimPrefix(rest, f))
		}
		return all[i], all[i].split(rest), true
	}
	return command{}, nil, false
}

// split cuts what follows a command's name into its arguments. One in quotes may have spaces; the
// last of a command with rest takes what is left, quotes around it taken off.
func (c command) split(text string) []string {
	var args []string
	for text != "" {
		if c.rest && len(args) == len(c.args)-1 {
			return append(args, unquote(text))
		}
		var one string
		if quote := text[0]; quote == '"' || quote == '\'' {
			if end := strings.IndexByte(text[1:], quote); end >= 0 {
				one, text = text[1:1+end], strings.TrimSpace(text[end+2:])
				args = append(args, one)
				continue
			}
		}
		one, text, _ = strings.Cut(text, " ")
		text = strings.TrimSpace(text)
		args = append(args, one)
	}
	return args
}

// unquote takes a pair of quotes off.
func unquote(text string) string {
	if n := len(text); n >= 2 && (text[0] == '"' || text[0] == '\'') && text[n-1] == text[0] {
		return text[1 : n-1]
	}
	return text
}

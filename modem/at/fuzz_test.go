package at

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var wire = []string{
	"\r\n+CSQ: 20,99\r\n\r\nOK\r\n", "AT+CSQ\r\r\nOK\r\n", "\r\n> ", ">", "\n>\n> \r", "+CMT: ,24\r\n" + pduLine + "\r\n",
	"+CMT: ,24\r\nOK\r\n", "+CUSD: 1,\"a\r\n> b\",15\r\n", "+CUSD: 0,\"5\x1be\r\nOK\r\n+CMTI: \"SM\",1\r\n", "\r\n+CMS ERROR: 38\r\n", "+CMGS: 7\r\nOK\r\n", "\x00\x1a\x1b\xff\r",
	"COMMAND NOT SUPPORT\r\n", "^RSSI: 20\r\n+ZUSIMR:2\r\nNO CARRIER\r\n", "ERROR_COUNT: 1\n", "+CREG: 2,1\r\n+CREG: 1,\"00\"\r\n",
	"+CPIN: READY\r\n", "+:\r\n+\r\n^^\r\n", "+CDS: 999999999999999999999\r\n", "0\r4\r",
}

// However the octets are cut into reads, the lines are the same.
func FuzzSplitter(f *testing.F) {
	for i, s := range wire {
		f.Add([]byte(s), byte(i))
	}
	f.Fuzz(func(t *testing.T, p []byte, cut byte) {
		read := func(step int) (list []string) {
			var s splitter
			for rest := p; len(rest) > 0; {
				n := min(step, len(rest))
				s.feed(rest[:n], func() bool { return false }, func() { t.Fatal("prompt") },
					func(line string) { list = append(list, line) })
				rest = rest[n:]
			}
			return list
		}
		whole, cuts := read(len(p)+1), read(int(cut)%7+1)
		if strings.Join(whole, "\n") != strings.Join(cuts, "\n") {
			t.Fatalf("%q against %q", whole, cuts)
		}
		for _, line := range whole {
			if line == "" || len(line) > maxLine || strings.ContainsAny(line, "\r\n") ||
				!strings.HasPrefix(line, "+CUSD") && strings.ContainsAny(line, "\x00\x1a\x1b") {
				t.Fatalf("line %q", line)
			}
		}
	})
}

// Whatever the modem says while a command or submission is in flight: at gets
// one final result at most, the prompt once at most, and nothing that it could
// read anything else into; no URC is a final result.
func FuzzLine(f *testing.F) {
	for i, s := range wire {
		f.Add([]byte(s), byte(i))
	}
	f.Fuzz(func(t *testing.T, p []byte, kind byte) {
		var urcs []URC
		q := &urcQueue{handler: func(URC) {}, log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1)}
		l := &line{
			o:    Options{Now: time.Now, ResultTimeout: time.Hour, Trace: func(TraceEntry) {}},
			urcs: q, stray: make(chan struct{}, 1), gone: make(chan struct{}), escaped: -1,
		}
		l.more.L = &l.mu
		cmds := []string{"", "+CSQ", "+CREG?", "+CMGL=4", "+CPIN?", "+CUSD=1,\"*1#\"", "I"}
		x := &exchange{cmd: cmds[int(kind)%len(cmds)], limit: time.Hour, written: true}
		if kind >= 128 {
			x.cmd, x.sms = "+CMGS=5", &submission{body: "0001", phase: Phase(kind%4) + 1}
		}
		x.parts = parts(x.cmd)
		l.arm(x, time.Hour, func() {})
		l.cur, l.echo = x, [2]string{"AT" + x.cmd, "0001"}
		l.receive(p)
		l.receive([]byte("\r\n"))
		l.mu.Lock()
		for l.open != nil { // a flush may open the next
			l.flush()
		}
		x.timer.Stop()
		urcs = q.list
		l.mu.Unlock()

		finals := 0
		out := l.out.Bytes()
		if rest, ok := bytes.CutPrefix(out, []byte(">")); ok && x.sms != nil {
			out = rest
		}
		for line := range strings.Lines(string(out)) {
			switch line = strings.TrimSuffix(line, "\n"); {
			case strings.HasPrefix(line, "\x00"):
			case line == "OK", line == "ERROR", strings.HasPrefix(line, "+CMS ERROR: "), strings.HasPrefix(line, "+CME ERROR: "):
				finals++
			default:
				t.Fatalf("at would get %q", line)
			}
		}
		if finals > 1 || finals == 1 != x.done && (x.sms == nil || x.sms.phase == PhasePDUSent) {
			t.Fatalf("%d final results, done %v", finals, x.done)
		}
		for _, u := range urcs {
			if _, ok := final(u.Line, nil); ok {
				t.Fatalf("a final result as URC: %q", u.Line)
			}
		}
	})
}

func FuzzReference(f *testing.F) {
	for _, s := range []string{"+CMGS: 7", "+CMGS: 7,26/09/30,12:01:02+08", `+CMGS: 7,"010062900321102080"`, "+CMGS:", "+CMGS: ,", "+CMGS: -1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if mr, _ := reference(s); mr < -1 || mr > 255 {
			t.Fatalf("%q gives %d", s, mr)
		}
	})
}

func FuzzFinal(f *testing.F) {
	for _, s := range []string{"OK", "+CMS ERROR: 38", "+CME ERROR:", "+CMS ERROR: memory full", "error", "+CMS ERROR", "+cme error ſ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if canonical, ok := final(s, nil); ok && canonical != "OK" && modemFinal(canonical) == nil {
			t.Fatalf("%q is no error", s)
		}
	})
}

// No number of a subscriber and no PIN gets into a trace.
func FuzzRedact(f *testing.F) {
	for _, s := range []string{`AT+CPIN="1234"`, `+CNUM: "Ana","+34600111222",145`, pduLine, `+CUSD: 1,"x`, "F0034600111222", "00346001112223344556677"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := redact(s, false)
		if !utf8.ValidString(got) || len(got) > maxTrace+len("…") {
			t.Fatalf("%q gives %q", s, got)
		}
		run := 0
		for _, r := range got {
			if r >= '0' && r <= '9' {
				run++
			} else {
				run = 0
			}
			name, _, _, _ := code(strings.ToUpper(s))
			if run >= 7 && !slices.Contains(public, name) {
				t.Fatalf("%q gives %q", s, got)
			}
		}
		if strings.HasPrefix(s, "AT+CPIN=") && strings.ContainsAny(strings.NewReplacer("<text of", "").Replace(got), "0123456789") && !strings.Contains(got, "<") {
			t.Fatalf("%q gives %q", s, got)
		}
	})
}

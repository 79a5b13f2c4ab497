package modem

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (p *peer) commands() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// TestDeletionWithoutAnswer: nobody knows what is in the slot afterwards. It is
// read before anything is deleted there again.
func TestDeletionWithoutAnswer(t *testing.T) {
	script := plain()
	script["+CMGL=4"] = "+CMGL: 1,1,,4|00FFFFFFF1|+CMGL: 2,1,,4|00FFFFFFF2|+CMGL: 3,1,,4|00FFFFFFF3"
	for _, cmd := range []string{"+CMGD=1", "+CMGD=2", "+CMGD=3"} {
		script[cmd] = ""
	}
	withPeer(t, &peer{script: script, mute: []string{"+CMGD="}}, func(l *lifeOf, p *peer) {
		l.until("three deletions", 3*time.Minute, func() bool { return p.count("AT+CMGD=3") == 1 })
		require.Len(l.t, l.box.received(), 3)
		p.mu.Lock()
		p.mute = nil
		p.script["+CMGL=4"] = "+CMGL: 3,0,,4|00FFFFFFF4" // the deletions were done, and something new has come
		p.got = nil
		p.mu.Unlock()
		l.until("what is in the slot now", 3*time.Minute, func() bool { return len(l.box.received()) >= 4 })
		l.until("its deletion", time.Minute, func() bool { return p.count("AT+CMGD=3") >= 1 })
		got := p.commands()
		require.Less(l.t, slices.Index(got, "AT+CMGL=4"), slices.Index(got, "AT+CMGD=3"), "read first: %q", got)
	})
}

// TestMemoryIsSelectedAgain: a submission in the middle of a look into another
// memory, which sends the modem back, leaves that one selected.
func TestMemoryIsSelectedAgain(t *testing.T) {
	script := plain()
	script["+CPMS=?"] = `+CPMS: ("SM","ME"),("SM"),("SM")`
	script[`+CPMS="ME","ME","ME"`] = "+CPMS: 0,5,0,5,0,5"
	script[`+CPMS="ME"`] = "+CPMS: 1,5,0,10,0,10"
	script[`+CPMS="SM"`] = "+CPMS: 0,10,0,10,0,10"
	script["+CMGR=2"] = "+CMGR: 0,,4|00FFFFFFF2"
	script["+CMGD=2"] = ""
	withPeer(t, &peer{script: script}, func(l *lifeOf, p *peer) {
		l.ready()
		require.Equal(l.t, "SM", l.m.Snapshot().StorageName)
		done := make(chan Outcome, 1)
		p.mu.Lock()
		p.submitted = func(c io.Writer) { io.WriteString(c, "\r\n+CMS ERROR: 331\r\n") }
		p.on = func(cmd string) {
			if cmd == `AT+CPMS="ME"` && len(done) == 0 && p.count("AT+CMGS") == 0 {
				go func() { done <- l.m.Send(l.t.Context(), l.tpdu("+34600111222", "hola"), func() error { return nil }) }()
				time.Sleep(10 * time.Millisecond) // of the bubble: it waits to be sent
			}
		}
		p.mu.Unlock()
		p.say(`+CMTI: "ME",4`)
		require.Equal(l.t, "cms_331", (<-done).Code)
		l.ready()
		p.say(`+CMTI: "SM",2`)
		l.until("the message", time.Minute, func() bool { return p.count("AT+CMGR=2") > 0 })
		last := ""
		for _, cmd := range p.commands() {
			if beginsWithAny(cmd, []string{`AT+CPMS="`}) {
				last = cmd[:len(`AT+CPMS="SM"`)]
			}
			if cmd == "AT+CMGR=2" {
				break
			}
		}
		require.Equal(l.t, `AT+CPMS="SM"`, last)
	})
}

// TestStatusInWords: PDU mode with the text mode's words.
func TestStatusInWords(t *testing.T) {
	require.Equal(t, []stored{{Index: 1, Stat: 0, PDU: "00FF"}, {Index: 2, Stat: 1, PDU: "00FE"}, {Index: 3, Stat: 3, PDU: "00FD"}},
		parseList([]string{`+CMGL: 1,"REC UNREAD",,1`, "00FF", `+CMGL: 2,"rec read",,1`, "00FE", `+CMGL: 3,"STO SENT",,1`, "00FD", `+CMGL: 4,"?",,1`, "00FC"}))
	got, ok := parseRead([]string{`+CMGR: "REC UNREAD",,1`, "00FF"}, 7)
	require.True(t, ok)
	require.Equal(t, stored{Index: 7, PDU: "00FF"}, got)
}

package modem

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/pdu"
)

// TestHintToAnotherMemory: a message of class 2 lies on the SIM whatever memory
// is in use. It is read there, and the memory is the old one again.
func TestHintToAnotherMemory(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10, "ME": 100})
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		require.Equal(l.t, "ME", l.m.Snapshot().StorageName)
		c.put("SM", 4, letter(l.t, "clase dos"))
		lists := c.count("AT+CMGL")
		c.say(`+CMTI: "SM",4`)
		l.has(3*time.Second, "clase dos")
		l.until("its deletion", 3*time.Second, func() bool { return c.left("SM") == 0 })
		require.Equal(l.t, lists, c.count("AT+CMGL"), "read where it is, not looked for")
		l.pass(time.Second)
		c.change(func() { require.Equal(l.t, "ME", c.mem) })
		require.Equal(l.t, "ME", l.m.Snapshot().StorageName)
	})
}

// TestHintsInEveryShape: an index below zero or none, no quotes, no memory. The
// next look of its own is a minute away.
func TestHintsInEveryShape(t *testing.T) {
	for _, line := range []string{`+CMTI: ,-1`, `+CMTI: "SM",-1`, `+CMTI: SM,3`, `+CMTI:"SM",3`, `+CMTI: "SM" , 3`, `+CMTI: "SM"`, `+CMTI: 3`, `+CMTI:`, `+CMTI`, `+CMTI: "sm",3`} {
		t.Run(line, func(t *testing.T) {
			c := newCabinet(map[string]int{"SM": 10})
			withCabinet(t, c, func(l *lifeOf) {
				l.ready()
				c.put("SM", 3, letter(l.t, "aquí"))
				c.say(line)
				l.has(5*time.Second, "aquí")
				l.until("its deletion", 5*time.Second, func() bool { return c.left("SM") == 0 })
			})
		})
	}
}

// TestReportAnnouncedWhereItIsNot: some say +CDSI: "SM" and keep it in SR.
func TestReportAnnouncedWhereItIsNot(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10, "SR": 10})
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		tpdu, err := pdu.StatusReportTPDU(7, "+34600111222", time.Now(), time.Now(), 0)
		require.NoError(l.t, err)
		c.put("SR", 1, letterOf(l.t, tpdu))
		c.say(`+CDSI: "SM",1`)
		l.until("the report", 10*time.Second, func() bool { return len(l.box.kind(pdu.KindStatusReport)) == 1 })
		require.Contains(l.t, l.m.Snapshot().LastError, "has stored none where it said")
		require.True(l.t, slices.ContainsFunc(l.m.History(), func(e Entry) bool { return e.Kind == EntryStorage }))
	})
}

// TestReadOfAnIndexThatIsBeingWritten: it is not there yet, or not all of it.
func TestReadOfAnIndexThatIsBeingWritten(t *testing.T) {
	whole := letter(t, "espera un momento")
	for name, first := range map[string]string{
		"bare OK":        "OK",
		"invalid index":  "+CMS ERROR: 321",
		"SIM busy":       "+CMS ERROR: 314",
		"no PDU":         "+CMGR: 0,,0|OK",
		"erased":         "+CMGR: 0,,167|" + strings.Repeat("FF", 175) + "|OK",
		"a part of it":   "+CMGR: 0,,36|" + whole.pdu[:40] + "|OK",
		"half an octet":  "+CMGR: 0,,36|" + whole.pdu[:41] + "|OK",
		"only its first": "+CMGR: 0,,36|07|OK",
	} {
		t.Run(name, func(t *testing.T) {
			c := newCabinet(map[string]int{"SM": 10})
			begun := time.Time{}
			c.instead = func(cmd string) (string, bool) {
				if cmd != "+CMGR=3" {
					return "", false
				}
				if begun.IsZero() {
					begun = time.Now()
				}
				return first, time.Since(begun) < 400*time.Millisecond
			}
			withCabinet(t, c, func(l *lifeOf) {
				l.ready()
				c.put("SM", 3, whole)
				lists := c.count("AT+CMGL")
				c.say(`+CMTI: "SM",3`)
				l.has(2*time.Second, "espera un momento")
				require.Equal(l.t, lists, c.count("AT+CMGL"))
				require.NoError(l.t, l.box.received()[0].PDU.Err)
			})
		})
	}
}

// TestListRefused: by word, then one by one over AT+CMGD=?, then over all there
// may be.
func TestListRefused(t *testing.T) {
	for name, no := range map[string][]string{
		"4": {"+CMGL=4"}, "both": {"+CMGL"}, "both and the indexes": {"+CMGL", "+CMGD=?"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCabinet(map[string]int{"SM": 10})
			c.instead = func(cmd string) (string, bool) { return "+CMS ERROR: 303", beginsWithAny(cmd, no) }
			c.mems["SM"][2], c.mems["SM"][7] = letter(t, "dos"), letter(t, "siete")
			withCabinet(t, c, func(l *lifeOf) {
				l.ready()
				l.has(5*time.Second, "dos", "siete")
				l.until("their deletion", 5*time.Second, func() bool { return c.left("SM") == 0 })
				switch name {
				case "4":
					require.Zero(l.t, c.count("AT+CMGR"))
					require.Equal(l.t, 1, c.count("AT+CMGL=4"), "once: then it is known")
				case "both":
					require.Equal(l.t, 2, c.count("AT+CMGR"), "only where something is")
				default:
					require.Equal(l.t, 21, c.count("AT+CMGR"))
				}
			})
		})
	}
}

// TestListWithCodesInItsMidst: between a head and its PDU, and between entries.
func TestListWithCodesInItsMidst(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10})
	a, b := letter(t, "uno"), letter(t, "dos")
	c.mems["SM"][1], c.mems["SM"][2] = a, b
	c.instead = func(cmd string) (string, bool) {
		if cmd != "+CMGL=4" || len(c.mems["SM"]) < 2 {
			return "", false
		}
		half := func(e record, chatter string) string {
			head, body, _ := strings.Cut(e.lines(), "|")
			return head + "|" + chatter + "|" + body
		}
		return "+CMGL: 1," + half(a, `^RSSI:18|+CMTI: "SM",9|*PSUTTZ: 2026,11,22`) + "|+CREG: 1|+CMGL: 2," + half(b, "RING|something else") + "|^BOOT:1,0|OK", true
	}
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		l.has(5*time.Second, "uno", "dos")
		require.Zero(l.t, c.count("AT+CMGR=1")+c.count("AT+CMGR=2"), "nothing was missing")
		l.until("their deletion", 5*time.Second, func() bool { return c.left("SM") == 0 })
	})
}

// TestListWithBrokenPDULines: empty, short, odd, not hex, in two lines. What
// AT+CMGR has whole is taken whole; what nobody has whole is kept raw; what has
// nothing stays where it is.
func TestListWithBrokenPDULines(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10})
	texts := []string{"vacía", "corta", "impar", "rota", "en dos líneas", "nada"}
	list := map[int]func(e record) string{
		0: func(record) string { return "0,,24" },
		1: func(e record) string { return strings.ReplaceAll(e.lines()[:len(e.lines())-12], "|", "|") },
		2: func(e record) string { return e.lines()[:len(e.lines())-1] },
		3: func(e record) string { head, _, _ := strings.Cut(e.lines(), "|"); return head + "|0791###" },
		4: func(e record) string { return e.lines()[:40] + "|" + e.lines()[40:] },
	}
	for i, text := range texts {
		c.mems["SM"][i] = letter(t, text)
	}
	c.instead = func(cmd string) (string, bool) {
		switch cmd {
		case "+CMGL=4":
			var b strings.Builder
			for i := range 10 {
				if e, there := c.mems["SM"][i]; there {
					line := e.lines()
					if list[i] != nil {
						line = list[i](e)
					}
					fmt.Fprintf(&b, "+CMGL: %d,%s|", i, line)
				}
			}
			return b.String() + "OK", true
		case "+CMGR=2": // this one is like that
			e, there := c.mems["SM"][2]
			if !there {
				return "", false
			}
			return "+CMGR: " + e.lines()[:len(e.lines())-1] + "|OK", true
		}
		return "", false
	}
	c.mems["SM"][8] = record{head: "1,,0"} // nothing there, whoever asks
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		l.until("all of them", 2*time.Minute, func() bool { return len(l.box.received()) == len(texts) })
		l.until("their deletion", time.Minute, func() bool { return c.left("SM") == 1 })
		var whole []string
		broken := 0
		for _, r := range l.box.received() {
			if r.PDU.Err != nil {
				broken++
				require.NotEmpty(l.t, r.PDU.Raw)
				continue
			}
			whole = append(whole, r.PDU.Text)
		}
		require.Equal(l.t, 1, broken)
		require.ElementsMatch(l.t, []string{"vacía", "corta", "rota", "en dos líneas", "nada"}, whole)
		require.Zero(l.t, c.count("AT+CMGD=8"), "nothing was kept of it")
		l.pass(10 * time.Minute)
		require.Zero(l.t, c.count("AT+CMGD=8"))
		require.Len(l.t, l.box.received(), len(texts), "once")
		require.Less(l.t, c.count("AT+CMGR"), 20, "and not asked for ever")
	})
}

// TestDigitsInTextModeAreNoPDU: a modem that fell back to text mode shows a code
// of digits as such, which is no PDU to be kept and deleted.
func TestDigitsInTextModeAreNoPDU(t *testing.T) {
	for _, by := range []string{"+CMGL=4", "+CMGR=3"} {
		t.Run(by, func(t *testing.T) {
			c := newCabinet(map[string]int{"SM": 10})
			text := false
			c.instead = func(cmd string) (string, bool) {
				switch {
				case cmd == "+CMGF=0":
					text = false
					return "OK", true
				case cmd == "+CMGF?" && text:
					return "+CMGF: 1|OK", true
				case cmd == "+CMGR=3" && text:
					return `+CMGR: "REC UNREAD","+34600111222",,"26/11/22,10:00:00+04"|483920|OK`, true
				case cmd == "+CMGL=4" && text:
					return `+CMGL: 3,"REC UNREAD","+34600111222",,"26/11/22,10:00:00+04"|483920|OK`, true
				}
				return "", false
			}
			withCabinet(t, c, func(l *lifeOf) {
				l.ready()
				c.change(func() { text = true })
				c.put("SM", 3, letter(l.t, "483920"))
				if by == "+CMGR=3" {
					c.say(`+CMTI: "SM",3`)
				} else {
					c.say(`+CMTI: ,-1`)
				}
				l.until("the message", 10*time.Second, func() bool { return len(l.box.received()) > 0 })
				require.NoError(l.t, l.box.received()[0].PDU.Err)
				require.Equal(l.t, "483920", l.box.received()[0].PDU.Text)
				l.pass(2 * time.Minute)
				require.Len(l.t, l.box.received(), 1)
			})
		})
	}
}

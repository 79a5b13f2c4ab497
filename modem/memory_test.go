package modem

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/pdu"
)

func (l *lifeOf) says(within time.Duration, part string) {
	l.t.Helper()
	l.until("a word on the memory: "+part, within, func() bool {
		s := l.m.Snapshot().StorageSays
		return part == "" && s == "" || part != "" && strings.Contains(s, part)
	})
}

// noted counts the lines of the history on the memory that have the words.
func (l *lifeOf) noted(part string) (n int) {
	for _, e := range l.m.History() {
		if e.Kind == EntryStorage && strings.Contains(e.Text, part) {
			n++
		}
	}
	return n
}

// TestMemoryIsChosen: the family's wish, else the bigger of ME and SM, if what
// it counts it also lists.
func TestMemoryIsChosen(t *testing.T) {
	for name, c := range map[string]struct {
		sizes map[string]int
		lies  bool
		maker string
		want  string
	}{
		"ME is bigger":               {map[string]int{"SM": 10, "ME": 100}, false, "", "ME"},
		"SM is bigger":               {map[string]int{"SM": 100, "ME": 10}, false, "", "SM"},
		"as big":                     {map[string]int{"SM": 50, "ME": 50}, false, "", "SM"},
		"ME lists nothing":           {map[string]int{"SM": 10, "ME": 100}, true, "", "SM"},
		"only ME":                    {map[string]int{"ME": 100}, false, "", "ME"},
		"no SIM memory":              {map[string]int{"SM": 0, "ME": 100}, false, "", "ME"},
		"only MT":                    {map[string]int{"MT": 100}, false, "", "MT"},
		"the make is known for SM":   {map[string]int{"SM": 10, "ME": 100}, false, "Quectel|EC200A", "SM"},
		"reports are not a memory":   {map[string]int{"SM": 10, "SR": 100}, false, "", "SM"},
		"MT is both of those listed": {map[string]int{"SM": 10, "ME": 20, "MT": 30}, false, "", "ME"},
	} {
		t.Run(name, func(t *testing.T) {
			cab := newCabinet(c.sizes)
			if c.lies {
				cab.mems["ME"][1] = letter(t, "perdida")
			}
			cab.instead = func(cmd string) (string, bool) {
				maker, model, _ := strings.Cut(c.maker, "|")
				switch {
				case cmd == "+CGMI" && maker != "":
					return maker + "|OK", true
				case cmd == "+CGMM" && maker != "":
					return model + "|OK", true
				case c.lies && cab.mem == "ME" && strings.HasPrefix(cmd, "+CMGL"):
					return "OK", true
				}
				return "", false
			}
			withCabinet(t, cab, func(l *lifeOf) {
				l.ready()
				require.Equal(l.t, c.want, l.m.Snapshot().StorageName)
				require.Equal(l.t, c.sizes[c.want], l.m.Snapshot().StorageTotal)
				cab.change(func() { require.Equal(l.t, c.want, cab.mem) })
			})
		})
	}
}

// TestMemoryThatTurnsOutBlind: ME was empty when it was chosen, and lists
// nothing when something is in it. It is left for SM.
func TestMemoryThatTurnsOutBlind(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10, "ME": 100})
	c.instead = func(cmd string) (string, bool) {
		switch {
		case c.mem != "ME":
		case strings.HasPrefix(cmd, "+CMGL"):
			return "OK", true
		case strings.HasPrefix(cmd, "+CMGR"):
			return "+CMS ERROR: 321", true
		}
		return "", false
	}
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		require.Equal(l.t, "ME", l.m.Snapshot().StorageName)
		c.put("ME", 0, letter(l.t, "nadie la verá"))
		c.say(`+CMTI: "ME",0`)
		l.until("the other memory", 2*time.Minute, func() bool { return l.m.Snapshot().StorageName == "SM" })
		l.says(5*time.Second, "ME cannot be read")
		require.Equal(l.t, 1, l.noted("ME cannot be read"))
		c.put("SM", 1, letter(l.t, "esta sí"))
		c.say(`+CMTI: "SM",1`)
		l.has(5*time.Second, "esta sí")
		l.pass(30 * time.Minute)
		require.Equal(l.t, "SM", l.m.Snapshot().StorageName)
		require.Equal(l.t, StateReady, l.m.Snapshot().State)
		require.Equal(l.t, 1, l.noted("ME cannot be read"), "told once")
	})
}

// TestCountedButNotListed: with no other memory it is told, and looked for no
// more often than usual.
func TestCountedButNotListed(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10})
	for i := range 3 {
		c.mems["SM"][i] = letter(t, "oculta")
	}
	c.instead = func(cmd string) (string, bool) { return "OK", strings.HasPrefix(cmd, "+CMGL") }
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		l.says(time.Minute, "cannot be read")
		before := c.count("AT+CMGL")
		l.pass(10 * time.Minute)
		require.LessOrEqual(l.t, c.count("AT+CMGL")-before, 14, "once a minute, and with the five-minute rounds")
		c.change(func() { c.instead = nil })
		l.until("all of them", 2*time.Minute, func() bool { return len(l.box.received()) == 3 })
		l.says(2*time.Minute, "")
	})
}

// TestMemoriesWithoutOK: Wavecom's AT+CPMS has no final result.
func TestMemoriesWithoutOK(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10})
	c.instead = func(cmd string) (string, bool) {
		used := len(c.mems["SM"])
		switch cmd {
		case "+CPMS?":
			return fmt.Sprintf(`+CPMS: "SM",%d,10,"SM",%d,10,"SM",%d,10`, used, used, used), true
		case `+CPMS="SM","SM","SM"`:
			return "+CMS ERROR: 302", true
		}
		return "", false
	}
	c.mems["SM"][1] = letter(t, "hola")
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		require.Equal(l.t, "SM", l.m.Snapshot().StorageName)
		require.Equal(l.t, 10, l.m.Snapshot().StorageTotal)
		l.has(10*time.Second, "hola")
		l.empty(time.Minute)
	})
}

// TestNoMemoryAtAll: nothing is looked through, it is said, and messages come
// directly if the modem lets them.
func TestNoMemoryAtAll(t *testing.T) {
	c := newCabinet(nil)
	none := true
	c.instead = func(cmd string) (string, bool) {
		switch {
		case cmd == "+CPMS=?" && none:
			return "+CPMS: (),(),()|OK", true
		case cmd == "+CNMI=2,2,0,1,0":
			return "OK", true
		case cmd == "+CNMI?" && none:
			return "+CNMI: 2,2,0,1,0|OK", true
		}
		return "", false
	}
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		l.says(0, "read from nowhere")
		require.Equal(l.t, 1, l.noted("read from nowhere"))
		require.Empty(l.t, l.m.Snapshot().StorageName)
		e := letter(l.t, "directo")
		c.say("+CMT: ,24\r\n" + e.pdu)
		l.has(5*time.Second, "directo")
		l.pass(4 * time.Minute)
		require.Zero(l.t, c.count("AT+CMGL")+c.count("AT+CMGR")+c.count("AT+CPMS?"))
		require.Equal(l.t, 1, c.count("AT+CPMS"), "asked once")
		c.change(func() { // it had not seen its SIM when it was asked
			none = false
			c.names, c.size, c.mems = []string{"SM"}, map[string]int{"SM": 10}, map[string]map[int]record{"SM": {1: letter(l.t, "guardado")}}
		})
		l.has(10*time.Minute, "directo", "guardado")
		require.Equal(l.t, "SM", l.m.Snapshot().StorageName)
		require.Empty(l.t, l.m.Snapshot().StorageSays)
		require.Equal(l.t, 1, c.count("AT+CNMI=2,1,0,1,0"), "announced from now on")
	})
}

// TestSIMThatIsStillLoading: ten tries a second apart, of the list and of the
// setting.
func TestSIMThatIsStillLoading(t *testing.T) {
	for _, busy := range []string{"+CME ERROR: 14", "+CMS ERROR: 314", "+CMS ERROR: 515", "+CME ERROR: SIM busy"} {
		for _, cmd := range []string{"+CPMS=?", `+CPMS="ME"`} {
			t.Run(busy+" to "+cmd, func(t *testing.T) {
				c := newCabinet(map[string]int{"SM": 10, "ME": 100})
				refused := 0
				c.instead = func(got string) (string, bool) {
					if !strings.HasPrefix(got, cmd) || refused >= 9 {
						return "", false
					}
					refused++
					return busy, true
				}
				withCabinet(t, c, func(l *lifeOf) {
					l.ready()
					require.Equal(l.t, "ME", l.m.Snapshot().StorageName)
					require.Equal(l.t, 100, l.m.Snapshot().StorageTotal)
					require.Equal(l.t, 9, refused)
				})
			})
		}
	}
}

// TestSIMThatLoadsForLong: when it was busy all the time it is asked again later.
func TestSIMThatLoadsForLong(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10, "ME": 100})
	busy := true
	c.instead = func(got string) (string, bool) {
		return "+CMS ERROR: 314", busy && strings.HasPrefix(got, "+CPMS")
	}
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		c.put("ME", 1, letter(l.t, "tarde"))
		c.change(func() { busy = false })
		l.has(time.Minute, "tarde")
		require.Equal(l.t, "ME", l.m.Snapshot().StorageName)
	})
}

// TestBusySIMIsListedAgainSoon: a list that the SIM was too busy for.
func TestBusySIMIsListedAgainSoon(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10})
	c.mems["SM"][1] = letter(t, "hola")
	var begun time.Time
	c.instead = func(cmd string) (string, bool) {
		if cmd == "+CMGL=4" && begun.IsZero() {
			begun = time.Now()
		}
		busy := !begun.IsZero() && time.Since(begun) < 8*time.Second
		return "+CMS ERROR: 314", busy && (cmd == "+CMGL=4" || cmd == "+CPMS?")
	}
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		l.has(20*time.Second, "hola")
		require.Equal(l.t, 3, c.count("AT+CMGL=4"), "a busy SIM says nothing on the command")
	})
}

// TestFillingUpIsTold from seven tenths on, and taken back.
func TestFillingUpIsTold(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10})
	for i := range 6 {
		c.mems["SM"][i] = draft(i)
	}
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		l.pass(2 * time.Minute)
		require.Empty(l.t, l.m.Snapshot().StorageSays)
		require.Equal(l.t, 6, l.m.Snapshot().StorageForeign)
		c.put("SM", 6, draft(6))
		l.says(2*time.Minute, "filling up")
		require.Contains(l.t, l.m.Snapshot().StorageSays, "(7 of 10)")
		require.Equal(l.t, 1, l.noted("filling up"))
		c.change(func() { delete(c.mems["SM"], 0) })
		l.says(2*time.Minute, "")
		require.Equal(l.t, 1, l.noted("in order again"))
	})
}

// TestFullNotices: whatever says that the memory is full, it is swept at once.
func TestFullNotices(t *testing.T) {
	for _, line := range []string{`^SMMEMFULL: "SM"`, "+SMS FULL", `+CIEV: "SMSFULL",1`, `+CIEV: smsfull,1`, `+QIND: "smsfull","SM"`, "+CIEV: 8,1"} {
		t.Run(line, func(t *testing.T) {
			c := newCabinet(map[string]int{"SM": 10})
			withCabinet(t, c, func(l *lifeOf) {
				l.ready()
				l.pass(10 * time.Second)
				for i := range 10 {
					c.put("SM", i, letter(l.t, fmt.Sprint("n", i)))
				}
				c.say(line)
				l.until("all of it", 15*time.Second, func() bool { return len(l.box.received()) == 10 })
				l.until("room", 5*time.Second, func() bool { return c.left("SM") == 0 })
				l.pass(5 * time.Second)
				require.Empty(l.t, l.m.Snapshot().StorageSays)
			})
		})
	}
	t.Run("that say there is room", func(t *testing.T) {
		s := &session{m: New(Config{Name: "x", Sink: &box{}})}
		s.fam.Store(generic())
		for line, want := range map[string]urcKind{
			`+CIEV: "SMSFULL",0`: urcRoom, `+CIEV: 2,4`: urcOther, `+CIEV: 8,0`: urcOther, `+CIEV: 8,1`: urcRoom,
			`+CIEV: "MESSAGE",1`: urcOther, `+CIEV: 10,"21407","Red"`: urcOther, `+CIEV:`: urcOther,
		} {
			require.Equal(t, want, classify(line, s.family()), line)
		}
	})
}

// TestFullByItsCode: a submission that is refused because the memory is full.
func TestFullByItsCode(t *testing.T) {
	for _, code := range []string{"322", "208", "211", "320"} {
		t.Run(code, func(t *testing.T) {
			c := newCabinet(map[string]int{"SM": 10})
			c.submitted = func() string { return "+CMS ERROR: " + code }
			withCabinet(t, c, func(l *lifeOf) {
				l.ready()
				l.pass(10 * time.Second)
				for i := range 10 {
					c.put("SM", i, letter(l.t, fmt.Sprint("n", i)))
				}
				o, _ := l.send("+34600111222", "no cabe")
				require.Equal(l.t, "cms_"+code, o.Code)
				l.until("all of it", 5*time.Second, func() bool { return len(l.box.received()) == 10 })
				l.until("room", 5*time.Second, func() bool { return c.left("SM") == 0 })
			})
		})
	}
}

// TestNearlyFullGoesBeforeSends: at nine tenths the memory is emptied under
// steady load, and everything that is deleted was kept.
func TestNearlyFullGoesBeforeSends(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10})
	c.submitted = func() string { time.Sleep(time.Second); return c.reference() }
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		l.pass(10 * time.Second)
		sent := make(chan int, 1)
		stop := make(chan struct{})
		halt := sync.OnceFunc(func() { close(stop) })
		defer halt()
		go func() {
			n := 0
			for ; ; n++ {
				select {
				case <-stop:
					sent <- n
					return
				default:
					l.m.Send(l.t.Context(), l.tpdu("+34600111222", "carga"), func() error { return nil })
				}
			}
		}()
		l.until("the load", 10*time.Second, func() bool { return c.count("AT+CMGS") > 2 })
		for i := range 9 {
			c.put("SM", i, letter(l.t, fmt.Sprint("n", i)))
		}
		c.say("+SMS FULL")
		begin := time.Now()
		lists := c.count("AT+CMGL")
		l.until("the sweep", 3*time.Second, func() bool { return c.count("AT+CMGL") > lists })
		l.until("room", time.Minute, func() bool { return c.left("SM") == 0 })
		took := time.Since(begin)
		halt()
		n := <-sent
		require.Len(l.t, l.box.received(), 9)
		require.Less(l.t, took, 20*time.Second, "one message in between for each of its commands, at the most")
		require.Positive(l.t, n, "and sending goes on")
	})
}

// TestFullOfOthersMessages: drafts of another device stay, it is told in words,
// and an operator may have them deleted. Each is kept first.
func TestFullOfOthersMessages(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10})
	for i := range 10 {
		c.mems["SM"][i] = draft(i)
	}
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		l.says(10*time.Second, "full of others' messages")
		require.Contains(l.t, l.m.Snapshot().LastError, "full of others' messages")
		l.pass(20 * time.Minute)
		require.Equal(l.t, 10, c.left("SM"), "nobody told us to")
		require.Equal(l.t, 10, l.m.Snapshot().StorageForeign)
		require.Empty(l.t, l.box.received())
		require.Equal(l.t, 1, l.noted("full of others' messages"))
		o, _ := l.send("+34600111222", "salir sí")
		require.Equal(l.t, Accepted, o.Verdict)

		n, err := l.m.DeleteForeign(l.t.Context())
		require.NoError(l.t, err)
		require.Equal(l.t, 10, n)
		l.until("room", 10*time.Second, func() bool { return c.left("SM") == 0 })
		require.Len(l.t, l.box.kind(pdu.KindSubmit), 10, "kept before they went")
		require.Len(l.t, l.box.received(), 10)
		l.says(time.Minute, "")
		require.Zero(l.t, l.m.Snapshot().StorageForeign)

		l.m.SetPassive(true)
		l.pass(time.Second)
		_, err = l.m.DeleteForeign(l.t.Context())
		require.ErrorIs(l.t, err, ErrNotReady)
	})
}

// TestForeignIsKeptBeforeItGoes: without the sink nothing is deleted, order or
// not.
func TestForeignIsKeptBeforeItGoes(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10})
	c.mems["SM"][1], c.mems["SM"][2] = draft(1), record{stat: 3, pdu: letter(t, "con un estado raro").pdu}
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		l.box.mu.Lock()
		l.box.refuse = fmt.Errorf("disk full")
		l.box.mu.Unlock()
		n, err := l.m.DeleteForeign(l.t.Context())
		require.NoError(l.t, err)
		require.Equal(l.t, 2, n)
		l.pass(5 * time.Minute)
		require.Equal(l.t, 2, c.left("SM"))
		l.box.mu.Lock()
		l.box.refuse = nil
		l.box.mu.Unlock()
		_, err = l.m.DeleteForeign(l.t.Context())
		require.NoError(l.t, err)
		l.until("both gone", time.Minute, func() bool { return c.left("SM") == 0 })
		require.Len(l.t, l.box.kind(pdu.KindSubmit), 2, "whatever it looks like: nobody sent it to us")
	})
}

// TestDeletionThatDoesNothing: the message is kept once, the deletion is not
// repeated for ever, and it is told.
func TestDeletionThatDoesNothing(t *testing.T) {
	for _, answer := range []string{"OK", "+CMS ERROR: 500", "ERROR"} {
		t.Run(answer, func(t *testing.T) {
			c := newCabinet(map[string]int{"SM": 10})
			c.instead = func(cmd string) (string, bool) { return answer, strings.HasPrefix(cmd, "+CMGD=") }
			c.mems["SM"][4] = letter(t, "pegada")
			withCabinet(t, c, func(l *lifeOf) {
				l.ready()
				l.says(2*time.Minute, "does not delete")
				l.pass(30 * time.Minute)
				require.Len(l.t, l.box.received(), 1)
				require.Less(l.t, c.count("AT+CMGD"), 10)
				require.Equal(l.t, 1, l.noted("does not delete"))
				c.change(func() { c.instead = nil })
				l.until("its deletion", 15*time.Minute, func() bool { return c.left("SM") == 0 })
				l.says(2*time.Minute, "")
				c.put("SM", 4, letter(l.t, "otra"))
				c.say(`+CMTI: "SM",4`)
				l.has(5*time.Second, "pegada", "otra")
				l.until("its deletion", 5*time.Second, func() bool { return c.left("SM") == 0 })
			})
		})
	}
}

// TestBlankRecordsStay: MC35i lists erased records as messages.
func TestBlankRecordsStay(t *testing.T) {
	s := &session{m: New(Config{Name: "x", Sink: &box{}}), taken: map[slot]bool{}, deleted: map[slot]string{}}
	for _, empty := range []string{"", "FF", "ffffFFFF"} {
		s.take("SM", stored{Index: 1, PDU: empty})
	}
	require.Empty(t, s.taken)
	c := newCabinet(map[string]int{"SM": 10})
	c.mems["SM"][9] = record{stat: 1, head: "1,,167", pdu: strings.Repeat("FF", 175)}
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		l.pass(10 * time.Minute)
		require.Empty(l.t, l.box.received())
		require.Zero(l.t, c.count("AT+CMGD"))
		require.Less(l.t, c.count("AT+CMGL"), 30)
	})
}

// TestSettingsAreCheckedAfterACFUN: some come back from it with what they were
// told forgotten, and say nothing of it.
func TestSettingsAreCheckedAfterACFUN(t *testing.T) {
	for _, news := range []string{"+CFUN: 1", "SMS Ready", "+QUSIM: 1"} {
		for _, now := range []string{"0,1,0,1,0", "2,0,0,1,0", "2,1,0,0,0", "2,2,0,1,0"} {
			t.Run(news+" "+now, func(t *testing.T) {
				c := newCabinet(map[string]int{"SM": 10})
				forgot := false
				c.instead = func(cmd string) (string, bool) {
					if cmd == "+CNMI=2,1,0,1,0" {
						forgot = false
					}
					return "+CNMI: " + now + "|OK", cmd == "+CNMI?" && forgot
				}
				withCabinet(t, c, func(l *lifeOf) {
					l.ready()
					for round := range 2 { // it may forget the same again
						set := c.count("AT+CNMI=2,1,0,1,0")
						c.change(func() { forgot = true })
						c.say(news)
						l.until("AT+CNMI again", 5*time.Second, func() bool { return c.count("AT+CNMI=2,1,0,1,0") == set+1 })
						require.Positive(l.t, l.noted("forgot AT+CNMI"), round)
						l.pass(time.Second)
					}
				})
			})
		}
	}
}

// TestCNMIThatIsToldInAnotherWay is set once more, and not every five minutes.
func TestCNMIThatIsToldInAnotherWay(t *testing.T) {
	c := newCabinet(map[string]int{"SM": 10})
	c.instead = func(cmd string) (string, bool) { return "+CNMI: 3,1,0,1,0|OK", cmd == "+CNMI?" }
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		l.pass(40 * time.Minute)
		require.Equal(l.t, 2, c.count("AT+CNMI="))
		require.Equal(l.t, 1, l.noted("forgot AT+CNMI"))
	})
}

// TestPolls: every minute, or every 15 s where nothing is announced.
func TestPolls(t *testing.T) {
	for name, every := range map[string]time.Duration{"": time.Minute, "+CNMI=": 15 * time.Second} {
		t.Run(name, func(t *testing.T) {
			c := newCabinet(map[string]int{"SM": 10})
			c.instead = func(cmd string) (string, bool) { return "+CMS ERROR: 303", name != "" && strings.HasPrefix(cmd, name) }
			withCabinet(t, c, func(l *lifeOf) {
				l.ready()
				for i := range 3 {
					l.pass(every / 3)
					c.put("SM", i, letter(l.t, fmt.Sprint("n", i)))
					n := i
					l.until("what nobody announced", every+time.Second, func() bool { return len(l.box.received()) == n+1 })
				}
				lists := c.count("AT+CMGL")
				l.pass(10 * time.Minute)
				most := int(10*time.Minute/every) + 6
				require.LessOrEqual(l.t, c.count("AT+CMGL")-lists, most)
				require.GreaterOrEqual(l.t, c.count("AT+CMGL")-lists, most-8)
			})
		})
	}
}

package at

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// wildModem answers one command after the other, as real ones do, but late or
// not at all, with unsolicited lines between, with echo or without, and with an
// OK too few or seconds behind its answer or the ESC. Its answers say which command they are for.
type wildModem struct {
	conn  net.Conn
	rnd   *rand.Rand
	queue chan string
	heard int // AT+CGMR so far
	echo  bool

	mu   sync.Mutex // of writes to conn, line by line
	sent []byte     // first octet of each PDU that it got, in order
}

// hear reads commands into the queue; it is never too busy for that.
func (m *wildModem) hear() {
	defer close(m.queue)
	var line []byte
	buf := make([]byte, 256)
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			return
		}
		for _, b := range buf[:n] {
			line = append(line, b)
			if b == '\r' || b == 0x1a || b == 0x1b {
				m.queue <- string(line)
				line = nil
			}
		}
	}
}

func (m *wildModem) say(s string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	io.WriteString(m.conn, s)
}

var chatter = []string{
	"+CMTI: \"SM\",3", "^RSSI: 20", "+CREG: 5", "RING", "+CMT: ,24\r\n" + pduLine, "+CDS: 24\r\n" + pduLine, "+ZUSIMR:2",
	"+CUSD: 1,\"a\r\n> b\",15", "NO CARRIER",
}

func (m *wildModem) maybeChatter() {
	for m.rnd.IntN(3) == 0 {
		m.say("\r\n" + chatter[m.rnd.IntN(len(chatter))] + "\r\n")
	}
}

// run answers, until the port is closed.
func (m *wildModem) run() {
	editing := false
	for s := range m.queue {
		if m.echo {
			m.say(s)
		}
		m.maybeChatter()
		switch {
		case editing && strings.HasSuffix(s, "\x1a"):
			editing = false
			pdu, err := hex.DecodeString(strings.TrimSuffix(s, "\x1a"))
			if err != nil || len(pdu) < 3 {
				m.say("\r\n+CMS ERROR: 304\r\n")
				continue
			}
			m.sent = append(m.sent, pdu[1])
			if m.rnd.IntN(4) == 0 { // slower than the 180 s
				time.Sleep(time.Duration(m.rnd.IntN(400)) * time.Second)
			}
			m.maybeChatter()
			switch m.rnd.IntN(10) {
			case 0: // never
			case 1:
				m.say(fmt.Sprintf("\r\n+CMGS: %d\r\n", pdu[1])) // its OK is lost
			default:
				m.say(fmt.Sprintf("\r\n+CMGS: %d\r\n", pdu[1]))
				m.maybeChatter()
				m.slow()
				m.say("\r\nOK\r\n")
			}
		case editing && strings.HasSuffix(s, "\x1b"):
			editing = false
			m.slow()
			if m.rnd.IntN(2) == 0 {
				m.say("\r\nOK\r\n")
			}
		case editing: // a command, eaten as text
		case strings.HasPrefix(s, "AT+CMGS="):
			m.slow()
			editing = true
			m.say("\r\n> ")
		case s == "AT+CGMR\r":
			m.heard++
			n := m.heard
			m.slow()
			if m.rnd.IntN(12) == 0 {
				continue // never
			}
			m.say(fmt.Sprintf("\r\nrevision %d\r\n", n))
			m.maybeChatter()
			m.slow()
			m.say("\r\nOK\r\n")
		case strings.HasSuffix(s, "AT\r"):
			m.slow()
			m.say("\r\nOK\r\n")
		}
	}
}

func (m *wildModem) slow() {
	if m.rnd.IntN(6) == 0 {
		time.Sleep(time.Duration(m.rnd.IntN(3000)) * time.Millisecond)
	}
}

// Whatever the modem does, no answer is ever given to another command than the
// one that it was for, and no PDU is sent twice or without its gate.
func TestProperty_NoAnswerIsAnothersAnswer(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		steps := rapid.IntRange(1, 40).Draw(rt, "steps")
		var fault error
		synctest.Test(t, func(t *testing.T) { fault = wildStory(seed, steps) })
		if fault != nil {
			rt.Fatal(fault)
		}
	})
}

func wildStory(seed uint64, steps int) error {
	rnd := rand.New(rand.NewPCG(seed, 1))
	ours, theirs := net.Pipe()
	m := &wildModem{conn: theirs, rnd: rand.New(rand.NewPCG(seed, 2)), queue: make(chan string, 1000), echo: seed%2 == 0}
	c := New(ours, Options{URC: func(URC) {}, Trace: func(TraceEntry) {}})
	var modem sync.WaitGroup
	modem.Go(m.hear)
	modem.Go(m.run)

	ctx := context.Background()
	var want []byte // what the modem must have got, or may have got
	asked, number := 0, byte(0)
	story := func() error {
		for range steps {
			var err error
			switch rnd.IntN(4) {
			case 0, 1:
				asked++
				var info []string
				info, err = c.Command(ctx, "+CGMR", time.Second)
				if errors.Is(err, ErrUnsynced) {
					asked-- // settling before it failed, it was not written
				}
				if err == nil && (len(info) != 1 || info[0] != fmt.Sprintf("revision %d", asked)) {
					return fmt.Errorf("command %d was answered %q", asked, info)
				}
			default:
				number++
				refuse := rnd.IntN(5) == 0
				gates := 0
				s := c.Submit(ctx, []byte{number, 1, 2}, func() error {
					gates++
					if refuse {
						return errRefused
					}
					want = append(want, number)
					return nil
				})
				err = s.Err
				if errors.Is(err, ErrTimeout) && s.Phase == PhasePDUSent && rnd.IntN(2) == 0 {
					wait, cancel := context.WithTimeout(ctx, 2*time.Minute)
					select {
					case late, ok := <-c.LateResult():
						if ok {
							s = late
						}
					case <-wait.Done():
					}
					cancel()
				}
				if s.Err == nil && s.MR != int(number) {
					return fmt.Errorf("submission %d was answered +CMGS: %d", number, s.MR)
				}
				if gates > 1 || s.Phase == PhasePDUSent && (gates == 0 || refuse) {
					return fmt.Errorf("submission %d: %d gates, refused %v, phase %d", number, gates, refuse, s.Phase)
				}
			}
			for tries := 0; errors.Is(err, ErrTimeout) || errors.Is(err, ErrUnsynced); tries++ {
				if tries > 100 {
					return errors.New("no way back into step")
				}
				err = c.Resync(ctx)
			}
		}
		return nil
	}
	fault := story()
	if err := c.Close(); err != nil && fault == nil {
		fault = err
	}
	theirs.Close()
	modem.Wait()
	if fault == nil && !bytes.Equal(m.sent, want) {
		fault = fmt.Errorf("the modem got the PDUs %v, the gates opened for %v", m.sent, want)
	}
	return fault
}

package modem

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// card is a scripted modem with a SIM that keeps count of its tries, for what a
// SIM and a modem can do to each other. It does what its fields say; they may be
// changed at any time with set.
type card struct {
	mu          sync.Mutex
	pin, puk    string // "" for pin: switched off
	open        bool
	pinTries    int
	pukTries    int
	iccid, imsi string
	imei        string
	hidden      bool // the ICCID is told only when the SIM is open
	counts      bool // it tells how many tries are left
	cpin        string
	creg        string
	enter       func(args string) (answer string, ok bool) // in place of AT+CPIN=
	mute        bool
	got         []string
	conn        net.Conn
	boots       int
	absent      bool
}

func newCard(pin string) *card {
	return &card{
		pin: pin, puk: "12345678", open: pin == "", pinTries: 3, pukTries: 10, counts: true,
		iccid: "8934079900000000011", imsi: "214070000000001", imei: "356938035643809", creg: "+CREG: 0,1",
	}
}

func (c *card) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

func (c *card) dial(context.Context) (io.ReadWriteCloser, error) {
	host, device := net.Pipe()
	c.mu.Lock()
	c.conn = device
	c.mu.Unlock()
	go c.serve(device)
	return host, nil
}

func (c *card) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\r')
		if err != nil {
			return
		}
		cmd := strings.Trim(line, "\r\n\x1b\x1a ")
		if cmd == "" {
			continue
		}
		c.mu.Lock()
		c.got = append(c.got, cmd)
		answer := c.answer(strings.TrimPrefix(cmd, "AT"))
		mute := c.mute
		c.mu.Unlock()
		if answer != "" && !mute {
			io.WriteString(conn, "\r\n"+strings.ReplaceAll(answer, "|", "\r\n\r\n")+"\r\n")
		}
	}
}

// answer is what the modem says to a command; "" nothing. c.mu is held.
func (c *card) answer(cmd string) string {
	told := c.iccid != "" && !c.absent && (c.open || !c.hidden)
	switch {
	case cmd == "", cmd == "E0", cmd == "V1", cmd == "Q0", cmd == "+CMEE=1", cmd == "+CMGF=0":
		return "OK"
	case cmd == "+CGSN" && c.imei != "":
		return c.imei + "|OK"
	case cmd == "+CREG?":
		return c.creg + "|OK"
	case cmd == "+CPIN?":
		return c.state()
	case strings.HasPrefix(cmd, "+CPIN="):
		return c.entered(strings.TrimPrefix(cmd, "+CPIN="))
	case cmd == `+CPINR="SIM PIN"` && c.counts && !c.absent:
		return fmt.Sprintf("+CPINR: SIM PIN,%d,3|OK", c.pinTries)
	case cmd == `+CPINR="SIM PUK"` && c.counts && !c.absent:
		return fmt.Sprintf("+CPINR: SIM PUK,%d,10|OK", c.pukTries)
	case cmd == "+CCID" && told:
		return "+CCID: " + c.iccid + "|OK"
	case cmd == "+CIMI" && c.open && !c.absent:
		return c.imsi + "|OK"
	case cmd == "+CFUN=1,1":
		c.restart()
		return "OK"
	}
	return "ERROR"
}

func (c *card) state() string {
	switch {
	case c.cpin != "":
		return c.cpin
	case c.absent:
		return "+CME ERROR: 10"
	case c.pinTries == 0:
		return "+CPIN: SIM PUK|OK"
	case !c.open:
		return "+CPIN: SIM PIN|OK"
	}
	return "+CPIN: READY|OK"
}

// entered is AT+CPIN= (TS 31.101 9.5.1).
func (c *card) entered(args string) string {
	if c.enter != nil {
		if answer, ok := c.enter(args); ok {
			return answer
		}
	}
	codes := strings.Split(strings.ReplaceAll(args, `"`, ""), ",")
	switch {
	case c.pinTries > 0 && len(codes) == 1:
		return c.verify(codes[0])
	case c.pinTries == 0 && len(codes) == 2:
		if codes[0] != c.puk {
			c.pukTries--
			return "+CME ERROR: 16"
		}
		c.pin, c.pinTries, c.pukTries, c.open = codes[1], 3, 10, true
		return "OK"
	}
	return "+CME ERROR: 3"
}

func (c *card) verify(pin string) string {
	if pin == c.pin {
		c.pinTries, c.open = 3, true
		return "OK"
	}
	if c.pinTries--; c.pinTries == 0 {
		return "+CME ERROR: 12"
	}
	return "+CME ERROR: 16"
}

// restart is what the loss of power does to the SIM. c.mu is held.
func (c *card) restart() {
	c.open = c.pin == ""
	c.boots++
}

// reboot restarts the modem, which says so.
func (c *card) reboot() {
	c.set(c.restart)
	c.say("RDY")
}

func (c *card) say(line string) {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	io.WriteString(conn, "\r\n"+line+"\r\n")
}

// codes are what was written with AT+CPIN=.
func (c *card) codes() (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.got {
		if rest, ok := strings.CutPrefix(g, "AT+CPIN="); ok {
			list = append(list, rest)
		}
	}
	return list
}

// wrote counts the commands that begin so.
func (c *card) wrote(prefix string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.got {
		if strings.HasPrefix(g, prefix) {
			n++
		}
	}
	return n
}

// cardRig runs modems over one card, one after the other: each is a run of the
// program.
type cardRig struct {
	*lifeOf
	card *card
	log  *strings.Builder
	stop func()
}

// withCard runs story in a bubble. pins may be nil.
func withCard(t *testing.T, c *card, pins PINMemory, story func(r *cardRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &cardRig{card: c, log: &strings.Builder{}}
		r.lifeOf = &lifeOf{t: t}
		r.start(pins)
		defer func() { r.stop() }()
		story(r)
	})
}

// start runs a new Modem in place of the last one.
func (r *cardRig) start(pins PINMemory) {
	if r.stop != nil {
		r.stop()
	}
	r.box = &box{}
	r.m = New(Config{Name: "tcp:127.0.0.1:1", Sink: r.box, Open: r.card.dial, Settle: -1, PINs: pins,
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	m := r.m
	ctx, cancel := context.WithCancel(r.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { m.Run(ctx) })
	r.stop = func() {
		cancel()
		wg.Wait()
	}
}

func (r *cardRig) blocked() {
	r.t.Helper()
	r.state(StateSIMBlocked, time.Minute)
	r.pass(time.Second)
}

func (r *cardRig) enter(pin string) error { return r.m.EnterPIN(r.t.Context(), pin) }

func (r *cardRig) sent(codes ...string) {
	r.t.Helper()
	var quoted []string
	for _, c := range codes {
		quoted = append(quoted, `"`+strings.ReplaceAll(c, ",", `","`)+`"`)
	}
	require.Equal(r.t, quoted, r.card.codes())
}

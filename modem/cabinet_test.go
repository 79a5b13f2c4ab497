package modem

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/pdu"
)

// cabinet is a scripted modem with memories that hold something, for what no
// decent modem does with them.
type cabinet struct {
	mu    sync.Mutex
	conn  net.Conn
	got   []string
	names []string // of AT+CPMS=?
	mems  map[string]map[int]record
	size  map[string]int
	mem   string
	// instead answers in place of the cabinet: whole lines joined by |, the final
	// result among them. false: the cabinet answers. It is called with mu held.
	instead func(cmd string) (string, bool)
	// slow is how long a command takes; nil: no time.
	slow func(cmd string) time.Duration
	// submitted answers a PDU; nil: +CMGS: 7, 8 ...
	submitted func() string
	accepted  int // submissions
}

type record struct {
	stat int
	pdu  string
	head string // in place of stat,,length
}

func newCabinet(sizes map[string]int) *cabinet {
	c := &cabinet{mems: map[string]map[int]record{}, size: sizes, mem: "SM"}
	c.names = slices.Sorted(maps.Keys(sizes))
	for _, n := range c.names {
		c.mems[n] = map[int]record{}
	}
	return c
}

func (c *cabinet) open(context.Context) (io.ReadWriteCloser, error) {
	host, device := net.Pipe()
	c.mu.Lock()
	c.conn = device
	c.mu.Unlock()
	go c.serve(device)
	return host, nil
}

func (c *cabinet) serve(conn net.Conn) {
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
		if strings.HasPrefix(cmd, "AT+CMGS=") {
			c.mu.Lock()
			c.got = append(c.got, cmd)
			submitted := c.submitted
			c.mu.Unlock()
			io.WriteString(conn, "\r\n> ")
			if _, err := r.ReadString(0x1a); err != nil {
				return
			}
			answer := c.reference()
			if submitted != nil {
				answer = submitted()
			}
			io.WriteString(conn, "\r\n"+strings.ReplaceAll(answer, "|", "\r\n")+"\r\n")
			continue
		}
		if c.slow != nil {
			time.Sleep(c.slow(strings.TrimPrefix(cmd, "AT"))) // of the bubble
		}
		c.mu.Lock()
		c.got = append(c.got, cmd)
		answer := c.answer(strings.TrimPrefix(cmd, "AT"))
		c.mu.Unlock()
		if answer != "" {
			io.WriteString(conn, "\r\n"+strings.ReplaceAll(answer, "|", "\r\n")+"\r\n")
		}
	}
}

var withNumber = regexp.MustCompile(`^\+(CMGR|CMGD)=(\d+)$`)

func (c *cabinet) answer(cmd string) string {
	if c.instead != nil {
		if a, ok := c.instead(cmd); ok {
			return a
		}
	}
	here := c.mems[c.mem]
	numbers := fmt.Sprintf("%d,%d", len(here), c.size[c.mem])
	var index int
	if m := withNumber.FindStringSubmatch(cmd); m != nil {
		fmt.Sscan(m[2], &index)
		e, there := here[index]
		switch {
		case !there:
			return "+CMS ERROR: 321"
		case m[1] == "CMGD":
			delete(here, index)
			return "OK"
		}
		return "+CMGR: " + e.lines() + "|OK"
	}
	switch {
	case cmd == "":
		return "OK"
	case cmd == "+CPMS=?":
		list := `("` + strings.Join(c.names, `","`) + `")`
		return "+CPMS: " + list + "," + list + "," + list + "|OK"
	case cmd == "+CPMS?":
		one := fmt.Sprintf("%q,%s", c.mem, numbers)
		return "+CPMS: " + one + "," + one + "," + one + "|OK"
	case strings.HasPrefix(cmd, `+CPMS="`):
		name := cmd[len(`+CPMS="`):][:2]
		if !slices.Contains(c.names, name) {
			return "+CMS ERROR: 302"
		}
		c.mem = name
		numbers = fmt.Sprintf("%d,%d", len(c.mems[name]), c.size[name])
		return "+CPMS: " + numbers + "," + numbers + "," + numbers + "|OK"
	case cmd == "+CMGL=4", cmd == `+CMGL="ALL"`:
		var b strings.Builder
		for _, i := range slices.Sorted(maps.Keys(here)) {
			fmt.Fprintf(&b, "+CMGL: %d,%s|", i, here[i].lines())
		}
		return b.String() + "OK"
	case cmd == "+CMGD=?":
		var used []string
		for _, i := range slices.Sorted(maps.Keys(here)) {
			used = append(used, fmt.Sprint(i))
		}
		return "+CMGD: (" + strings.Join(used, ",") + "),(0-4)|OK"
	}
	if a, ok := plain()[cmd]; ok {
		return strings.TrimPrefix(a+"|OK", "|")
	}
	return "ERROR"
}

func (e record) lines() string {
	head := e.head
	if head == "" {
		smsc := 0
		fmt.Sscanf(e.pdu, "%2X", &smsc)
		head = fmt.Sprintf("%d,,%d", e.stat, len(e.pdu)/2-1-smsc)
	}
	if e.pdu == "" {
		return head
	}
	return head + "|" + e.pdu
}

// put stores something without a word.
func (c *cabinet) put(mem string, index int, e record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mems[mem][index] = e
}

func (c *cabinet) say(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	io.WriteString(c.conn, "\r\n"+line+"\r\n")
}

func (c *cabinet) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *cabinet) count(prefix string) (n int) {
	for _, g := range c.commands() {
		if strings.HasPrefix(g, prefix) {
			n++
		}
	}
	return n
}

func (c *cabinet) commands() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

func (c *cabinet) left(mem string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mems[mem])
}

func withCabinet(t *testing.T, c *cabinet, story func(l *lifeOf)) {
	t.Helper()
	withSlowSink(t, c, 0, story)
}

// slowSink needs a while for each commit.
type slowSink struct {
	*box
	takes time.Duration
}

func (s slowSink) Store(ctx context.Context, r Received) error {
	time.Sleep(s.takes)
	return s.box.Store(ctx, r)
}

func withSlowSink(t *testing.T, c *cabinet, takes time.Duration, story func(l *lifeOf)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &box{}
		m := New(Config{Name: "tcp:127.0.0.1:1", Sink: slowSink{b, takes}, Open: c.open})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { m.Run(ctx) })
		defer wg.Wait()
		defer cancel()
		story(&lifeOf{t: t, m: m, box: b})
	})
}

// letter is a received message as a memory has it.
func letter(t *testing.T, text string) record {
	t.Helper()
	tpdus, err := pdu.DeliverTPDU("+34600111222", text, time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), pdu.Options{})
	require.NoError(t, err)
	return letterOf(t, tpdus[0])
}

func letterOf(t *testing.T, tpdu []byte) record {
	t.Helper()
	raw, err := pdu.WithSMSC("+34600000000", tpdu)
	require.NoError(t, err)
	return record{pdu: fmt.Sprintf("%X", raw)}
}

// draft is a SUBMIT that another device has left.
func draft(n int) record {
	return record{stat: 2 + n%2, pdu: fmt.Sprintf("0001%02X0B914306112112F20000024833", n)}
}

// reference answers the next submission.
func (c *cabinet) reference() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	mr := (7 + c.accepted) % 256
	c.accepted++
	return fmt.Sprintf("+CMGS: %d|OK", mr)
}

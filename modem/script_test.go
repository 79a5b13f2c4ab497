package modem

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// peer is a scripted modem for what no decent emulator would do: it answers
// what its script has, and ERROR to everything else.
type peer struct {
	mu     sync.Mutex
	script map[string]string // command without AT: information lines, joined by |
	got    []string
	conn   net.Conn
	mute   []string // commands without AT, or their beginnings, that get no answer
	// deaf is how long it hears nothing after each final result.
	deaf time.Duration
	// healed ends that.
	healed atomic.Bool
	on     func(cmd string) // is told each command before it is answered
	// submitted answers a PDU in place of +CMGS: 7, 8 ... and OK.
	submitted func(c io.Writer)
	accepted  int // submissions so answered
}

func (p *peer) open(context.Context) (io.ReadWriteCloser, error) {
	host, device := net.Pipe()
	p.mu.Lock()
	p.conn = device
	p.mu.Unlock()
	go p.serve(device)
	return host, nil
}

func (p *peer) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	var ended time.Time
	for {
		line, err := r.ReadString('\r')
		if err != nil {
			return
		}
		cmd := strings.Trim(line, "\r\n\x1b ")
		if pdu, ok := strings.CutSuffix(cmd, "\x1a"); ok || cmd == "" {
			_ = pdu
			continue
		}
		p.mu.Lock()
		if !p.healed.Load() && time.Since(ended) < p.deaf {
			p.mu.Unlock()
			continue
		}
		p.got = append(p.got, cmd)
		mute := beginsWithAny(strings.TrimPrefix(cmd, "AT"), p.mute)
		answer, known := p.script[strings.TrimPrefix(cmd, "AT")]
		on := p.on
		p.mu.Unlock()
		if on != nil {
			on(cmd)
		}
		switch {
		case mute:
			continue
		case strings.HasPrefix(cmd, "AT+CMGS="):
			io.WriteString(c, "\r\n> ")
			if _, err := r.ReadString(0x1a); err != nil {
				return
			}
			p.mu.Lock()
			submitted := p.submitted
			p.mu.Unlock()
			if submitted != nil {
				submitted(c)
				continue
			}
			p.mu.Lock()
			mr := (7 + p.accepted) % 256
			p.accepted++
			p.mu.Unlock()
			fmt.Fprintf(c, "\r\n+CMGS: %d\r\n\r\nOK\r\n", mr)
		case !known && cmd != "AT":
			io.WriteString(c, "\r\nERROR\r\n")
		default:
			var b strings.Builder
			if answer != "" {
				b.WriteString("\r\n" + strings.ReplaceAll(answer, "|", "\r\n") + "\r\n")
			}
			io.WriteString(c, b.String()+"\r\nOK\r\n")
		}
		ended = time.Now()
	}
}

func (p *peer) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	io.WriteString(p.conn, "\r\n"+line+"\r\n")
}

func (p *peer) count(prefix string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.got {
		if strings.HasPrefix(g, prefix) {
			n++
		}
	}
	return n
}

func scripted(t *testing.T, script map[string]string, story func(l *lifeOf, p *peer)) {
	withPeer(t, &peer{script: script}, story)
}

func withPeer(t *testing.T, p *peer, story func(l *lifeOf, p *peer)) {
	synctest.Test(t, func(t *testing.T) {
		b := &box{}
		m := New(Config{Name: "tcp:127.0.0.1:1", Sink: b, Open: p.open})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { m.Run(ctx) })
		defer wg.Wait()
		defer cancel()
		story(&lifeOf{t: t, m: m, box: b}, p)
	})
}

// TestLeastModem: a modem that knows next to nothing still sends and receives.
func TestLeastModem(t *testing.T) {
	scripted(t, map[string]string{
		"E0": "", "+CMGF=0": "", "+CIMI": "214070000000001",
		"+CMGR=4": "+CMGR: 0,,4|00FFFFFFFF", "+CMGD=4": "",
	}, func(l *lifeOf, p *peer) {
		l.ready()
		s := l.m.Snapshot()
		require.Equal(l.t, "tcp:127.0.0.1:1", s.ID, "without an IMEI the port's name")
		require.Equal(l.t, "214070000000001", s.SIM.IMSI)
		require.Equal(l.t, "unknown", s.Registration)
		require.Zero(l.t, s.ReportsBy)
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
		require.Equal(l.t, 7, o.MR)
		p.say(`+CMTI: "ME",4`)
		l.until("the message", 30*time.Second, func() bool { return len(l.box.received()) == 1 })
		l.until("its deletion", 30*time.Second, func() bool { return p.count("AT+CMGD=4") == 1 })
	})
}

// TestPortThatDiesAtOnce must not be opened in a tight loop.
func TestPortThatDiesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		m := New(Config{Name: "tcp:127.0.0.1:1", Sink: &box{}, Open: func(context.Context) (io.ReadWriteCloser, error) {
			opened++
			host, device := net.Pipe()
			device.Close()
			return host, nil
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		require.Error(t, m.Run(ctx))
		require.True(t, opened >= 3 && opened <= 25, "%d", opened)
	})
}

// TestMalformedMemories: Wavecom's list, and AT+CPMS with one argument only.
func TestMalformedMemories(t *testing.T) {
	scripted(t, map[string]string{
		"E0": "", "+CMGF=0": "", "+CPIN?": `+CPIN:"READY"`, "+CIMI": "214070000000001", "+CREG?": "+CREG: 000,001",
		"+CPMS=?": `+CPMS: (("SM","BM","SR"),("SM"))`, `+CPMS="SM"`: "+CPMS: 1,10", `+CPMS="SR"`: "+CPMS: 0,10", "+CPMS?": `+CPMS: "SM",1,10`,
		"+CMGL=4": "+CMGL: 1,1,,4|00FFFFFFFF", "+CMGD=1": "", "+CSQ": "+CSQ: 99,99", "+COPS?": "+COPS: 0",
		"+CNUM": `+CNUM: ,"600111222"`, "+CGSN": "+CGSN: 356938035643809", "+CNMI=1,1,0,1,1": "",
	}, func(l *lifeOf, p *peer) {
		l.ready()
		s := l.m.Snapshot()
		require.Equal(l.t, "SM", s.StorageName)
		require.Equal(l.t, 10, s.StorageTotal)
		require.Equal(l.t, "356938035643809", s.ID)
		require.Equal(l.t, "600111222", s.SIM.Number)
		require.Equal(l.t, "home", s.Registration)
		require.Equal(l.t, Signal{BER: -1}, s.Signal)
		require.Equal(l.t, 1, s.ReportsBy)
		require.Empty(l.t, s.Operator)
		l.until("the stored message", time.Minute, func() bool { return len(l.box.received()) >= 1 && p.count("AT+CMGD=1") >= 1 })
	})
}

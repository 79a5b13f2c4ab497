package emulator

import (
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is a driver of the simplest kind: it writes, and reads what has come
// when the modem has gone quiet. It lives in a synctest bubble.
type host struct {
	t    *testing.T
	port io.ReadWriteCloser
	got  chan []byte
	rest string
}

// open opens the modem's port.
func open(t *testing.T, m *Modem) *host {
	t.Helper()
	port, err := m.Open(t.Context())
	require.NoError(t, err)
	h := &host{t: t, port: port, got: make(chan []byte, 1024)}
	go func() {
		defer close(h.got)
		for {
			buf := make([]byte, 512)
			n, err := port.Read(buf)
			if n > 0 {
				h.got <- buf[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(h.close) // of a test that fails: a bubble must not leave anyone behind
	return h
}

func (h *host) write(s string) {
	h.t.Helper()
	_, err := h.port.Write([]byte(s))
	require.NoError(h.t, err)
}

// heard is what has come until now.
func (h *host) heard() string {
	synctest.Wait()
	for {
		select {
		case b, ok := <-h.got:
			if !ok {
				return h.take()
			}
			h.rest += string(b)
		default:
			return h.take()
		}
	}
}

func (h *host) take() string {
	s := h.rest
	h.rest = ""
	return s
}

// after is what has come when d has passed.
func (h *host) after(d time.Duration) string {
	time.Sleep(d)
	return h.heard()
}

// command sends a line and gives the answer of a modem without latency.
func (h *host) command(line string) string {
	h.t.Helper()
	h.write("AT" + line + "\r")
	return h.heard()
}

// quiet brings the modem to what drivers want.
func (h *host) quiet() *host {
	h.command("E0")
	h.command("+CMEE=1")
	h.command("+CMGF=0")
	return h
}

// submit sends a TPDU.
func (h *host) submit(tpdu []byte) {
	h.t.Helper()
	h.write("AT+CMGS=" + itoa(len(tpdu)) + "\r")
	require.Equal(h.t, "\r\n> ", h.heard())
	h.write("00" + upperHex(tpdu) + "\x1a")
}

func (h *host) close() {
	require.NoError(h.t, h.port.Close())
	for range h.got {
	}
}

func itoa(n int) string {
	var b []byte
	for ; n > 0; n /= 10 {
		b = append([]byte{byte('0' + n%10)}, b...)
	}
	return string(b)
}

// submitTPDU is an SMS-SUBMIT that asks for a report.
func submitTPDU(to, text string) []byte {
	return submitTPDUs(to, text, true)[0]
}

func submitTPDUs(to, text string, report bool) [][]byte {
	var out [][]byte
	for _, p := range segments(text, 7) {
		fo := byte(mtiSubmit)
		if report {
			fo |= foSRR
		}
		if p.udhi {
			fo |= foUDHI
		}
		b := append([]byte{fo, 0}, address(to)...)
		b = append(b, 0, p.dcs, p.udl)
		out = append(out, append(b, p.ud...))
	}
	return out
}

// one makes a network with one modem inside a bubble and closes it after f.
func one(t *testing.T, o NetworkOptions, mo ModemOptions, f func(t *testing.T, n *Network, m *Modem, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(o)
		m := n.AddModem(mo)
		h := open(t, m)
		f(t, n, m, h)
		h.close()
		require.NoError(t, n.Close())
	})
}

func TestSubmitIsInTheLedgerWithItsMR(t *testing.T) {
	var file bytes.Buffer
	one(t, NetworkOptions{Ledger: &file}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet()
		h.command("+CNMI=2,1,0,1,0")
		tpdu := submitTPDU("+34600111222", "Hola, ¿qué tal? €")
		h.submit(tpdu)
		got := h.heard()
		require.True(t, strings.HasPrefix(got, "\r\n+CMGS: 0\r\n\r\nOK\r\n\r\n+CDS: "), "%q", got)
		h.submit(tpdu)
		require.Contains(t, h.heard(), "+CMGS: 1\r\n")
		l := n.Ledger()
		require.Len(t, l, 4)
		require.Equal(t, EntrySubmit, l[0].Type)
		require.Equal(t, "+34600111222", l[0].DA)
		require.Equal(t, m.Number(), l[0].OA)
		require.Equal(t, "Hola, ¿qué tal? €", l[0].Text)
		require.Equal(t, upperHex(tpdu), l[0].PDU)
		require.True(t, l[0].Accepted && l[0].Answered && l[0].Report)
		require.Equal(t, EntryReport, l[1].Type)
		require.Equal(t, 1, l[1].Ref)
		require.Equal(t, 1, l[2].MR)
	})
	require.Equal(t, 4, strings.Count(file.String(), "\n"))
}

func TestMRWrapsAfter256(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet()
		for i := range 300 {
			h.submit(submitTPDU("+34600111222", "x"))
			require.Contains(t, h.heard(), "OK")
			require.Equal(t, i%256, n.Ledger()[len(n.Ledger())-2].MR)
		}
	})
}

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

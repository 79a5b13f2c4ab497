package emulator

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func typed(n *Network, typ EntryType) []Entry {
	var out []Entry
	for _, e := range n.Ledger() {
		if e.Type == typ {
			out = append(out, e)
		}
	}
	return out
}

func TestMessageToAnotherSIMArrivesThere(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		other := n.AddModem(ModemOptions{Number: "+34611222333"})
		h.quiet().command("+CNMI=2,1,0,1,0")
		text := strings.Repeat("Texto largo con ñ y €. ", 12)
		for _, tpdu := range submitTPDUs("611222333", text, true) {
			h.submit(tpdu)
			require.Contains(t, h.heard(), "OK")
		}
		require.Equal(t, 2, other.Stored())
		in := typed(n, EntryDeliver)
		require.Len(t, in, 2)
		require.Equal(t, text, in[0].Text+in[1].Text)
		require.Equal(t, m.Number(), in[0].OA)
		require.Equal(t, "050003070201", in[0].UDH)
		require.Len(t, typed(n, EntryReport), 2)
	})
}

func TestUnreachableSIMExpiresWithAReport(t *testing.T) {
	one(t, NetworkOptions{Validity: time.Hour}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		other := n.AddModem(ModemOptions{Number: "+34611222333"})
		other.Unplug()
		h.quiet().command("+CNMI=2,1,0,1,0")
		h.submit(submitTPDU("+34611222333", "hola"))
		h.heard()
		require.Empty(t, typed(n, EntryReport))
		h.after(time.Hour)
		require.Equal(t, 0x46, typed(n, EntryReport)[0].ST)
		other.Replug()
		h.after(time.Minute)
		require.Zero(t, other.Stored())
	})
}

func TestFullStorageKeepsTheMessageInTheNetwork(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{Family: "simcom800", SMSlots: 2}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet().command("+CNMI=2,1,0,1,0")
		for _, text := range []string{"uno", "dos", "tres"} {
			require.NoError(t, n.Inbound(m.Number(), "+34600222333", text))
		}
		require.Equal(t, "\r\n+CMTI: \"SM\",1\r\n\r\n+CMTI: \"SM\",2\r\n\r\n+SMS FULL\r\n", h.heard())
		require.Len(t, typed(n, EntryDeliver), 2)
		require.Contains(t, h.command("+CMGW=17"), "> ")
		h.write("0001000B914306111122F2000004C8373B0C\x1a")
		require.Equal(t, "\r\n+CMS ERROR: 322\r\n", h.heard())
		h.command("+CMGD=1")
		require.Equal(t, "\r\n+CMTI: \"SM\",1\r\n", h.after(time.Minute))
		require.Len(t, typed(n, EntryDeliver), 3)
	})
}

func TestReportsInStorageWithCDSI(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{Family: "quectel"}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet().command("+CNMI=2,1,0,2,0")
		h.submit(submitTPDU("+34600111222", "hola"))
		// Announced in SM, kept in SR: the habit of this family.
		require.Contains(t, h.heard(), `+CDSI: "SM",0`)
		require.Contains(t, h.command(`+CPMS="SM";+CMGR=0`), "CMS ERROR: 321")
		require.Contains(t, h.command(`+CPMS="SR";+CMGR=0`), typed(n, EntryReport)[0].PDU)
	})
}

func TestUnacknowledgedDeliveryEndsTheRouting(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet()
		h.command("+CSMS=1")
		h.command("+CNMI=2,2,0,1,0")
		require.NoError(t, n.Inbound(m.Number(), "+34600222333", "uno"))
		require.NoError(t, n.Inbound(m.Number(), "+34600222333", "dos"))
		require.Equal(t, 1, strings.Count(h.heard(), "+CMT: "))
		require.Contains(t, h.command("+CNMA"), "OK")
		require.Equal(t, 1, strings.Count(h.heard(), "+CMT: ")+1)
		h.after(ackTime)
		require.Contains(t, h.command("+CNMI?"), "+CNMI: 2,0,0,0,0")
		h.after(time.Minute)
		require.Equal(t, 1, m.Stored(), "the second one came again, to the storage")
	})
}

func TestClass2GoesToTheSIM(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet().command("+CNMI=2,2,0,1,0")
		for _, dcs := range []byte{0x10, 0x12} {
			s := makeSegment("hola", 0, nil)
			s.dcs = dcs
			require.NoError(t, n.InboundTPDU(m.ICCID(), s.deliver("+34600222333", time.Now())))
		}
		got := h.heard()
		require.Contains(t, got, "+CMT: ")
		require.Contains(t, got, `+CMTI: "SM",1`)
	})
}

func TestMagicNumbers(t *testing.T) {
	one(t, NetworkOptions{ReportDelay: time.Second}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet().command("+CNMI=2,1,0,1,0")
		send := func(code string) string {
			h.submit(submitTPDU("+34609"+code, "hola"))
			return h.heard()
		}
		reports := func() []int {
			h.after(2 * time.Minute)
			var st []int
			for _, e := range typed(n, EntryReport) {
				if e.Ref == typed(n, EntrySubmit)[len(typed(n, EntrySubmit))-1].Seq {
					st = append(st, e.ST)
				}
			}
			return st
		}
		for code, want := range map[string][]int{
			"1234567": {0}, "9999101": {0x43}, "9999102": {0x46}, "9999103": nil,
			"9999104": {0x22, 0}, "9999105": {0, 0}, "9999106": {0}, "9999108": {1}, "9999109": {0x62},
		} {
			require.Contains(t, send(code), "OK", code)
			require.Equal(t, want, reports(), code)
		}
		got := send("9999107")
		require.Less(t, strings.Index(got, "+CDS: "), strings.Index(got, "+CMGS: "), got)
		require.Contains(t, send("9998038"), "+CMS ERROR: 38")
		require.Contains(t, send("9997042"), "+CMS ERROR: 42")
		require.Contains(t, send("9997042"), "+CMGS: ")
		require.Contains(t, send("9999304"), "+CMS ERROR: 500")
		l := typed(n, EntrySubmit)
		require.True(t, l[len(l)-1].Accepted)
		require.False(t, l[len(l)-1].Answered)
		require.Empty(t, send("9999302"))
		require.False(t, typed(n, EntrySubmit)[len(l)].Accepted)
		require.Empty(t, send("9999305"))
		require.Contains(t, h.after(30*time.Second), "+CMGS: ")
	})
}

func TestAutomaticReplies(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet()
		text := strings.Repeat("Me gustaría saber la hora. ", 10)
		for _, tpdu := range submitTPDUs("+346099999201", text, false) {
			h.submit(tpdu)
			h.heard()
		}
		for _, code := range []string{"202", "203", "205"} {
			h.submit(submitTPDU("+346099999"+code, "hola"))
			h.heard()
		}
		var got, from []string
		whole := ""
		for _, e := range typed(n, EntryDeliver) {
			whole += e.Text
			if _, total, seq := concatOf(mustHex(t, e.UDH)); total == seq {
				got, from, whole = append(got, whole), append(from, e.OA), ""
			}
		}
		require.Equal(t, []string{"Recibido: " + text, longReply, "¡Muchísimas gracias! Allí estaré mañana 😀", "Gracias por su mensaje."}, got)
		require.Equal(t, "Ayto", from[3])
	})
}

func TestRulesByPatternCountAndProbability(t *testing.T) {
	one(t, NetworkOptions{NoMagic: true, Seed: 3}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet()
		n.AddRule(Rule{Suffix: "77", Probability: 0.3, Effect: Effect{CMS: 41}})
		n.AddRule(Rule{Suffix: "88", Count: 2, Effect: Effect{CMS: 42}})
		failed := func(to string, times int) int {
			bad := 0
			for range times {
				h.submit(submitTPDU(to, "x"))
				if strings.Contains(h.heard(), "ERROR") {
					bad++
				}
			}
			return bad
		}
		require.Equal(t, 2, failed("+34600111288", 5))
		require.InDelta(t, 60, failed("+34600111277", 200), 20)
		require.Zero(t, failed("+34600111200", 5))
	})
}

func TestUnplugAndReplug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(NetworkOptions{Latency: time.Second})
		m := n.AddModem(ModemOptions{Family: "quectel"})
		h := open(t, m)
		_, err := m.Open(t.Context())
		require.ErrorIs(t, err, syscall.EBUSY)
		h.quiet()
		h.submit(submitTPDU("+34600111222", "x"))
		time.Sleep(time.Second / 2)
		m.Unplug()
		h.heard()
		_, err = h.port.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		_, err = h.port.Write([]byte("AT\r"))
		require.ErrorIs(t, err, io.ErrClosedPipe)
		h.close()
		require.False(t, n.Ledger()[0].Accepted, "the power went before the network had it")
		_, err = m.Open(t.Context())
		require.ErrorIs(t, err, syscall.ENOENT)
		m.Replug()
		time.Sleep(2001 * time.Millisecond)
		h = open(t, m)
		require.Contains(t, h.command("+CPIN?"), "ERROR", "the SIM is still busy")
		require.Contains(t, h.after(5*time.Second), "+QIND: SMS DONE")
		require.Contains(t, h.command("E0"), "OK")
		require.Contains(t, h.command("+CREG?"), "+CREG: 0,1")
		h.close()
		require.NoError(t, n.Close())
	})
}

// When the host dies after Ctrl-Z, the modem still sends.
func TestHostThatLeavesDoesNotStopTheRadio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(NetworkOptions{Latency: time.Minute})
		m := n.AddModem(ModemOptions{})
		h := open(t, m)
		h.quiet()
		h.submit(submitTPDU("+34600111222", "x"))
		h.close()
		l := typed(n, EntrySubmit)
		require.Len(t, l, 1)
		require.True(t, l[0].Accepted)
		require.False(t, l[0].Answered)
		require.NoError(t, n.Close())
	})
}

func TestMovedSIMTakesItsNumberAndItsMR(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet()
		h.submit(submitTPDU("+34600111222", "x"))
		h.heard()
		iccid, number := m.ICCID(), m.Number()
		other := n.AddModem(ModemOptions{NoSIM: true})
		other.InsertSIM(SIMOptions{ICCID: iccid})
		require.Empty(t, m.ICCID())
		require.Contains(t, h.command("+CIMI"), "+CME ERROR: 10")
		h2 := open(h.t, other)
		time.Sleep(time.Second)
		require.Equal(t, number, other.Number())
		h2.quiet().submit(submitTPDU("+34600111222", "x"))
		require.Contains(t, h2.heard(), "+CMGS: 1")
		h2.close()
	})
}

func TestRingAndHangUp(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet().command("+CLIP=1")
		m.Ring("+34600222333", 5)
		got := h.after(4 * time.Second)
		require.Equal(t, 2, strings.Count(got, "RING"))
		require.Contains(t, got, `+CLIP: "+34600222333",145`)
		require.Contains(t, h.command("H"), "OK")
		require.Empty(t, h.after(time.Minute))
	})
}

func TestServeOverAStreamEndsWithItsContext(t *testing.T) {
	n := NewNetwork(NetworkOptions{})
	m := n.AddModem(ModemOptions{})
	host, device := newPipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Serve(ctx, device) }()
	_, err := host.Write([]byte("AT\r"))
	require.NoError(t, err)
	buf := make([]byte, 64)
	_, err = host.Read(buf)
	require.NoError(t, err)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.NoError(t, n.Close())
}

func TestUnknownSIM(t *testing.T) {
	n := NewNetwork(NetworkOptions{})
	require.ErrorIs(t, n.Inbound("+34600000000", "1", "x"), ErrNoSuchSIM)
	require.ErrorIs(t, n.InboundTPDU("8934", nil), ErrNoSuchSIM)
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestBrokenLedgerIsSaid(t *testing.T) {
	n := NewNetwork(NetworkOptions{Ledger: brokenWriter{}})
	m := n.AddModem(ModemOptions{})
	require.NoError(t, n.Inbound(m.ICCID(), "1", "x"))
	require.ErrorContains(t, n.Close(), "disk full")
}

// A ledger that is written down does not fill the memory, and goes on counting.
func TestLedgerStaysSmallWhenWritten(t *testing.T) {
	var written bytes.Buffer
	l := ledger{w: &written}
	const n = 3*kept + 5
	for range n {
		l.add(Entry{Type: EntrySubmit})
	}
	list := l.copy()
	require.GreaterOrEqual(t, len(list), kept)
	require.LessOrEqual(t, len(list), 2*kept)
	require.Equal(t, n, list[len(list)-1].Seq)
	require.Equal(t, n, bytes.Count(written.Bytes(), []byte("\n")))
}

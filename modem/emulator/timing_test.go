package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// perfect is a driver that loses no time: it writes the moment that the modem
// has answered.
func perfect(t *testing.T, m *Modem, tpdu []byte, messages int) {
	port, err := m.Open(t.Context())
	require.NoError(t, err)
	buf := make([]byte, 256)
	until := func(end string) {
		var got string
		for !strings.HasSuffix(got, end) {
			n, err := port.Read(buf)
			require.NoError(t, err)
			got += string(buf[:n])
		}
	}
	say := func(s string) {
		_, err := port.Write([]byte(s))
		require.NoError(t, err)
	}
	say("ATE0\r")
	until("\r\nOK\r\n")
	for range messages {
		say("AT+CMGS=" + itoa(len(tpdu)) + "\r")
		until("\r\n> ")
		say("00" + upperHex(tpdu) + "\x1a")
		until("\r\nOK\r\n")
	}
	require.NoError(t, port.Close())
}

// At 2.0 s a submission, 10 ms a command and 115,200 baud, 70 characters of
// UCS-2 leave a perfect driver 98.1 % of modems ÷ latency.
func TestPerfectDriverReaches981PerMille(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const modems, messages = 8, 50
		n := NewNetwork(NetworkOptions{Latency: 2 * time.Second, CommandLatency: 10 * time.Millisecond, Baud: 115200})
		tpdu := submitTPDU("+34600111222", strings.Repeat("щ", 70))
		start := time.Now()
		var wg sync.WaitGroup
		for range modems {
			m := n.AddModem(ModemOptions{})
			wg.Go(func() { perfect(t, m, tpdu, messages) })
		}
		wg.Wait()
		took := time.Since(start)
		octets := func(s string) time.Duration { return time.Duration(len(s)) * (10 * time.Second / 115200) }
		// The echo runs beside what is echoed.
		want := octets("ATE0\r"+"\r\nOK\r\n") + 10*time.Millisecond
		for mr := range messages {
			want += octets("AT+CMGS="+itoa(len(tpdu))+"\r"+"\r\n> ") + 10*time.Millisecond
			want += octets("00"+upperHex(tpdu)+"\x1a") + 2*time.Second
			want += octets(fmt.Sprintf("\r\n+CMGS: %d\r\n\r\nOK\r\n", mr))
		}
		require.Equal(t, want, took)
		require.InDelta(t, 0.981, float64(messages*2*time.Second)/float64(took), 0.001)
		require.NoError(t, n.Close())
	})
}

func TestBaudRateIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(NetworkOptions{Baud: 9600})
		m := n.AddModem(ModemOptions{})
		h := open(t, m)
		h.command("E0")
		time.Sleep(time.Second)
		h.heard()
		octet := 10 * time.Second / 9600
		// "AT\r" takes 3 octets in, "\r\nOK\r\n" 6 out.
		h.write("AT\r")
		require.Empty(t, h.after(9*octet-time.Microsecond))
		require.Equal(t, "\r\nOK\r\n", h.after(time.Microsecond))
		h.close()
		require.NoError(t, n.Close())
	})
}

func TestLatencyDoesNotDrift(t *testing.T) {
	one(t, NetworkOptions{Latency: 700 * time.Millisecond, CommandLatency: 3 * time.Millisecond}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.write("ATE0\r")
		h.after(time.Second)
		tpdu := submitTPDUs("+34600111222", "x", false)[0]
		start := time.Now()
		for range 100 {
			h.write("AT+CMGS=" + itoa(len(tpdu)) + "\r")
			require.Equal(t, "\r\n> ", h.after(3*time.Millisecond))
			h.write("00" + upperHex(tpdu) + "\x1a")
			require.Empty(t, h.after(700*time.Millisecond-1))
			require.Contains(t, h.after(1), "+CMGS")
		}
		require.Equal(t, 100*703*time.Millisecond, time.Since(start))
	})
}

func TestLognormalLatencyHasItsMedian(t *testing.T) {
	n := NewNetwork(NetworkOptions{Latency: 2 * time.Second, LatencySigma: 0.5, Seed: 1})
	below := 0
	for range 2000 {
		if n.latency() < 2*time.Second {
			below++
		}
	}
	require.InDelta(t, 1000, below, 100)
}

// Real time is only as exact as the machine; it must still not add up.
func TestRealTimePacing(t *testing.T) {
	n := NewNetwork(NetworkOptions{Latency: 20 * time.Millisecond, CommandLatency: time.Millisecond, Baud: 115200})
	m := n.AddModem(ModemOptions{})
	start := time.Now()
	perfect(t, m, submitTPDU("+34600111222", "hola"), 20)
	require.GreaterOrEqual(t, time.Since(start), 20*21*time.Millisecond)
	require.NoError(t, n.Close())
}

// The timings are those of the line, whatever the host's side of it sees.
func TestTimingsAreTheLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var file bytes.Buffer
		n := NewNetwork(NetworkOptions{Latency: 2 * time.Second, CommandLatency: 10 * time.Millisecond, Baud: 115200, Timings: &file})
		m := n.AddModem(ModemOptions{})
		tpdu := submitTPDU("+34600111222", "Hola")
		perfect(t, m, tpdu, 2)
		require.NoError(t, n.Close())
		octets := func(s string) time.Duration { return time.Duration(len(s)) * (10 * time.Second / 115200) }
		lines := bytes.Split(bytes.TrimSpace(file.Bytes()), []byte("\n"))
		require.Len(t, lines, 2)
		var first, second Timing
		require.NoError(t, json.Unmarshal(lines[0], &first))
		require.NoError(t, json.Unmarshal(lines[1], &second))
		command, pdu := "AT+CMGS="+itoa(len(tpdu))+"\r", "00"+upperHex(tpdu)+"\x1a"
		answer := "\r\n+CMGS: 1\r\n\r\nOK\r\n"
		require.Equal(t, 2, first.Commands) // ATE0 before it
		require.Equal(t, 1, second.Commands)
		require.Equal(t, len(command)+len(pdu), second.In)
		require.Equal(t, len(prompt)+len(answer), second.Out)
		require.Equal(t, m.Name(), second.Modem)
		require.True(t, second.Accepted)
		require.Equal(t, octets(command), second.Command.Sub(first.Answer))
		require.Equal(t, 10*time.Millisecond+octets(prompt), second.Prompt.Sub(second.Command))
		require.Equal(t, octets(pdu), second.CtrlZ.Sub(second.Prompt))
		require.Equal(t, 2*time.Second+octets(answer), second.Answer.Sub(second.CtrlZ))
	})
}

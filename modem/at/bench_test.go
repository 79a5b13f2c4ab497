package at

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// quickModem answers at once: what remains is what the channel costs.
func quickModem(conn net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		switch p := buf[:n]; {
		case bytes.HasPrefix(p, []byte("AT+CMGS=")):
			io.WriteString(conn, "\r\n> ")
		case p[n-1] == 0x1a:
			io.WriteString(conn, "\r\n+CMGS: 7\r\n\r\nOK\r\n")
		default:
			io.WriteString(conn, "\r\n+CSQ: 20,99\r\n\r\nOK\r\n")
		}
	}
}

func quickChannel(b *testing.B) *Channel {
	ours, theirs := net.Pipe()
	go quickModem(theirs)
	c := New(ours, Options{URC: func(URC) {}, Trace: func(TraceEntry) {}})
	b.Cleanup(func() { c.Close(); theirs.Close() })
	return c
}

// BenchmarkSubmit is a whole submission, prompt and gate and result, with trace.
func BenchmarkSubmit(b *testing.B) {
	c := quickChannel(b)
	pdu := make([]byte, 100)
	for b.Loop() {
		if s := c.Submit(b.Context(), pdu, opened); s.Err != nil {
			b.Fatal(s.Err)
		}
	}
}

func BenchmarkCommand(b *testing.B) {
	c := quickChannel(b)
	for b.Loop() {
		if _, err := c.Command(b.Context(), "+CSQ", time.Second); err != nil {
			b.Fatal(err)
		}
	}
}

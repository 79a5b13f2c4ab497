package emulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// EmulateOptions are those of `recado emulate`.
type EmulateOptions struct {
	// Modems is how many; at least 1.
	Modems int
	// Dir gets a link modem0, modem1, … to a pseudo-terminal for each modem;
	// "": none.
	Dir string
	// TCP is HOST:PORT: modem i listens on PORT+i, or all on ports of the
	// system's choice when PORT is 0; "": none.
	TCP string
	// Families are given to the modems in turn; generic when empty.
	Families []string
	// PIN locks the modems' SIMs, "": they are open. PUK unblocks them; of the
	// emulator's choice when empty.
	PIN, PUK string
	Network  NetworkOptions
	// Faults are injected into every modem before anyone can open it.
	Faults []Fault
	// Ready is called once when every port can be opened.
	Ready func(*Network, []Port)
	// Log gets what concerns the ports; nil: nothing.
	Log *slog.Logger
}

// Port is where other programs reach an emulated modem.
type Port struct {
	Modem *Modem
	Path  string // the link to its pseudo-terminal; "" without Dir
	Addr  string // HOST:PORT; "" without TCP
}

// Emulate runs emulated modems on pseudo-terminals, TCP ports or both until
// ctx ends, which is no error. It errs when a port cannot be made and when the
// ledger could not be written.
func Emulate(ctx context.Context, o EmulateOptions) (err error) {
	if o.Modems < 1 {
		return fmt.Errorf("emulate %d modems: at least 1", o.Modems)
	}
	if o.Dir == "" && o.TCP == "" {
		return errors.New("emulate: name a directory for pseudo-terminals or a TCP address")
	}
	log := cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancelCause(ctx)
	n := NewNetwork(o.Network)
	var wg sync.WaitGroup
	defer func() {
		cancel(nil)
		err = errors.Join(err, n.Close())
		wg.Wait()
	}()
	if o.Dir != "" {
		if err := os.MkdirAll(o.Dir, 0o755); err != nil {
			return fmt.Errorf("emulate: %w", err)
		}
	}
	var ports []Port
	for i := range o.Modems {
		family := ""
		if len(o.Families) > 0 {
			family = o.Families[i%len(o.Families)]
		}
		m := n.AddModem(ModemOptions{Family: family, PIN: o.PIN, PUK: o.PUK})
		for _, f := range o.Faults {
			m.Inject(f)
		}
		p := Port{Modem: m}
		if o.Dir != "" {
			t, err := openTerminal(m, filepath.Join(o.Dir, m.Name()))
			if err != nil {
				return err
			}
			p.Path = t.link
			wg.Go(func() {
				if err := t.run(ctx); err != nil && ctx.Err() == nil {
					cancel(err)
				}
			})
		}
		if o.TCP != "" {
			l, err := listen(ctx, o.TCP, i)
			if err != nil {
				return err
			}
			p.Addr = l.Addr().String()
			wg.Go(func() {
				if err := m.ServeListener(ctx, l); err != nil && ctx.Err() == nil {
					cancel(err)
				}
			})
		}
		log.Info("emulated modem", "modem", m.Name(), "family", m.fam.Name, "path", p.Path, "addr", p.Addr)
		ports = append(ports, p)
	}
	if o.Ready != nil {
		o.Ready(n, ports)
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// listen opens the TCP port of modem i.
func listen(ctx context.Context, addr string, i int) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("emulate on %q: %w", addr, err)
	}
	number, err := strconv.Atoi(port)
	if err != nil || number < 0 || number+i > 65535 {
		return nil, fmt.Errorf("emulate on %q: port %d is no port", addr, number+i)
	}
	if number != 0 {
		number += i
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(number)))
	if err != nil {
		return nil, fmt.Errorf("emulate: %w", err)
	}
	return l, nil
}

// ServeListener serves the modem to whoever connects, one at a time: a new
// connection ends the one before it. While the modem is unplugged connections
// are closed at once. It closes the listener and returns when ctx ends.
func (m *Modem) ServeListener(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	var last net.Conn
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("accept for %s: %w", m.o.Name, err)
		}
		if last != nil {
			_ = last.Close()
		}
		last = conn
		wg.Go(func() { _ = m.Serve(ctx, conn) })
	}
}

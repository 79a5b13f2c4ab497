package main

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"recado/cmd/recado/console"
	"recado/modem"
	"recado/modem/tty"
	"recado/pool"
)

// probeLimit is how long a modem may take to tell how it is.
const probeLimit = 20 * time.Second

// probe asks the modems on the named ports, and on the likeliest port of each USB modem, how
// they are. They are opened as passive: no PIN is tried, no setting changed that matters to
// messages, no message read or deleted.
func (l look) probe(ctx context.Context, r *console.Report) {
	ports := map[string]string{} // by the block that it belongs to
	for _, name := range l.named {
		if l.tree.Inspect(name, portRules()).None() {
			ports[name] = name
		}
	}
	if surveyed, err := l.tree.Survey(portRules()); err == nil {
		for _, s := range surveyed {
			for _, p := range s.Ports {
				if s.Maker != "" && p.Trouble.None() && p.Holder == nil && (p.Role == "" || p.Role == tty.RoleAT) {
					ports["usb "+s.Device.Path] = p.Name
					break
				}
			}
		}
	}
	type result struct {
		block    string
		snap     modem.Snapshot
		findings []pool.Finding
	}
	results := make(chan result, len(ports))
	var asking sync.WaitGroup
	for block, name := range ports {
		asking.Go(func() {
			snap, findings := askModem(ctx, block, func(ctx context.Context) (io.ReadWriteCloser, error) { return tty.Open(ctx, name) })
			results <- result{block, snap, findings}
		})
	}
	asking.Wait()
	close(results)
	for got := range results {
		addBlock(r, got.block, "")
		for i := range r.Blocks {
			if r.Blocks[i].Name == got.block {
				about := aboutModem(got.snap, "")
				if r.Blocks[i].About != "" {
					about = r.Blocks[i].About + "; " + about
				}
				r.Blocks[i].About = about
			}
		}
		addFindings(r, l.language, got.findings)
	}
	r.Settle()
}

// askModem opens a port until its modem has told how it is, at most probeLimit.
func askModem(ctx context.Context, port string, open func(context.Context) (io.ReadWriteCloser, error)) (modem.Snapshot, []pool.Finding) {
	limited, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	sink := &deafSink{end: cancel}
	m := modem.New(modem.Config{Name: port, Open: open, Sink: sink, Settle: -1})
	m.SetPassive(true)
	var running sync.WaitGroup
	running.Go(func() { _ = m.Run(limited) })
	<-limited.Done()
	snap := sink.last(m.Snapshot())
	findings := pool.Diagnose(port, snap, m.Domains(), time.Now())
	running.Wait()
	return snap, findings
}

// deafSink takes no message, so that none is deleted, and ends the questions when the modem
// has said what there is to say.
type deafSink struct {
	end context.CancelFunc

	mu   sync.Mutex
	told *modem.Snapshot
}

var errOnlyLooking = errors.New("the doctor only looks")

// Store refuses: the message stays where it is.
func (s *deafSink) Store(context.Context, modem.Received) error { return errOnlyLooking }

// Changed notes the snapshot that ends the questions.
func (s *deafSink) Changed(now modem.Snapshot) {
	switch now.State {
	case modem.StateReady, modem.StateNoSIM, modem.StateSIMBlocked, modem.StateSIMDenied, modem.StateFault, modem.StateLocked, modem.StateAbsent:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.told == nil {
			s.told = &now
			s.end()
		}
	}
}

// last is the snapshot that ended the questions, or what is known at the end of the time.
func (s *deafSink) last(now modem.Snapshot) modem.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told != nil {
		return *s.told
	}
	return now
}

// flockHeld says whether another process holds the file's lock exclusively. It is taken for
// a moment to see, shared, so that two who look do not see each other.
func flockHeld(file *os.File) bool {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
	}
	return errors.Is(err, syscall.EWOULDBLOCK)
}

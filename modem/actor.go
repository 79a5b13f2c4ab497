package modem

import (
	"context"
	"errors"
	"sync"

	"recado/modem/at"
)

// Modem is one modem. Run owns it; the other methods may be called from any
// goroutine.
type Modem struct {
	c Config

	mu   sync.Mutex
	snap Snapshot
}

// ErrNotReady: the modem cannot take the order now; the snapshot says why.
var ErrNotReady = errors.New("the modem is not ready")

// New makes a modem; nothing happens before Run.
func New(c Config) *Modem {
	return &Modem{c: c, snap: Snapshot{ID: c.Name, Port: c.Name, State: StateAbsent}}
}

// Run lives the modem's life until ctx ends: it opens, brings up, serves,
// recovers and never gives up. It returns ctx's error.
func (m *Modem) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Snapshot copies what is known now.
func (m *Modem) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.snap
}

// Send submits one TPDU and returns what became of it. Only a ready modem
// sends; else the outcome is NotSent. gate is called after the modem's prompt
// and before the first octet of the TPDU; when it errs nothing is sent. Before
// the gate ctx ends the wait, after it only the modem's answer, its end, or the
// timeout does.
func (m *Modem) Send(ctx context.Context, tpdu []byte, gate func() error) Outcome {
	return Outcome{Verdict: NotSent, MR: -1, Code: "not_ready", Class: ClassDevice, Err: ErrNotReady}
}

// Restart restarts the module (AT+CFUN=1,1 where it can), else reopens the port.
func (m *Modem) Restart(ctx context.Context) error { return ErrNotReady }

// EnterPIN gives the SIM its PIN, by order of an operator.
func (m *Modem) EnterPIN(ctx context.Context, pin string) error { return ErrNotReady }

// Disable closes the port and leaves it closed until Enable.
func (m *Modem) Disable(ctx context.Context) error { return ErrNotReady }

// Enable ends Disable.
func (m *Modem) Enable(ctx context.Context) error { return ErrNotReady }

// Trace is the last 500 lines of the dialogue, redacted, oldest first.
func (m *Modem) Trace() []at.TraceEntry { return nil }

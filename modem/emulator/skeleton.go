package emulator

import (
	"context"
	"io"
	"time"
)

type powerState int

const powerOff powerState = 0

type sim struct{ iccid, number string }
type store struct{}
type atState struct{}
type Family struct{}

type session struct{ ended chan struct{} }

func newSession(*Modem, io.ReadWriter) *session { return &session{ended: make(chan struct{})} }
func (s *session) run()                         { close(s.ended) }
func (s *session) end(error)                    {}
func (s *session) cause() error                 { return nil }
func (s *session) checkStuck()                  {}
func (s *session) unstick()                     {}

func (m *Modem) registration(stat int, d time.Duration) {}

func NewNetwork(o NetworkOptions) *Network            { return &Network{o: o} }
func (n *Network) AddModem(o ModemOptions) *Modem     { return &Modem{net: n, o: o} }
func (n *Network) Modems() []*Modem                   { return n.modems }
func (n *Network) Inbound(sim, from, text string) error { return nil }
func (n *Network) Ledger() []Entry                    { return n.ledger.copy() }
func (n *Network) Close() error                       { return nil }
func (m *Modem) Unplug()                              {}
func (m *Modem) Replug()                              {}

// Port is one place where an emulated modem can be reached.
type Port struct {
	Modem *Modem
	Path  string // the pty's link; "" without Dir
	Addr  string // HOST:PORT; "" without TCP
}

// EmulateOptions are those of `recado emulate`.
type EmulateOptions struct {
	Modems   int
	Dir      string
	TCP      string
	Families []string
	Network  NetworkOptions
	Ready    func(*Network, []Port)
}

// Emulate runs emulated modems until ctx ends.
func Emulate(ctx context.Context, o EmulateOptions) error { return nil }

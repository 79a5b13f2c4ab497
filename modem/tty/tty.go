// Package tty opens the ports that modems are on, serial or TCP, and guards
// them: one owner, no descriptor inherited, no write without limit.
package tty

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Errors that callers branch on. The errors of Open wrap one of them, and say
// what to do.
var (
	// ErrBusy: another program holds the port; errors.As *BusyError says which.
	ErrBusy = errors.New("the port is busy")
	// ErrAbsent: there is no such device, or nothing listens at the address.
	ErrAbsent = errors.New("no such port")
	// ErrNotTTY: the path is no serial port.
	ErrNotTTY = errors.New("not a serial port")
	// ErrPermission: this user may not open it.
	ErrPermission = errors.New("no permission for the port")
	// ErrName: the name is neither a path nor tcp:HOST:PORT.
	ErrName = errors.New("not a port's name")
	// ErrGone: the port was unplugged, hung up, wedged or closed.
	ErrGone = errors.New("the port is gone")
)

// BusyError says who holds a port.
type BusyError struct {
	Name    string
	PID     int    // 0 when unknown
	Program string // "" when unknown
}

func (e *BusyError) Error() string {
	switch {
	case e.PID == 0:
		return fmt.Sprintf("%s is in use by another program", e.Name)
	case e.Program == "":
		return fmt.Sprintf("%s is in use by process %d", e.Name, e.PID)
	}
	return fmt.Sprintf("%s is in use by %s (process %d)", e.Name, e.Program, e.PID)
}

// Unwrap makes it match ErrBusy.
func (e *BusyError) Unwrap() error { return ErrBusy }

// Open opens a port by the name that an operator gave it.
func Open(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	return nil, ErrAbsent
}

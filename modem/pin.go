package modem

import (
	"context"
	"sync"
)

// CodeKind says which of a SIM's codes is meant.
type CodeKind string

const (
	CodePIN CodeKind = "pin"
	CodePUK CodeKind = "puk"
)

// CodeState is what became of a code that was sent to a SIM.
type CodeState string

const (
	CodeNew     CodeState = ""        // never sent
	CodeSent    CodeState = "sent"    // nobody knows what became of it
	CodeWorked  CodeState = "worked"  // it opened the SIM the last time
	CodeRefused CodeState = "refused" // for ever
)

// PINRecord is what is on record of a code and its SIM.
type PINRecord struct {
	State CodeState
	// Before is how many tries were left when it was last sent, After how many
	// after it was refused; -1 unknown.
	Before, After int
	// Sends counts how often it was sent since it last worked.
	Sends int
	// Worked: it has opened this SIM at least once.
	Worked bool
	// Failed: since this SIM was last opened with a code of this kind, one was
	// refused, or has an unknown fate.
	Failed bool
}

// PINMemory remembers, over restarts of the program, which codes were sent to
// which SIM. sim is the ICCID; where the modem does not tell it while the SIM is
// locked, "imei-" with the modem's IMEI or "port-" with the port's name.
type PINMemory interface {
	// PIN is the one that has opened the SIM, to be offered by itself; "" none.
	PIN(ctx context.Context, sim string) (string, error)
	// Tried is what is on record of a code.
	Tried(ctx context.Context, sim string, kind CodeKind, code string) (PINRecord, error)
	// Try writes down that a code is about to be sent, with the tries that are
	// left (-1 unknown). It is safe from a power cut when Try returns nil; any
	// error forbids the try.
	Try(ctx context.Context, sim string, kind CodeKind, code string, left int) error
	// Worked says that the code opened the SIM; remember, unless "", is the PIN
	// that an operator gave and that opens it from now on.
	Worked(ctx context.Context, sim string, kind CodeKind, code, remember string) error
	// Refused says that the SIM refused the code: it is never sent again. left is
	// how many tries there are now, -1 unknown.
	Refused(ctx context.Context, sim string, kind CodeKind, code string, left int) error
	// Opened says that the SIM asks for nothing: a code with an unknown fate, if
	// it is the only one, has opened it.
	Opened(ctx context.Context, sim string) error
}

// runMemory is the PINMemory of a Modem that is given none: of this run only.
type runMemory struct {
	mu   sync.Mutex
	pins map[string]string
	list map[codeKey]*PINRecord
	owed map[codeKey]bool
}

type codeKey struct {
	sim  string
	kind CodeKind
	code string
}

func newRunMemory() *runMemory {
	return &runMemory{pins: map[string]string{}, list: map[codeKey]*PINRecord{}, owed: map[codeKey]bool{}}
}

func (r *runMemory) PIN(_ context.Context, sim string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pins[sim], nil
}

func (r *runMemory) Tried(_ context.Context, sim string, kind CodeKind, code string) (PINRecord, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	is := PINRecord{Before: -1, After: -1}
	if rec := r.list[codeKey{sim, kind, code}]; rec != nil {
		is = *rec
	}
	for k := range r.owed {
		is.Failed = is.Failed || k.sim == sim && k.kind == kind
	}
	return is, nil
}

// of is the record of a code, made when there is none; r.mu is held.
func (r *runMemory) of(k codeKey) *PINRecord {
	if r.list[k] == nil {
		r.list[k] = &PINRecord{Before: -1, After: -1}
	}
	return r.list[k]
}

func (r *runMemory) Try(_ context.Context, sim string, kind CodeKind, code string, left int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := codeKey{sim, kind, code}
	rec := r.of(k)
	rec.State, rec.Before, rec.After = CodeSent, left, -1
	rec.Sends++
	r.owed[k] = true
	return nil
}

func (r *runMemory) Worked(_ context.Context, sim string, kind CodeKind, code, remember string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.worked(codeKey{sim, kind, code})
	if remember != "" {
		r.worked(codeKey{sim, CodePIN, remember})
		r.pins[sim] = remember
	}
	return nil
}

func (r *runMemory) worked(k codeKey) {
	rec := r.of(k)
	rec.State, rec.After, rec.Sends, rec.Worked = CodeWorked, -1, 0, true
	for o := range r.owed {
		if o.sim == k.sim && o.kind == k.kind {
			delete(r.owed, o) // the SIM's counter is full again
		}
	}
}

func (r *runMemory) Refused(_ context.Context, sim string, kind CodeKind, code string, left int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := codeKey{sim, kind, code}
	rec := r.of(k)
	rec.State, rec.After = CodeRefused, left
	r.owed[k] = true
	if kind == CodePIN && r.pins[sim] == code {
		delete(r.pins, sim)
	}
	return nil
}

func (r *runMemory) Opened(_ context.Context, sim string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var open []codeKey
	for k := range r.owed {
		if k.sim == sim && r.list[k].State == CodeSent {
			open = append(open, k)
		}
	}
	if len(open) == 1 {
		r.worked(open[0])
	}
	return nil
}

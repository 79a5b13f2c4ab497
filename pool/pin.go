package pool

import (
	"context"
	"strings"

	"recado/modem"
	"recado/queue"
)

// pinMemory is the store as the modems' memory of PINs and PUKs.
type pinMemory struct{ store *queue.Store }

func (p pinMemory) PIN(ctx context.Context, sim string) (string, error) {
	return p.store.RememberedPIN(ctx, sim)
}

func (p pinMemory) Tried(ctx context.Context, sim string, kind modem.CodeKind, code string) (modem.PINRecord, error) {
	t, err := p.store.CodeTried(ctx, sim, queue.CodeKind(kind), code)
	return modem.PINRecord{
		State: modem.CodeState(t.State), Before: t.Before, After: t.After, Sends: t.Sends, Worked: t.Worked, Failed: t.Failed,
	}, err
}

func (p pinMemory) Try(ctx context.Context, sim string, kind modem.CodeKind, code string, left int) error {
	return p.store.TryCode(ctx, sim, queue.CodeKind(kind), code, left)
}

func (p pinMemory) Worked(ctx context.Context, sim string, kind modem.CodeKind, code, remember string) error {
	return p.store.CodeWorked(ctx, sim, queue.CodeKind(kind), code, remember)
}

func (p pinMemory) Refused(ctx context.Context, sim string, kind modem.CodeKind, code string, left int) error {
	return p.store.CodeRefused(ctx, sim, queue.CodeKind(kind), code, left)
}

func (p pinMemory) Opened(ctx context.Context, sim string) error { return p.store.SIMOpened(ctx, sim) }

// EnterPUK unblocks a modem's SIM with the PUK that an operator gave, and gives
// it a new PIN, which is remembered. ErrNoModem when there is no such modem.
func (p *Pool) EnterPUK(ctx context.Context, id, puk, newPIN string) error {
	l := p.lineOf(id)
	if l == nil {
		return ErrNoModem
	}
	return l.modem.EnterPUK(ctx, puk, newPIN)
}

// RemembersPIN says whether the PIN of a SIM, by its ICCID or name, is kept, to
// be given again when the SIM asks for it. ErrNoSIM when there is none.
func (p *Pool) RemembersPIN(ctx context.Context, sim string) (bool, error) {
	s, err := p.SIM(ctx, sim)
	if err != nil {
		return false, err
	}
	return p.store.RemembersPIN(ctx, bareICCID(s.ICCID))
}

// ForgetPIN forgets the PIN that is kept for a SIM, by its ICCID or name: an
// operator is asked for it the next time. ErrNoSIM when there is none.
func (p *Pool) ForgetPIN(ctx context.Context, sim string) error {
	s, err := p.SIM(ctx, sim)
	if err != nil {
		return err
	}
	return p.store.ForgetPIN(ctx, bareICCID(s.ICCID))
}

// bareICCID is a SIM's key as the modem says it: two that claim one ICCID are
// told apart by their ports.
func bareICCID(key string) string {
	iccid, _, _ := strings.Cut(key, "@")
	return iccid
}

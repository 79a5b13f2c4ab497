package webui

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"recado/modem"
	"recado/pool"
)

// PINRequest is a SIM's PIN.
type PINRequest struct {
	PIN string `json:"pin" pattern:"^[0-9]{4,8}$" patternDescription:"4 to 8 digits" doc:"Tried once; a SIM is blocked after three wrong ones"`
}

// PUKRequest unblocks a SIM.
type PUKRequest struct {
	PUK    string `json:"puk" pattern:"^[0-9]{8}$" patternDescription:"8 digits" doc:"Tried once; a SIM is destroyed after ten wrong ones"`
	NewPIN string `json:"new_pin" pattern:"^[0-9]{4,8}$" patternDescription:"4 to 8 digits" doc:"The PIN from now on"`
}

// modemPatience is how long a request may take whose modem may have a submission
// open first, and modemWrite when its answer must have been written.
const (
	modemPatience = 3 * time.Minute
	modemWrite    = modemPatience + 10*time.Second
)

// slowly gives the answer to a request, for which a modem may have to finish what
// it does, more time than others have.
func slowly(ctx huma.Context) {
	w := http.NewResponseController(humaecho.Unwrap(ctx).Response())
	_ = w.SetWriteDeadline(time.Now().Add(modemWrite)) // a recorder in a test has none
}

// modemOut is a modem as an answer.
type modemOut struct{ Body Modem }

func (s *Server) modemOut(id string) (*modemOut, error) {
	m, ok := s.pool.Modem(id)
	if !ok {
		return nil, pool.ErrNoModem
	}
	return &modemOut{s.modemOf(m)}, nil
}

// pinIn and pukIn are the requests as huma reads them.
type (
	pinIn struct {
		ModemID
		Body PINRequest
	}
	pukIn struct {
		ModemID
		Body PUKRequest
	}
	powerIn struct{ ModemID }
)

// Resolve implements huma.Resolver.
func (*pinIn) Resolve(ctx huma.Context) []error { slowly(ctx); return nil }

// Resolve implements huma.Resolver.
func (*pukIn) Resolve(ctx huma.Context) []error { slowly(ctx); return nil }

// Resolve implements huma.Resolver.
func (*powerIn) Resolve(ctx huma.Context) []error { slowly(ctx); return nil }

// modemPIN is for administrators alone: a wrong one costs a try of three.
func (s *Server) modemPIN() *operation {
	return op(operation{id: "modem-pin", tag: "SIMs and modems", summary: "Give a modem's SIM its PIN",
		description: "Sent once, and never when fewer than two tries are left. One that opens the SIM is remembered, and given again when the SIM asks."},
		func(ctx context.Context, in *pinIn) (*modemOut, error) {
			if err := s.unlock(ctx, "modem.pin", in.ID, func(ctx context.Context) error {
				return s.pool.EnterPIN(ctx, in.ID, in.Body.PIN)
			}); err != nil {
				return nil, err
			}
			return s.modemOut(in.ID)
		})
}

// modemPUK is for administrators alone: ten wrong ones destroy the SIM.
func (s *Server) modemPUK() *operation {
	return op(operation{id: "modem-puk", tag: "SIMs and modems", summary: "Unblock a modem's SIM with its PUK",
		description: "Sent once, and never by the program itself."},
		func(ctx context.Context, in *pukIn) (*modemOut, error) {
			if err := s.unlock(ctx, "modem.puk", in.ID, func(ctx context.Context) error {
				return s.pool.EnterPUK(ctx, in.ID, in.Body.PUK, in.Body.NewPIN)
			}); err != nil {
				return nil, err
			}
			return s.modemOut(in.ID)
		})
}

// unlock gives a SIM a code, and leaves an audit row of how it went. What the
// modem and its SIM say against it is a conflict, in its own words: they hold no
// code.
func (s *Server) unlock(ctx context.Context, action, id string, enter func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, modemPatience)
	defer cancel()
	err := enter(limited)
	if errors.Is(err, pool.ErrNoModem) {
		return err
	}
	outcome := "taken"
	if err != nil {
		outcome = "refused"
	}
	s.audited(ctx, action, id, outcome)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err
	case limited.Err() != nil:
		return newProblem(http.StatusConflict, "the modem had no time for it; look at its state before it is tried again")
	}
	return newProblem(http.StatusConflict, err.Error())
}

func (s *Server) modemPower() *operation {
	return op(operation{id: "modem-power", tag: "SIMs and modems", summary: "Cut a modem's power for a moment", status: http.StatusAccepted,
		description: "After the submission that it may have open. Only where a switch is configured for its socket: see power of a modem."},
		func(ctx context.Context, in *powerIn) (*modemOut, error) {
			if err := s.cutPower(ctx, in.ID); err != nil {
				return nil, err
			}
			return s.modemOut(in.ID)
		})
}

// cutPower has a modem's power cut by order of whoever asks.
func (s *Server) cutPower(ctx context.Context, id string) error {
	limited, cancel := context.WithTimeout(ctx, modemPatience)
	defer cancel()
	err := s.pool.PowerCycle(limited, id)
	switch {
	case err == nil:
		s.audited(ctx, "modem.power", id, "")
		return nil
	case errors.Is(err, pool.ErrNoModem), ctx.Err() != nil:
		return err
	case errors.Is(err, modem.ErrNoPower):
		return newProblem(http.StatusConflict, err.Error())
	}
	s.log.Warn("a modem's power was not cut", "modem", id, "err", err)
	return newProblem(http.StatusConflict, "the power was not cut; see the modem's history")
}

func (s *Server) forgetPIN() *operation {
	type out struct{}
	return op(operation{id: "forget-pin", tag: "SIMs and modems", summary: "Forget a SIM's PIN", status: http.StatusNoContent,
		description: "The one that is remembered to be given again: the next time a person is asked for it."},
		func(ctx context.Context, in *SIMID) (*out, error) {
			sim, err := s.pool.SIM(ctx, in.ICCID)
			if err != nil {
				return nil, err
			}
			if err := s.pool.ForgetPIN(ctx, sim.ICCID); err != nil {
				return nil, err
			}
			s.audited(ctx, "sim.forget-pin", sim.ICCID, "")
			return nil, nil
		})
}

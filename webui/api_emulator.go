package webui

import (
	"context"
	"errors"
	"net/http"

	"recado/pool"
)

// EmulatedInbound is a text that shall arrive at an emulated SIM.
type EmulatedInbound struct {
	SIM  string `json:"sim" minLength:"1" maxLength:"64" doc:"ICCID, name or number of an emulated SIM"`
	From string `json:"from" minLength:"1" maxLength:"32" doc:"The sender: a number, or a name of at most 11 characters"`
	Text string `json:"text" minLength:"1" maxLength:"10000"`
}

func (s *Server) emulateInbound() *operation {
	type (
		in  struct{ Body EmulatedInbound }
		out struct{ Body EmulatedInbound }
	)
	return op(operation{id: "emulate-inbound", tag: "Emulator", summary: "Let a text arrive at an emulated SIM", status: http.StatusAccepted,
		description: "Only when emulated modems run; 404 else. It goes through the emulated network and modem like any other."},
		func(ctx context.Context, in *in) (*out, error) {
			if s.emulator == nil {
				return nil, newProblem(http.StatusNotFound, "no emulated modems run here")
			}
			iccid, err := s.emulatedSIM(ctx, in.Body.SIM)
			if err != nil {
				return nil, err
			}
			if err := s.emulator(ctx, iccid, in.Body.From, in.Body.Text); err != nil {
				if ctx.Err() != nil {
					return nil, err
				}
				return nil, invalid("body", err.Error(), nil)
			}
			in.Body.SIM = iccid
			return &out{in.Body}, nil
		})
}

// emulatedSIM finds the ICCID.
func (s *Server) emulatedSIM(ctx context.Context, name string) (string, error) {
	sim, err := s.pool.SIM(ctx, name)
	if errors.Is(err, pool.ErrNoSIM) {
		all, errAll := s.pool.SIMs(ctx)
		if errAll != nil {
			return "", errAll
		}
		number := s.number(name)
		for _, one := range all {
			if one.Emulated && one.Number != "" && one.Number == number {
				sim, err = one, nil
			}
		}
	}
	if errors.Is(err, pool.ErrNoSIM) || err == nil && !sim.Emulated {
		return "", invalid("body.sim", "there is no emulated SIM with this ICCID, name or number; see GET /sims", name)
	}
	return sim.ICCID, err
}

package webui

import (
	"context"
	"errors"
	"net/http"
	"time"

	"recado/queue"
)

// heldWithin ends the release of a mass before the client gives up waiting:
// what is left is told, and released by asking again.
const heldWithin = 20 * time.Second

// Held is what waits for somebody's decision.
type Held struct {
	Total int         `json:"total"`
	Items []HeldGroup `json:"items" nullable:"false"`
}

// HeldGroup is what one reason holds of one class.
type HeldGroup struct {
	Reason string    `json:"reason" doc:"restored: the data are a backup's, and what it calls unfinished may have been sent since; cloned: the data are a copy, or on another box; late: its time was missed; clock: the time is not known" example:"restored"`
	Class  string    `json:"class" enum:"otp,alert,normal,bulk"`
	Count  int       `json:"count"`
	Oldest time.Time `json:"oldest" doc:"When the first of them was accepted"`
}

// HeldChoice says which held messages are meant: at least one field is needed.
type HeldChoice struct {
	Reason string `json:"reason,omitempty" maxLength:"40" doc:"Those that this holds" example:"restored"`
	Class  string `json:"class,omitempty" enum:"otp,alert,normal,bulk" doc:"Those of this class"`
	ID     string `json:"id,omitempty" maxLength:"64" doc:"This one"`
	All    bool   `json:"all,omitempty" doc:"Everything that is held"`
}

func (c HeldChoice) filter() (queue.HeldFilter, error) {
	f := queue.HeldFilter{Reason: c.Reason, Class: queue.Class(c.Class), ID: c.ID, Within: heldWithin}
	if !c.All && f.Reason == "" && f.Class == "" && f.ID == "" {
		return f, invalid("body", "say which: reason, class or id, or \"all\": true", nil)
	}
	return f, nil
}

// HeldDone is what became of a decision.
type HeldDone struct {
	Done int `json:"done" doc:"Messages that are no longer held; those that were no longer valid have expired"`
	Left int `json:"left" doc:"Messages that are still held, for whatever reason: a very large number is worked off in several requests"`
}

type heldOut struct{ Body HeldDone }

func (s *Server) listHeld() *operation {
	type (
		in  struct{}
		out struct{ Body Held }
	)
	return op(operation{id: "list-held", tag: "Messages", summary: "What is held, by reason and class",
		description: "After a restore and on a copied card nothing that was unfinished is sent before somebody releases it. The messages themselves: GET /messages?state=held."},
		func(ctx context.Context, _ *in) (*out, error) {
			h, err := s.held(ctx)
			return &out{h}, err
		})
}

func (s *Server) held(ctx context.Context) (Held, error) {
	counts, err := s.store.HeldCounts(ctx)
	if err != nil {
		return Held{}, err
	}
	h := Held{Items: make([]HeldGroup, len(counts))}
	for i, c := range counts {
		h.Items[i] = HeldGroup{c.Reason, string(c.Class), c.N, c.Oldest.UTC()}
		h.Total += c.N
	}
	return h, nil
}

func (s *Server) releaseHeld() *operation {
	return op(operation{id: "release-held", tag: "Messages", summary: "Let held messages go",
		description: "They join the queue where they were; scheduled ones wait for their time again; what is no longer valid expires."},
		func(ctx context.Context, in *struct{ Body HeldChoice }) (*heldOut, error) {
			return s.decideHeld(ctx, in.Body, s.store.Release)
		})
}

func (s *Server) discardHeld() *operation {
	return op(operation{id: "discard-held", tag: "Messages", summary: "End held messages unsent",
		description: "Cancelled when they were never tried; uncertain when an earlier try may have arrived; failed else."},
		func(ctx context.Context, in *struct{ Body HeldChoice }) (*heldOut, error) {
			return s.decideHeld(ctx, in.Body, s.store.Discard)
		})
}

func (s *Server) decideHeld(ctx context.Context, c HeldChoice, do func(context.Context, queue.HeldFilter, string) (int, error)) (*heldOut, error) {
	f, err := c.filter()
	if err != nil {
		return nil, err
	}
	n, err := do(ctx, f, callerOf(ctx).principal.String())
	if err != nil {
		return nil, err
	}
	h, err := s.held(ctx)
	return &heldOut{HeldDone{n, h.Total}}, err
}

func (s *Server) releaseMessage() *operation {
	return op(operation{id: "release-message", tag: "Messages", summary: "Let a held message go"},
		func(ctx context.Context, in *MessageID) (*messageOut, error) {
			_, err := s.store.Release(ctx, queue.HeldFilter{ID: in.ID}, callerOf(ctx).principal.String())
			if errors.Is(err, queue.ErrState) {
				return nil, newProblem(http.StatusConflict, "it is not held: it has been released, or is at its end")
			}
			if err != nil {
				return nil, err
			}
			m, err := s.store.Message(ctx, in.ID)
			return &messageOut{messageOf(m)}, err
		})
}

package webui

import (
	"context"
	"errors"
	"net/http"
	"time"

	"recado/queue"
	"recado/queue/clock"
)

// Clock is the box's time of day, and what hangs on it.
type Clock struct {
	ClockStatus
	MisfireGrace  int    `json:"misfire_grace" doc:"Seconds by which a scheduled message may be late and still leaves by itself"`
	MisfirePolicy string `json:"misfire_policy" enum:"hold,send,skip" doc:"What becomes of one that is later: held for somebody to decide, sent, or expired"`
}

// clockStatus is what is known of the time.
func (s *Server) clockStatus() ClockStatus {
	st := ClockStatus{Now: s.clock.Now().UTC().Truncate(time.Millisecond), Trusted: s.clock.Trusted()}
	if s.care.Time == nil {
		return st
	}
	k := s.care.Time.Status()
	st.Source, st.Reason, st.Since = some(k.Source), some(k.Reason), when(k.Since)
	st.Offset = k.Offset.Seconds()
	return st
}

func (s *Server) clockNow(ctx context.Context) (Clock, error) {
	m, err := s.store.Misfire(ctx)
	return Clock{s.clockStatus(), int(m.Grace / time.Second), m.Policy}, err
}

// ClockTrust is somebody's word for the time.
type ClockTrust struct {
	Now *time.Time `json:"now,omitempty" nullable:"true" doc:"The time that it is; absent or null: the box's clock is right as it is"`
}

// ClockPatch changes what becomes of what was missed; what is absent stays.
type ClockPatch struct {
	MisfireGrace  *int    `json:"misfire_grace,omitempty" minimum:"0" maximum:"604800" doc:"Seconds"`
	MisfirePolicy *string `json:"misfire_policy,omitempty" enum:"hold,send,skip"`
}

type clockOut struct{ Body Clock }

func (s *Server) getClock() *operation {
	return op(operation{id: "get-clock", tag: "Status", summary: "The clock, and who vouches for it"},
		func(ctx context.Context, _ *struct{}) (*clockOut, error) {
			c, err := s.clockNow(ctx)
			return &clockOut{c}, err
		})
}

func (s *Server) trustClock() *operation {
	return op(operation{id: "trust-clock", tag: "Status", summary: "Vouch for the time",
		description: "While nobody does, nothing scheduled is sent and nothing expires."},
		func(ctx context.Context, in *struct{ Body ClockTrust }) (*clockOut, error) {
			var now time.Time
			if in.Body.Now != nil {
				now = *in.Body.Now
			}
			if err := s.vouch(ctx, callerOf(ctx).principal.String(), now); err != nil {
				return nil, err
			}
			c, err := s.clockNow(ctx)
			return &clockOut{c}, err
		})
}

// vouch takes somebody's word for the time; zero: the box's own is right.
func (s *Server) vouch(ctx context.Context, who string, now time.Time) error {
	if s.care.Time == nil {
		return newProblem(http.StatusConflict, "this box's clock takes nobody's word")
	}
	err := s.care.Time.Trust(ctx, who, now)
	if errors.Is(err, clock.ErrTime) {
		return invalid("body.now", err.Error(), nil)
	}
	return err
}

func (s *Server) patchClock() *operation {
	return op(operation{id: "patch-clock", tag: "Status", summary: "What becomes of scheduled messages that missed their time"},
		func(ctx context.Context, in *struct{ Body ClockPatch }) (*clockOut, error) {
			m, err := s.store.Misfire(ctx)
			if err != nil {
				return nil, err
			}
			if in.Body.MisfireGrace != nil {
				m.Grace = time.Duration(*in.Body.MisfireGrace) * time.Second
			}
			if in.Body.MisfirePolicy != nil {
				m.Policy = *in.Body.MisfirePolicy
			}
			if err := s.store.SetMisfire(ctx, m, callerOf(ctx).principal.String()); err != nil {
				return nil, err
			}
			c, err := s.clockNow(ctx)
			return &clockOut{c}, err
		})
}

// misfirePolicies in the order that the page offers them.
var misfirePolicies = []string{queue.MisfireHold, queue.MisfireSend, queue.MisfireSkip}

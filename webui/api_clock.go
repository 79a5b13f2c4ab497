package webui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recado/queue"
	"recado/queue/clock"
)

// Clock is the box's time of day, and what hangs on it.
type Clock struct {
	ClockStatus
	MisfireGrace  int         `json:"misfire_grace" doc:"Seconds by which a scheduled message may be late and still leaves by itself"`
	MisfirePolicy string      `json:"misfire_policy" enum:"hold,send,skip" doc:"What becomes of one that is later: held for somebody to decide, sent, or expired"`
	Against       *ClockDoubt `json:"against" doc:"What speaks against the box's own time, or against the one asked for (now), by more than a day: to vouch for it takes sure. null: nothing"`
}

// TransformSchema says what a pointer to an object does not: that it may be null.
func (Clock) TransformSchema(r huma.Registry, s *huma.Schema) *huma.Schema {
	nullable(r, s, "against", reflect.TypeFor[ClockDoubt]())
	return s
}

// ClockDoubt is what is known of the time otherwise.
type ClockDoubt struct {
	Time time.Time `json:"time" doc:"What it is by that"`
	By   string    `json:"by" doc:"Who says so: ntp, nitz, scts, operator, flag; high_water: the last time that somebody vouched for; build: when this program was made"`
}

// clockStatus is what is known of the time.
func (s *Server) clockStatus() ClockStatus {
	st := ClockStatus{Now: s.clock.Now().UTC().Truncate(time.Millisecond), Trusted: s.clock.Trusted()}
	if s.care.Time == nil {
		return st
	}
	k := s.care.Time.Status()
	st.Source, st.Reason, st.Since = some(k.Source), some(k.Reason), when(k.Since)
	st.Offset, st.Rests = k.Offset.Seconds(), when(k.Rests.Truncate(time.Millisecond))
	return st
}

// clockNow compares asked, zero the box's own time, with what is known.
func (s *Server) clockNow(ctx context.Context, asked time.Time) (Clock, error) {
	m, err := s.store.Misfire(ctx)
	c := Clock{ClockStatus: s.clockStatus(), MisfireGrace: int(m.Grace / time.Second), MisfirePolicy: m.Policy}
	if s.care.Time != nil {
		if u := s.care.Time.Against(asked); u != nil {
			c.Against = &ClockDoubt{u.Known, u.By}
		}
	}
	return c, err
}

// ClockTrust is somebody's word for the time.
type ClockTrust struct {
	Now  *time.Time `json:"now,omitempty" nullable:"true" doc:"The time that it is; absent or null: the box's clock is right as it is"`
	Sure bool       `json:"sure,omitempty" doc:"Also when it is more than a day from what is known of the time"`
}

// ClockPatch changes what becomes of what was missed; what is absent stays.
type ClockPatch struct {
	MisfireGrace  *int    `json:"misfire_grace,omitempty" minimum:"0" maximum:"604800" doc:"Seconds"`
	MisfirePolicy *string `json:"misfire_policy,omitempty" enum:"hold,send,skip"`
}

type clockOut struct{ Body Clock }

func (s *Server) getClock() *operation {
	return op(operation{id: "get-clock", tag: "Status", summary: "The clock, and who vouches for it"},
		func(ctx context.Context, in *struct {
			Now time.Time `query:"now" doc:"Says in against what speaks against this time instead of the box's own"`
		}) (*clockOut, error) {
			c, err := s.clockNow(ctx, in.Now)
			return &clockOut{c}, err
		})
}

func (s *Server) trustClock() *operation {
	return op(operation{id: "trust-clock", tag: "Status", summary: "Vouch for the time",
		description: "While nobody does, nothing scheduled is sent and nothing expires. A time that is more than a day from what is known " +
			"(the trusted time, what the network or a service centre said lately, the last time that somebody vouched for) is refused with 422 and the " +
			"code clock_unlikely: compare it with errors, and send it again with sure when it is right all the same. After a step forward of more than " +
			"a day nothing expires and nothing is deleted for its age for a day (rests_until)."},
		func(ctx context.Context, in *struct{ Body ClockTrust }) (*clockOut, error) {
			var now time.Time
			if in.Body.Now != nil {
				now = *in.Body.Now
			}
			err := s.vouch(ctx, callerOf(ctx).principal.String(), now, in.Body.Sure)
			if far, is := errors.AsType[*clock.Unlikely](err); is {
				return nil, unlikely(far)
			}
			if err != nil {
				return nil, err
			}
			c, err := s.clockNow(ctx, time.Time{})
			return &clockOut{c}, err
		})
}

// unlikely is a time that is far from what is known.
func unlikely(u *clock.Unlikely) *Problem {
	given, known := u.Given.UTC().Format(time.RFC3339), u.Known.UTC().Format(time.RFC3339)
	p := newProblem(http.StatusUnprocessableEntity, fmt.Sprintf(
		"body.now: %s is more than a day from what is known (%s: %s). Compare them; if it is right all the same, send it again with \"sure\": true", given, u.By, known))
	p.name("clock_unlikely", "The time is far from what is known")
	p.Errors = []ProblemError{
		{Location: "body.now", Message: "is more than a day from what is known", Value: given, Code: "clock_unlikely"},
		{Location: "body.sure", Message: "true takes now all the same; what is known says " + known, Value: known, Code: u.By},
	}
	return p
}

// vouch takes somebody's word for the time; zero: the box's own is right. It errs
// with *clock.Unlikely for one that is far from what is known.
func (s *Server) vouch(ctx context.Context, who string, now time.Time, sure bool) error {
	if s.care.Time == nil {
		return newProblem(http.StatusConflict, "this box's clock takes nobody's word")
	}
	err := s.care.Time.Trust(ctx, who, now, sure)
	if errors.Is(err, clock.ErrTime) {
		return invalid("body.now", err.Error(), nil)
	}
	return err
}

func (s *Server) patchClock() *operation {
	return op(operation{id: "patch-clock", tag: "Status", summary: "What becomes of scheduled messages that missed their time"},
		func(ctx context.Context, in *struct{ Body ClockPatch }) (*clockOut, error) {
			s.changing.Lock()
			defer s.changing.Unlock()
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
			c, err := s.clockNow(ctx, time.Time{})
			return &clockOut{c}, err
		})
}

// misfirePolicies in the order that the page offers them.
var misfirePolicies = []string{queue.MisfireHold, queue.MisfireSend, queue.MisfireSkip}

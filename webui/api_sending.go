package webui

import (
	"context"
	"errors"
	"strings"

	"recado/pool"
	"recado/queue"
)

// SendingState says what the kill switches have stopped.
type SendingState struct {
	Paused  bool     `json:"paused" doc:"Everything is"`
	SIMs    []string `json:"sims" nullable:"false" doc:"ICCIDs of the SIMs that are, beside"`
	Classes []string `json:"classes" nullable:"false" doc:"Classes that are, beside"`
}

// SendingRequest says what to stop, or to let go on; nothing: all.
type SendingRequest struct {
	SIM   string `json:"sim,omitempty" maxLength:"64" doc:"ICCID or name: only this SIM. What waits for it waits, what any SIM may send leaves on others"`
	Class string `json:"class,omitempty" enum:"otp,alert,normal,bulk" doc:"Only messages of this class"`
}

type (
	sendingIn  struct{ Body *SendingRequest }
	sendingOut struct{ Body SendingState }
)

func (s *Server) sending() SendingState {
	p := s.pool.Pauses()
	return SendingState{Paused: p.All, SIMs: texts(p.SIMs), Classes: texts(p.Classes)}
}

func (s *Server) pauseSending() *operation {
	return op(operation{id: "pause-sending", tag: "Status", summary: "Stop sending",
		description: "Everything, one SIM or one class. Within a second nothing more of it leaves; what is queued stays, and survives a restart. Submissions in flight are finished."},
		func(ctx context.Context, in *sendingIn) (*sendingOut, error) {
			return s.turnSwitch(ctx, in.Body, true)
		})
}

func (s *Server) resumeSending() *operation {
	return op(operation{id: "resume-sending", tag: "Status", summary: "Send again",
		description: "Undoes the same pause: one of everything leaves those of SIMs and classes as they are."},
		func(ctx context.Context, in *sendingIn) (*sendingOut, error) {
			return s.turnSwitch(ctx, in.Body, false)
		})
}

func (s *Server) turnSwitch(ctx context.Context, b *SendingRequest, paused bool) (*sendingOut, error) {
	if b == nil {
		b = &SendingRequest{}
	}
	ctx = context.WithoutCancel(ctx) // whoever stops sending need not wait for it
	var err error
	switch {
	case b.SIM != "" && b.Class != "":
		err = invalid("body", "give one of sim and class, or neither for everything", nil)
	case b.SIM != "":
		sim, e := s.pool.SIM(ctx, b.SIM)
		if err = e; errors.Is(e, pool.ErrNoSIM) {
			err = invalid("body.sim", "there is no SIM with this ICCID or name; see GET /sims", b.SIM)
		}
		if err == nil {
			err = s.pauseSIM(ctx, sim.ICCID, paused)
		}
	case b.Class != "":
		err = s.pauseClass(ctx, queue.Class(b.Class), paused)
	default:
		err = s.pauseAll(ctx, paused)
	}
	if err != nil {
		return nil, err
	}
	return &sendingOut{s.sending()}, nil
}

// switched names a turn of a kill switch in the audit trail.
func switched(paused bool) string {
	if paused {
		return "sending.pause"
	}
	return "sending.resume"
}

func (s *Server) pauseAll(ctx context.Context, paused bool) error {
	turn := s.pool.Resume
	if paused {
		turn = s.pool.Pause
	}
	return s.turned(ctx, paused, "", turn(ctx))
}

func (s *Server) pauseSIM(ctx context.Context, iccid string, paused bool) error {
	return s.turned(ctx, paused, "sim "+iccid, s.pool.PauseSIM(ctx, iccid, paused))
}

func (s *Server) pauseClass(ctx context.Context, c queue.Class, paused bool) error {
	return s.turned(ctx, paused, "class "+string(c), s.pool.PauseClass(ctx, c, paused))
}

// turned leaves an audit row of a kill switch that was turned: one that could not be
// kept holds all the same.
func (s *Server) turned(ctx context.Context, paused bool, object string, err error) error {
	if err == nil || errors.Is(err, pool.ErrUnkept) {
		s.audited(ctx, switched(paused), object, "")
	}
	return err
}

// QuietHours are when messages of some classes are not sent, by the clock of the
// recipient's place.
type QuietHours struct {
	Classes  []string `json:"classes" nullable:"false" doc:"That they bind; none: there are no quiet hours"`
	From     string   `json:"from" doc:"HH:MM" example:"21:30"`
	To       string   `json:"to" doc:"HH:MM; earlier than from: on the next day; the same: none by the hour" example:"09:00"`
	Sunday   bool     `json:"sunday" doc:"All of it is quiet"`
	Holidays []string `json:"holidays" nullable:"false" doc:"Quiet all day: 12-25 every year, 2027-03-26 in one"`
	Chosen   bool     `json:"chosen" doc:"Somebody chose them: then they bind emulated SIMs too. Else the default holds, for real SIMs only"`
}

func (s *Server) quietHours() QuietHours {
	q, chosen := s.pool.QuietHours()
	return QuietHours{Classes: texts(q.Classes), From: clockTime(int(q.From)), To: clockTime(int(q.To)), Sunday: q.Sunday, Holidays: texts(q.Holidays), Chosen: chosen}
}

type quietOut struct{ Body QuietHours }

func (s *Server) getQuietHours() *operation {
	return op(operation{id: "get-quiet-hours", tag: "Status", summary: "When people are left in peace"},
		func(context.Context, *struct{}) (*quietOut, error) { return &quietOut{s.quietHours()}, nil })
}

// QuietHoursPatch changes them; what is absent stays.
type QuietHoursPatch struct {
	Classes  *[]string `json:"classes,omitempty" nullable:"false" enum:"otp,alert,normal,bulk"`
	From     *string   `json:"from,omitempty" nullable:"false"`
	To       *string   `json:"to,omitempty" nullable:"false"`
	Sunday   *bool     `json:"sunday,omitempty" nullable:"false"`
	Holidays *[]string `json:"holidays,omitempty" nullable:"false" maxItems:"200"`
}

func (s *Server) patchQuietHours() *operation {
	return op(operation{id: "patch-quiet-hours", tag: "Status", summary: "Change when people are left in peace",
		description: "Messages that they bind wait; they do not expire by it sooner. The clock is that of the recipient's country; where it has several, quiet is while any of them is."},
		func(ctx context.Context, in *struct{ Body QuietHoursPatch }) (*quietOut, error) {
			s.changing.Lock()
			defer s.changing.Unlock()
			if err := s.setQuiet(ctx, in.Body); err != nil {
				return nil, err
			}
			return &quietOut{s.quietHours()}, nil
		})
}

// setQuiet changes the quiet hours, and leaves an audit row; s.changing is held.
func (s *Server) setQuiet(ctx context.Context, b QuietHoursPatch) error {
	q, _ := s.pool.QuietHours()
	if b.Classes != nil {
		q.Classes = nil
		for _, c := range *b.Classes {
			q.Classes = append(q.Classes, queue.Class(c))
		}
	}
	for _, at := range []struct {
		name string
		text *string
		into *pool.Minute
	}{{"from", b.From, &q.From}, {"to", b.To, &q.To}} {
		if at.text == nil {
			continue
		}
		m, err := minuteOf(*at.text)
		if err != nil {
			return invalid("body."+at.name, "is a time of day, as 21:30", *at.text)
		}
		*at.into = pool.Minute(m)
	}
	if b.Sunday != nil {
		q.Sunday = *b.Sunday
	}
	if b.Holidays != nil {
		q.Holidays = *b.Holidays
	}
	err := s.pool.SetQuietHours(ctx, q)
	if bad, is := errors.AsType[*queue.Invalid](err); is {
		return invalid("body."+strings.TrimPrefix(bad.Field, "quiet_hours."), bad.Detail, bad.Value)
	}
	if err != nil {
		return err
	}
	now := s.quietHours()
	s.audited(ctx, "quiet_hours.set", "", now.From+"-"+now.To)
	return nil
}

package webui

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"recado/pool"
	"recado/queue"
)

// Canary is a message that one SIM of this box texts another, or itself, to see
// whether it gets there.
type Canary struct {
	ID        int64      `json:"id"`
	From      string     `json:"from" doc:"ICCID"`
	To        string     `json:"to" doc:"ICCID"`
	Message   *string    `json:"message" doc:"Id of the message that it is"`
	AskedBy   string     `json:"asked_by" doc:"A person or key, or auto:schedule, auto:suspicion, auto:confirm (another was missed: whose fault?), auto:probe (of a SIM in quarantine)"`
	State     string     `json:"state" enum:"waiting,out,arrived,missed,refused,void" doc:"void: no result, for reasons that say nothing of the SIMs"`
	Detail    *string    `json:"detail" doc:"Why it ended so: a stable code"`
	Says      string     `json:"says" doc:"The same in English"`
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"`
	Accepted  *float64   `json:"accepted_after_seconds" doc:"After the start; null: not yet, or never"`
	Reported  *float64   `json:"reported_after_seconds"`
	Arrived   *float64   `json:"arrived_after_seconds"`
}

func canaryOf(c queue.Canary) Canary {
	after := func(d time.Duration) *float64 {
		if d < 0 {
			return nil
		}
		return new(d.Round(time.Millisecond).Seconds())
	}
	return Canary{ID: c.ID, From: c.From, To: c.To, Message: some(c.Message), AskedBy: c.AskedBy, State: string(c.State), Detail: some(c.Detail),
		Says: pool.CanaryIn(c, "en"), StartedAt: c.StartedAt.UTC(), EndedAt: when(c.EndedAt), Accepted: after(c.Accepted), Reported: after(c.Reported), Arrived: after(c.Arrived)}
}

// CanaryList are canaries.
type CanaryList list[Canary]

type canariesOut struct{ Body CanaryList }

// CanaryRequest says to whom.
type CanaryRequest struct {
	To string `json:"to,omitempty" maxLength:"64" doc:"ICCID or name of the SIM that is to receive it; absent: one to another SIM and one back"`
}

func (s *Server) simCanary() *operation {
	return op(operation{id: "sim-canary", tag: "SIMs and modems", summary: "See whether a SIM sends and receives", status: http.StatusAccepted,
		description: "It texts another SIM of this box, and that one back; alone it texts itself. Each costs what a message costs and counts in the limits. GET /canaries has what becomes of them."},
		func(ctx context.Context, in *struct {
			SIMID
			Body *CanaryRequest
		}) (*canariesOut, error) {
			to := ""
			if in.Body != nil {
				to = in.Body.To
			}
			started, err := s.canary(ctx, in.ICCID, to)
			return &canariesOut{CanaryList(listed(started, "", canaryOf))}, err
		})
}

// canary starts one or two, and leaves an audit row. What was started stands
// though the other could not be.
func (s *Server) canary(ctx context.Context, iccidOrName, to string) (list []queue.Canary, err error) {
	sim, err := s.pool.SIM(ctx, iccidOrName)
	if err != nil {
		return nil, err
	}
	who := callerOf(ctx).principal.String()
	if to == "" {
		list, err = s.pool.TestSIM(ctx, sim.ICCID, who)
	} else {
		other, e := s.pool.SIM(ctx, to)
		if errors.Is(e, pool.ErrNoSIM) {
			return nil, invalid("body.to", "there is no SIM with this ICCID or name; see GET /sims", to)
		}
		if e != nil {
			return nil, e
		}
		var one queue.Canary
		if one, err = s.pool.Canary(ctx, sim.ICCID, other.ICCID, who); err == nil {
			list = append(list, one)
		}
	}
	if len(list) > 0 {
		var to []string
		for _, c := range list {
			to = append(to, c.From+">"+c.To)
		}
		s.audited(ctx, "sim.canary", sim.ICCID, strings.Join(to, " "))
		return list, nil
	}
	for _, known := range []error{pool.ErrNoNumber, pool.ErrNotFit, pool.ErrPaused, pool.ErrUnreachable, queue.ErrCanaryRunning} {
		if errors.Is(err, known) {
			return nil, newProblem(http.StatusConflict, known.Error())
		}
	}
	return nil, err
}

func (s *Server) listCanaries() *operation {
	return op(operation{id: "list-canaries", tag: "SIMs and modems", summary: "Test messages between the SIMs", description: "Newest first."},
		func(ctx context.Context, in *struct {
			Paging
			SIM   string `query:"sim" maxLength:"64" doc:"ICCID or name: sent by it or to it"`
			State string `query:"state" enum:"waiting,out,arrived,missed,refused,void"`
		}) (*canariesOut, error) {
			f := queue.CanaryFilter{State: queue.CanaryState(in.State), Limit: in.Limit, Cursor: in.Cursor}
			if in.SIM != "" {
				sim, err := s.pool.SIM(ctx, in.SIM)
				if err != nil {
					return nil, err
				}
				f.SIM = sim.ICCID
			}
			all, next, err := s.store.Canaries(ctx, f)
			return &canariesOut{CanaryList(listed(all, next, canaryOf))}, err
		})
}

func (s *Server) endQuarantine() *operation {
	return op(operation{id: "end-quarantine", tag: "SIMs and modems", summary: "Let a SIM send again that is in quarantine",
		description: "Whatever it was in quarantine for: lost answers, refusals or canaries that did not get there. What was found before does not count any more."},
		func(ctx context.Context, in *SIMID) (*simOut, error) {
			m, err := s.free(ctx, in.ICCID)
			return &simOut{s.simOf(m)}, err
		})
}

func (s *Server) free(ctx context.Context, iccidOrName string) (pool.SIM, error) {
	sim, err := s.pool.SIM(ctx, iccidOrName)
	if err != nil {
		return sim, err
	}
	if err := s.pool.EndQuarantine(ctx, sim.ICCID); err != nil {
		return sim, err
	}
	s.audited(ctx, "sim.free", sim.ICCID, "")
	return s.pool.SIM(ctx, sim.ICCID)
}

// CanarySettings say when the box sends test messages by itself.
type CanarySettings struct {
	EveryHours int  `json:"every_hours" doc:"Between two rounds, in which each line sends one and receives one; 0: no rounds"`
	RealSIMs   bool `json:"real_sims" doc:"Also on real SIMs, where they cost money. Else on emulated ones only: on real ones at most three follow one that somebody asked for, and a SIM in quarantine is looked at for a day"`
	Suspicion  bool `json:"suspicion" doc:"One more when a line has grown silent"`
}

type canarySettingsOut struct{ Body CanarySettings }

func (s *Server) getCanarySettings() *operation {
	return op(operation{id: "get-canary-settings", tag: "SIMs and modems", summary: "When test messages are sent by themselves"},
		func(ctx context.Context, _ *struct{}) (*canarySettingsOut, error) {
			c, err := s.store.CanarySettings(ctx)
			return &canarySettingsOut{CanarySettings{c.EveryHours, c.RealSIMs, c.Suspicion}}, err
		})
}

// CanarySettingsPatch changes them; what is absent stays.
type CanarySettingsPatch struct {
	EveryHours *int  `json:"every_hours,omitempty" nullable:"false" minimum:"0" maximum:"720"`
	RealSIMs   *bool `json:"real_sims,omitempty" nullable:"false"`
	Suspicion  *bool `json:"suspicion,omitempty" nullable:"false"`
}

func (s *Server) patchCanarySettings() *operation {
	return op(operation{id: "patch-canary-settings", tag: "SIMs and modems", summary: "Change when test messages are sent by themselves"},
		func(ctx context.Context, in *struct{ Body CanarySettingsPatch }) (*canarySettingsOut, error) {
			s.changing.Lock()
			defer s.changing.Unlock()
			c, err := s.store.CanarySettings(ctx)
			if err != nil {
				return nil, err
			}
			if in.Body.EveryHours != nil {
				c.EveryHours = *in.Body.EveryHours
			}
			if in.Body.RealSIMs != nil {
				c.RealSIMs = *in.Body.RealSIMs
			}
			if in.Body.Suspicion != nil {
				c.Suspicion = *in.Body.Suspicion
			}
			err = s.store.SetCanarySettings(ctx, c, callerOf(ctx).principal.String())
			return &canarySettingsOut{CanarySettings{c.EveryHours, c.RealSIMs, c.Suspicion}}, err
		})
}

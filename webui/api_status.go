package webui

import (
	"context"
	"time"

	"recado/queue"
)

// Status is the box at a glance.
type Status struct {
	Queue      map[string]map[string]int `json:"queue" doc:"Messages that are not finished: by state (scheduled, held, queued, sending), then class"`
	Today      map[string]int            `json:"today" doc:"Changes into each state since local midnight"`
	Sent       SentCounts                `json:"sent" doc:"Messages that the network accepted whole"`
	LinesReady int                       `json:"lines_ready" doc:"Modems with a SIM, able to send now"`
	Uncertain  int                       `json:"uncertain" doc:"Messages whose answer was lost, and that nobody has resolved"`
	Unread     int                       `json:"unread" doc:"Received messages that nobody has read"`
	Paused     bool                      `json:"paused" doc:"All sending is stopped by POST /sending/pause"`
	Sending    SendingState              `json:"sending" doc:"What is stopped of it"`
	Clock      ClockStatus               `json:"clock"`
	Storage    StorageStatus             `json:"storage"`
	Version    string                    `json:"version"`
	StartedAt  time.Time                 `json:"started_at"`
}

// SentCounts are messages sent in the last minute, hour and day.
type SentCounts struct {
	LastMinute int `json:"last_minute"`
	LastHour   int `json:"last_hour"`
	LastDay    int `json:"last_day"`
}

// ClockStatus says whether the time can be believed: nothing scheduled happens
// while it cannot.
type ClockStatus struct {
	Now     time.Time  `json:"now"`
	Trusted bool       `json:"trusted"`
	Source  *string    `json:"source" doc:"Who vouches for it: ntp, nitz, scts, operator, flag; null nobody"`
	Since   *time.Time `json:"since" doc:"Since when"`
	Reason  *string    `json:"reason" doc:"Why it is not trusted, in English"`
	Offset  float64    `json:"offset_seconds" doc:"How far it is ahead of the operating system's clock"`
	Rests   *time.Time `json:"rests_until" doc:"Until then nothing expires and nothing is deleted for its age, since the time has moved forward by more than a day: a wrong one can be put right before it does harm. null: nothing rests"`
}

// StorageStatus is the room left, in bytes.
type StorageStatus struct {
	Free     *int64 `json:"free_bytes" doc:"On the data folder's disk; null when not known"`
	Total    *int64 `json:"total_bytes"`
	Database *int64 `json:"database_bytes"`
	State    string `json:"state" enum:"ok,checking,low,full,read_only,unknown" doc:"low: new work but alerts is refused; full: all new work is, what is queued is sent; read_only: nothing can be written; checking: it is looked over after an unclean end"`
	Detail   string `json:"detail" doc:"Why, and what to do"`
}

func (s *Server) getStatus() *operation {
	type (
		in  struct{}
		out struct{ Body Status }
	)
	return op(operation{id: "get-status", tag: "Status", summary: "The box at a glance"},
		func(ctx context.Context, _ *in) (*out, error) {
			st, err := s.status(ctx)
			return &out{st}, err
		})
}

// status gathers what is shown at /status and, in words, on the dashboard.
func (s *Server) status(ctx context.Context) (Status, error) {
	depth, err := s.store.Depth(ctx)
	if err != nil {
		return Status{}, err
	}
	stats, err := s.store.Stats(ctx)
	if err != nil {
		return Status{}, err
	}
	unread, err := s.inbox.Unread(ctx)
	if err != nil {
		return Status{}, err
	}
	st := Status{Queue: map[string]map[string]int{}, Today: map[string]int{},
		Sent:       SentCounts{stats.SentMinute, stats.SentHour, stats.SentDay},
		LinesReady: s.pool.Ready(), Uncertain: stats.Uncertain, Unread: unread, Paused: s.pool.Paused(), Sending: s.sending(),
		Clock: s.clockStatus(), Storage: StorageStatus{State: "unknown"}, Version: s.version, StartedAt: s.started.UTC().Truncate(time.Millisecond)}
	for _, state := range []queue.State{queue.Scheduled, queue.Held, queue.Queued, queue.Sending} {
		classes := map[string]int{}
		for _, class := range []queue.Class{queue.OTP, queue.Alert, queue.Normal, queue.Bulk} {
			classes[string(class)] = depth[state][class]
		}
		st.Queue[string(state)] = classes
	}
	for _, state := range queue.States {
		st.Today[string(state)] = stats.Today[state]
	}
	if s.storage != nil {
		room, err := s.storage()
		if err != nil {
			s.log.Warn("the room on the disk is not known", "err", err)
		} else {
			st.Storage.Free, st.Storage.Total, st.Storage.Database = &room.Free, &room.Total, &room.Database
		}
	}
	if s.care.Health != nil {
		h := s.care.Health()
		st.Storage.State, st.Storage.Detail = h.State, h.Detail
	}
	return st, nil
}

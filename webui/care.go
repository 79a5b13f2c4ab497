package webui

import (
	"context"
	"io"
	"time"

	"recado/queue/backup"
	"recado/queue/clock"
	"recado/queue/sqlite"
)

// Care is what the pages need to look after the data of a box. Each part may be
// nil: then it is not shown.
type Care struct {
	// Time knows who vouches for the clock, and takes an operator's word.
	Time Timekeeper
	// Health is the database's.
	Health func() sqlite.Health
	// Rescue tells of a database that was found damaged, until somebody took note.
	Rescue Rescue
	// Backups are the automatic copies, …
	Backups BackupKeeper
	// … Copies lists them, and Archive makes one for a person to take away, which
	// was read back and verified; its caller closes it.
	Copies  func() ([]backup.Copy, error)
	Archive func(ctx context.Context, secret backup.Secret) (Archive, error)
	// Erase deletes whatever is kept of a number (E.164), in the queue and among
	// the received, also from the free parts of the file.
	Erase func(ctx context.Context, number, who string) (Erased, error)
}

// Timekeeper is a *clock.Clock.
type Timekeeper interface {
	Status() clock.Status
	Trust(ctx context.Context, who string, now time.Time, sure bool) error
	Against(now time.Time) *clock.Unlikely
}

// Rescue is a backup.Folder.
type Rescue interface {
	Alarm() (*backup.Alarm, error)
	Acknowledge() error
}

// BackupKeeper is a *backup.Keeper.
type BackupKeeper interface {
	Status() backup.Status
	Make(ctx context.Context) error
}

// Archive is a finished backup of Size octets.
type Archive struct {
	io.ReadCloser
	Size int64
}

// Erased says how much of a number was deleted.
type Erased struct {
	Messages int `json:"messages" doc:"Sent to it"`
	Inbound  int `json:"inbound" doc:"Received from it"`
	Reports  int `json:"reports" doc:"Status reports that named it"`
	Events   int `json:"events" doc:"Events that named it, delivered or not"`
	// Scrubbed is false when all is deleted, and only the overwriting is not done.
	Scrubbed bool `json:"scrubbed" doc:"Also the free parts of the database's files were overwritten. False: everything is deleted and nothing shows it any more, but traces may be left in its files; Recado goes on overwriting them by itself, also after a restart"`
}

// alarm is a banner on every page.
type alarm struct {
	Key, Tone, Icon string // Key of the words under "alarm."
	N               int
	Href            string // where something can be done about it; "" nowhere
	// Post is a form's address and Do its button's word; "" none.
	Post, Do string
	Facts    []any // name, value, … of the words' placeholders
}

// alarms are what everybody should know before they do anything.
func (s *Server) alarms(ctx context.Context, v *view) (list []alarm) {
	if s.care.Rescue != nil {
		if a, err := s.care.Rescue.Alarm(); err != nil {
			s.log.Warn("the alarm about a damaged database cannot be read", "err", err)
		} else if a != nil {
			one := alarm{Key: "data_" + a.What, Tone: "bad", Icon: "circle-alert", Href: "/doctor",
				Facts: []any{"At", v.Full(a.At), "Copied", v.Full(a.CopiedAt), "Kept", a.Messages + a.Inbound,
					"Added", a.AddedMessages + a.AddedInbound, "Missing", max(0, a.LostMessages+a.LostInbound-a.AddedMessages-a.AddedInbound)}}
			if v.Person.Admin {
				one.Post, one.Do = "/settings/rescued", "alarm.noted"
			}
			list = append(list, one)
		}
	}
	if s.care.Health != nil {
		switch h := s.care.Health(); h.State {
		case sqlite.HealthReadOnly:
			list = append(list, alarm{Key: "read_only", Tone: "bad", Icon: "circle-alert", Href: "/doctor"})
		case sqlite.HealthFull:
			list = append(list, alarm{Key: "full", Tone: "bad", Icon: "circle-alert", Href: "/settings#retention"})
		case sqlite.HealthLow:
			list = append(list, alarm{Key: "low", Tone: "warn", Icon: "triangle-alert", Href: "/settings#retention"})
		case sqlite.HealthChecking:
			list = append(list, alarm{Key: "checking", Tone: "info", Icon: "info"})
		}
	}
	if n, _, err := s.store.Damaged(ctx, 0); err != nil {
		s.log.Warn("what is damaged cannot be counted", "err", err)
	} else if n > 0 {
		list = append(list, alarm{Key: "rows_damaged", Tone: "bad", Icon: "circle-alert", N: n, Href: "/doctor"})
	}
	if !s.clock.Trusted() {
		a := alarm{Key: "clock", Tone: "warn", Icon: "clock", Facts: []any{"Now", v.Full(v.now)}}
		if s.care.Time != nil && v.Person.CanSend {
			a.Href, a.Post, a.Do = "/settings#clock", "/settings/clock", "alarm.clock_right"
		}
		list = append(list, a)
	}
	if h, err := s.held(ctx); err != nil {
		s.log.Warn("what is held cannot be counted", "err", err)
	} else if h.Total > 0 {
		list = append(list, alarm{Key: "held", Tone: "warn", Icon: "pause", N: h.Total, Href: "/held"})
	}
	return list
}

package webui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recado/pool"
	"recado/queue"
)

// SIMLimit is how much a SIM may send in a time.
type SIMLimit struct {
	Window         string     `json:"window" enum:"minute,hour,day,month" doc:"minute: any 60 seconds; hour: any 60 minutes; day: a calendar day of the box; month: a billing month, which begins on reset_day"`
	MaxSegments    *int       `json:"max_segments" doc:"As it was set; null: no limit. A new SIM's warm_limit holds for the day until it has warmed up"`
	MaxRecipients  *int       `json:"max_recipients" doc:"Of different recipients; null: no limit"`
	UsedSegments   int        `json:"used_segments"`
	UsedRecipients int        `json:"used_recipients"`
	ResetsAt       *time.Time `json:"resets_at" doc:"When the window ends, or the first of what was counted leaves one that slides; null: nothing is counted, or nobody knows the time of day"`
}

// SIMRoom is what a SIM may still send now, in segments; null: as much as it can.
type SIMRoom struct {
	OTP    *int       `json:"otp"`
	Alert  *int       `json:"alert"`
	Normal *int       `json:"normal"`
	Bulk   *int       `json:"bulk" doc:"Less than the others by the reserve"`
	Until  *time.Time `json:"more_at" doc:"When it may be more; null: no limit is tight, or nobody knows"`
}

// SendWindow is when a SIM may send, by the box's clock.
type SendWindow struct {
	From string   `json:"from" pattern:"^([01]?[0-9]|2[0-3]):[0-5][0-9]$" doc:"HH:MM" example:"08:00"`
	To   string   `json:"to" pattern:"^([01]?[0-9]|2[0-3]):[0-5][0-9]$" doc:"HH:MM; earlier than from: on the next day; the same: the whole day" example:"21:30"`
	Days []string `json:"days,omitempty" enum:"mon,tue,wed,thu,fri,sat,sun" nullable:"false" doc:"On which it begins; all when absent"`
}

// weekdays as the API names them, Monday first.
var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

func limitsOf(l queue.SIMLimits) []SIMLimit {
	list := []SIMLimit{}
	for _, u := range setLimits(l) {
		list = append(list, SIMLimit{Window: string(u.Window), MaxSegments: counted(u.MaxSegments), MaxRecipients: counted(u.MaxRecipients),
			UsedSegments: u.UsedSegments, UsedRecipients: u.UsedRecipients, ResetsAt: when(u.ResetsAt)})
	}
	return list
}

// setLimits are a SIM's limits as they were set: of one that warms up the day's in
// full. Whoever changes one of them sends them all back, and must not make today's
// the one that holds for good.
func setLimits(l queue.SIMLimits) []queue.LimitUse {
	list := slices.Clone(l.Limits)
	for i := range list {
		if list[i].Window == queue.WindowDay && l.Full > 0 {
			list[i].MaxSegments = l.Full
		}
	}
	return list
}

func roomOf(r queue.Room, steady, now time.Time) SIMRoom {
	left := func(c queue.Class) *int {
		if n := r.Segments[queue.Lane(c)]; n != math.MaxInt {
			return new(max(n, 0))
		}
		return nil
	}
	out := SIMRoom{OTP: left(queue.OTP), Alert: left(queue.Alert), Normal: left(queue.Normal), Bulk: left(queue.Bulk)}
	if !r.Until.IsZero() {
		out.Until = when(now.Add(r.Until.Sub(steady)))
	}
	return out
}

func windowOf(w queue.SendWindow) *SendWindow {
	if w.None() {
		return nil
	}
	out := &SendWindow{From: clockTime(w.From), To: clockTime(w.To), Days: []string{}}
	for i, day := range weekdays {
		if w.Days&(1<<i) != 0 {
			out.Days = append(out.Days, day)
		}
	}
	return out
}

// clockTime is a minute of the day as HH:MM.
func clockTime(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// minuteOf reads HH:MM, or H:MM.
func minuteOf(text string) (int, error) {
	var m pool.Minute
	err := m.UnmarshalText([]byte(strings.TrimSpace(text)))
	return int(m), err
}

// window is the same for the queue.
func (w *SendWindow) window() (queue.SendWindow, error) {
	if w == nil {
		return queue.SendWindow{From: -1, To: -1, Days: queue.AllDays}, nil
	}
	out := queue.SendWindow{Days: queue.AllDays}
	var err error
	if out.From, err = minuteOf(w.From); err != nil {
		return out, invalid("body.send_window.from", "is a time of day, as 08:00", w.From)
	}
	if out.To, err = minuteOf(w.To); err != nil {
		return out, invalid("body.send_window.to", "is a time of day, as 21:30", w.To)
	}
	if w.Days == nil {
		return out, nil
	}
	out.Days = 0
	for _, day := range w.Days {
		i := slices.Index(weekdays, day)
		if i < 0 {
			return out, invalid("body.send_window.days", "are some of mon, tue, wed, thu, fri, sat, sun", day)
		}
		out.Days |= 1 << i
	}
	return out, nil
}

// Settable is a field of a patch that may be absent (it stays), null (it goes
// back to the default, or is taken away) or there.
type Settable[T any] struct {
	Set   bool
	Value *T
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Settable[T]) UnmarshalJSON(b []byte) error {
	s.Set = true
	if bytes.Equal(b, []byte("null")) {
		s.Value = nil
		return nil
	}
	s.Value = new(T)
	return json.Unmarshal(b, s.Value)
}

// MarshalJSON implements json.Marshaler.
func (s Settable[T]) MarshalJSON() ([]byte, error) { return json.Marshal(s.Value) }

// Schema implements huma.SchemaProvider.
func (Settable[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), false, "") // in place, so that what is wrong with a part of it is told by that part's place
	s.Nullable = true
	return &s
}

// LimitRequest is one window's limit as somebody sets it.
type LimitRequest struct {
	Window        string `json:"window" enum:"minute,hour,day,month"`
	MaxSegments   *int   `json:"max_segments,omitempty" nullable:"true" minimum:"1" maximum:"100000000" doc:"Null or absent: no limit"`
	MaxRecipients *int   `json:"max_recipients,omitempty" nullable:"true" minimum:"1" maximum:"100000000" doc:"Of different recipients; null or absent: no limit"`
}

// LimitRequests are all limits of a SIM.
type LimitRequests []LimitRequest

// limitsPatch is what of a patch the limits are.
func (b SIMPatch) limitsPatch() (p queue.LimitsPatch, changed []string) {
	if b.Limits.Set {
		var list []queue.Limit // nil: the defaults
		if b.Limits.Value != nil {
			list = []queue.Limit{}
			for _, l := range *b.Limits.Value {
				one := queue.Limit{Window: queue.Window(l.Window)}
				if l.MaxSegments != nil {
					one.MaxSegments = *l.MaxSegments
				}
				if l.MaxRecipients != nil {
					one.MaxRecipients = *l.MaxRecipients
				}
				list = append(list, one)
			}
		}
		p.Limits, changed = &list, append(changed, "limits="+limitsText(list))
	}
	if b.ReservePercent != nil {
		p.ReservePercent, changed = b.ReservePercent, append(changed, fmt.Sprintf("reserve_percent=%d", *b.ReservePercent))
	}
	if b.ResetDay != nil {
		p.ResetDay, changed = b.ResetDay, append(changed, fmt.Sprintf("reset_day=%d", *b.ResetDay))
	}
	if b.WarmUp != nil {
		p.WarmUp, changed = b.WarmUp, append(changed, fmt.Sprintf("warm_up=%t", *b.WarmUp))
	}
	return p, changed
}

// limitsText is what the audit trail keeps of limits.
func limitsText(list []queue.Limit) string {
	if list == nil {
		return "default"
	}
	parts := []string{}
	for _, l := range list {
		if l.MaxSegments != 0 || l.MaxRecipients != 0 {
			parts = append(parts, fmt.Sprintf("%s:%d/%d", l.Window, l.MaxSegments, l.MaxRecipients))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, " ")
}

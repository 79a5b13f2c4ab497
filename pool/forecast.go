package pool

import (
	"time"

	"recado/queue"
)

// Work is something to send that is not in the queue: what Forecast is asked
// about.
type Work struct {
	Class    queue.Class
	Segments int // of one message
	// To are the recipients as the queue writes them, one message each. Messages
	// counts them where they are not known one by one.
	To       []string
	Messages int
	SIM      string        // ICCID; "": the pool chooses
	KeyID    string        // the application that asks, for its routes
	SendAt   time.Time     // zero: at once
	ValidFor time.Duration // from the moment that it may be sent; 0: it does not expire
}

// WorkOf is the work of a request that has been quoted.
func WorkOf(r queue.Request, q queue.Quote) Work {
	class := r.Class
	if class == "" {
		class = queue.Normal
	}
	return Work{Class: class, Segments: q.Segments, To: q.Numbers, Messages: q.Accepted, SIM: r.SIM, KeyID: r.KeyID,
		SendAt: r.SendAt, ValidFor: q.ValidFor}
}

// Forecast is what becomes of some work, as far as is known now.
type Forecast struct {
	// Feasible: all of it leaves before it expires.
	Feasible bool
	// ETA is from now until the network has answered the last submission; < 0
	// when it is not known whether that ever comes. Begins and Finish are when the
	// first is begun and the last is over; zero: not known.
	ETA            time.Duration
	Begins, Finish time.Time
	// Shares are the SIMs that send it, the largest part first.
	Shares []Share
	// Limits are the limits that run out while it is sent, each once, soonest
	// first: the part of them that the work's class may use.
	Limits []LimitHit
	// Left is what each SIM has for one-time codes when it is done.
	Left []Left
	// Waits are the times in which nothing of it leaves, in order.
	Waits []Wait
	// Expired messages would not have left before their validity ends, Unsent ones
	// never, by what is known.
	Expired, Unsent int
	// Cut: it would have taken too long to work out; of the Unsent nothing is known.
	Cut bool
	// Guessed: of a SIM that sends it no submission has been measured yet.
	Guessed bool
}

// FirstLimit is the limit that runs out first; nil: none does.
func (f Forecast) FirstLimit() *LimitHit {
	if len(f.Limits) == 0 {
		return nil
	}
	return &f.Limits[0]
}

// Share is a SIM's expected part of some work.
type Share struct {
	ICCID    string
	Share    float64 // 0–1; all shares add up to 1
	Segments int
}

// LimitHit is a limit that runs out.
type LimitHit struct {
	ICCID      string
	Window     string // minute, hour, day, month
	Recipients bool   // the limit of different recipients, not the one of segments
	At         time.Time
}

// Left is what a SIM has left for one-time codes.
type Left struct {
	ICCID    string
	Segments int // when the work is done; -1: it has no limit
	Least    int // at the worst moment until then; -1: it has no limit
	// Recipients that it has not written to may still be written to; -1: no limit.
	Recipients int
}

// Reasons of a Wait: stable codes.
const (
	WaitScheduled  = "scheduled"   // until its send_at
	WaitAhead      = "ahead"       // other messages go first
	WaitPaused     = "paused"      // sending is paused
	WaitClass      = "class"       // sending of this class is paused
	WaitSIMPaused  = "sim_paused"  // the SIM is paused
	WaitQuiet      = "quiet_hours" // of the recipients
	WaitWindow     = "send_window" // of the SIM
	WaitMinute     = "limit_minute"
	WaitHour       = "limit_hour"
	WaitDay        = "limit_day"
	WaitMonth      = "limit_month"
	WaitRecipients = "limit_recipients" // of different recipients, whatever the window
	WaitLine       = "no_line"          // no SIM that may send it can
	WaitClock      = "clock"            // the time of day is not known

	waitPace = "pace" // too short to be told
)

// Wait is a time in which nothing of the work leaves.
type Wait struct {
	Why         string
	From, Until time.Time // Until zero: not known
}

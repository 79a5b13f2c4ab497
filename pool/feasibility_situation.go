package pool

import (
	"time"

	"recado/queue"
)

// Windows of a limit, in the order of SimLine.Limits.
const (
	windowMinute = iota
	windowHour
	windowDay
	windowMonth
)

var (
	windowNames = [4]string{"minute", "hour", "day", "month"}
	windowWaits = [4]string{WaitMinute, WaitHour, WaitDay, WaitMonth}
)

// Situation is all that a forecast goes by. Times are from Now on.
type Situation struct {
	Now     time.Time // of the day, in the box's own zone: its midnights are the limits'
	Trusted bool      // else days and months do not end
	Paused  bool
	Lines   []SimLine
	Ahead   []Batch // what is in the queue
	Work    []Batch // what is asked about
	// OverBulk and OverNormal are how many messages in a row of better lanes have
	// been taken.
	OverBulk, OverNormal int
}

// SimLine is a line as a forecast sees it.
type SimLine struct {
	ICCID   string
	Took    time.Duration // from a submission's begin to the next's
	Guessed bool          // nobody has measured that yet
	Free    time.Duration // when it can take its next message
	Rank    float64       // of lines that are free at once the smallest goes first
	Out     string        // why it sends nothing, for nobody knows how long; "": it does
	Limits  [4]SimLimit   // minute, hour, day, month
	// Uses are the submissions of the last hour that count for the limits, which do
	// so from their answers on. Spans are how long the minute and the hour are for
	// them; 0: as they are called.
	Uses     []Use
	Spans    [2]time.Duration
	Reserve  int           // the percentage of each limit that bulk may not use
	ResetDay int           // on which the billing month begins
	Warm     int           // the day's limit while the SIM is new, doubled each day; 0: it is not
	Pace     time.Duration // from a submission's begin to the next of normal or bulk; 0: none
	PaceFree time.Duration // when the next of those may begin
	Hours    Hours         // the SIM's send window; nil: always
	Restless bool          // quiet hours do not bind it
	Urgent   bool          // it sends otp and alert only: nobody knows whether its window is open
	// DoubtedUntil is how long something speaks against its health: then otp and
	// alert are not tried on it while another could have them, and nobody waits for
	// its turn. Unproven: it counts for no route until something is accepted. Mute: it
	// does not receive, and sends only what no other could.
	DoubtedUntil   time.Duration
	Unproven, Mute bool
}

// SimLimit is the most of a window, 0: none, and what is used of a day or
// month. What is used of a minute or hour is in SimLine.Uses.
type SimLimit struct {
	Segments, Recipients         int
	UsedSegments, UsedRecipients int
}

// Use is segments whose submission ended some time ago, to so many recipients.
type Use struct {
	Ago                  time.Duration
	Segments, Recipients int
}

// Worn is how far a line is on a route's account, how much of that by the message
// that it took last at its turn, and by what it has sent since that was nobody's.
type Worn struct{ Time, Since, Out float64 }

// Batch are messages that are alike. Of one lane the one that was accepted
// first goes first: those of a batch lie evenly between First and Last.
type Batch struct {
	Class       queue.Class
	Messages    int
	Segments    int // of all of them
	First, Last int64
	From        time.Duration // when they may go at the earliest
	Why         string        // why they do not go at all; "": they do
	// Only these lines may send it, by their place in Situation.Lines; nil: all.
	// Those of Else (nil: all) may from Later on; where LetGo is set while no line
	// of Only is able; and when none has been for Fallback, unless that is 0.
	Only, Else []int
	Own        bool // Only is the SIM that it is pinned to, or prefers
	Later      time.Duration
	LetGo      bool
	Fallback   time.Duration
	// Weights of the lines on its route, where they differ: none may be far ahead of
	// its share (see wear). Worn is how far each is; batches with the same Route
	// share that.
	Route   int64
	Weights []int
	Worn    []Worn
	Hours   Hours // of the recipients; nil: always
	// The validity of the first and of the last ends; never, or 0: it does not.
	Expires, LastExpires time.Duration
	// Known is the share of its recipients that a SIM has written to in the window
	// already, by line and window; nil: none.
	Known [][4]float64
}

package queue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"recado/queue/sqlite"
)

// Window is what a limit counts over.
type Window string

const (
	WindowMinute Window = "minute" // any 60 seconds
	WindowHour   Window = "hour"   // any 60 minutes
	WindowDay    Window = "day"    // a calendar day, local time
	WindowMonth  Window = "month"  // a billing month, local time: see LimitsPatch.ResetDay
)

// Windows in the order in which they are shown and counted.
var Windows = []Window{WindowMinute, WindowHour, WindowDay, WindowMonth}

// ErrLimit: the gate stays shut, because the SIM would send more than one of its
// limits allows. Nothing has changed: the message goes back untouched.
var ErrLimit = errors.New("the SIM has reached one of its limits")

// Limit of a SIM over a window: segments and distinct recipients; 0 is no limit.
type Limit struct {
	Window        Window
	MaxSegments   int
	MaxRecipients int
}

// LimitUse is a limit, as it holds now (see SIMLimits.Warm), and what is used of it.
type LimitUse struct {
	Limit
	UsedSegments   int
	UsedRecipients int
	// ResetsAt is when the window ends, or, of one that slides, when the first of
	// what was counted leaves it. While a new time of day is not yet firm, it is when
	// that will be. Zero: nothing is counted, or nobody knows the time of day.
	ResetsAt time.Time
}

// SIMLimits are a SIM's limits.
type SIMLimits struct {
	Limits         []LimitUse // of the four Windows, in their order
	Chosen         bool       // somebody chose them; else the defaults hold
	ReservePercent int        // of each limit, that bulk never has
	ResetDay       int        // of the month, when the billing month begins; in a shorter one its last day
	// Warm is the day limit of a SIM that is still warming up, and Full what it will
	// be in the end, as it was set; 0: it is not.
	Warm, Full int
	// Damaged: they cannot be read, and until somebody sets them nothing is sent.
	Damaged bool
	Room    Room
}

// LimitsPatch changes what a person may change; nil leaves it.
type LimitsPatch struct {
	// Limits, all of them: a window that is not named has none. A pointer to nil
	// goes back to the defaults.
	Limits         *[]Limit
	ReservePercent *int
	ResetDay       *int
	WarmUp         *bool // true: begin it anew; false: none
}

// Room is what a SIM may still send now.
type Room struct {
	// Segments and Recipients (new ones), by lane; math.MaxInt: no limit.
	Segments   [laneCount]int
	Recipients [laneCount]int
	// Until is when there may be more than that (Steady); zero: no limit is tight,
	// or nobody knows when.
	Until time.Time
	// Opens is when a lane that has no segment left, or no new recipient, has both
	// (Steady); zero: it has them, or nobody knows when.
	Opens [laneCount]time.Time
	// Longest is of how many segments a message may be that begins now, by what day
	// and month have left, whether minute and hour have room or not; math.MaxInt: any.
	Longest [laneCount]int
	// Tight is the window with the least left, "" when there is no limit.
	Tight Window
	// Left is the least share, from 0 to 1, that is left of what a day or month
	// allows: what SIMs are to use up evenly. Minutes and hours come again by
	// themselves.
	Left float64
}

// noLimits is the Room of a SIM without limits.
func noLimits() Room {
	r := Room{Left: 1}
	for i := range r.Segments {
		r.Segments[i], r.Recipients[i], r.Longest[i] = math.MaxInt, math.MaxInt, math.MaxInt
	}
	return r
}

// Room is what a SIM may send now. It reads nothing from the disk as a rule. A SIM
// that was never seen has no limits.
func (s *Store) Room(ctx context.Context, iccid string) (Room, error) {
	r := noLimits()
	if _, err := s.loaded(ctx, iccid, func(m *meter, n instant) { r = m.room(n) }); err != nil {
		return Room{}, fmt.Errorf("read what the SIM may send: %w", err)
	}
	return r, nil
}

// Limits of a SIM and what is used of them; ErrNoSIM.
func (s *Store) Limits(ctx context.Context, iccid string) (SIMLimits, error) {
	iccid = Contract(iccid)
	var l SIMLimits
	var n instant
	found, err := s.loaded(ctx, iccid, func(m *meter, now instant) { l, n = m.limits(now), now })
	if err == nil && !found {
		err = ErrNoSIM
	}
	for w := range spans {
		// Where there is no limit nothing is held ready.
		if u := &l.Limits; err == nil && (*u)[w].MaxSegments == 0 && (*u)[w].MaxRecipients == 0 {
			err = s.db.Read().QueryRowContext(ctx, `SELECT count(*), count(DISTINCT recipient) FROM usage WHERE iccid = ? AND at >= ?`,
				iccid, n.steady-spans[w]).Scan(&(*u)[w].UsedSegments, &(*u)[w].UsedRecipients)
		}
	}
	if err != nil {
		return SIMLimits{}, fmt.Errorf("read the SIM's limits: %w", err)
	}
	return l, nil
}

// AllLimits are the Limits of every SIM that was ever seen, by ICCID. Of a window
// that slides and has no limit it does not say what is used.
func (s *Store) AllLimits(ctx context.Context) (map[string]SIMLimits, error) {
	iccids, err := s.simKeys(ctx, `SELECT iccid FROM sim`)
	if err != nil {
		return nil, fmt.Errorf("read the SIMs' limits: %w", err)
	}
	all := make(map[string]SIMLimits, len(iccids))
	for _, iccid := range iccids {
		if _, err := s.loaded(ctx, iccid, func(m *meter, n instant) { all[iccid] = m.limits(n) }); err != nil {
			return nil, fmt.Errorf("read the SIMs' limits: %w", err)
		}
	}
	return all, nil
}

func (s *Store) simKeys(ctx context.Context, query string) (list []string, err error) {
	rows, err := s.db.Read().QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var iccid string
		if err := rows.Scan(&iccid); err != nil {
			return nil, err
		}
		list = append(list, iccid)
	}
	return list, rows.Err()
}

func (m *meter) limits(n instant) SIMLimits {
	l := SIMLimits{Chosen: m.chosen, ReservePercent: m.reserve, ResetDay: m.reset, Warm: m.warming(n), Damaged: m.shut && !m.open, Room: m.room(n)}
	if l.Warm > 0 {
		l.Full = m.base[daily].MaxSegments
	}
	for w := range windows {
		l.Limits = append(l.Limits, m.use(w, n))
	}
	return l
}

// LimitEvent is the data of the event sim.limit.
type LimitEvent struct {
	ICCID  string `json:"iccid"`
	Window Window `json:"window"`
	// Level: near (80 %), reached, free (below 80 % again).
	Level          string     `json:"level"`
	MaxSegments    *int       `json:"max_segments"`
	UsedSegments   int        `json:"used_segments"`
	MaxRecipients  *int       `json:"max_recipients"`
	UsedRecipients int        `json:"used_recipients"`
	ResetsAt       *time.Time `json:"resets_at"`
}

// OnLimit sets the function called after each commit in which a SIM came near
// one of its limits (80 %; near), reached it, or is free of it again (both not
// near: what is used of l tells), as the event sim.limit says too. It is called on
// the writer's goroutine and must not block.
func (s *Store) OnLimit(f func(iccid string, near bool, l LimitUse)) { s.usage.on.Store(&f) }

// change is one window whose level is told anew.
type change struct {
	window, level int
	use           LimitUse
}

// after gives the windows whose level a gate raises, with what they are to be
// told as.
func (m *meter) after(who uint64, fresh [2]bool, n instant) (told int, changes []change) {
	told = m.told
	for w := range windows {
		l := m.limit(w, n)
		if l.MaxSegments == 0 && l.MaxRecipients == 0 {
			continue
		}
		segments, recipients := m.used(w, n)
		segments++
		if w >= daily && fresh[w-daily] || w < daily && l.MaxRecipients > 0 && !m.slides[w].knows(who, spans[w], n.steady) {
			recipients++
		}
		at := level(l, segments, recipients)
		if w == minute && at == 1 {
			continue // it always is while there is work
		}
		if at > m.toldOf(w) {
			told = told&^(3<<(2*w)) | at<<(2*w)
			u := m.use(w, n)
			u.UsedSegments, u.UsedRecipients = segments, recipients
			changes = append(changes, change{w, at, u})
		}
	}
	return told, changes
}

// freed gives the windows that are free again.
func (m *meter) freed(n instant) (told int, changes []change) {
	told = m.told
	for w := range windows {
		if m.toldOf(w) == 0 {
			continue
		}
		if u := m.use(w, n); level(u.Limit, u.UsedSegments, u.UsedRecipients) == 0 {
			told &^= 3 << (2 * w)
			changes = append(changes, change{w, 0, u})
		}
	}
	return told, changes
}

// tellLimits keeps what was told, and tells it.
func (s *Store) tellLimits(tx *sqlite.Tx, iccid string, m *meter, told int, changes []change) error {
	if len(changes) == 0 {
		return nil
	}
	if _, err := tx.Exec(`UPDATE sim SET limit_told = ? WHERE iccid = ?`, told, iccid); err != nil {
		return fmt.Errorf("keep what was told of the limits: %w", err)
	}
	for _, c := range changes {
		u := c.use
		e := LimitEvent{ICCID: iccid, Window: u.Window, Level: [...]string{"free", "near", "reached"}[c.level], MaxSegments: most(u.MaxSegments),
			UsedSegments: u.UsedSegments, MaxRecipients: most(u.MaxRecipients), UsedRecipients: u.UsedRecipients, ResetsAt: moment(u.ResetsAt)}
		if err := s.AppendEvent(tx, "sim.limit", e); err != nil {
			return err
		}
	}
	tx.AfterCommit(func() {
		s.usage.mu.Lock()
		m.told = told
		s.usage.mu.Unlock()
		if f := s.usage.on.Load(); f != nil {
			for _, c := range changes {
				(*f)(iccid, c.level == 1, c.use)
			}
		}
	})
	return nil
}

// most is null in JSON for no limit.
func most(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// freeLimits tells of the limits that are free again: a window has moved on, and
// no gate has noticed.
func (s *Store) freeLimits(ctx context.Context, n instant) error {
	s.usage.mu.Lock()
	swept := s.usage.swept
	s.usage.mu.Unlock()
	if !swept { // of those that were told of in an earlier run
		iccids, err := s.simKeys(ctx, `SELECT iccid FROM sim WHERE limit_told <> 0`)
		if err != nil {
			return err
		}
		for _, iccid := range iccids {
			if _, err := s.loaded(ctx, iccid, func(*meter, instant) {}); err != nil {
				return err
			}
		}
		s.usage.mu.Lock()
		s.usage.swept = true
		s.usage.mu.Unlock()
	}
	var free []string
	s.usage.mu.Lock()
	for iccid, m := range s.usage.sims {
		if m.told == 0 {
			continue
		}
		if _, changes := m.freed(n); len(changes) > 0 {
			free = append(free, iccid)
		}
	}
	s.usage.mu.Unlock()
	for _, iccid := range free {
		err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
			m, err := s.meter(tx, iccid, n)
			if err != nil || m == nil {
				return err
			}
			s.usage.mu.Lock()
			told, changes := m.freed(n)
			s.usage.mu.Unlock()
			return s.tellLimits(tx, iccid, m, told, changes)
		})
		if err != nil {
			return fmt.Errorf("tell that a limit is free again: %w", err)
		}
	}
	return nil
}

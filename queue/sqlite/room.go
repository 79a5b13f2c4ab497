package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// States of a database's health, worst last.
const (
	// HealthOK: everything works.
	HealthOK = "ok"
	// HealthChecking: it works; the file is still being looked over after an
	// unclean end.
	HealthChecking = "checking"
	// HealthLow: there is little room on the disk; only urgent new work is taken.
	HealthLow = "low"
	// HealthFull: no new work is taken; what is queued is sent, and what comes in
	// is kept, from the reserve inside the file.
	HealthFull = "full"
	// HealthReadOnly: writing has ended.
	HealthReadOnly = "read_only"
)

// Health says how a database is, and in Detail why and what to do.
type Health struct {
	State  string
	Detail string
	// Since is when it came into this state.
	Since time.Time
}

const (
	mostRoom, leastRoom = 64 << 20, 4 << 20
	// statSlack is how often a database whose room is low asks for it by itself.
	roomRound = time.Second
)

// roomLimits are the room below which only urgent new work is taken, and the
// room below which none is, for a disk of so many octets.
func roomLimits(total int64) (soft, hard int64) {
	soft = max(min(mostRoom, total/20), leastRoom)
	return soft, soft / 4
}

// statRoom asks the file system what an ordinary process may still write.
func statRoom(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("ask for the room in %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}

// condition is what the health is made of; its zero value is a healthy one.
type condition struct {
	room func() (free, total int64, err error)
	now  func() time.Time

	// missing octets of the reserve, as the writer last saw; stuck: it could not
	// be made whole although there seemed to be room; refused: SQLite itself met
	// the end of the disk, after the writer last looked.
	missing        atomic.Int64
	stuck, refused atomic.Bool
	checking       atomic.Bool

	mu       sync.Mutex
	over     string // why writing has ended; "" while it has not
	scar     string // the last failure that was got over
	health   Health
	watchers []func(Health)
}

func newCondition(path string, o Options) *condition {
	c := &condition{room: o.Room, now: o.Now}
	if c.room == nil {
		dir := filepath.Dir(path)
		c.room = func() (int64, int64, error) { return statRoom(dir) }
	}
	c.health = Health{State: HealthOK, Since: c.now()}
	return c
}

// look asks for the room and works the health out anew.
func (c *condition) look() Health {
	free, total, err := c.room()
	soft, hard := roomLimits(total)
	left := free - c.missing.Load() // the reserve goes first
	h := Health{State: HealthOK}
	c.mu.Lock()
	defer c.mu.Unlock()
	h.Detail = c.scar
	switch {
	case c.over != "":
		h = Health{State: HealthReadOnly, Detail: c.over}
	case err == nil && left < hard, c.stuck.Load(), c.refused.Load():
		h = Health{State: HealthFull, Detail: fmt.Sprintf(
			"the disk is full: no new message is accepted, those in the queue are still sent and received ones kept. Make %d MiB free on the disk", 1+max(soft-left, 1<<20)>>20)}
	case err == nil && left < soft:
		h = Health{State: HealthLow, Detail: fmt.Sprintf(
			"the disk is almost full: only alerts are accepted. Make %d MiB free on the disk", 1+(soft-left)>>20)}
	case c.checking.Load():
		h = Health{State: HealthChecking, Detail: "the database is being looked over, because Recado was not stopped in order the last time"}
	}
	h.Since = c.health.Since
	if h.State != c.health.State {
		h.Since = c.now()
		for _, w := range c.watchers {
			w(h)
		}
	}
	c.health = h
	return h
}

// end notes that writing has ended, and why.
func (c *condition) end(why string) {
	c.mu.Lock()
	if c.over == "" {
		c.over = why
	}
	c.mu.Unlock()
	c.look()
}

func (c *condition) healed(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scar = what
}

// admits errs with ErrFull when new work must not be taken now, and with
// ErrReadOnly when writing has ended.
func (c *condition) admits(urgent bool) error {
	switch h := c.look(); {
	case h.State == HealthReadOnly:
		return fmt.Errorf("%w: %s", ErrReadOnly, h.Detail)
	case h.State == HealthFull, h.State == HealthLow && !urgent:
		return fmt.Errorf("%w: %s", ErrFull, h.Detail)
	}
	return nil
}

// WriteNew is Write for new work: what nobody is waiting for yet and a client can
// bring again. It errs with ErrFull, and nothing of the reserve is used, when there is
// too little room on the disk; what is needed is refused only when there is almost
// none.
func (db *DB) WriteNew(ctx context.Context, lane Lane, needed bool, fn func(*Tx) error) error {
	if err := db.cond.admits(needed); err != nil {
		return err
	}
	err := db.Write(ctx, lane, func(tx *Tx) error {
		if err := db.cond.admits(needed); err != nil { // the room may have gone while it waited
			return err
		}
		return fn(tx)
	})
	if errors.Is(err, ErrFull) {
		db.cond.look()
	}
	return err
}

// Health of the database now: it asks for the room on the disk.
func (db *DB) Health() Health { return db.cond.look() }

// OnHealth has f called with every new state of the health, from whatever
// goroutine found it: f must be quick, and must not use the database.
func (db *DB) OnHealth(f func(Health)) {
	db.cond.mu.Lock()
	defer db.cond.mu.Unlock()
	db.cond.watchers = append(db.cond.watchers, f)
}

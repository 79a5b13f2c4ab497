package queue

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"recado/queue/sqlite"
)

// The limits of a real SIM that nobody has chosen any for: what consumer contracts
// commonly bear. An emulated one has none.
var defaultLimits = []Limit{
	{Window: WindowMinute, MaxSegments: 10}, {Window: WindowHour, MaxSegments: 100},
	{Window: WindowDay, MaxSegments: 500}, {Window: WindowMonth, MaxRecipients: 500},
}

// keepUsage is how long a gate's row is kept: longer than any window that slides.
const keepUsage = 2 * time.Hour

// usage is what the SIMs have used of their limits. Only the writer's goroutine
// changes it, after the commit of what it follows; mu is for those who read.
type usage struct {
	open bool // Options.OpenLimits
	seed maphash.Seed
	on   atomic.Pointer[func(iccid string, near bool, l LimitUse)]

	mu      sync.Mutex
	sims    map[string]*meter
	version int64           // PRAGMA data_version: another process has written when it changes
	swept   bool            // those that were told of are in sims
	shut    map[string]bool // of whom it was told that their limits cannot be read
}

func newUsage(open bool) *usage {
	return &usage{open: open, seed: maphash.MakeSeed(), sims: map[string]*meter{}, shut: map[string]bool{}}
}

func (u *usage) who(recipient string) uint64 { return maphash.String(u.seed, recipient) }

// forget has a SIM's meter, or with none named all of them, read again.
func (u *usage) forget(iccids ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(iccids) == 0 {
		clear(u.sims)
	}
	for _, iccid := range iccids {
		delete(u.sims, Contract(iccid))
	}
}

// saw is told of every SIM that is there.
func (u *usage) saw(iccid string, emulated bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if m := u.sims[iccid]; m != nil && m.emulated != emulated {
		delete(u.sims, iccid)
	}
}

// current forgets what another process has changed.
func (u *usage) current(tx *sqlite.Tx) error {
	var version int64
	if err := tx.QueryRow(`PRAGMA data_version`).Scan(&version); err != nil {
		return fmt.Errorf("look whether another process has written: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if version != u.version {
		clear(u.sims)
		u.version = version
	}
	return nil
}

// meter of a SIM's contract, in the writer's transaction; nil when it was never seen.
// What was sent while nobody knew the day, or by a clock that was far ahead, becomes
// part of the present one.
func (s *Store) meter(tx *sqlite.Tx, iccid string, n instant) (*meter, error) {
	iccid = Contract(iccid)
	s.usage.mu.Lock()
	m := s.usage.sims[iccid]
	if m != nil {
		for w := range m.slides {
			m.slides[w].rewind(n.steady)
		}
	}
	astray := m != nil && m.astray(n)
	s.usage.mu.Unlock()
	if m != nil && !astray {
		return m, nil
	}
	m, err := s.load(tx, iccid, n)
	if err != nil || m == nil {
		return nil, err
	}
	if m.astray(n) {
		if err := mergePeriods(tx, iccid, m, n); err != nil {
			return nil, fmt.Errorf("count the SIM's usage anew: %w", err)
		}
		if m, err = s.load(tx, iccid, n); err != nil {
			return nil, err
		}
		tx.AfterCommit(func() { s.usage.forget(iccid) }) // nothing of this stays unless it is on disk
		return m, nil
	}
	tx.AfterCommit(func() {
		s.usage.mu.Lock()
		defer s.usage.mu.Unlock()
		if s.usage.sims[iccid] == nil {
			s.usage.sims[iccid] = m
		}
	})
	return m, nil
}

// horizons are how far ahead a clock may have been for what was counted by it to
// stay in its own window, beside counting in the present one as all that is to come.
// Of one that was further ahead nobody knows the window, which else might close for
// years.
var horizons = [2]time.Duration{48 * time.Hour, 45 * 24 * time.Hour}

func horizon(w int, n instant) string { return day(n.now.Add(horizons[w-daily])) }

// astray says that something is counted in a window far ahead.
func (m *meter) astray(n instant) bool {
	if !n.dated {
		return false
	}
	if m.warmDay > m.start(daily, n) && m.warmDay > horizon(daily, n) {
		return true
	}
	for w := daily; w <= monthly; w++ {
		// They are in order.
		if list := m.periods[w-daily]; len(list) > 0 && list[len(list)-1].start > m.start(w, n) && list[len(list)-1].start > horizon(w, n) {
			return true
		}
	}
	return false
}

// mergePeriods counts in the present day and month what was counted far ahead.
func mergePeriods(tx *sqlite.Tx, iccid string, m *meter, n instant) error {
	for w := daily; w <= monthly; w++ {
		start, beyond, window := m.label(w, n), horizon(w, n), string(Windows[w])
		segments, lost := 0, 0
		if err := tx.QueryRow(lostSQL, iccid, window, start, beyond).Scan(&lost); err != nil {
			return err
		}
		for _, p := range m.periods[w-daily] {
			if p.start > beyond {
				segments += p.segments
			}
		}
		for _, step := range []struct {
			query string
			args  []any
		}{
			{`INSERT INTO usage_recipient (iccid, window, start, recipient, n)
				SELECT iccid, window, ?3, recipient, sum(n) FROM usage_recipient WHERE iccid = ?1 AND window = ?2 AND start > ?4 GROUP BY recipient
				ON CONFLICT (iccid, window, start, recipient) DO UPDATE SET n = n + excluded.n`, []any{iccid, window, start, beyond}},
			{`DELETE FROM usage_recipient WHERE iccid = ? AND window = ? AND start > ?`, []any{iccid, window, beyond}},
			{`DELETE FROM usage_period WHERE iccid = ? AND window = ? AND start > ?`, []any{iccid, window, beyond}},
			{`INSERT INTO usage_period (iccid, window, start, segments, recipients) VALUES (?1, ?2, ?3, ?4, 0)
				ON CONFLICT (iccid, window, start) DO UPDATE SET segments = segments + excluded.segments`, []any{iccid, window, start, segments}},
			{recountSQL, []any{iccid, window, start, lost}},
		} {
			if _, err := tx.Exec(step.query, step.args...); err != nil {
				return err
			}
		}
	}
	// Of a SIM that warms up, too, the days would not be over for years.
	if _, err := tx.Exec(`UPDATE sim SET warm_day = ?2 WHERE iccid = ?1 AND warm_day > ?3`, iccid, m.start(daily, n), horizon(daily, n)); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE usage SET day = iif(day > ?2, ?3, day), month = iif(month > ?4, ?5, month) WHERE iccid = ?1`,
		iccid, horizon(daily, n), m.start(daily, n), horizon(monthly, n), m.start(monthly, n))
	return err
}

// lostSQL is how many recipients of a day or month (?3), and of those far ahead (?4), are
// counted and not known any more: tidied away when it seemed to be over.
const lostSQL = `SELECT coalesce(sum(max(p.recipients - (SELECT count(*) FROM usage_recipient r
		WHERE r.iccid = p.iccid AND r.window = p.window AND r.start = p.start), 0)), 0)
	FROM usage_period p WHERE p.iccid = ?1 AND p.window = ?2 AND (p.start = ?3 OR p.start > ?4)`

// recountSQL counts the recipients that are known, and so many more (?4).
const recountSQL = `UPDATE usage_period SET recipients = ?4 + (SELECT count(*) FROM usage_recipient r WHERE r.iccid = ?1 AND r.window = ?2 AND r.start = ?3)
	WHERE iccid = ?1 AND window = ?2 AND start = ?3`

// charge counts a segment that is about to leave, or errs with ErrLimit: then
// nothing of the transaction may stay.
func (s *Store) charge(tx *sqlite.Tx, iccid string, attempt int64, recipient string, class Class, n instant) error {
	iccid = Contract(iccid)
	m, err := s.meter(tx, iccid, n)
	if err != nil {
		return err
	}
	known := m != nil
	if !known {
		m = &meter{reset: 1, open: true}
	}
	lane := Lane(class)
	s.usage.mu.Lock()
	fits := m.fits(lane, 1, false, n)
	full, _ := m.crowded(lane, n)
	days, months := m.label(daily, n), m.label(monthly, n)
	knowing := [2][2]string{m.knowing(daily, lane, n), m.knowing(monthly, lane, n)}
	who := s.usage.who(recipient)
	for w := range m.slides {
		if full[w] && m.slides[w].knows(who, spans[w], n.steady) {
			full[w] = false
		}
	}
	s.usage.mu.Unlock()
	if !fits || full[minute] || full[hour] {
		return ErrLimit
	}
	fresh, err := countUsage(tx, iccid, attempt, recipient, days, months, n.steady)
	if err != nil {
		return fmt.Errorf("count the segment: %w", err)
	}
	for w := daily; w <= monthly; w++ {
		if !full[w] || !fresh[w-daily] {
			continue
		}
		// Also in the window that goes on while nobody knows the day, or the clock is back.
		in := knowing[w-daily]
		if in[0] == in[1] {
			return ErrLimit
		}
		if before, err := knownIn(tx, iccid, w, in[0], recipient); err != nil || !before {
			return errors.Join(err, ErrLimit)
		}
	}
	if !known {
		return nil
	}
	return s.counted(tx, iccid, m, entry{attempt, noAnswer, who}, [2]string{days, months}, fresh, n)
}

func knownIn(tx *sqlite.Tx, iccid string, w int, start, recipient string) (known bool, err error) {
	err = tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM usage_recipient WHERE iccid = ? AND window = ? AND start = ? AND recipient = ?)`,
		Contract(iccid), string(Windows[w]), start, recipient).Scan(&known)
	return known, err
}

// countUsage writes down that a segment leaves; fresh: its recipient had none yet in
// the day, in the month.
func countUsage(tx *sqlite.Tx, iccid string, attempt int64, recipient, day, month string, steady int64) (fresh [2]bool, err error) {
	if _, err := tx.Exec(`INSERT INTO usage (iccid, attempt, at, recipient, day, month) VALUES (?, ?, ?, ?, ?, ?)`,
		iccid, attempt, steady, recipient, day, month); err != nil {
		return fresh, err
	}
	rows, err := tx.Query(`INSERT INTO usage_recipient (iccid, window, start, recipient, n) VALUES (?1, 'day', ?2, ?4, 1), (?1, 'month', ?3, ?4, 1)
		ON CONFLICT (iccid, window, start, recipient) DO UPDATE SET n = n + 1 RETURNING window, n`, iccid, day, month, recipient)
	if err != nil {
		return fresh, err
	}
	defer rows.Close()
	for rows.Next() {
		var window Window
		var times int
		if err := rows.Scan(&window, &times); err != nil {
			return fresh, err
		}
		fresh[slices.Index(Windows, window)-daily] = times == 1
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fresh, err
	}
	_, err = tx.Exec(`INSERT INTO usage_period (iccid, window, start, segments, recipients) VALUES (?1, 'day', ?2, 1, ?4), (?1, 'month', ?3, 1, ?5)
		ON CONFLICT (iccid, window, start) DO UPDATE SET segments = segments + 1, recipients = recipients + excluded.recipients`,
		iccid, day, month, fresh[0], fresh[1])
	if err != nil || attempt%usageRound != 0 {
		return fresh, err
	}
	return fresh, pruneUsage(tx, iccid, steady)
}

// usageRound is how many gates go by, and usageRows how many rows at most, until
// the oldest rows of a SIM are deleted.
const usageRound, usageRows = 16, 64

func pruneUsage(tx *sqlite.Tx, iccid string, steady int64) error {
	rows, err := tx.Query(`SELECT attempt, at FROM usage WHERE iccid = +? ORDER BY attempt LIMIT +?`, iccid, usageRows)
	if err != nil {
		return err
	}
	defer rows.Close()
	last := int64(-1)
	for rows.Next() {
		var attempt, at int64
		if err := rows.Scan(&attempt, &at); err != nil {
			return err
		}
		if steady-at <= keepUsage.Milliseconds() {
			break
		}
		last = attempt
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || last < 0 {
		return err
	}
	_, err = tx.Exec(`DELETE FROM usage WHERE iccid = ? AND attempt <= ?`, iccid, last)
	return err
}

// counted has the meter follow, and tells of limits that are near or reached.
func (s *Store) counted(tx *sqlite.Tx, iccid string, m *meter, e entry, labels [2]string, fresh [2]bool, n instant) error {
	tx.AfterCommit(func() { s.usage.add(iccid, m, e, labels, fresh, n) })
	s.usage.mu.Lock()
	warm, full := m.warming(n), m.base[daily].MaxSegments
	told, uses := m.after(e.who, fresh, n)
	open := m.open
	s.usage.mu.Unlock()
	if !open && full > 0 && m.warm >= 0 {
		if err := s.warmed(tx, iccid, m, warm, n); err != nil {
			return fmt.Errorf("warm the SIM up: %w", err)
		}
	}
	return s.tellLimits(tx, iccid, m, told, uses)
}

// add is what a gate has changed.
func (u *usage) add(iccid string, m *meter, e entry, labels [2]string, fresh [2]bool, n instant) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sims[iccid] != m { // it was read anew since, with this gate
		delete(u.sims, iccid)
		return
	}
	m.adds++
	for w := range m.slides {
		if s := &m.slides[w]; s.kept {
			s.add(e, spans[w], n.steady)
		}
	}
	for w, label := range labels {
		list := m.periods[w]
		i, found := slices.BinarySearchFunc(list, label, func(p period, start string) int { return strings.Compare(p.start, start) })
		if !found {
			list = slices.Insert(list, i, period{start: label})
		}
		list[i].segments++
		if fresh[w] {
			list[i].recipients++
		}
		m.periods[w] = list
	}
}

// warmed keeps how far a SIM has warmed up.
func (s *Store) warmed(tx *sqlite.Tx, iccid string, m *meter, warm int, n instant) error {
	today := m.warmDay
	if n.dated {
		today = max(today, day(n.now))
	}
	if warm == 0 {
		warm = -1
		if m.emulated && m.warm == 0 {
			return nil
		}
	}
	if warm == m.warm && today == m.warmDay {
		return nil
	}
	_, err := tx.Exec(`UPDATE sim SET warm = ?, warm_day = ? WHERE iccid = ?`, warm, today, iccid)
	tx.AfterCommit(func() { s.usage.forget(iccid) })
	return err
}

// loaded gives a SIM's meter to f, which must be quick, read anew if need be; false
// when the SIM was never seen.
func (s *Store) loaded(ctx context.Context, iccid string, f func(*meter, instant)) (found bool, err error) {
	iccid = Contract(iccid)
	n := s.instant()
	s.usage.mu.Lock()
	m := s.usage.sims[iccid]
	if m != nil && !m.astray(n) {
		f(m, n)
		s.usage.mu.Unlock()
		return true, nil
	}
	s.usage.mu.Unlock()
	err = s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		m, err := s.meter(tx, iccid, n)
		if found = m != nil; err != nil || !found {
			return err
		}
		s.usage.mu.Lock()
		defer s.usage.mu.Unlock()
		f(m, n)
		return nil
	})
	return found, err
}

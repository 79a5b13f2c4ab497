package queue

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"recado/queue/sqlite"
)

// tornCount stands for a count that cannot be read: more than any limit, so that
// its window is full until it ends.
const tornCount = 10 * maxLimit

// load reads a SIM's meter; nil when the SIM was never seen. What of its counts
// cannot be read is as much as can be, on disk too from then on; limits that cannot
// be read keep the SIM from sending until somebody sets them.
func (s *Store) load(tx *sqlite.Tx, iccid string, n instant) (*meter, error) {
	m, torn, err := s.usage.read(tx, iccid, n)
	if err == nil && torn {
		if err = s.mendUsage(tx, iccid, n); err == nil {
			m, torn, err = s.usage.read(tx, iccid, n)
		}
		if err == nil && torn {
			err = errors.New("what the SIM has used cannot be read")
		}
	}
	if err != nil || m == nil {
		return nil, err
	}
	return m, s.shutTold(tx, iccid, m.shut)
}

// read reads a SIM's meter. torn: of what it has used something cannot be read.
func (u *usage) read(tx *sqlite.Tx, iccid string, n instant) (m *meter, torn bool, err error) {
	m = &meter{open: u.open}
	rows, err := tx.Query(`SELECT emulated, limits_set, reserve_percent, reset_day, warm, warm_day, sent_total, limit_told,
		typeof(emulated) || typeof(limits_set) || typeof(reserve_percent) || typeof(reset_day) = 'integerintegerintegerinteger' FROM sim WHERE iccid = ?`, iccid)
	if err != nil {
		return nil, false, fmt.Errorf("read the SIM's limits: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, false, rows.Err()
	}
	var whole bool
	if _, err := Scanned(rows, &m.emulated, &m.chosen, &m.reserve, &m.reset, &m.warm, &m.warmDay, &m.sentTotal, &m.told, &whole); err != nil {
		return nil, false, fmt.Errorf("read the SIM's limits: %w", err)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, false, fmt.Errorf("read the SIM's limits: %w", err)
	}
	m.shut = !whole || m.reserve < 0 || m.reserve > mostReserve
	m.reserve, m.reset = min(max(m.reserve, 0), mostReserve), min(max(m.reset, 1), 31)
	for w := range m.base {
		m.base[w].Window = Windows[w]
	}
	switch {
	case m.chosen:
		if err := m.loadLimits(tx, iccid); err != nil {
			return nil, false, fmt.Errorf("read the SIM's limits: %w", err)
		}
	case !m.emulated:
		for _, l := range defaultLimits {
			m.base[slices.Index(Windows, l.Window)] = l
		}
	}
	if torn, err = m.loadPeriods(tx, iccid); err != nil {
		return nil, false, fmt.Errorf("read the SIM's usage: %w", err)
	}
	slides, err := m.loadSlides(tx, iccid, u, n)
	if err != nil {
		return nil, false, fmt.Errorf("read the SIM's usage: %w", err)
	}
	return m, torn || slides, nil
}

func (m *meter) loadLimits(tx *sqlite.Tx, iccid string) error {
	rows, err := tx.Query(`SELECT window, coalesce(max_segments, 0), coalesce(max_recipients, 0) FROM sim_limit WHERE iccid = ?`, iccid)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var l Limit
		var window string
		torn, err := Scanned(rows, &window, &l.MaxSegments, &l.MaxRecipients)
		if err != nil {
			return err
		}
		l.Window = Window(window)
		w := slices.Index(Windows, l.Window)
		if torn || w < 0 || l.MaxSegments < 0 || l.MaxRecipients < 0 {
			m.shut = true
			continue
		}
		m.base[w] = l
	}
	return rows.Err()
}

func (m *meter) loadPeriods(tx *sqlite.Tx, iccid string) (torn bool, err error) {
	rows, err := tx.Query(`SELECT window, start, segments, recipients FROM usage_period WHERE iccid = +? ORDER BY window, start`, iccid)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		var window string
		var p period
		bad, err := Scanned(rows, &window, &p.start, &p.segments, &p.recipients)
		if err != nil {
			return false, err
		}
		torn = torn || bad
		if w := slices.Index(Windows, Window(window)); w >= daily {
			m.periods[w-daily] = append(m.periods[w-daily], p)
		}
	}
	return torn, rows.Err()
}

// answersLate is how much later than the next one, at most, the answer to a gate of
// the same contract may come that another line opened.
const answersLate = 10 * time.Minute

// loadSlides reads the gates of the last hour, newest first: none was answered
// after the one that followed it on the same line, nor after now, whatever a clock
// that was set back says.
func (m *meter) loadSlides(tx *sqlite.Tx, iccid string, u *usage, n instant) (torn bool, err error) {
	most := int64(0)
	for w := range m.slides {
		if l := m.base[w]; !m.open && (l.MaxSegments > 0 || l.MaxRecipients > 0) {
			m.slides[w].kept, most = true, spans[w]
			if l.MaxRecipients > 0 {
				m.slides[w].people = map[uint64]int{}
			}
		}
	}
	if most == 0 {
		return false, nil
	}
	rows, err := tx.Query(`SELECT u.attempt, u.at, u.recipient, coalesce(a.iccid, ''), coalesce(a.phase, '') FROM usage u LEFT JOIN attempt a ON a.id = u.attempt
		WHERE u.iccid = +? ORDER BY u.attempt DESC`, iccid)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for last := map[string]int64{}; rows.Next(); {
		var e entry
		var recipient, line, phase string
		if torn, err = Scanned(rows, &e.attempt, &e.at, &recipient, &line, &phase); torn || err != nil {
			return torn, err
		}
		before, follows := last[line]
		if !follows {
			before = n.steady
		}
		e.at, e.who = min(e.at, before), u.who(recipient)
		if last[line] = e.at; phase == "prepared" {
			e.at = noAnswer
		} else if n.steady-e.at > most+answersLate.Milliseconds() {
			break
		}
		for w := range m.slides {
			if m.slides[w].kept && n.steady-e.at <= spans[w] {
				m.slides[w].entries = append(m.slides[w].entries, e)
			}
		}
	}
	for w := range m.slides {
		slices.Reverse(m.slides[w].entries)
		slices.SortStableFunc(m.slides[w].entries, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
		if people := m.slides[w].people; people != nil {
			for _, e := range m.slides[w].entries {
				people[e.who]++
			}
		}
	}
	return false, rows.Err()
}

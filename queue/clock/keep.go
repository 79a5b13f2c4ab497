package clock

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

const (
	// setting is the key under which the clock's memory lies.
	setting = "clock"
	// saveEvery is how often it is written when nothing has happened: the
	// high-water mark may be so much behind after a power cut.
	saveEvery = 5 * time.Minute
	// saveBound is for the last time, at the end.
	saveBound = 3 * time.Second
)

// memory is what the clock keeps over a restart. Lines are in ns.
type memory struct {
	BootID string        `json:"boot_id"`
	Boot   int64         `json:"boot"`
	Up     time.Duration `json:"up"` // since the start, when it was written
	System time.Duration `json:"system"`
	Steady time.Duration `json:"steady"`
	High   time.Duration `json:"high"`
	// HighKnown: there is a mark.
	HighKnown bool `json:"high_known"`
	// Unvouched: it is only when the program was made.
	Unvouched bool          `json:"unvouched,omitempty"`
	Source    string        `json:"source"`
	Own       bool          `json:"own"`
	Line      time.Duration `json:"line"`
	Since     int64         `json:"since"` // Unix ms
	NTP       bool          `json:"ntp"`
	Mark      int64         `json:"mark"`
	Stale     bool          `json:"stale"`
	StaleMark int64         `json:"stale_mark"`
	Rest      time.Duration `json:"rest"` // that was left when it was written
	// Leapt is the line that the time had leapt to, if HasLeapt.
	Leapt    time.Duration `json:"leapt,omitempty"`
	HasLeapt bool          `json:"has_leapt,omitempty"`
}

// Load gives the clock what it knew before, and db to keep it in. After a
// restart of the program the trust goes on, unless the system's clock was moved
// meanwhile; after a restart of the box only the high-water mark counts.
func (c *Clock) Load(ctx context.Context, db *sqlite.DB) error {
	var text string
	err := db.Read().QueryRowContext(ctx, `SELECT value FROM setting WHERE key = ?`, setting).Scan(&text)
	var m memory
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return fmt.Errorf("read the clock's memory: %w", err)
	default:
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			c.o.Log.Warn("the clock's memory cannot be read; it begins anew", "error", err)
			text, m = "", memory{}
		}
	}
	c.mu.Lock()
	c.db = db
	if text != "" {
		c.remember(m)
	}
	c.look()
	c.mu.Unlock()
	return c.save(ctx, nil) // the number of this start is on disk before anything refers to it
}

// remember takes in what was known; c.mu is held.
func (c *Clock) remember(m memory) {
	system, boot := c.read()
	same := m.BootID != "" && m.BootID == c.o.Sources.BootID && m.Up <= boot
	c.boot = m.Boot
	c.steady = m.Steady
	high, leapt := m.High, m.Leapt
	if !same {
		c.boot++
	}
	if !same && (m.Up > boot || m.BootID != "" && c.o.Sources.BootID != "") {
		// A new start of the box, whose clock begins anew; else nothing says that it
		// is one.
		c.steady += m.Up
		high += m.Up
		leapt += m.Up
	}
	// What was left of it when it was written: the time since then is not known to
	// be over.
	c.rests = 0
	if m.Rest > 0 {
		c.rests = boot + m.Rest
		if same {
			c.rests = m.Up + m.Rest
		}
	}
	if m.HasLeapt && m.Rest > 0 {
		c.leapt = leapt
	}
	if m.HighKnown && c.source == SourceFlag {
		c.high, c.vouched = high, !m.Unvouched // what the operator's word of this start is compared with
		c.high = min(c.high, c.right())
		c.raise(boot)
	} else if m.HighKnown {
		c.vouched = !m.Unvouched
		c.high = max(c.high, high)
	}
	if !same || c.source == SourceFlag {
		return
	}
	c.ref = m.System
	moved := system - c.ref
	jumped := moved.Abs() > step
	c.stale, c.staleMark = m.Stale, m.StaleMark
	c.ntp = Sync{Synchronised: m.NTP, Mark: m.Mark}
	c.first, c.hasAsked, c.asked = c.ntp, true, boot-ask
	switch {
	case m.Source == SourceNone || m.Source == SourceFlag:
	case jumped && !m.Own:
		// Whether NTP did it is not known: look asks.
	default:
		c.trusted, c.source, c.own, c.line, c.reason = true, m.Source, m.Own, m.Line, ""
		c.since = time.UnixMilli(m.Since).UTC()
	}
}

// save writes the memory, and what more belongs in the same transaction.
func (c *Clock) save(ctx context.Context, more func(*sqlite.Tx) error) error {
	c.mu.Lock()
	db := c.db
	boot := c.look()
	m := memory{
		BootID: c.o.Sources.BootID, Boot: c.boot, Up: boot, System: c.ref, Steady: c.steady,
		High: c.high, HighKnown: c.high != unknownHigh, Source: c.source, Own: c.own, Line: c.line, Since: c.since.UnixMilli(),
		NTP: c.ntp.Synchronised, Mark: c.ntp.Mark, Stale: c.stale, StaleMark: c.staleMark,
	}
	m.Rest, m.Unvouched = max(c.rests-boot, 0), !c.vouched
	if c.leapt != unknownHigh {
		m.Leapt, m.HasLeapt = c.leapt, true
	}
	if !m.HighKnown {
		m.High = 0
	}
	c.dirty, c.saved = false, boot
	c.mu.Unlock()
	if db == nil {
		return nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("keep the clock's memory: %w", err)
	}
	err = db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		if _, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, ?)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value`, setting, string(text)); err != nil {
			return err
		}
		if more == nil {
			return nil
		}
		return more(tx)
	})
	if err != nil {
		c.mu.Lock()
		c.dirty = true
		c.mu.Unlock()
		return fmt.Errorf("keep the clock's memory: %w", err)
	}
	return nil
}

// Run looks at the clocks every second, so that no step is missed, and keeps the
// memory: when the trust changed, every few minutes, and once more when ctx
// ends, for which the database must still be open.
func (c *Clock) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveBound)
			defer cancel()
			return c.save(last, nil)
		case <-tick.C:
		}
		c.mu.Lock()
		boot := c.look()
		due := c.dirty && boot-c.saved >= ask || boot-c.saved >= saveEvery
		c.mu.Unlock()
		if !due {
			continue
		}
		if err := c.save(ctx, nil); err != nil && ctx.Err() == nil {
			c.o.Log.Error("keeping the clock's memory", "error", err)
			c.mu.Lock()
			c.saved = boot // not every second
			c.dirty = false
			c.mu.Unlock()
		}
	}
}

package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

const (
	// DefaultCreditLow is the alarm's limit of a SIM for which nobody chose one, in
	// the currency's smallest unit.
	DefaultCreditLow = 200
	// keepReadings is how long readings are kept: 13 months, so that the same month
	// of last year can be compared.
	keepReadings = 13 * 31 * day24
	// answerMost bounds the network's words that are kept, in characters.
	answerMost = 1000
)

// CreditStop says whether a SIM is out of credit, and by what.
type CreditStop int

const (
	CreditGoes    CreditStop = 0  // it may send
	CreditRead    CreditStop = 1  // a reading says that nothing is left
	CreditRefused CreditStop = 2  // the network refuses its messages for want of credit
	CreditIgnored CreditStop = -1 // a person says that it may send all the same, until the balance is above zero again
)

// CreditReading is one question to the network for a SIM's balance.
type CreditReading struct {
	ID    int64
	ICCID string
	At    time.Time
	// Code is what was asked and Answer the network's words, which may tell the
	// SIM's own number; "" when none came.
	Code, Answer string
	// Known: Minor is the balance in the smallest unit of Currency (ISO 4217).
	Known    bool
	Minor    int64
	Currency string
	// Error is a stable code of why there is no balance; "" when it is known.
	Error string
}

// SIMCredit is what is known of a SIM's credit.
type SIMCredit struct {
	ICCID    string
	Known    bool // somebody could read it; At is when that was the last time
	Minor    int64
	Currency string
	At       time.Time
	// Low is the alarm's limit in the smallest unit: 0 the default, below 0 none.
	Low  int64
	Stop CreditStop
	// AskedAt is when it was last asked for, by the steady clock, whatever came of it.
	AskedAt time.Time
}

// Limit is what the alarm goes by; below 0: no alarm.
func (c SIMCredit) Limit() int64 {
	if c.Low == 0 {
		return DefaultCreditLow
	}
	return c.Low
}

// IsLow says that the balance is known and below the alarm's limit.
func (c SIMCredit) IsLow() bool { return c.Known && c.Limit() > 0 && c.Minor < c.Limit() }

// States of a SIM's credit as the event sim.credit tells them.
const (
	CreditOK   = "ok"
	CreditLow  = "low"
	CreditNone = "none" // the SIM sends nothing
)

// State is ok, low or none.
func (c SIMCredit) State() string {
	switch {
	case c.Stop > CreditGoes:
		return CreditNone
	case c.IsLow():
		return CreditLow
	}
	return CreditOK
}

// creditEvent is the data of sim.credit.
type creditEvent struct {
	ICCID   string  `json:"iccid"`
	State   string  `json:"state"`
	Balance *int64  `json:"balance_minor"`
	Code    *string `json:"currency"`
	Limit   int64   `json:"low_minor"`
	Refused bool    `json:"refused"`
}

const creditColumns = `iccid, credit_minor, credit_currency, credit_at, credit_low, no_credit, credit_asked`

func scanCredit(scan func(...any) error) (c SIMCredit, err error) {
	var minor sql.NullInt64
	var when, asked int64
	err = scan(&c.ICCID, &minor, &c.Currency, &when, &c.Low, &c.Stop, &asked)
	c.Known, c.Minor, c.At, c.AskedAt = minor.Valid, minor.Int64, at(when), at(asked)
	return c, err
}

// Credits of all SIMs that were ever seen, by ICCID.
func (s *Store) Credits(ctx context.Context) (map[string]SIMCredit, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+creditColumns+` FROM sim`)
	if err != nil {
		return nil, fmt.Errorf("read the SIMs' credit: %w", err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]SIMCredit{}
	for rows.Next() {
		c, err := scanCredit(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read the SIMs' credit: %w", err)
		}
		all[c.ICCID] = c
	}
	return all, rows.Err()
}

// AskCredit notes that a SIM's balance is about to be asked for: a question that a
// crash or a message cuts short was dialled all the same. ErrNoSIM.
func (s *Store) AskCredit(ctx context.Context, iccid string) (SIMCredit, error) {
	return s.changeCredit(ctx, iccid, func(_ *sqlite.Tx, c *SIMCredit) error {
		c.AskedAt = at(s.instant().steady)
		return nil
	})
}

// AddCredit keeps a reading, and what it says of the SIM: one at or below zero
// stops it, one above lets it send again. The event sim.credit is in the same
// transaction, when the state is another by it. ErrNoSIM when the SIM was never
// seen.
func (s *Store) AddCredit(ctx context.Context, r CreditReading) (SIMCredit, error) {
	if answer := []rune(r.Answer); len(answer) > answerMost {
		r.Answer = string(answer[:answerMost])
	}
	now := s.clock.Now()
	minor := sql.NullInt64{Int64: r.Minor, Valid: r.Known}
	return s.changeCredit(ctx, r.ICCID, func(tx *sqlite.Tx, c *SIMCredit) error {
		if _, err := tx.Exec(`INSERT INTO credit_reading (iccid, at, code, answer, minor, currency, error) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			r.ICCID, ms(now), r.Code, r.Answer, minor, r.Currency, r.Error); err != nil {
			return err
		}
		if s.clock.Trusted() {
			if _, err := tx.Exec(`DELETE FROM credit_reading WHERE at < ?`, ms(now.Add(-keepReadings))); err != nil {
				return err
			}
		}
		if !r.Known {
			return nil
		}
		more := !c.Known || r.Minor > c.Minor
		c.Known, c.Minor, c.Currency, c.At = true, r.Minor, r.Currency, now
		switch {
		case r.Minor > 0 && c.Stop == CreditRefused && c.IsLow() && !more:
			// As little as there was when the network refused.
		case r.Minor > 0:
			c.Stop = CreditGoes
		case c.Stop == CreditGoes:
			c.Stop = CreditRead
		}
		return nil
	})
}

// StopCredit notes that the network refuses a SIM's messages for want of credit,
// whatever was read. It changes nothing when a person said that the SIM may send.
func (s *Store) StopCredit(ctx context.Context, iccid string) (SIMCredit, error) {
	return s.changeCredit(ctx, iccid, func(_ *sqlite.Tx, c *SIMCredit) error {
		if c.Stop == CreditGoes || c.Stop == CreditRead {
			c.Stop = CreditRefused
		}
		return nil
	})
}

// ResumeCredit lets a SIM send that was stopped because the network refused: what
// it refused may pass now, a message shows it.
func (s *Store) ResumeCredit(ctx context.Context, iccid string) (SIMCredit, error) {
	return s.changeCredit(ctx, iccid, func(_ *sqlite.Tx, c *SIMCredit) error {
		if c.Stop == CreditRefused {
			c.Stop = CreditGoes
		}
		return nil
	})
}

// IgnoreCredit is a person's word that a SIM may send whatever is known of its
// credit: until a reading is above zero again. who goes into the audit trail.
func (s *Store) IgnoreCredit(ctx context.Context, iccid, who string) (SIMCredit, error) {
	return s.changeCredit(ctx, iccid, func(tx *sqlite.Tx, c *SIMCredit) error {
		c.Stop = CreditGoes
		if c.Known && c.Minor <= 0 {
			c.Stop = CreditIgnored
		}
		return s.auditCredit(tx, who, "sim.credit.ignore", iccid, "")
	})
}

// SetCreditLow sets the alarm's limit in the smallest unit of the SIM's currency:
// 0 the default, below 0 no alarm. *Invalid beyond a million of the unit.
func (s *Store) SetCreditLow(ctx context.Context, iccid string, low int64, who string) (SIMCredit, error) {
	if low > 100_000_000 {
		return SIMCredit{}, &Invalid{"credit_low", "is an amount in cents: up to 100000000, 0 for the default, -1 for no alarm", low}
	}
	return s.changeCredit(ctx, iccid, func(tx *sqlite.Tx, c *SIMCredit) error {
		c.Low = max(low, -1)
		return s.auditCredit(tx, who, "sim.credit.low", iccid, fmt.Sprint(c.Low))
	})
}

func (s *Store) auditCredit(tx *sqlite.Tx, who, action, iccid, detail string) error {
	_, err := tx.Exec(`INSERT INTO audit (at, who, action, object, detail) VALUES (?, ?, ?, ?, ?)`, ms(s.clock.Now()), who, action, iccid, detail)
	return err
}

// changeCredit changes a SIM's credit as change says, and tells of a new state.
func (s *Store) changeCredit(ctx context.Context, iccid string, change func(*sqlite.Tx, *SIMCredit) error) (c SIMCredit, err error) {
	err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		was, err := scanCredit(tx.QueryRow(`SELECT `+creditColumns+` FROM sim WHERE iccid = ?`, iccid).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNoSIM
		}
		if err != nil {
			return err
		}
		c = was
		if err := change(tx, &c); err != nil {
			return err
		}
		tx.AfterCommit(s.changed)
		if c == was {
			return nil
		}
		if _, err := tx.Exec(`UPDATE sim SET credit_minor = ?, credit_currency = ?, credit_at = ?, credit_low = ?, no_credit = ?, credit_asked = ? WHERE iccid = ?`,
			sql.NullInt64{Int64: c.Minor, Valid: c.Known}, c.Currency, ms(c.At), c.Low, c.Stop, ms(c.AskedAt), iccid); err != nil {
			return err
		}
		if c.State() == was.State() {
			return nil
		}
		e := creditEvent{ICCID: iccid, State: c.State(), Limit: max(c.Limit(), 0), Refused: c.Stop == CreditRefused}
		if c.Known {
			e.Balance, e.Code = &c.Minor, &c.Currency
		}
		return s.AppendEvent(tx, "sim.credit", e)
	})
	if err != nil {
		return SIMCredit{}, fmt.Errorf("keep the SIM's credit: %w", err)
	}
	return c, nil
}

// CreditReadings of a SIM, the newest first, up to limit.
func (s *Store) CreditReadings(ctx context.Context, iccid string, limit int) ([]CreditReading, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT id, at, code, answer, minor, currency, error FROM credit_reading
		WHERE iccid = ? ORDER BY id DESC LIMIT ?`, iccid, limit)
	if err != nil {
		return nil, fmt.Errorf("read the SIM's credit: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list := []CreditReading{}
	for rows.Next() {
		r := CreditReading{ICCID: iccid}
		var when int64
		var minor sql.NullInt64
		if err := rows.Scan(&r.ID, &when, &r.Code, &r.Answer, &minor, &r.Currency, &r.Error); err != nil {
			return nil, fmt.Errorf("read the SIM's credit: %w", err)
		}
		r.At, r.Known, r.Minor = at(when), minor.Valid, minor.Int64
		list = append(list, r)
	}
	return list, rows.Err()
}

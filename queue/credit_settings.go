package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

// When balances are asked for without a person.
const (
	CreditConfirmed = "confirmed" // of SIMs whose way of asking somebody has confirmed, or given
	CreditAlways    = "always"    // of every SIM for which a way is known
	CreditNever     = "never"
)

// CreditRule says how the balance of some SIMs is asked for, before what is
// shipped: of one SIM, else of a home network (MCC and MNC, "21407"), else of an
// operator by a part of its name. Exactly one of the three is set.
type CreditRule struct {
	SIM      string `json:"sim,omitempty"`
	Network  string `json:"network,omitempty"`
	Operator string `json:"operator,omitempty"`
	// Code is the USSD code, and Reply the answer to the menu that it brings, if
	// any; both "": the balance is never asked for.
	Code  string `json:"code,omitempty"`
	Reply string `json:"reply,omitempty"`
	// Pattern is a regular expression with a group named amount, or cents, and if
	// need be currency; "": what most answers look like.
	Pattern string `json:"pattern,omitempty"`
	// Currency of an amount without one; "": EUR.
	Currency string `json:"currency,omitempty"`
}

// CreditConfirmation is a person's word that a shipped way of asking works.
type CreditConfirmation struct {
	Operator string    `json:"operator"`
	Who      string    `json:"who"`
	At       time.Time `json:"at"`
}

// CreditSettings say when and how balances are asked for.
type CreditSettings struct {
	// Check is confirmed, always or never.
	Check string `json:"check"`
	// From and To bound the quiet time of the daily check, in minutes of the box's
	// day; To may be on the next day.
	From      int                  `json:"from"`
	To        int                  `json:"to"`
	Rules     []CreditRule         `json:"rules"`
	Confirmed []CreditConfirmation `json:"confirmed"`
}

const settingCredit = "credit"

// DefaultCreditSettings ask confirmed SIMs between half past three and six.
func DefaultCreditSettings() CreditSettings {
	return CreditSettings{Check: CreditConfirmed, From: 3*60 + 30, To: 6 * 60, Rules: []CreditRule{}, Confirmed: []CreditConfirmation{}}
}

// CreditSettings are what is set, or the default.
func (s *Store) CreditSettings(ctx context.Context) (CreditSettings, error) {
	c := DefaultCreditSettings()
	v, err := s.setting(ctx, settingCredit)
	if err != nil || v == "" {
		return c, err
	}
	if err := json.Unmarshal([]byte(v), &c); err != nil {
		return DefaultCreditSettings(), fmt.Errorf("read how balances are asked for: %w", err)
	}
	return c, nil
}

// SetCreditSettings keeps them as they are: package pool checks them before. who
// goes into the audit trail.
func (s *Store) SetCreditSettings(ctx context.Context, c CreditSettings, who string) error {
	v, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("set how balances are asked for: %w", err)
	}
	err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		tx.AfterCommit(s.changed)
		return errors.Join(s.auditCredit(tx, who, "credit.set", "", string(v)), set(tx, settingCredit, string(v)))
	})
	if err != nil {
		return fmt.Errorf("set how balances are asked for: %w", err)
	}
	return nil
}

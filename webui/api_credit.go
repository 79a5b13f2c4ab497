package webui

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"recado/modem"
	"recado/pool"
	"recado/pool/credit"
	"recado/queue"
)

// SIMCredit is what is known of a SIM's credit.
type SIMCredit struct {
	State    string     `json:"state" enum:"ok,low,none" doc:"none: nothing is sent on it. ok too while the balance is not known"`
	Balance  *int64     `json:"balance_minor" doc:"In the currency's smallest unit; null: not known"`
	Currency *string    `json:"currency" example:"EUR"`
	At       *time.Time `json:"at" doc:"When that was read"`
	Low      int64      `json:"low_minor" doc:"Below this it is told; -1: never"`
	Refused  bool       `json:"refused" doc:"The network refuses its messages for want of credit, whatever was read"`
	Ignored  bool       `json:"ignored" doc:"Somebody said that it may send all the same"`
	Operator *string    `json:"operator" doc:"Whose way of asking it is; null: none is known"`
	Code     *string    `json:"code" doc:"The USSD code that asks"`
	Tested   bool       `json:"tested" doc:"Somebody has seen it work: what is shipped is untested until it is confirmed"`
	Error    *string    `json:"error" doc:"Of the last question: unreadable, many_amounts, no_answer, refused, unsupported, ended"`
	NextAt   *time.Time `json:"next_at" doc:"When it will be asked for by itself; null: not"`
}

func creditOf(c pool.Credit) SIMCredit {
	out := SIMCredit{State: c.State(), At: when(c.At), Low: c.Limit(), Refused: c.Stop == queue.CreditRefused, Ignored: c.Stop == queue.CreditIgnored,
		Operator: some(c.Way.Operator), Code: some(c.Way.Code), Tested: c.Way.Tested || c.Way.Own || c.Way.ConfirmedBy != "", Error: some(c.Error), NextAt: when(c.NextAt)}
	if c.Known {
		out.Balance, out.Currency = &c.Minor, some(c.Currency)
	}
	return out
}

// Balance is one question to the network for a SIM's balance.
type Balance struct {
	At       time.Time `json:"at"`
	Code     string    `json:"code" doc:"What was asked"`
	Answer   string    `json:"answer" doc:"The network's words"`
	Balance  *int64    `json:"balance_minor" doc:"In the currency's smallest unit; null when there is none to be read"`
	Currency *string   `json:"currency"`
	Error    *string   `json:"error" doc:"Why there is none: unreadable, many_amounts, no_answer, refused, unsupported, ended"`
}

func balanceOf(r queue.CreditReading) Balance {
	b := Balance{At: r.At.UTC(), Code: r.Code, Answer: r.Answer, Error: some(r.Error)}
	if r.Known {
		b.Balance, b.Currency = &r.Minor, some(r.Currency)
	}
	return b
}

// balancePatience is for the question, its menu and what the line is at.
const balancePatience = 100 * time.Second

// balanceIn is the request as huma reads it.
type balanceIn struct{ SIMID }

// Resolve gives the answer, which waits for a network, more time than others
// have. It implements huma.Resolver.
func (*balanceIn) Resolve(ctx huma.Context) []error {
	w := http.NewResponseController(humaecho.Unwrap(ctx).Response())
	_ = w.SetWriteDeadline(time.Now().Add(balancePatience + 5*time.Second)) // a recorder in a test has none
	return nil
}

func (s *Server) simBalance() *operation {
	type out struct{ Body Balance }
	return op(operation{id: "sim-balance", tag: "SIMs and modems", summary: "Ask the network for a SIM's balance",
		description: "With the operator's code; the answer is waited for. Messages that wait for the SIM go first: 409. " +
			"The ways of asking that are shipped (Movistar, Vodafone, Orange, Yoigo, Digi, Lycamobile) are untested until somebody confirms them: see tested."},
		func(ctx context.Context, in *balanceIn) (*out, error) {
			r, err := s.balance(ctx, in.ICCID)
			return &out{balanceOf(r)}, err
		})
}

// balance asks, and leaves an audit row without the answer.
func (s *Server) balance(ctx context.Context, iccidOrName string) (queue.CreditReading, error) {
	sim, err := s.pool.SIM(ctx, iccidOrName)
	if err != nil {
		return queue.CreditReading{}, err
	}
	asking, cancel := context.WithTimeoutCause(ctx, balancePatience,
		newProblem(http.StatusConflict, "the modem had no time for it; try again when it sends less"))
	defer cancel()
	r, err := s.pool.Balance(asking, sim.ICCID)
	result := "read"
	if err != nil {
		result = "not asked"
	} else if !r.Known {
		result = r.Error
	}
	s.audited(ctx, "sim.balance", sim.ICCID, result)
	var refused *pool.USSDRefusedError
	switch {
	case err == nil:
		return r, nil
	case errors.Is(err, pool.ErrNoBalanceCode):
		return r, newProblem(http.StatusConflict, "nobody knows how this SIM's balance is asked for: give its code under PATCH /balance-settings, or ask with POST /sims/{iccid}/ussd")
	case errors.As(err, &refused):
		return r, newProblem(http.StatusConflict, refused.Why)
	case asking.Err() != nil && ctx.Err() == nil:
		return r, context.Cause(asking)
	}
	for _, known := range []error{pool.ErrBalanceInterrupted, modem.ErrUSSDBusy, modem.ErrUSSDRefused, pool.ErrSIMAway, modem.ErrNotReady} {
		if errors.Is(err, known) {
			return r, newProblem(http.StatusConflict, err.Error())
		}
	}
	return r, err
}

// BalanceList are readings, the newest first.
type BalanceList list[Balance]

func (s *Server) listBalances() *operation {
	type (
		in struct {
			SIMID
			Limit int `query:"limit" default:"50" minimum:"1" maximum:"500"`
		}
		out struct{ Body BalanceList }
	)
	return op(operation{id: "list-sim-balances", tag: "SIMs and modems", summary: "What the network said of a SIM's balance",
		description: "The newest first, 13 months back."},
		func(ctx context.Context, in *in) (*out, error) {
			all, err := s.pool.CreditReadings(ctx, in.ICCID, in.Limit)
			return &out{BalanceList(listed(all, "", balanceOf))}, err
		})
}

// BalanceSettings say when and how balances are asked for.
type BalanceSettings struct {
	Check string           `json:"check" enum:"confirmed,always,never" doc:"Every day in a quiet hour: of SIMs whose way of asking somebody has confirmed or given, of all, or of none"`
	From  string           `json:"from" doc:"HH:MM, the quiet time of the box's day"`
	To    string           `json:"to"`
	Rules []BalanceRule    `json:"rules" nullable:"false" doc:"Ways of asking of your own; they go before what is shipped"`
	Codes []BalanceShipped `json:"shipped" nullable:"false"`
}

// BalanceRule is a way of asking of one's own: of a SIM, a home network or an operator.
type BalanceRule struct {
	SIM      string `json:"sim,omitempty" maxLength:"64" doc:"ICCID. Exactly one of sim, network, operator"`
	Network  string `json:"network,omitempty" maxLength:"6" doc:"MCC and MNC of the SIM's home network" example:"21407"`
	Operator string `json:"operator,omitempty" maxLength:"64" doc:"A part of its name"`
	Code     string `json:"code,omitempty" maxLength:"30" doc:"USSD; absent: never ask" example:"*133#"`
	Reply    string `json:"reply,omitempty" maxLength:"182" doc:"To the menu that the code brings"`
	Pattern  string `json:"pattern,omitempty" maxLength:"1000" doc:"A regular expression with a group named amount, or cents, and if need be currency; absent: what most answers look like"`
	Currency string `json:"currency,omitempty" maxLength:"3" doc:"Of an amount without one; absent: EUR"`
}

// BalanceShipped is a way of asking that comes with Recado.
type BalanceShipped struct {
	Operator    string  `json:"operator"`
	Code        string  `json:"code"`
	Tested      bool    `json:"tested"`
	ConfirmedBy *string `json:"confirmed_by" doc:"Who has seen it work here"`
}

func (s *Server) balanceSettings() BalanceSettings {
	c := s.pool.CreditSettings()
	out := BalanceSettings{Check: c.Check, From: clockTime(c.From), To: clockTime(c.To), Rules: []BalanceRule{}, Codes: []BalanceShipped{}}
	for _, r := range c.Rules {
		out.Rules = append(out.Rules, BalanceRule(r))
	}
	for _, b := range s.pool.BalanceCodes() {
		out.Codes = append(out.Codes, BalanceShipped{Operator: b.Name, Code: b.Code, Tested: b.Tested || b.ConfirmedBy != "", ConfirmedBy: some(b.ConfirmedBy)})
	}
	return out
}

type balanceSettingsOut struct{ Body BalanceSettings }

func (s *Server) getBalanceSettings() *operation {
	return op(operation{id: "get-balance-settings", tag: "SIMs and modems", summary: "When and how balances are asked for"},
		func(context.Context, *struct{}) (*balanceSettingsOut, error) {
			return &balanceSettingsOut{s.balanceSettings()}, nil
		})
}

// BalanceSettingsPatch changes them; what is absent stays.
type BalanceSettingsPatch struct {
	Check   *string        `json:"check,omitempty" nullable:"false" enum:"confirmed,always,never"`
	From    *string        `json:"from,omitempty" nullable:"false"`
	To      *string        `json:"to,omitempty" nullable:"false"`
	Rules   *[]BalanceRule `json:"rules,omitempty" nullable:"false" maxItems:"100" doc:"All of them"`
	Confirm *string        `json:"confirm,omitempty" nullable:"false" maxLength:"64" doc:"An operator whose shipped way you have seen work"`
	Doubt   *string        `json:"doubt,omitempty" nullable:"false" maxLength:"64" doc:"An operator whose shipped way does not work after all"`
}

func (s *Server) patchBalanceSettings() *operation {
	return op(operation{id: "patch-balance-settings", tag: "SIMs and modems", summary: "Change when and how balances are asked for",
		description: "Codes that change forwarding, barring, PINs and the like are refused."},
		func(ctx context.Context, in *struct{ Body BalanceSettingsPatch }) (*balanceSettingsOut, error) {
			s.changing.Lock()
			defer s.changing.Unlock()
			c, b, who := s.pool.CreditSettings(), in.Body, callerOf(ctx).principal.String()
			if b.Check != nil {
				c.Check = *b.Check
			}
			for _, at := range []struct {
				name string
				text *string
				into *int
			}{{"from", b.From, &c.From}, {"to", b.To, &c.To}} {
				if at.text == nil {
					continue
				}
				m, err := minuteOf(*at.text)
				if err != nil {
					return nil, invalid("body."+at.name, "is a time of day, as 04:30", *at.text)
				}
				*at.into = m
			}
			for _, named := range []struct {
				name string
				text *string
			}{{"confirm", b.Confirm}, {"doubt", b.Doubt}} {
				if named.text == nil {
					continue
				}
				if _, ok := credit.Named(*named.text); !ok { // before anything is changed
					return nil, invalid("body."+named.name, "is not an operator for which a way of asking is shipped; see shipped", *named.text)
				}
			}
			if b.Rules != nil {
				c.Rules = []queue.CreditRule{}
				for _, r := range *b.Rules {
					c.Rules = append(c.Rules, queue.CreditRule(r))
				}
			}
			if b.Check != nil || b.From != nil || b.To != nil || b.Rules != nil {
				if err := s.pool.SetCreditSettings(ctx, c, who); err != nil {
					return nil, err
				}
			}
			if b.Confirm != nil {
				if err := s.pool.ConfirmCredit(ctx, *b.Confirm, true, who); err != nil {
					return nil, err
				}
			}
			if b.Doubt != nil {
				if err := s.pool.ConfirmCredit(ctx, *b.Doubt, false, who); err != nil {
					return nil, err
				}
			}
			return &balanceSettingsOut{s.balanceSettings()}, nil
		})
}

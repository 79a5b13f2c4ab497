package pool

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"recado/pool/credit"
	"recado/queue"
)

// BalanceCode is one way of asking for a balance that is shipped.
type BalanceCode struct {
	credit.Operator
	// ConfirmedBy is who has confirmed it here; "": nobody, it is untested.
	ConfirmedBy string
}

// BalanceCodes are the shipped ones, and whether somebody has confirmed them.
func (p *Pool) BalanceCodes() []BalanceCode {
	p.credit.mu.Lock()
	defer p.credit.mu.Unlock()
	list := []BalanceCode{}
	for _, o := range credit.Operators() {
		b := BalanceCode{Operator: o}
		if i := slices.IndexFunc(p.credit.settings.Confirmed, func(c queue.CreditConfirmation) bool { return strings.EqualFold(c.Operator, o.Name) }); i >= 0 {
			b.Tested, b.ConfirmedBy = true, p.credit.settings.Confirmed[i].Who
		}
		list = append(list, b)
	}
	return list
}

// CreditSettings say when and how balances are asked for.
func (p *Pool) CreditSettings() queue.CreditSettings {
	p.credit.mu.Lock()
	defer p.credit.mu.Unlock()
	c := p.credit.settings
	c.Rules, c.Confirmed = append([]queue.CreditRule{}, c.Rules...), append([]queue.CreditConfirmation{}, c.Confirmed...)
	return c
}

// SetCreditSettings changes them, and with them which ways are confirmed. It errs
// with *queue.Invalid, also for a code that is never sent (see USSD).
func (p *Pool) SetCreditSettings(ctx context.Context, c queue.CreditSettings, who string) error {
	p.credit.setting.Lock()
	defer p.credit.setting.Unlock()
	return p.setCreditSettings(ctx, c, who)
}

// setCreditSettings does so; credits.setting is held.
func (p *Pool) setCreditSettings(ctx context.Context, c queue.CreditSettings, who string) error {
	if err := checkCredit(&c); err != nil {
		return err
	}
	if err := p.store.SetCreditSettings(ctx, c, who); err != nil {
		return err
	}
	p.credit.mu.Lock()
	p.credit.settings = c
	p.credit.mu.Unlock()
	p.changed()
	return nil
}

// ConfirmCredit is a person's word that the shipped way of an operator works, or
// with works false that it does not after all. *queue.Invalid when there is none.
func (p *Pool) ConfirmCredit(ctx context.Context, operator string, works bool, who string) error {
	o, ok := credit.Named(operator)
	if !ok {
		return &queue.Invalid{Field: "operator", Detail: "is not one for which a way of asking is shipped", Value: operator}
	}
	p.credit.setting.Lock()
	defer p.credit.setting.Unlock()
	c := p.CreditSettings()
	c.Confirmed = slices.DeleteFunc(c.Confirmed, func(k queue.CreditConfirmation) bool { return strings.EqualFold(k.Operator, o.Name) })
	if works {
		c.Confirmed = append(c.Confirmed, queue.CreditConfirmation{Operator: o.Name, Who: who, At: p.clock.Now()})
	}
	return p.setCreditSettings(ctx, c, who)
}

const (
	rulesMost  = 200
	minutesDay = 24 * 60
)

var (
	networkShape  = regexp.MustCompile(`^[0-9]{5,6}$`)
	currencyShape = regexp.MustCompile(`^[A-Z]{3}$`)
	iccidShape    = regexp.MustCompile(`^[0-9A-Za-z:.\-]{1,64}$`)
)

func checkCredit(c *queue.CreditSettings) error {
	switch c.Check {
	case queue.CreditConfirmed, queue.CreditAlways, queue.CreditNever:
	default:
		return &queue.Invalid{Field: "check", Detail: "is confirmed, always or never", Value: c.Check}
	}
	if c.From < 0 || c.From >= minutesDay || c.To < 0 || c.To >= minutesDay || c.From == c.To {
		return &queue.Invalid{Field: "from", Detail: "is a time of day, before another one"}
	}
	if len(c.Rules) > rulesMost {
		return &queue.Invalid{Field: "rules", Detail: fmt.Sprintf("are up to %d", rulesMost), Value: len(c.Rules)}
	}
	if c.Rules == nil {
		c.Rules = []queue.CreditRule{}
	}
	if c.Confirmed == nil {
		c.Confirmed = []queue.CreditConfirmation{}
	}
	for i := range c.Rules {
		if field, why := checkRule(&c.Rules[i]); why != "" {
			return &queue.Invalid{Field: fmt.Sprintf("rules[%d].%s", i, field), Detail: why}
		}
	}
	return nil
}

// checkRule says which field of a rule is wrong, and how.
func checkRule(r *queue.CreditRule) (field, why string) {
	r.Code, r.Reply, r.Operator = strings.TrimSpace(r.Code), strings.TrimSpace(r.Reply), strings.TrimSpace(r.Operator)
	named := 0
	for _, s := range []string{r.SIM, r.Network, r.Operator} {
		if s != "" {
			named++
		}
	}
	switch {
	case named != 1:
		return "sim", "a rule is for one of sim, network and operator"
	case r.SIM != "" && !iccidShape.MatchString(r.SIM):
		return "sim", "is a SIM's ICCID"
	case r.Network != "" && !networkShape.MatchString(r.Network):
		return "network", "is MCC and MNC: five or six digits, such as 21407"
	case len(r.Operator) > 60:
		return "operator", "is a part of the operator's name, up to 60 characters"
	case r.Currency != "" && !currencyShape.MatchString(r.Currency):
		return "currency", "is three letters, such as EUR"
	case r.Code == "" && (r.Reply != "" || r.Pattern != ""):
		return "code", "is missing"
	}
	if r.Code != "" {
		if err := credit.CheckCode(r.Code); err != nil {
			return "code", err.Error()
		}
		if err := checkUSSD(r.Code); err != nil {
			return "code", err.Error()
		}
	}
	if r.Reply != "" {
		if !replyShape.MatchString(r.Reply) {
			return "reply", "is up to 20 digits or letters: what is chosen in the menu"
		}
	}
	if r.Pattern != "" {
		if _, err := credit.Compile(r.Pattern); err != nil {
			return "pattern", err.Error()
		}
	}
	return "", ""
}

// replyShape is what a menu is answered with: nothing that could begin a dialogue
// of its own.
var replyShape = regexp.MustCompile(`^[0-9A-Za-z]{1,20}$`)

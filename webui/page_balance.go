package webui

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"recado/pool"
	"recado/pool/credit"
	"recado/queue"
)

// balanceForms is what balance.html shows: when balances are asked for, and how.
type balanceForms struct {
	Open   string // the part whose form was refused: when, rule
	Errors []string

	Set    BalanceSettings
	Checks []string
	Rows   []balanceRow
	SIMs   []appRow
	Form   balanceForm
	Tried  string // what was read of the answer that was tried
	Wrong  string // why nothing was
	Seen   string // what the forms were filled with
}

// balanceRow is a way of asking of one's own in words.
type balanceRow struct {
	N         int
	For       string
	Code      string
	Reply     string
	Own       bool // it has a pattern
	Currency  string
	Href      string
	NeverAsks bool
}

// balanceForm is the form of one: N is its place, "" of a new one. Kind says which
// of SIM, Network and Operator counts.
type balanceForm struct {
	N                      string
	Kind                   string
	SIM, Network, Operator string
	Code, Reply            string
	Pattern, Currency      string
	Answer                 string // to try it on
}

func (f balanceForm) rule() queue.CreditRule {
	r := queue.CreditRule{Code: f.Code, Reply: f.Reply, Pattern: f.Pattern, Currency: strings.ToUpper(f.Currency)}
	switch f.Kind {
	case "network":
		r.Network = f.Network
	case "operator":
		r.Operator = f.Operator
	default:
		r.SIM = f.SIM
	}
	return r
}

func balanceFormOf(n int, r queue.CreditRule) balanceForm {
	f := balanceForm{N: strconv.Itoa(n), Kind: "sim", SIM: r.SIM, Network: r.Network, Operator: r.Operator, Code: r.Code, Reply: r.Reply,
		Pattern: r.Pattern, Currency: r.Currency}
	switch {
	case r.Network != "":
		f.Kind = "network"
	case r.Operator != "":
		f.Kind = "operator"
	}
	return f
}

const balanceAddress = "/rules/balance"

// showBalance shows the ways of asking; its form has the one that rule names, or
// one for sim.
func (s *Server) showBalance(c echo.Context) error {
	rules := s.pool.CreditSettings().Rules
	if n, err := strconv.Atoi(c.QueryParam("rule")); err == nil && n >= 0 && n < len(rules) {
		return s.balanceForms(c, http.StatusOK, balanceForms{Open: "rule", Form: balanceFormOf(n, rules[n])})
	}
	iccid := c.QueryParam("sim")
	if iccid == "" {
		return s.balanceForms(c, http.StatusOK, balanceForms{})
	}
	ctx := c.Request().Context()
	sim, err := s.pool.SIM(ctx, iccid)
	if err != nil {
		return err
	}
	f := balanceForm{Kind: "sim", SIM: sim.ICCID, Code: sim.Credit.Way.Code, Reply: sim.Credit.Way.Reply}
	if i := slices.IndexFunc(rules, func(r queue.CreditRule) bool { return r.SIM == sim.ICCID }); i >= 0 {
		f = balanceFormOf(i, rules[i])
	}
	readings, err := s.pool.CreditReadings(ctx, sim.ICCID, 1)
	if err != nil {
		return err
	}
	if len(readings) > 0 {
		f.Answer = readings[0].Answer
	}
	return s.balanceForms(c, http.StatusOK, balanceForms{Open: "rule", Form: f})
}

// balanceForms shows the page; p has what is special this time.
func (s *Server) balanceForms(c echo.Context, status int, p balanceForms) error {
	l := s.words(c)
	sims, err := s.pool.SIMs(c.Request().Context())
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, sim := range sims {
		names[sim.ICCID] = simLabel(sim)
	}
	settings := s.pool.CreditSettings()
	p.Set, p.Checks, p.Seen = s.balanceSettings(), creditChecks, seenCredit(settings)
	if p.Form.Kind == "" {
		p.Form.Kind = "sim"
	}
	for i, r := range settings.Rules {
		row := balanceRow{N: i, Code: r.Code, Reply: r.Reply, Own: r.Pattern != "", Currency: r.Currency, NeverAsks: r.Code == "",
			Href: balanceAddress + "?rule=" + strconv.Itoa(i) + "#rule"}
		switch {
		case r.SIM != "":
			if row.For = names[r.SIM]; row.For == "" {
				row.For = "SIM …" + tail(r.SIM)
			}
		case r.Network != "":
			row.For = l.t("balance.network_is", "Network", r.Network)
		default:
			row.For = l.t("balance.operator_is", "Operator", r.Operator)
		}
		p.Rows = append(p.Rows, row)
	}
	known := p.Form.SIM == ""
	for _, sim := range sims {
		p.SIMs = append(p.SIMs, appRow{sim.ICCID, simLabel(sim), sim.ICCID == p.Form.SIM})
		known = known || sim.ICCID == p.Form.SIM
	}
	if !known {
		p.SIMs = append(p.SIMs, appRow{p.Form.SIM, "SIM …" + tail(p.Form.SIM), true})
	}
	v := s.view(c, "lines", p)
	v.Path = balanceAddress
	return s.write(c, status, "balance", "", v)
}

// creditChecks are when balances may be asked for, as the page offers it.
var creditChecks = []string{queue.CreditConfirmed, queue.CreditAlways, queue.CreditNever}

func seenCredit(c queue.CreditSettings) string { return seen(c) }

// changeBalance changes the settings as they are now, unless they are not those that
// the form was filled with. *queue.Invalid for what they may not be.
func (s *Server) changeBalance(c echo.Context, change func(*queue.CreditSettings) error) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	set := s.pool.CreditSettings()
	if stale(c, seenCredit(set)) {
		return errStale
	}
	if err := change(&set); err != nil {
		return err
	}
	return s.pool.SetCreditSettings(c.Request().Context(), set, s.person(c).String())
}

// balanceDone leads on, or back to the form with what is wrong.
func (s *Server) balanceDone(c echo.Context, p balanceForms, err error) error {
	l := s.words(c)
	bad, is := errors.AsType[*queue.Invalid](err)
	switch {
	case errors.Is(err, errStale):
		return s.balanceForms(c, staleStatus, balanceForms{Open: p.Open, Errors: []string{l.t("form.stale")}})
	case is:
		_, field, rule := strings.Cut(bad.Field, "].")
		if !rule {
			field = bad.Field
		}
		p.Errors = []string{l.tor("invalid_balance."+field, bad.Detail)}
		if _, err := credit.Compile(p.Form.Pattern); err != nil && field == "pattern" {
			p.Errors = []string{patternWords(l, err)}
		}
		return s.balanceForms(c, http.StatusUnprocessableEntity, p)
	case err != nil:
		return err
	}
	return s.done(c, balanceAddress, "saved", 0)
}

// setBalancePage changes when balances are asked for without a person.
func (s *Server) setBalancePage(c echo.Context) error {
	err := s.changeBalance(c, func(set *queue.CreditSettings) (err error) {
		set.Check = c.FormValue("check")
		for name, into := range map[string]*int{"from": &set.From, "to": &set.To} {
			if text := c.FormValue(name); text != "" {
				if *into, err = minuteOf(text); err != nil {
					return &queue.Invalid{Field: "from", Detail: err.Error(), Value: text}
				}
			}
		}
		return nil
	})
	return s.balanceDone(c, balanceForms{Open: "when"}, err)
}

// setBalanceRule adds or changes a way of asking, or tries how it reads an answer.
func (s *Server) setBalanceRule(c echo.Context) error {
	field := func(name string) string { return strings.TrimSpace(c.FormValue(name)) }
	f := balanceForm{N: field("n"), Kind: field("for"), SIM: field("sim"), Network: field("network"), Operator: field("operator"), Code: field("code"),
		Reply: field("reply"), Pattern: field("pattern"), Currency: field("currency"), Answer: c.FormValue("answer")}
	if c.FormValue("try") != "" {
		return s.tryBalance(c, f)
	}
	rule := f.rule()
	err := s.changeBalance(c, func(set *queue.CreditSettings) error {
		at := len(set.Rules)
		if f.N != "" {
			n, err := strconv.Atoi(f.N)
			if err != nil || n < 0 || n >= len(set.Rules) {
				return errStale
			}
			at = n
		}
		for i, other := range set.Rules {
			if i != at && other.SIM == rule.SIM && other.Network == rule.Network && strings.EqualFold(other.Operator, rule.Operator) {
				return &queue.Invalid{Field: "twice", Detail: "there is a way for these already: change that one"}
			}
		}
		if at == len(set.Rules) {
			set.Rules = append(set.Rules, rule)
		} else {
			set.Rules[at] = rule
		}
		return nil
	})
	return s.balanceDone(c, balanceForms{Open: "rule", Form: f}, err)
}

// tryBalance shows what would be read of an answer; nothing is sent or kept.
func (s *Server) tryBalance(c echo.Context, f balanceForm) error {
	l := s.words(c)
	p := balanceForms{Open: "rule", Form: f}
	var pattern *regexp.Regexp
	if f.Pattern != "" {
		var err error
		if pattern, err = credit.Compile(f.Pattern); err != nil {
			p.Errors = []string{patternWords(l, err)}
			return s.balanceForms(c, http.StatusUnprocessableEntity, p)
		}
	}
	currency := strings.ToUpper(f.Currency)
	if currency == "" {
		currency = "EUR"
	}
	read := credit.Read
	if pattern != nil {
		read = credit.ReadBy // as the box reads by a pattern of one's own
	}
	switch m, err := read(f.Answer, pattern, currency); {
	case errors.Is(err, credit.ErrManyAmounts):
		p.Wrong = l.t("balance_error.many_amounts")
	case err != nil:
		p.Wrong = l.t("balance_error.unreadable")
	default:
		p.Tried = pool.Credit{SIMCredit: queue.SIMCredit{Known: true, Minor: m.Minor, Currency: m.Currency}}.Money().Text(l.code)
	}
	return s.balanceForms(c, http.StatusOK, p)
}

// patternWords say what is wrong with a pattern, by what credit.Compile says.
func patternWords(l *locale, err error) string {
	if errors.Is(err, credit.ErrNoGroup) {
		return l.t("invalid_balance.pattern")
	}
	return l.t("invalid_balance.pattern_form")
}

// dropBalanceRule takes a way of asking away.
func (s *Server) dropBalanceRule(c echo.Context) error {
	err := s.changeBalance(c, func(set *queue.CreditSettings) error {
		n, err := strconv.Atoi(c.FormValue("n"))
		if err != nil || n < 0 || n >= len(set.Rules) {
			return errStale
		}
		set.Rules = slices.Delete(set.Rules, n, n+1)
		return nil
	})
	return s.balanceDone(c, balanceForms{}, err)
}

// confirmBalance is a person's word that what is shipped for an operator works, or
// that it does not after all.
func (s *Server) confirmBalance(c echo.Context) error {
	err := s.pool.ConfirmCredit(c.Request().Context(), c.FormValue("operator"), c.FormValue("works") != "", s.person(c).String())
	return s.balanceDone(c, balanceForms{}, err)
}

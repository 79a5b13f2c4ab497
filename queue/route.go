package queue

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

// What becomes of a route's messages while none of its SIMs is able to send.
const (
	FallbackAny  = "any"  // after a minute any SIM may
	FallbackWait = "wait" // they wait for one of the route's
)

// ErrNoRoute: there is no route with this id.
var ErrNoRoute = errors.New("no such route")

// Route says which SIMs may send the messages that match it. Of all enabled
// routes the first that matches, in the order of Position, holds; a message that
// matches none may leave on any SIM. One that was asked to leave on a certain SIM
// does, whatever its route.
type Route struct {
	ID       int64
	Position int // from 1, without gaps
	Name     string
	Enabled  bool
	// Conditions; one that is empty matches everything, and all must match.

	// Prefixes begin the recipient's number: with + and the country code, or bare
	// digits for short codes.
	Prefixes []string
	// Countries, ISO 3166 alpha-2. A short code is of the home country.
	Countries []string
	// Operators are the names of those that the number's range was given to, or
	// their beginnings, small or capital; a number that was ported since has
	// another by now.
	Operators []string
	Classes   []Class
	// Keys are the ids of the API keys and people that ask (Request.KeyID).
	Keys []string

	SIMs      []RouteSIM
	Fallback  string // FallbackAny or FallbackWait; "" is FallbackAny
	CreatedAt time.Time
}

// RouteSIM is a SIM of a route.
type RouteSIM struct {
	ICCID  string
	Weight int // 1 to 100: its share of the route's messages, among those that are able; 0 is 1
}

// Allows says whether the route has the SIM.
func (r Route) Allows(iccid string) bool {
	return slices.ContainsFunc(r.SIMs, func(s RouteSIM) bool { return s.ICCID == iccid })
}

const (
	maxRoutes     = 100
	maxRouteName  = 64
	maxConditions = 1000 // values of one condition
	maxRouteSIMs  = 256
	maxWeight     = 100
)

// tidy checks a route that somebody gives and writes it as it is kept.
func (r Route) tidy() (Route, error) {
	r.Name = strings.TrimSpace(r.Name)
	switch {
	case r.Name == "":
		return r, &Invalid{"name", "give the route a name", r.Name}
	case utf8.RuneCountInString(r.Name) > maxRouteName || !utf8.ValidString(r.Name):
		return r, &Invalid{"name", fmt.Sprintf("at most %d characters", maxRouteName), nil}
	}
	for _, list := range []struct {
		field string
		n     int
	}{{"prefixes", len(r.Prefixes)}, {"countries", len(r.Countries)}, {"operators", len(r.Operators)}, {"keys", len(r.Keys)}} {
		if list.n > maxConditions {
			return r, &Invalid{list.field, fmt.Sprintf("at most %d; make a second route for the rest", maxConditions), list.n}
		}
	}
	var err error
	if r.Prefixes, err = each(r.Prefixes, tidyPrefix); err != nil {
		return r, err
	}
	if r.Countries, err = each(r.Countries, tidyCountry); err != nil {
		return r, err
	}
	if r.Operators, err = each(r.Operators, tidyOperator); err != nil {
		return r, err
	}
	if r.Classes, err = each(r.Classes, tidyClass); err != nil {
		return r, err
	}
	slices.SortFunc(r.Classes, func(a, b Class) int { return cmp.Compare(policies[a].lane, policies[b].lane) })
	if r.Keys, err = each(r.Keys, tidyKey); err != nil {
		return r, err
	}
	switch r.Fallback {
	case "":
		r.Fallback = FallbackAny
	case FallbackAny, FallbackWait:
	default:
		return r, &Invalid{"fallback", "is any (after a minute without an able SIM of the route, any SIM may) or wait", r.Fallback}
	}
	r.SIMs, err = tidySIMs(r.SIMs)
	return r, err
}

// each tidies every value and drops those that come twice.
func each[T comparable](list []T, tidy func(T) (T, error)) ([]T, error) {
	out := make([]T, 0, len(list))
	for _, v := range list {
		v, err := tidy(v)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out, nil
}

func tidyPrefix(p string) (string, error) {
	var b strings.Builder
	for _, r := range strings.TrimSpace(p) {
		switch {
		case r >= '0' && r <= '9', r == '+' && b.Len() == 0:
			b.WriteRune(r)
		case r == ' ', r == '.', r == '-', r == '/', r == '(', r == ')', r == '\u00a0':
		default:
			return "", &Invalid{"prefixes", "a prefix is the first digits of a number, with + and the country code, such as +346", p}
		}
	}
	digits := strings.TrimPrefix(b.String(), "+")
	switch {
	case digits == "":
		return "", &Invalid{"prefixes", "a prefix has at least one digit; leave the list empty for any number", p}
	case len(digits) > 15:
		return "", &Invalid{"prefixes", "a number has at most 15 digits", p}
	case strings.HasPrefix(digits, "00") && b.String() == digits:
		return "", &Invalid{"prefixes", "write + and the country code instead of 00", p}
	case b.String() == digits && len(digits) > shortMost:
		return "", &Invalid{"prefixes", fmt.Sprintf("without + it is the beginning of a short code, which has at most %d digits: write + and the country code", shortMost), p}
	}
	return b.String(), nil
}

func tidyCountry(c string) (string, error) {
	code := strings.ToUpper(strings.TrimSpace(c))
	if !phonenumbers.GetSupportedRegions()[code] {
		return "", &Invalid{"countries", "a country is two letters of ISO 3166, such as ES or PT", c}
	}
	return code, nil
}

func tidyOperator(o string) (string, error) {
	name := strings.Join(strings.Fields(o), " ")
	if fold(name) == "" || utf8.RuneCountInString(name) > maxRouteName || !utf8.ValidString(name) {
		return "", &Invalid{"operators", fmt.Sprintf("an operator is its name, such as Movistar, of at most %d characters", maxRouteName), o}
	}
	return name, nil
}

func tidyClass(c Class) (Class, error) {
	if _, ok := policies[c]; !ok {
		return "", &Invalid{"classes", "a class is one of otp, alert, normal, bulk", string(c)}
	}
	return c, nil
}

func tidyKey(k string) (string, error) {
	id := strings.TrimSpace(k)
	if id == "" || len(id) > maxReference || !utf8.ValidString(id) {
		return "", &Invalid{"keys", fmt.Sprintf("name an API key or a person by its id, of at most %d characters", maxReference), k}
	}
	return id, nil
}

func tidySIMs(list []RouteSIM) ([]RouteSIM, error) {
	switch {
	case len(list) == 0:
		return nil, &Invalid{"sims", "name at least one SIM", nil}
	case len(list) > maxRouteSIMs:
		return nil, &Invalid{"sims", fmt.Sprintf("at most %d SIMs", maxRouteSIMs), len(list)}
	}
	out := make([]RouteSIM, 0, len(list))
	for _, s := range list {
		s.ICCID = strings.TrimSpace(s.ICCID)
		s.Weight = cmp.Or(s.Weight, 1)
		switch {
		case s.ICCID == "":
			return nil, &Invalid{"sims", "name each SIM by its ICCID", nil}
		case s.Weight < 1 || s.Weight > maxWeight:
			return nil, &Invalid{"sims", fmt.Sprintf("a weight is from 1 to %d", maxWeight), s.Weight}
		case slices.ContainsFunc(out, func(o RouteSIM) bool { return o.ICCID == s.ICCID }):
			return nil, &Invalid{"sims", "this SIM is named twice", s.ICCID}
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b RouteSIM) int { return cmp.Compare(a.ICCID, b.ICCID) })
	return out, nil
}

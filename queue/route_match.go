package queue

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

// rule is an enabled route as messages are matched with it.
type rule struct {
	route     int64
	prefixes  []string
	countries []string
	operators []string // as fold writes them
	classes   []Class
	keys      []string
}

func newRule(r Route) rule {
	u := rule{route: r.ID, prefixes: r.Prefixes, countries: r.Countries, classes: r.Classes, keys: r.Keys}
	for _, o := range r.Operators {
		u.operators = append(u.operators, fold(o))
	}
	return u
}

// asked is what a message is matched by. Country and operator of its number are
// looked up when a rule asks for them: that takes as long as all the rest.
type asked struct {
	to       string
	class    Class
	key      string
	home     string // ISO 3166
	country  string // "" not looked up yet, "-" none
	operator string
}

func (u rule) matches(a *asked) bool {
	return (len(u.classes) == 0 || slices.Contains(u.classes, a.class)) &&
		(len(u.keys) == 0 || slices.Contains(u.keys, a.key)) &&
		(len(u.prefixes) == 0 || slices.ContainsFunc(u.prefixes, a.begins)) &&
		(len(u.countries) == 0 || slices.Contains(u.countries, a.countryOf())) &&
		(len(u.operators) == 0 || slices.ContainsFunc(u.operators, a.of))
}

// begins compares with the +, so that a short code is no country code.
func (a *asked) begins(prefix string) bool { return strings.HasPrefix(a.to, prefix) }

func (a *asked) countryOf() string {
	if a.country == "" {
		if a.country = countryOf(a.to, a.home); a.country == "" {
			a.country = "-"
		}
	}
	return a.country
}

// of says whether the number's range is of an operator: its name is the rule's,
// or begins with it ("Digi" is DigiMobil).
func (a *asked) of(name string) bool {
	if a.operator == "" {
		if a.operator = fold(operatorOf(a.to)); a.operator == "" {
			a.operator = "-"
		}
	}
	return strings.HasPrefix(a.operator, name)
}

// fold writes a name so that how it is written makes no difference.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// countryOf is the country of an E.164 number, or of a short code; "" unknown.
func countryOf(to, home string) string {
	digits, abroad := strings.CutPrefix(to, "+")
	if !abroad {
		return home
	}
	// Most codes have one country; of the others the number itself tells.
	if code := callingCode(digits); code != 0 {
		if of := phonenumbers.GetRegionCodesForCountryCode(code); len(of) == 1 {
			return region(of[0])
		}
	}
	p, ok := parsed(to)
	if !ok {
		return ""
	}
	return region(phonenumbers.GetRegionCodeForNumber(p))
}

// region leaves out what is no country: 001, ZZ.
func region(code string) string {
	if len(code) != 2 || code == phonenumbers.UNKNOWN_REGION {
		return ""
	}
	return code
}

// callingCode is the country code that E.164 digits begin with; 0: none does. No
// code is the beginning of another (ITU-T E.164).
func callingCode(digits string) int {
	for n := 1; n <= 3 && n <= len(digits); n++ {
		code, err := strconv.Atoi(digits[:n])
		if err != nil {
			return 0
		}
		if len(phonenumbers.GetRegionCodesForCountryCode(code)) > 0 {
			return code
		}
	}
	return 0
}

func parsed(to string) (*phonenumbers.PhoneNumber, bool) {
	var p phonenumbers.PhoneNumber
	if err := phonenumbers.ParseToNumber(to, phonenumbers.UNKNOWN_REGION, &p); err != nil {
		return nil, false
	}
	return &p, true
}

// operatorOf is the operator that the number's range was given to, as
// libphonenumber's tables write it; "" when they do not know. A number that was
// ported since has another.
func operatorOf(to string) string {
	if !strings.HasPrefix(to, "+") {
		return "" // a short code is nobody's subscriber
	}
	p, ok := parsed(to)
	if !ok {
		return ""
	}
	name, err := phonenumbers.GetCarrierForNumber(p, "en")
	if err != nil {
		return ""
	}
	return name
}

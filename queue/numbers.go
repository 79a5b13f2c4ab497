package queue

import (
	"strings"
	"sync/atomic"

	"github.com/nyaruka/phonenumbers"
)

// Numbers normalises recipients' numbers and says which may be written to. Its
// methods may be called by any goroutine.
type Numbers struct{ home atomic.Pointer[home] }

type home struct {
	country string // ISO 3166 alpha-2
	abroad  bool
}

// NewNumbers completes national numbers with country (ISO 3166 alpha-2, "ES").
// Numbers of other countries are refused unless abroad.
func NewNumbers(country string, abroad bool) *Numbers {
	n := &Numbers{}
	n.Set(country, abroad)
	return n
}

// Set changes the country and whether others are allowed. An unknown country
// leaves only numbers with + usable.
func (n *Numbers) Set(country string, abroad bool) {
	n.home.Store(&home{country: strings.ToUpper(strings.TrimSpace(country)), abroad: abroad})
}

// Country is the home country.
func (n *Numbers) Country() string { return n.home.Load().country }

// Abroad says whether other countries' numbers are allowed.
func (n *Numbers) Abroad() bool { return n.home.Load().abroad }

// shortMost is the length up to which digits are a short code: no subscriber
// number that SMS reaches is so short.
const shortMost = 6

// Normalize gives the number as E.164 ("+34600111222"), or the short code as it
// is. Blanks, dots, dashes, slashes and brackets are dropped; what is left must
// be 3 to 15 digits, with + before them or not.
func (n *Numbers) Normalize(raw string) (string, *Rejection) {
	h := n.home.Load()
	number, ok := clean(raw)
	if !ok {
		return "", &Rejection{To: raw, Code: InvalidNumber, Detail: "a number is 3 to 15 digits, with + and the country code before them or not"}
	}
	if number[0] != '+' && len(number) <= shortMost {
		if premiumShort(h.country, number) {
			return "", &Rejection{To: raw, Code: PremiumNumber, Detail: "this short code costs extra"}
		}
		return number, nil
	}
	var p phonenumbers.PhoneNumber
	if err := phonenumbers.ParseToNumber(number, h.country, &p); err != nil {
		return "", &Rejection{To: raw, Code: InvalidNumber, Detail: "no country has such a number"}
	}
	country := int(p.GetCountryCode())
	if country != phonenumbers.GetCountryCodeForRegion(h.country) && !h.abroad {
		return "", &Rejection{To: raw, Code: CountryNotAllowed, Detail: "numbers of other countries are switched off"}
	}
	e164 := phonenumbers.Format(&p, phonenumbers.E164)
	if premiumRange(e164) {
		return "", &Rejection{To: raw, Code: PremiumNumber, Detail: "numbers of this range cost extra"}
	}
	switch phonenumbers.GetNumberType(&p) {
	case phonenumbers.PREMIUM_RATE, phonenumbers.SHARED_COST:
		return "", &Rejection{To: raw, Code: PremiumNumber, Detail: "numbers of this range cost extra"}
	case phonenumbers.UNKNOWN:
		return "", &Rejection{To: raw, Code: InvalidNumber, Detail: "no subscriber can have this number"}
	}
	return e164, nil
}

// clean drops what people write between digits and checks the rest strictly:
// ^\+?[0-9]{3,15}$, ASCII digits only.
func clean(raw string) (string, bool) {
	if len(raw) > 64 {
		return "", false
	}
	b := make([]byte, 0, 16)
	for _, r := range raw {
		switch {
		case r >= '0' && r <= '9', r == '+' && len(b) == 0:
			if len(b) == 16 {
				return "", false
			}
			b = append(b, byte(r))
		case r == ' ', r == '\t', r == '\u00a0', r == '\u202f', r == '.', r == '-', r == '\u2010', r == '\u2011',
			r == '\u2013', r == '/', r == '(', r == ')', r == '[', r == ']':
		default:
			return "", false
		}
	}
	digits := len(b)
	if digits > 0 && b[0] == '+' {
		digits--
	}
	return string(b), digits >= 3 && digits <= 15
}

// premiumShortES are the beginnings of Spain's premium SMS short codes, by the
// number plan for text services (Orden ITC/308/2008 and the resolutions on it):
// 25, 27, 28 0 and 29 0 up to 1.20 €, 35, 37 to 6 €, 79 subscriptions, 99 adult.
// 22, 23 and 280/290's neighbours serve fund-raising and free services.
var premiumShortES = []struct {
	begin  string
	length int
}{
	{"25", 5}, {"27", 5}, {"280", 5}, {"290", 5}, {"35", 5}, {"37", 5}, {"79", 5}, {"99", 6},
}

// premiumRanges are E.164 beginnings that cost extra, whatever the metadata of
// the day says of them: Spain's 803, 806, 807 (services), 905 (votes), 907
// (data), 901 and 902 (shared cost); 979 and 808 are the international ones.
var premiumRanges = []string{
	"+34803", "+34806", "+34807", "+34905", "+34907", "+34901", "+34902", "+979", "+808",
}

func premiumShort(country, code string) bool {
	if country != "ES" {
		return false
	}
	for _, p := range premiumShortES {
		if len(code) == p.length && strings.HasPrefix(code, p.begin) {
			return true
		}
	}
	return false
}

func premiumRange(e164 string) bool {
	for _, p := range premiumRanges {
		if strings.HasPrefix(e164, p) {
			return true
		}
	}
	return false
}

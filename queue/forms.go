package queue

import (
	"slices"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Forms are the ways in which one number may be written down: E.164, with 00,
// national, and what was given. A name (an alphanumeric TP-OA) and a short code
// have one. nil: it is neither.
func (n *Numbers) Forms(raw string) []string {
	raw = strings.TrimSpace(raw)
	number, ok := clean(raw)
	if !ok {
		if digits(raw) != "" || raw == "" || len(raw) > 64 || strings.IndexFunc(raw, func(r rune) bool { return r < ' ' }) >= 0 {
			return nil
		}
		return []string{raw}
	}
	forms := []string{number}
	add := func(f string) {
		if !slices.Contains(forms, f) {
			forms = append(forms, f)
		}
	}
	if number[0] != '+' && len(number) <= shortMost {
		return forms
	}
	if strings.HasPrefix(number, "00") {
		number = "+" + number[2:]
	}
	var p phonenumbers.PhoneNumber
	if err := phonenumbers.ParseToNumber(number, n.Country(), &p); err != nil {
		if bare := strings.TrimPrefix(number, "+"); bare != number {
			add(number)
			add(bare)
			add("00" + bare)
		}
		return forms
	}
	e164 := phonenumbers.Format(&p, phonenumbers.E164)
	add(e164)
	add(e164[1:])
	add("00" + e164[1:])
	add(phonenumbers.GetNationalSignificantNumber(&p))
	if national, ok := clean(phonenumbers.Format(&p, phonenumbers.NATIONAL)); ok {
		add(national)
	}
	return forms
}

// Masked is a number as logs and the audit trail may show it: its last three
// digits; of a name or a short code nothing but its length.
func Masked(number string) string {
	if len(digits(number)) <= shortMost {
		return strings.Repeat("*", len([]rune(number)))
	}
	return strings.Repeat("*", len(number)-3) + number[len(number)-3:]
}

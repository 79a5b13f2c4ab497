package credit

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Money is an amount in the currency's smallest unit.
type Money struct {
	Minor    int64
	Currency string // ISO 4217; "" not known
}

var (
	// ErrNoAmount: the answer has no number that could be the balance.
	ErrNoAmount = errors.New("there is no amount in the answer")
	// ErrManyAmounts: it has several, and nothing says which is the balance.
	ErrManyAmounts = errors.New("there are several amounts in the answer; give a pattern that finds the right one")
)

// mostMinor bounds an amount: what is above is no balance of a SIM.
const mostMinor = 1_000_000_000_00

// answerMost is how much of an answer is looked at: a USSD text has 182
// characters (TS 23.038 5), a chained one a few times as many.
const answerMost = 2000

// Read finds the balance in an answer: by the pattern, and when that does not
// fit, or is nil, by what most answers look like. currency is that of an amount
// without one. That nothing is left, which stops a SIM, it only believes of what is
// called the balance: an excuse tells as well that it cost 0,00 €. ErrNoAmount,
// ErrManyAmounts.
func Read(answer string, pattern *regexp.Regexp, currency string) (Money, error) {
	answer = tidy(answer)
	if pattern != nil {
		m, said, ok := byPattern(strings.ReplaceAll(answer, "\n", " "), pattern, currency)
		if ok && (m.Minor > 0 || !price.MatchString(said)) {
			return m, nil
		}
	}
	return find(answer, currency)
}

// ReadBy finds the balance by the pattern alone, which is somebody's own: what it
// does not fit is no balance. ErrNoAmount.
func ReadBy(answer string, pattern *regexp.Regexp, currency string) (Money, error) {
	if m, _, ok := byPattern(strings.ReplaceAll(tidy(answer), "\n", " "), pattern, currency); ok {
		return m, nil
	}
	return Money{}, ErrNoAmount
}

// tidy makes every run of blanks and control characters one blank, or one line
// end when there is one among them.
func tidy(s string) string {
	var b strings.Builder
	gap, n := byte(0), 0
	for _, r := range s {
		if n++; n > answerMost {
			break
		}
		switch {
		case r == '\n' || r == '\r':
			gap = '\n'
			continue
		case unicode.IsSpace(r) || unicode.IsControl(r) || r == '\u202f':
			if gap == 0 {
				gap = ' '
			}
			continue
		}
		if gap != 0 && b.Len() > 0 {
			b.WriteByte(gap)
		}
		gap = 0
		b.WriteRune(r)
	}
	return b.String()
}

// byPattern also gives what the pattern fits, up to the number.
func byPattern(answer string, re *regexp.Regexp, currency string) (m Money, before string, ok bool) {
	at := re.FindStringSubmatchIndex(answer)
	if at == nil {
		return Money{}, "", false
	}
	group := func(name string) (text string, from, to int) {
		if i := re.SubexpIndex(name); i >= 0 && at[2*i] >= 0 {
			return answer[at[2*i]:at[2*i+1]], at[2*i], at[2*i+1]
		}
		return "", -1, -1
	}
	said, _, _ := group("currency")
	if cents, from, _ := group("cents"); cents != "" {
		n, err := strconv.ParseInt(digitsOf(cents), 10, 64)
		if err != nil || n > mostMinor {
			return Money{}, "", false
		}
		if negative(cents) {
			n = -n
		}
		return Money{n, currencyOf(said, currency)}, answer[at[0]:from], true
	}
	number, from, to := group("amount")
	if number == "" {
		return Money{}, "", false
	}
	if minusBehind.MatchString(answer[to:]) {
		number += "-"
	}
	said = cmp.Or(said, unitBehind.FindString(answer[to:]), unitBefore.FindString(answer[:from]))
	m, ok = amount(number, said, answer[to:], currency)
	return m, answer[at[0]:from], ok
}

const unitsBefore = `€|£|\$|\b(?:eur|gbp|usd|ron|lei|pln|chf)`

// units are currencies, and their hundredths, as they stand behind a number.
const units = `€|£|\$|euros?\b|eur\b|gbp\b|usd\b|pounds?\b|d[oó]lar(?:es)?\b|dollars?\b|ron\b|lei\b|pln\b|zł|chf\b|c[eé]nt(?:imo)?s?\b|cts?\b|pence\b`

var (
	unitBehind = regexp.MustCompile(`(?i)^[\-−]? ?(?:` + units + `)`)
	// minusBehind is a sign that follows its number: "0,35- EUR".
	minusBehind = regexp.MustCompile(`^[\-−](?: |€|$)`)
	unitBefore  = regexp.MustCompile(`(?i)(?:` + unitsBefore + `) ?$`)
)

// amounts are numbers with a currency on either side, or without: sign, currency,
// number, sign, currency.
var amounts = regexp.MustCompile(`(?i)(?P<sign>[\-−])?(?P<before>(?:` + unitsBefore + `) ?)?(?P<number>[+\-−]?(?:[0-9]{1,3}(?: [0-9]{3})+[.,][0-9]{2}|[0-9][0-9.,']*))(?P<minus>[\-−])?(?P<after> ?(?:` + units + `))?`)

// word comes before the amount that is meant.
var word = regexp.MustCompile(`(?i)\b(?:saldo|cr[eé]dito|credit|balance|disponibles?|available)\b[^0-9]{0,60}$`)

// itself is the balance's own word, and price what calls the amount behind it
// something else.
var (
	itself = regexp.MustCompile(`(?i)\b(?:saldo|cr[eé]dito|credit|balance)\b([^0-9]{0,60})$`)
	price  = regexp.MustCompile(`(?i)\b(?:coste?s?|precios?|tarifas?|cargos?|consum(?:o|ido)s?|gast(?:o|ado)s?|cost|costs|price|charges?|charged|fee)\b`)
)

// candidate is a number that may be the balance.
type candidate struct {
	money  Money
	priced bool // a currency stands by it
	called bool // a word for the balance stands before it
	surely bool // that word says balance or credit, and no other word stands between
}

// find looks for the balance without knowing how the operator writes it: what a
// word for it and a currency stand by, then either of them, then an amount that is
// alone.
func find(answer, currency string) (Money, error) {
	var list []candidate
	taken := 0 // up to here, with the cents that follow an amount
	for _, at := range amounts.FindAllStringSubmatchIndex(answer, -1) {
		part := func(name string) string {
			if i := amounts.SubexpIndex(name); at[2*i] >= 0 {
				return answer[at[2*i]:at[2*i+1]]
			}
			return ""
		}
		said := cmp.Or(strings.TrimSpace(part("before")), strings.TrimSpace(part("after")))
		called := word.MatchString(answer[:at[0]])
		number, before, behind := part("number"), answer[:at[0]], answer[at[1]:]
		// As long as a telephone number, and nothing calls it money: it is one.
		if at[0] < taken || partOfOther(before, behind) || said == "" && len(digitsOf(number)) >= 9 || said == "" && itemOfMenu(before, number, behind) {
			continue
		}
		if m, ok := amount(part("sign")+number+part("minus"), said, answer[at[1]:], currency); ok {
			own := itself.FindStringSubmatch(before)
			list = append(list, candidate{m, said != "", called, own != nil && !price.MatchString(own[1])})
			taken = at[1] + len(and.FindString(behind))
		}
	}
	for _, wanted := range []func(candidate) bool{
		func(c candidate) bool { return c.called && c.priced },
		func(c candidate) bool { return c.priced },
		func(c candidate) bool { return c.called },
		func(candidate) bool { return true },
	} {
		var fit []candidate
		for _, c := range list {
			if wanted(c) {
				fit = append(fit, c)
			}
		}
		switch {
		case len(fit) == 1, len(fit) > 1 && fit[0].called && fit[0].priced:
			if fit[0].money.Minor <= 0 && !fit[0].surely {
				return Money{}, ErrNoAmount
			}
			return fit[0].money, nil // of several that are called so the first is the SIM's
		case len(fit) > 1:
			return Money{}, ErrManyAmounts
		}
	}
	return Money{}, ErrNoAmount
}

// partOfOther says that the number, with what stands before and behind it, is of
// a date, an hour, a percentage, a volume of data, a code or a telephone number.
func partOfOther(before, after string) bool {
	if n := len(before); n > 0 {
		switch c := before[n-1]; {
		case strings.IndexByte("/*#", c) >= 0, isLetter(c):
			return true
		case c == ':' && n > 1 && isDigit(before[n-2]):
			return true
		}
	}
	if len(after) > 1 && strings.IndexByte("/:*#-", after[0]) >= 0 && isDigit(after[1]) {
		return true
	}
	return otherUnit.MatchString(after)
}

// itemOfMenu says that a number counts the lines of a menu: "1. Saldo",
// "2) Bonos", "3 - Salir".
func itemOfMenu(before, number, after string) bool {
	if before != "" && !strings.HasSuffix(before, "\n") || len(digitsOf(number)) > 2 || strings.ContainsAny(strings.Trim(number, "."), ".,'") {
		return false
	}
	return strings.HasSuffix(number, ".") || menuMark.MatchString(after)
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

var (
	// otherUnit stands behind what is no money.
	otherUnit = regexp.MustCompile(`(?i)^(?:#| ?(?:%|[kmgt]i?b\b|megas?\b|gigas?\b|min\b|minutos?\b|minutes?\b|sms\b|mensajes?\b|messages?\b|d[ií]as?\b|days?\b|h\b|horas?\b|hours?\b))`)
	menuMark  = regexp.MustCompile(`^(?:\)|:| ?[-=>] ?[^0-9])`)
)

// and is how cents follow: "5 euros con 20 céntimos".
var and = regexp.MustCompile(`(?i)^ ?(?:euros?|€|pounds?|£)? ?(?:con|y|and) ([0-9]{1,2}) ?(?:c[eé]nt|cts?\b|pence)`)

// amount reads a number with what stands by it.
func amount(number, said, rest, currency string) (Money, bool) {
	code := currencyOf(said, currency)
	places := placesOf(code)
	lower := strings.ToLower(strings.TrimSpace(said))
	if strings.HasPrefix(lower, "c") && lower != "chf" || lower == "pence" { // cents themselves
		n, ok := decimal(number, code, 0)
		return Money{n, code}, ok
	}
	n, ok := decimal(number, code, places)
	if !ok {
		return Money{}, false
	}
	if m := and.FindStringSubmatch(rest); m != nil && places == 2 && n%100 == 0 {
		cents, _ := strconv.ParseInt(m[1], 10, 64)
		if n < 0 || negative(number) {
			cents = -cents
		}
		n += cents
	}
	return Money{n, code}, true
}

// decimal reads a number as people of the currency write it, in units of
// 10^-places, rounded down. The last of two kinds of marks is the decimal one; a
// mark alone is, unless it stands where the currency's people put the thousands.
func decimal(s, currency string, places int) (int64, bool) {
	sign := int64(1)
	if negative(s) {
		sign = -1
	}
	s = strings.Trim(s, "+-− .,'")
	point := strings.LastIndexAny(s, ".,'")
	whole, fraction := s, ""
	if point >= 0 {
		mark := s[point]
		behind := len(s) - point - 1
		alone := strings.Count(s, string(mark)) == 1
		others := strings.ContainsAny(strings.ReplaceAll(s, string(mark), ""), ".,'")
		isDecimal := false
		switch {
		case others: // two kinds: the last one, unless it is repeated
			isDecimal = alone
		case !alone: // 1.234.567
		case mark == '\'':
			isDecimal = behind <= 2
		case behind != 3 || strings.HasPrefix(s, "0"):
			isDecimal = true
		default: // 1.234 or 1,234
			isDecimal = mark == ',' != dotted(currency)
		}
		if isDecimal {
			whole, fraction = s[:point], s[point+1:]
		}
	}
	w := digitsOf(whole)
	if w == "" || len(w) > 12 {
		return 0, false
	}
	for len(fraction) < places {
		fraction += "0"
	}
	n, err := strconv.ParseInt(w+fraction[:places], 10, 64)
	if err != nil || n > mostMinor {
		return 0, false
	}
	return sign * n, true
}

// negative says that a minus stands at either end.
func negative(s string) bool {
	s = strings.TrimSpace(s)
	return strings.HasPrefix(s, "-") || strings.HasPrefix(s, "−") || strings.HasSuffix(s, "-") || strings.HasSuffix(s, "−")
}

func digitsOf(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// dotted says that the people of a currency write 1,234.56.
func dotted(currency string) bool {
	switch currency {
	case "GBP", "USD", "MXN", "PEN", "DOP", "GTQ", "INR", "PKR", "NGN", "PHP", "CNY", "JPY", "AUD", "CAD":
		return true
	}
	return false
}

// placesOf are the decimals of a currency (ISO 4217).
func placesOf(currency string) int {
	switch currency {
	case "JPY", "CLP", "PYG", "XAF", "XOF", "KRW":
		return 0
	}
	return 2
}

// currencyOf reads a currency as answers write it; what names none is other's.
func currencyOf(said, other string) string {
	switch s := strings.ToLower(strings.Trim(said, " -−")); {
	case s == "":
		return other
	case strings.HasPrefix(s, "eur"), s == "€":
		return "EUR"
	case s == "£", strings.HasPrefix(s, "pound"), s == "gbp", s == "pence":
		return "GBP"
	case s == "usd", strings.HasPrefix(s, "dollar"):
		return "USD"
	case s == "$", strings.HasPrefix(s, "d"):
		if other != "" && other != "EUR" && other != "GBP" {
			return other // many countries' own
		}
		return "USD"
	case s == "ron", s == "lei":
		return "RON"
	case s == "pln", s == "zł":
		return "PLN"
	case s == "chf":
		return "CHF"
	case strings.HasPrefix(s, "c"):
		return other
	case len(s) == 3:
		return strings.ToUpper(s)
	}
	return other
}

// Parts are an amount's whole units, with its sign, and what is behind the decimal
// mark, "" where the currency has nothing there.
func (m Money) Parts() (units, decimals string) {
	places, unit := placesOf(m.Currency), int64(1)
	for range places {
		unit *= 10
	}
	minus, n := "", m.Minor
	if n < 0 {
		minus, n = "-", -n
	}
	if places > 0 {
		decimals = fmt.Sprintf("%0*d", places, n%unit)
	}
	return minus + strconv.FormatInt(n/unit, 10), decimals
}

// Text writes an amount as the page's language has it: "1.234,56 €", "€1,234.56".
func (m Money) Text(language string) string {
	whole, fraction := m.Parts()
	minus := ""
	if strings.HasPrefix(whole, "-") {
		minus, whole = "-", whole[1:]
	}
	thousands, point := ",", "."
	if strings.HasPrefix(language, "es") {
		thousands, point = ".", ","
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + thousands + whole[i:]
	}
	if fraction != "" {
		fraction = point + fraction
	}
	sign := map[string]string{"EUR": "€", "GBP": "£", "USD": "$"}[m.Currency]
	switch {
	case m.Currency == "":
		return minus + whole + fraction
	case sign != "" && !strings.HasPrefix(language, "es"):
		return minus + sign + whole + fraction
	case sign == "":
		sign = m.Currency
	}
	return minus + whole + fraction + " " + sign
}

package credit

// balance is how most answers name the money: the word, up to sixty characters
// that are no digits, and a number with decimals or with its currency behind it.
const balance = `(?i)\b(?:saldo|cr[eé]dito|credit|balance)\b[^0-9+\-−£$]{0,60}` +
	`(?P<amount>[+\-−]?(?:[0-9]{1,3}(?:[. ][0-9]{3})*[.,'][0-9]{1,4}|[0-9]{1,6} ?(?:€|eur))\b?)` +
	`(?P<currency>(?: ?(?:€|eur\b|euros?\b))?)`

// Emulated is the network of the emulated modems, which have a made-up name: it
// is tested, being our own.
var Emulated = Operator{Name: "Recado Red", Names: []string{"recado red"}, Code: "*123#", Pattern: balance, Currency: "EUR", Every: day, Tested: true}

// shipped are the operators of Spain that an office is likely to have a SIM of.
// The codes are those that the operators and the press tell their customers; the
// wording of the answers was not seen, so that the pattern is a broad one. Digi
// and Lycamobile have networks of their own and borrow others' masts.
var shipped = []Operator{
	{Name: "Movistar", Networks: []string{"21405", "21407"}, Names: []string{"movistar", "telefonica"},
		Code: "*133#", Pattern: balance, Currency: "EUR", Every: day},
	{Name: "Vodafone", Networks: []string{"21401", "21406"}, Names: []string{"vodafone"},
		Code: "*134#", Pattern: balance, Currency: "EUR", Every: day},
	// Five checks a month are free, and the answer is a menu below the balance.
	{Name: "Orange", Networks: []string{"21403", "21409"}, Names: []string{"orange"},
		Code: "*111#", Pattern: balance, Currency: "EUR", Every: 7 * day},
	{Name: "Yoigo", Networks: []string{"21404"}, Names: []string{"yoigo", "masmovil"},
		Code: "*111#", Pattern: balance, Currency: "EUR", Every: day},
	{Name: "Digi", Networks: []string{"21422"}, Names: []string{"digi"},
		Code: "*134#", Pattern: balance, Currency: "EUR", Every: day},
	{Name: "Lycamobile", Networks: []string{"21425"}, Names: []string{"lyca"},
		Code: "*221#", Pattern: balance, Currency: "EUR", Every: day},
}

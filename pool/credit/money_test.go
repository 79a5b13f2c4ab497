package credit

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadsMoneyAsOperatorsWriteIt(t *testing.T) {
	shippedPattern, err := Compile(balance)
	require.NoError(t, err)
	for answer, want := range map[string]Money{
		"Su saldo es 12,34 EUR.":                               {1234, "EUR"},
		"Su saldo es de 5,00 euros":                            {500, "EUR"},
		"Saldo: 1.234,56 €":                                    {123456, "EUR"},
		"12.50 EUR":                                            {1250, "EUR"},
		"Your balance is £1,234.56":                            {123456, "GBP"},
		"Your credit is GBP 3.20, valid to 31/12/26":           {320, "GBP"},
		"Saldo:\n12,34 €\nBono Mañana [2 GB]\nCaduca el 31/12": {1234, "EUR"},
		"Saldo: -0,35 €":                                       {-35, "EUR"},
		"Saldo: 0,35- EUR":                                     {-35, "EUR"},
		"Saldo \u2212 1,20€":                                   {120, "EUR"}, // a dash with a blank joins, it is no sign
		"Saldo \u22121,20€":                                    {-120, "EUR"},
		"Saldo: 12,34\u00a0€":                                  {1234, "EUR"},
		"Saldo 1 234,50 EUR":                                   {123450, "EUR"},
		"Tiene 5'00 euros":                                     {500, "EUR"},
		"Le quedan 350 céntimos":                               {350, "EUR"},
		"Tiene 5 euros con 20 céntimos":                        {520, "EUR"},
		"Tiene 5 euros y 5 cts":                                {505, "EUR"},
		"Saldo 5 €":                                            {500, "EUR"},
		"Saldo: 0 EUR":                                         {0, "EUR"},
		"El saldo de su línea 612345678 es de 7,20 EUR":        {720, "EUR"},
		"Saldo 1.234 €":                                        {123400, "EUR"},
		"Saldo 1,234 €":                                        {123, "EUR"},
		"Balance $1,234":                                       {123400, "USD"},
		"Saldo 0.123 €":                                        {12, "EUR"},
		"Saldo 10.000.000,5 €":                                 {1_000_000_050, "EUR"},
		"€ 3,10 de saldo":                                      {310, "EUR"},
		"1250":                                                 {125000, "EUR"},
		"Consumo 3,20 €. Saldo 4,10 €. Bono 2,00 €":            {410, "EUR"},
		"Saldo 12,34 €\n1. Recargar\n2. Detalle\n0) Salir":     {1234, "EUR"},
		"Saldo disponible 8,00 EUR. Tiene 100 SMS y 2 GB hasta las 23:59": {800, "EUR"},
		"Credit: 15.20 RON": {1520, "RON"},
		"Saldo principal: 9,99 euros; saldo promo: 1,00 euros": {999, "EUR"},
	} {
		for _, pattern := range []*regexp.Regexp{nil, shippedPattern} {
			got, err := Read(answer, pattern, "EUR")
			assert.NoError(t, err, answer)
			assert.Equal(t, want, got, "%s (pattern: %t)", answer, pattern != nil)
		}
	}
}

func TestReadsNoMoneyWhereThereIsNone(t *testing.T) {
	pattern, err := Compile(balance)
	require.NoError(t, err)
	for answer, want := range map[string]error{
		"":                       ErrNoAmount,
		"Código desconocido.":    ErrNoAmount,
		"Su numero es 612345678": ErrNoAmount,
		"Menu\n1. Saldo\n2. Bonos\n3. Mi numero\n0. Salir": ErrNoAmount,
		"Caduca el 31/12/2026 a las 23:59":                 ErrNoAmount,
		"Tiene 2 GB, 100 SMS y 30 minutos":                 ErrNoAmount,
		"Recargue con 5,00 € o 10,00 €":                    ErrManyAmounts,
		"Marque *123#":                                     ErrNoAmount,
		"99999999999999999999 €":                           ErrNoAmount,
		"Saldo €":                                          ErrNoAmount,
		"Servicio no disponible, coste 0,00 €":             ErrNoAmount,
		"No se pudo consultar su saldo. Coste: 0,00 EUR":   ErrNoAmount,
		"Your balance cannot be shown. Cost: 0.00 EUR":     ErrNoAmount,
		"0,00 €": ErrNoAmount,
	} {
		for _, p := range []*regexp.Regexp{nil, pattern} {
			_, err := Read(answer, p, "EUR")
			assert.ErrorIs(t, err, want, answer)
		}
	}
}

func TestAPatternOfOnesOwnDecides(t *testing.T) {
	re, err := Compile(`principal:? (?P<amount>[\d.,]+) ?(?P<currency>\S+)`)
	require.NoError(t, err)
	m, err := Read("Saldo promo: 1,00 EUR\nSaldo   principal: 2,50 GBP", re, "EUR")
	require.NoError(t, err)
	require.Equal(t, Money{250, "GBP"}, m)

	re, err = Compile(`saldo (?P<cents>-?\d+)`)
	require.NoError(t, err)
	m, err = Read("saldo -1250", re, "EUR")
	require.NoError(t, err)
	require.Equal(t, Money{-1250, "EUR"}, m)

	_, err = ReadBy("Saldo 12,50 EUR", re, "EUR")
	require.ErrorIs(t, err, ErrNoAmount, "what a pattern of one's own does not fit is not guessed at")
	m, err = ReadBy("su saldo 0", re, "EUR")
	require.NoError(t, err)
	require.Equal(t, Money{0, "EUR"}, m)

	for _, bad := range []string{`(`, `saldo (\d+)`, strings.Repeat("a", patternMost+1)} {
		_, err := Compile(bad)
		require.Error(t, err, bad)
	}
}

func TestMoneyIsWrittenAsTheLanguageHasIt(t *testing.T) {
	for _, c := range []struct {
		money  Money
		es, en string
	}{
		{Money{123456, "EUR"}, "1.234,56 €", "€1,234.56"},
		{Money{-35, "EUR"}, "-0,35 €", "-€0.35"},
		{Money{5, "RON"}, "0,05 RON", "0.05 RON"},
		{Money{100_000_000, ""}, "1.000.000,00", "1,000,000.00"},
		{Money{1234, "JPY"}, "1.234 JPY", "1,234 JPY"},
	} {
		require.Equal(t, c.es, c.money.Text("es"))
		require.Equal(t, c.en, c.money.Text("en"))
	}
}

func TestTheShippedOperatorsAreSound(t *testing.T) {
	names := map[string]bool{}
	for _, o := range Operators() {
		require.False(t, names[o.Name], o.Name)
		names[o.Name] = true
		require.NoError(t, CheckCode(o.Code), o.Name)
		_, err := Compile(o.Pattern)
		require.NoError(t, err, o.Name)
		require.False(t, o.Tested, "%s: nobody has tried it", o.Name)
		require.NotZero(t, o.Every, o.Name)
		for _, n := range o.Networks {
			found, ok := Of(n+"0123456789", "somebody else")
			require.True(t, ok)
			require.Equal(t, o.Name, found.Name)
		}
		found, ok := Of("001010123456789", strings.ToUpper(o.Names[0])+" ES")
		require.True(t, ok)
		require.Equal(t, o.Name, found.Name)
	}
	for _, want := range []string{"Movistar", "Vodafone", "Orange", "Yoigo", "Digi", "Lycamobile"} {
		require.True(t, names[want], want)
	}
	_, ok := Of("262011234567890", "Telekom.de")
	require.False(t, ok)
}

// FuzzRead: whatever a network answers, nothing panics, and what is read is an
// amount within bounds that is written and read again as the same.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"Su saldo es 12,34 EUR.", "Saldo: -1.234,56 €", "5 euros con 20 cts", "1.1.1,1'1 €", "saldo 1 234,50", "\x00€ 3", "saldo:−", "0'00", "99999999999999999 €"} {
		f.Add(s)
	}
	pattern, err := Compile(balance)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, answer string) {
		for _, p := range []*regexp.Regexp{nil, pattern} {
			m, err := Read(answer, p, "EUR")
			if err != nil {
				continue
			}
			if m.Minor > mostMinor || m.Minor < -mostMinor {
				t.Fatalf("%q: %d", answer, m.Minor)
			}
			for _, language := range []string{"es", "en"} {
				text := m.Text(language)
				if language == "en" && !dotted(m.Currency) && strings.Contains(text, ",") {
					continue // 1,234.56 of who writes 1.234,56 has two kinds of marks: it is read as well
				}
				if m.Minor <= 0 {
					text = "Saldo " + text
				}
				if again, err := Read(text, nil, m.Currency); err != nil || again != m {
					if len(digitsOf(text)) >= 9 {
						continue // as long as a telephone number
					}
					t.Fatalf("%q: %v was written %q and read %v, %v", answer, m, text, again, err)
				}
			}
		}
	})
}

// FuzzCompile: no pattern that somebody types makes anything panic.
func FuzzCompile(f *testing.F) {
	f.Add(balance, "Saldo 1,20 €")
	f.Add(`(?P<cents>.*)`, "abc")
	f.Add(`(?P<amount>)`, "1")
	f.Fuzz(func(_ *testing.T, pattern, answer string) {
		if re, err := Compile(pattern); err == nil {
			_, _ = Read(answer, re, "EUR")
		}
	})
}

package pdu

import (
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestTransliterate(t *testing.T) {
	for given, want := range map[string]string{
		"": "",
		// In the alphabet: untouched.
		"Mañana é à ù ì ò ¿Qué? ¡Ñandú! Ü ü ö ä Å å ß Ç £ ¥ § € [ ] { } ~ ^ | \\": "Mañana é à ù ì ò ¿Qué? ¡Ñandu! Ü ü ö ä Å å ß Ç £ ¥ § € [ ] { } ~ ^ | \\",
		// Spanish, Catalan, Galician, Basque, Portuguese, French.
		"El lunes la reunión será aquí, según el último aviso": "El lunes la reunion sera aqui, segun el ultimo aviso",
		"ÁÉÍÓÚ": "AÉIOU",
		"L'avís de la col·legiada: què, això, força, ŀla": "L'avis de la col.legiada: què, això, forca, l.la",
		"São João, ação, você, à":                         "Sao Joao, acao, voce, à",
		"cœur, où, déjà, Œuvre, naïve, façade, ÿ":         "coeur, où, déjà, OEuvre, naive, facade, y",
		// Typography.
		"«Hola» “hola” ‘hola’ – — … 1º 2ª 20 °C • a\u00a0b\u202fc": `"Hola" "hola" 'hola' - - ... 1o 2a 20 oC - a b c`,
		"½ m² ﬁn Ｈｏｌａ ① ™ © ® № ‰ 3×4 ≤ 5 → 6":                     "1/2 m2 fin Hola 1 TM (c) (R) No o/oo 3x4 <= 5 -> 6",
		// What shows nothing goes.
		"a\u200bb\u00adc\ufeffd\u200ee\x1bf\x00g": "abcdefg",
		"a\tb\vc\u2028d": "a b\nc\nd",
		"a\r\nb\fc":      "a\r\nb\fc",
		// Decomposed is the same as composed.
		"man\u0303ana, reunio\u0301n, x\u0302": "mañana, reunion, x",
		// Without a near one.
		"漢字 ж 👍🏽 👨\u200d👩\u200d👧 🇪🇸": "漢字 ж 👍🏽 👨\u200d👩\u200d👧 🇪🇸",
		// All of an emoji or nothing of it.
		"🙂 ❤ ❤\ufe0f ❤\ufe0f\u200d🔥 1\ufe0f\u20e3 ©\ufe0f": ":) <3 <3 ❤\ufe0f\u200d🔥 1 (c)",
		"Αθήνα": "AΘHNA",
	} {
		require.Equal(t, want, Transliterate(given), "%q", given)
	}
}

// Whatever is suggested fits, for every character there is.
func TestEverySuggestionFits(t *testing.T) {
	near := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if r >= 0xD800 && r <= 0xDFFF {
			continue
		}
		s, ok := nearestRune(r)
		if !ok {
			require.Empty(t, s)
			continue
		}
		near++
		require.True(t, fits([]rune(s), gsm7Tables{}), "%U %q", r, s)
		require.Equal(t, s == "", droppable(r) && plainForms[r] == "" && (gsm7Tables{}).septets(r) == 0, "%U %q", r, s)
	}
	require.Greater(t, near, 3000)
	for r, s := range plainForms {
		require.NotEmpty(t, s)
		require.Zero(t, (gsm7Tables{}).septets(r), "%q is in GSM 7-bit: leave it alone", r)
	}
}

func TestTransliterateTwiceIsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := anyText().Draw(t, "text")
		once := Transliterate(text)
		require.Equal(t, once, Transliterate(once))
		require.True(t, norm.NFC.IsNormalString(once))

		// What Count suggests is what it does, and what still costs has nothing
		// to suggest.
		for _, o := range Count(text, Options{}).OutsideGSM7 {
			if o.Suggestion != "" || o.Drop {
				require.Equal(t, o.Suggestion, Transliterate(o.Char))
			} else {
				require.Equal(t, o.Char, Transliterate(o.Char))
			}
		}
		for _, o := range Count(once, Options{}).OutsideGSM7 {
			require.Empty(t, o.Suggestion)
			require.False(t, o.Drop)
		}
		if m := Count(text, Options{}); m.Encoding == GSM7 {
			require.Equal(t, norm.NFC.String(text), once, "what fits is left alone")
		}
	})
}

// The place of an outside character is that in the text as given.
func TestOutsidePlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := anyText().Draw(t, "text")
		given := []rune(text)
		seen := map[string]bool{}
		last := -1
		for _, o := range Count(text, Options{}).OutsideGSM7 {
			require.False(t, seen[o.Char], "once each")
			seen[o.Char] = true
			require.GreaterOrEqual(t, o.At, last)
			last = o.At
			rest := norm.NFC.String(string(given[o.At:]))
			if o.At == 0 || norm.NFC.IsNormalString(text) {
				require.True(t, len(rest) >= len(o.Char) && rest[:len(o.Char)] == o.Char, "%q at %d of %q", o.Char, o.At, text)
			}
		}
	})
}

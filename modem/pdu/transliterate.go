package pdu

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Transliterate replaces characters outside the GSM 7-bit default alphabet and
// its extension table by their nearest: letters lose the marks that the
// alphabet has no room for ("á" → "a", "ç" → "c", but "à", "é", "ñ" and "Ç"
// stay), typographic signs become the typewriter's, zero-width and control
// characters go. A character without a near one stays as it is, so the result
// need not fit; the text is in composed form (NFC). Doing it twice changes
// nothing more.
func Transliterate(text string) string {
	runes, _ := compose(text)
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(runes); {
		end := clusterEnd(runes, i)
		cluster := runes[i:end]
		if near, ok := nearest(cluster); ok {
			b.WriteString(near)
		} else {
			b.WriteString(string(cluster))
		}
		i = end
	}
	return norm.NFC.String(b.String())
}

// nearest is the GSM 7-bit text for one character with what is attached to it,
// "" when nothing is lost by leaving it out. It is all or nothing: an emoji of
// which one part has no near text stays whole.
func nearest(cluster []rune) (string, bool) {
	var b strings.Builder
	for _, r := range cluster {
		near, ok := nearestRune(r)
		if !ok {
			return "", false
		}
		b.WriteString(near)
	}
	return b.String(), true
}

func nearestRune(r rune) (string, bool) {
	if (gsm7Tables{}).septets(r) > 0 {
		return string(r), true
	}
	if near, ok := plainForms[r]; ok {
		return near, true
	}
	if droppable(r) {
		return "", true
	}
	if r >= unicode.MaxASCII && unicode.Is(unicode.Zs, r) {
		return " ", true
	}
	// á is a with a mark, ½ is 1⁄2, ﬁ is fi: Unicode's compatibility
	// decomposition knows some thousands of these.
	parts := norm.NFKD.String(string(r))
	if parts == string(r) {
		return "", false
	}
	var b strings.Builder
	for _, p := range parts {
		near, ok := nearestRune(p) // p has no further decomposition
		if !ok {
			return "", false
		}
		b.WriteString(near)
	}
	return b.String(), true
}

// droppable are characters that show nothing by themselves. Tags are not among
// them: they tell one flag from another.
func droppable(r rune) bool {
	switch {
	case unicode.Is(unicode.Cc, r): // those with a meaning are in plainForms or in the alphabet
		return true
	case r >= 0x0300 && r <= 0x036F, r >= 0x1AB0 && r <= 0x1AFF, r >= 0x1DC0 && r <= 0x1DFF,
		r >= 0x20D0 && r <= 0x20FF, r >= 0xFE20 && r <= 0xFE2F: // combining marks of any script's letters
		return true
	case r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0100 && r <= 0xE01EF: // variation selectors
		return true
	case r == 0x00AD, r == 0x061C, r == 0x180E, r >= 0x200B && r <= 0x200F, r >= 0x202A && r <= 0x202E,
		r >= 0x2060 && r <= 0x206F, r == 0xFEFF, r >= 0xFFF9 && r <= 0xFFFC, r == 0xE0001:
		return true
	}
	return false
}

// plainForms are the replacements that Unicode's decompositions do not give, or
// not as a reader of Spanish, Catalan, Galician, Basque, Portuguese or French
// would write them on a typewriter.
var plainForms = map[rune]string{
	// White space and line ends. A tab is not in GSM 7-bit.
	'\t': " ", '\v': "\n", '\u0085': "\n", '\u2028': "\n", '\u2029': "\n",

	// Quotes. GSM 7-bit has neither ` nor ´.
	'“': `"`, '”': `"`, '„': `"`, '‟': `"`, '«': `"`, '»': `"`, '″': `"`, '‴': `"`, '〃': `"`, '〝': `"`, '〞': `"`, '＂': `"`,
	'‘': "'", '’': "'", '‚': "'", '‛': "'", '‹': "'", '›': "'", '′': "'", '`': "'", '´': "'", 'ʹ': "'", 'ʻ': "'", 'ʼ': "'", 'ʽ': "'", 'ˈ': "'", 'ˊ': "'", 'ˋ': "'",
	'¨': `"`, 'ʺ': `"`, '˝': `"`,

	// Dashes, bullets, dots.
	'‐': "-", '‑': "-", '‒': "-", '–': "-", '—': "-", '―': "-", '−': "-", '⁃': "-", '¯': "-", 'ˉ': "-", '─': "-", '━': "-",
	'•': "-", '‣': "-", '◦': "-", '●': "-", '○': "-", '▪': "-", '▫': "-", '■': "-", '□': "-", '◆': "-", '★': "*", '☆': "*", '✱': "*", '∗': "*", '⁎': "*",
	'…': "...", '‥': "..", '·': ".", '∙': ".", '⋅': ".", '・': ".", '¸': ",", '、': ",", '。': ".", '‼': "!!", '⁇': "??", '⁈': "?!", '⁉': "!?",
	'˜': "~", 'ˆ': "^", '˚': "o", '¦': "|", '‖': "||", '│': "|", '⁄': "/", '∕': "/", '∖': `\`, '˙': ".", '‰': "o/oo",

	// Ordinals and signs. ° is taken for º and º for ° on Spanish keyboards.
	'º': "o", 'ª': "a", '°': "o", '©': "(c)", '®': "(R)", '℗': "(P)", '™': "TM", '№': "No", '¢': "c", '₧': "Pts", '₤': "£", 'µ': "u", '†': "+", '‡': "++", '¶': "-",
	'×': "x", '÷': "/", '±': "+/-", '∓': "-/+", '≤': "<=", '≥': ">=", '≠': "!=", '≈': "~", '∼': "~", '≡': "=", '√': "V", '¬': "-",
	'→': "->", '←': "<-", '↔': "<->", '⇒': "=>", '⇐': "<=", '⇔': "<=>", '➔': "->", '➜': "->", '➡': "->", '⬅': "<-", '▶': ">", '►': ">", '◀': "<", '◄': "<", '⟨': "<", '⟩': ">", '〈': "<", '〉': ">",

	// Letters that no decomposition leads to. ø, å, æ, ß, Ø, Å, Æ are in GSM 7-bit.
	'ç': "c", 'œ': "oe", 'Œ': "OE", 'ẞ': "SS", 'ı': "i", 'ȷ': "j", 'ł': "l", 'Ł': "L", 'đ': "d", 'Đ': "D", 'ð': "d", 'Ð': "D", 'þ': "th", 'Þ': "Th",
	'ħ': "h", 'Ħ': "H", 'ŧ': "t", 'Ŧ': "T", 'ŋ': "n", 'Ŋ': "N", 'ĸ': "k", 'ŀ': "l.", 'Ŀ': "L.", 'ƒ': "f", 'ə': "e", 'Ə': "E", 'ɓ': "b", 'ɗ': "d", 'ƙ': "k",

	// Greek: Γ Δ Θ Λ Ξ Π Σ Φ Ψ Ω are in GSM 7-bit, the other capitals look
	// like Latin ones, and small letters are texted as capitals.
	'Α': "A", 'Β': "B", 'Ε': "E", 'Ζ': "Z", 'Η': "H", 'Ι': "I", 'Κ': "K", 'Μ': "M", 'Ν': "N", 'Ο': "O", 'Ρ': "P", 'Τ': "T", 'Υ': "Y", 'Χ': "X",
	'α': "A", 'β': "B", 'γ': "Γ", 'δ': "Δ", 'ε': "E", 'ζ': "Z", 'η': "H", 'θ': "Θ", 'ι': "I", 'κ': "K", 'λ': "Λ", 'μ': "M", 'ν': "N", 'ξ': "Ξ", 'ο': "O",
	'π': "Π", 'ρ': "P", 'σ': "Σ", 'ς': "Σ", 'τ': "T", 'υ': "Y", 'φ': "Φ", 'χ': "X", 'ψ': "Ψ", 'ω': "Ω", '∆': "Δ", '∑': "Σ", '∏': "Π",

	// Faces and hearts that people also type. Any other emoji has no near text.
	'☺': ":)", '🙂': ":)", '😊': ":)", '😀': ":D", '😃': ":D", '😄': ":D", '😁': ":D", '😆': "xD", '😂': "xD", '🤣': "xD", '😉': ";)", '😋': ":P", '😛': ":P", '😜': ";P",
	'☹': ":(", '🙁': ":(", '😞': ":(", '😟': ":(", '😢': ":'(", '😭': ":'(", '😐': ":|", '😮': ":O", '😘': ":*", '😎': "B)",
	'❤': "<3", '♥': "<3", '💙': "<3", '💚': "<3", '💛': "<3", '💜': "<3", '🧡': "<3", '🖤': "<3", '🤍': "<3", '💔': "</3",
}

package pdu

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// compose gives the characters that are encoded: the text in Unicode's composed
// form (NFC), so that "e" with a combining acute is the é that GSM 7-bit has.
// Octets that are no UTF-8 become U+FFFD. at is the place of each character in
// the text as given, nil when composing changed nothing.
func compose(text string) (runes []rune, at []int) {
	runes = []rune(text)
	valid := text
	if !utf8.ValidString(text) {
		valid = string(runes) // a U+FFFD for each octet; norm would let them pass
	}
	if norm.NFC.IsNormalString(valid) {
		return runes, nil
	}
	var it norm.Iter
	it.InitString(norm.NFC, valid)
	composed, at := make([]rune, 0, len(runes)), make([]int, 0, len(runes))
	place := 0
	for octet := 0; !it.Done(); octet = it.Pos() {
		part := string(it.Next())
		given := valid[octet:it.Pos()]
		for i := range utf8.RuneCountInString(part) {
			if given == part {
				at = append(at, place+i)
			} else {
				at = append(at, place)
			}
		}
		composed = append(composed, []rune(part)...)
		place += utf8.RuneCountInString(given)
	}
	return composed, at
}

const joiner = '\u200D' // ZERO WIDTH JOINER

// clusterEnd is where the character that begins at i ends, as a reader sees it:
// a letter with its marks, an emoji with its modifiers and joined parts, a flag
// of two indicators. It follows the parts of Unicode's UAX #29 that matter here.
func clusterEnd(runes []rune, i int) int {
	end := i + 1
	if isIndicator(runes[i]) && end < len(runes) && isIndicator(runes[end]) {
		end++
	}
	for end < len(runes) {
		r := runes[end]
		switch {
		case r == joiner, unicode.In(r, unicode.M), r >= 0x1F3FB && r <= 0x1F3FF, r >= 0xE0020 && r <= 0xE007F:
		case runes[end-1] == joiner && unicode.Is(unicode.So, r):
		default:
			return end
		}
		end++
	}
	return end
}

func isIndicator(r rune) bool { return r >= 0x1F1E6 && r <= 0x1F1FF }

// outside lists each distinct character that the tables do not have, once, at
// its first place in the text as given.
func outside(runes []rune, at []int, g gsm7Tables) []Outside {
	var list []Outside
	seen := map[string]bool{}
	for i := 0; i < len(runes); {
		end := clusterEnd(runes, i)
		cluster := runes[i:end]
		if !fits(cluster, g) && !seen[string(cluster)] {
			name := string(cluster)
			seen[name] = true
			place := i
			if at != nil {
				place = at[i]
			}
			suggestion, ok := nearest(cluster)
			list = append(list, Outside{Char: name, At: place, Suggestion: suggestion, Drop: ok && suggestion == ""})
		}
		i = end
	}
	return list
}

func fits(runes []rune, g gsm7Tables) bool {
	for _, r := range runes {
		if g.septets(r) == 0 {
			return false
		}
	}
	return true
}

package modem

import (
	"encoding/hex"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"recado/modem/family"
	"recado/modem/pdu"
)

// ussdCode is one +CUSD of the modem (TS 27.007 7.15).
type ussdCode struct {
	m    int // -1 when it cannot be read
	text string
	has  bool // a text was there, be it empty
	dcs  int  // -1 when it was left out
}

// parseUSSD reads +CUSD: <m>[,<str>[,<dcs>]]. The text may have quotes of its
// own, lines of its own, no closing quote, or no quotes at all.
func parseUSSD(line string) (c ussdCode, ok bool) {
	rest, ok := cutPrefix(line, "+CUSD")
	if !ok {
		return c, false
	}
	c.m, c.dcs = -1, -1
	first, rest, found := strings.Cut(rest, ",")
	if n, err := strconv.ParseUint(strings.Trim(first, " \t\""), 10, 8); err == nil {
		c.m = int(n)
	}
	if !found {
		return c, true
	}
	rest = strings.Trim(rest, " \t")
	text, quoted := strings.CutPrefix(rest, `"`)
	end := strings.LastIndexByte(text, ',')
	if quoted {
		end = strings.LastIndexByte(text, '"')
	}
	tail := ""
	if end >= 0 {
		tail = strings.Trim(text[end:], " \t\",")
	}
	switch n, err := strconv.ParseUint(tail, 10, 8); {
	case end < 0: // the closing quote, or the DCS, is missing
	case err == nil:
		text, c.dcs = text[:end], int(n)
	case tail == "":
		text = text[:end]
	}
	c.text, c.has = text, text != "" || quoted
	return c, true
}

// encodeUSSD writes a request's text in a coding. charset is what AT+CSCS is at.
func encodeUSSD(text string, coding family.USSDCoding, charset string) (string, bool) {
	switch {
	case coding == family.USSDPacked:
		octets, ok := pdu.PackUSSD(text)
		return strings.ToUpper(hex.EncodeToString(octets)), ok
	case coding == family.USSDUCS2, charset == "UCS2":
		var b []byte
		for _, u := range utf16.Encode([]rune(text)) {
			b = append(b, byte(u>>8), byte(u))
		}
		return strings.ToUpper(hex.EncodeToString(b)), true
	case charset == "HEX":
		return strings.ToUpper(hex.EncodeToString([]byte(text))), true
	}
	return text, true // what ussdText leaves is the same in all of them
}

// ussdText is what may be asked: other characters are dropped (modems.md 3.6).
func ussdText(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("*#+ ", r) {
			return r
		}
		return -1
	}, text)
}

// decodeUSSD reads the text of an answer. charset is what AT+CSCS is at, packed
// says that this modem writes septets packed in hex. Whatever comes, the result
// is valid UTF-8 without control characters but newline.
func decodeUSSD(text string, dcs int, charset string, packed bool) string {
	out, ok := "", false
	if digits := strings.TrimSpace(text); isHexDigits(digits) {
		out, ok = decodeHexUSSD(digits, dcs, charset, packed)
	}
	if !ok {
		out = decodePlainUSSD(text, dcs, charset)
	}
	return presentUSSD(out)
}

// decodeHexUSSD reads hex digits; ok is false when they are no hex but a text
// that has no other characters: a balance of 1250, a code.
func decodeHexUSSD(digits string, dcs int, charset string, packed bool) (string, bool) {
	octets, _ := hex.DecodeString(digits[:len(digits)/2*2])
	wide := dcs == 0x11 || dcs >= 0 && dcs&0x0C == 0x08
	switch {
	case wide || charset == "UCS2" && !packed:
		text := decodeUCS2(octets, dcs == 0x11)
		if plausibleUCS2(digits, text) {
			return text, true
		}
	case len(digits)%4 == 0 && isMostlyLatin(octets): // UCS-2 whatever the DCS says
		return decodeUCS2(octets, false), true
	}
	switch {
	case len(digits)%2 == 1:
	case dcs >= 0x40 && dcs&0x0C == 0x04: // 8-bit data
		return decodeOctets(octets), true
	case charset == "HEX":
		return withoutLanguage(pdu.DecodeSeptets(octets), dcs), true
	case packed, !isDecimal(digits) && len(digits) >= 14:
		text := withoutLanguage(pdu.UnpackUSSD(octets), dcs)
		if plausibleGSM(text) {
			return text, true
		}
	}
	return "", false
}

func decodePlainUSSD(text string, dcs int, charset string) string {
	switch {
	case !isASCII(text):
		return decodeOctets([]byte(text))
	case charset == "GSM":
		return withoutLanguage(pdu.DecodeSeptets([]byte(text)), dcs)
	}
	return withoutLanguage(text, dcs)
}

// decodeUCS2 reads UCS-2, big-endian; half a character at the end is dropped.
// With a language first (TS 23.038 clause 5, 0x11) that is two characters: two
// packed septets, or, where the modem has made them so, two of UCS-2.
func decodeUCS2(octets []byte, language bool) string {
	// Without the DCS it is known by a character that is nobody's (E000 and on).
	if len(octets) >= 2 && (language || octets[0] >= 0xE0 && octets[0] < 0xF9) {
		if lang := pdu.DecodeSeptets(unpackTwo(octets)); isLanguage(lang) && octets[1]&0xC0 == 0 {
			octets, language = octets[2:], false
		}
	}
	units := make([]uint16, len(octets)/2)
	for i := range units {
		units[i] = uint16(octets[2*i])<<8 | uint16(octets[2*i+1])
	}
	text := string(utf16.Decode(units))
	if runes := []rune(text); language && len(runes) >= 2 && isLanguage(string(runes[:2])) {
		text = string(runes[2:])
	}
	return text
}

// unpackTwo are the two septets of a packed language.
func unpackTwo(octets []byte) []byte {
	return []byte{octets[0] & 0x7f, octets[0]>>7 | octets[1]<<1&0x7f}
}

// isLanguage: two small letters of ISO 639.
func isLanguage(s string) bool {
	return len(s) == 2 && s[0] >= 'a' && s[0] <= 'z' && s[1] >= 'a' && s[1] <= 'z'
}

// withoutLanguage drops the language and CR in front of a text with DCS 0x10.
func withoutLanguage(text string, dcs int) string {
	if dcs == 0x10 && len(text) >= 3 && isLanguage(text[:2]) && (text[2] == '\r' || text[2] == '\n') {
		return text[3:]
	}
	return text
}

// decodeOctets reads octets that are UTF-8, or else Latin-1.
func decodeOctets(octets []byte) string {
	if utf8.Valid(octets) {
		return string(octets)
	}
	runes := make([]rune, len(octets))
	for i, b := range octets {
		runes[i] = rune(b)
	}
	return string(runes)
}

// plausibleUCS2 tells UCS-2 from a text that happens to be hex digits.
func plausibleUCS2(digits, text string) bool {
	latin := false
	for _, r := range text {
		if r == utf8.RuneError || r != '\n' && r != '\r' && !unicode.IsPrint(r) && !unicode.Is(unicode.Cf, r) {
			return false
		}
		latin = latin || r < 0x600
	}
	return text != "" && (latin || !isDecimal(digits))
}

// isMostlyLatin says whether nearly all high octets are 0, as no packed text has.
func isMostlyLatin(octets []byte) bool {
	zero := 0
	for i := 0; i < len(octets); i += 2 {
		if octets[i] == 0 {
			zero++
		}
	}
	return len(octets) >= 4 && zero*10 >= len(octets)/2*8
}

// plausibleGSM tells packed septets from hex digits that are none: what is
// unpacked by mistake is full of Greek capitals and the like.
func plausibleGSM(text string) bool {
	odd, all := 0, 0
	for _, r := range text {
		all++
		if strings.ContainsRune("ΔΦΓΛΩΠΨΣΘΞ¤", r) || r == '\x1b' {
			odd++
		}
	}
	return all > 0 && odd*4 <= all
}

func isHexDigits(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case b >= '0' && b <= '9', b >= 'A' && b <= 'F', b >= 'a' && b <= 'f':
		default:
			return false
		}
	}
	return len(s) >= 2
}

func isDecimal(s string) bool { return strings.Trim(s, "0123456789") == "" }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// ussdLimit bounds the characters of an answer: 182 fit into one.
const ussdLimit = 1000

// presentUSSD makes a text fit to be shown.
func presentUSSD(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\uFEFF':
			return -1
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > ussdLimit {
		text = string(runes[:ussdLimit])
	}
	return strings.TrimSpace(text)
}

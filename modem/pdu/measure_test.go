package pdu

import (
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// anyText mixes what people type with what breaks codecs.
func anyText() *rapid.Generator[string] {
	pieces := []string{"a", "Z", " ", "@", "\n", "\r\n", "\f", "€", "[", "|", "ñ", "é", "á", "ç", "Ê", "õ", "ı", "Ğ", "ह", "😀", "👍🏽", "👨\u200d👩\u200d👧", "🇪🇸", "1\ufe0f\u20e3",
		"e\u0301", "\u0301", "“", "—", "\u00a0", "\u200b", "\x1b", "\x00", "\t", "\ufeff", "\uffff", "\U0010ffff", "\xff", "\u2126", "ﷺ", "가", "\u1100\u1161"}
	piece := rapid.OneOf(rapid.SampledFrom(pieces), rapid.StringN(0, 3, 8),
		rapid.Map(rapid.IntRange(1, 170), func(n int) string { return strings.Repeat("x", n) }),
		rapid.Map(rapid.IntRange(1, 80), func(n int) string { return strings.Repeat("é€", n) }),
		rapid.Map(rapid.IntRange(1, 80), func(n int) string { return strings.Repeat("😀á", n) }))
	return rapid.Map(rapid.SliceOfN(piece, 0, 12), func(p []string) string { return strings.Join(p, "") })
}

func anyOptions() *rapid.Generator[Options] {
	table := rapid.Map(rapid.Byte(), func(b byte) Table { return Table(b % 16) })
	return rapid.Custom(func(t *rapid.T) Options {
		return Options{
			Encoding: rapid.SampledFrom([]Encoding{Auto, Auto, GSM7, UCS2}).Draw(t, "encoding"),
			Shift:    rapid.SliceOfN(table, 0, 3).Draw(t, "shift"),
			Locking:  rapid.SliceOfN(table, 0, 3).Draw(t, "locking"),
			Flash:    rapid.Bool().Draw(t, "flash"),
			Ref:      rapid.Uint16().Draw(t, "ref"),
			Wide:     rapid.Bool().Draw(t, "wide"),
			Validity: time.Duration(rapid.Int64Range(0, int64(70*7*day)).Draw(t, "validity")),
			Report:   rapid.Bool().Draw(t, "report"),
		}
	})
}

// What Count says is what Encode's octets hold, and what Encode made reads back
// as the text, on the network's side and on the recipient's.
func TestCountAgreesWithEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, o := anyText().Draw(t, "text"), anyOptions().Draw(t, "options")
		m := Count(text, o)
		segments, err := Encode(home, text, o)

		composed := norm.NFC.String(string([]rune(text)))
		switch {
		case text == "":
			require.ErrorIs(t, err, ErrEmpty)
			require.Zero(t, m.Segments)
			return
		case o.Encoding == GSM7 && len(m.OutsideGSM7) > 0:
			var outside *EncodingError
			require.ErrorAs(t, err, &outside)
			require.Equal(t, m.OutsideGSM7, outside.Outside)
			require.Zero(t, m.Segments)
			return
		}
		require.NoError(t, err)
		require.Len(t, segments, m.Segments)

		units, last := 0, 0
		var received []Received
		whole := ""
		for i, s := range segments {
			r := DecodeSubmit(s.TPDU)
			require.NoError(t, r.Err)
			require.Equal(t, s.Text, r.Text)
			require.Equal(t, m.Encoding, r.Encoding)
			require.Equal(t, o.Report, r.Report)
			require.Equal(t, o.Flash, r.Class == 0)
			require.GreaterOrEqual(t, r.Validity, min(o.Validity, 63*7*day))
			require.Zero(t, r.MR)
			require.LessOrEqual(t, len(s.TPDU)-len(headOf(s.TPDU)), 140, "TP-UD")
			last = len(r.Data)
			if r.Encoding == UCS2 {
				last /= 2
			}
			require.LessOrEqual(t, last, m.PerSegment)
			units += last
			if len(segments) == 1 {
				require.Nil(t, r.Concat)
			} else {
				ref := o.Ref
				if !o.Wide {
					ref &= 0xFF
				}
				require.Equal(t, &Concat{Ref: ref, Total: uint8(len(segments)), Seq: uint8(i + 1), Wide: o.Wide}, r.Concat)
				if i+1 < len(segments) {
					// No room is wasted but for a character that would not fit.
					require.Greater(t, last+2, m.PerSegment)
				}
			}
			received = append(received, r)
			whole += s.Text
		}
		require.Equal(t, m.Characters, units)
		require.Equal(t, m.LeftInSegment, m.PerSegment-last)
		require.Equal(t, composed, whole)
		require.Equal(t, composed, JoinText(received))

		again, err := Encode(home, text, o)
		require.NoError(t, err)
		require.Equal(t, segments, again, "deterministic")

		delivered, err := DeliverTPDU(home, text, time.Date(2026, 11, 22, 1, 2, 3, 0, time.FixedZone("", 3600)), o)
		require.NoError(t, err)
		received = nil
		for _, octets := range delivered {
			r := DecodeTPDU(octets, MT)
			require.NoError(t, r.Err)
			require.Equal(t, KindDeliver, r.Kind)
			require.Equal(t, home, r.Address)
			received = append(received, r)
		}
		require.Equal(t, composed, JoinText(received))
	})
}

// headOf is a SUBMIT up to and with TP-UDL.
func headOf(octets []byte) []byte {
	n := 2 + 2 + int(octets[2]+1)/2 + 2 + 1
	if octets[0]&0x18 != 0 {
		n++
	}
	return octets[:n]
}

// The counters that people know.
func TestCount(t *testing.T) {
	for _, c := range []struct {
		text string
		o    Options
		want Measure
	}{
		{"", Options{}, Measure{Encoding: GSM7, PerSegment: 160, LeftInSegment: 160}},
		{"", Options{Encoding: UCS2}, Measure{Encoding: UCS2, PerSegment: 70, LeftInSegment: 70}},
		{strings.Repeat("a", 160), Options{}, Measure{GSM7, 160, 1, 160, 0, nil}},
		{strings.Repeat("a", 161), Options{}, Measure{GSM7, 161, 2, 153, 145, nil}},
		{strings.Repeat("a", 161), Options{Wide: true}, Measure{GSM7, 161, 2, 152, 143, nil}},
		{strings.Repeat("€", 80), Options{}, Measure{GSM7, 160, 1, 160, 0, nil}},
		{strings.Repeat("€", 81), Options{}, Measure{GSM7, 162, 2, 153, 143, nil}}, // 76 in the first: a septet stays free
		{strings.Repeat("ñ", 70), Options{Encoding: UCS2}, Measure{UCS2, 70, 1, 70, 0, nil}},
		{strings.Repeat("ñ", 71), Options{Encoding: UCS2}, Measure{UCS2, 71, 2, 67, 63, nil}},
		{strings.Repeat("ñ", 71), Options{Encoding: UCS2, Wide: true}, Measure{UCS2, 71, 2, 66, 61, nil}},
		{"reunión", Options{}, Measure{UCS2, 7, 1, 70, 63, []Outside{{"ó", 5, "o", false}}}},
		{"reunio\u0301n a las diez\u0301", Options{}, Measure{UCS2, 18, 1, 70, 52, []Outside{{"ó", 5, "o", false}, {"ź", 18, "z", false}}}},
		{"reunión", Options{Shift: []Table{Spanish}}, Measure{GSM7, 8, 1, 155, 147, nil}},
		{"reunión 😀", Options{Shift: []Table{Spanish}}, Measure{UCS2, 10, 1, 70, 60, []Outside{{"😀", 8, ":D", false}}}},
		{"reunión 👍", Options{Encoding: GSM7}, Measure{GSM7, 0, 0, 160, 160, []Outside{{"ó", 5, "o", false}, {"👍", 8, "", false}}}},
		{"ó a ó\u200bó", Options{}, Measure{UCS2, 7, 1, 70, 63, []Outside{{"ó", 0, "o", false}, {"\u200b", 5, "", true}}}},
		{"👨\u200d👩\u200d👧 1\ufe0f\u20e3", Options{}, Measure{UCS2, 12, 1, 70, 58, []Outside{{"👨\u200d👩\u200d👧", 0, "", false}, {"1\ufe0f\u20e3", 6, "1", false}}}},
		{"a", Options{Encoding: Binary}, Measure{Encoding: Binary}},
	} {
		require.Equal(t, c.want, Count(c.text, c.o), "%.20q", c.text)
	}
}

// C11: the tables are taken in no order but that of their cost, and only those
// named.
func TestNationalTablesOnlyWhenAsked(t *testing.T) {
	require.Equal(t, UCS2, Count("faça", Options{}).Encoding, "the library takes the Turkish locking table")
	require.Equal(t, UCS2, Count("faça", Options{Locking: []Table{Spanish}}).Encoding, "there is no such table")
	require.Equal(t, UCS2, Count("faça", Options{Shift: []Table{99, 0}}).Encoding)

	segments, err := Encode(home, "faça", Options{Shift: []Table{Spanish}, Locking: []Table{3}})
	require.NoError(t, err)
	require.Equal(t, []byte{3, ieLocking, 1, 3}, DecodeSubmit(segments[0].TPDU).UDH, "one septet less than by Spanish shift")

	segments, err = Encode(home, "plain", Options{Shift: []Table{Spanish}, Locking: []Table{3}})
	require.NoError(t, err)
	require.Nil(t, DecodeSubmit(segments[0].TPDU).UDH)

	// Both kinds at once, of different languages.
	segments, err = Encode(home, "ã Ğ", Options{Locking: []Table{3}, Shift: []Table{1}})
	require.NoError(t, err)
	r := DecodeSubmit(segments[0].TPDU)
	require.Equal(t, []byte{6, ieSingleShift, 1, 1, ieLocking, 1, 3}, r.UDH)
	require.Equal(t, "ã Ğ", r.Text)
	require.Equal(t, 160-8, Count("ã Ğ", Options{Locking: []Table{3}, Shift: []Table{1}}).PerSegment)
}

// Every character of every table goes out and comes back.
func TestEveryCharacterOfEveryTable(t *testing.T) {
	for table := range lastTable + 1 {
		for _, o := range []Options{{Encoding: GSM7, Shift: []Table{table}}, {Encoding: GSM7, Locking: []Table{table}}} {
			g := o.choices()[len(o.choices())-1]
			for r := range alphabets.toBase[g.locking] {
				roundTrip(t, r, o)
			}
			for r := range alphabets.toExt[g.shift] {
				roundTrip(t, r, o)
			}
		}
	}
}

func roundTrip(t *testing.T, r rune, o Options) {
	text := string(r)
	if norm.NFC.String(text) != text {
		return // never reaches the tables
	}
	segments, err := Encode(home, text, o)
	require.NoError(t, err, "%q %v", text, o)
	require.Equal(t, text, DecodeSubmit(segments[0].TPDU).Text, "%v", o)
}

func TestUTF16Sizes(t *testing.T) {
	for _, text := range []string{"a", "é", "\uffff", "😀", "\U0010ffff"} {
		require.Equal(t, len(utf16.Encode([]rune(text))), Count(text, Options{Encoding: UCS2}).Characters)
	}
}

// A text as long as a request can be, and in decomposed form, is measured in
// time that grows with its length: this would take minutes if it were squared.
func TestLongTextsAreMeasuredInTime(t *testing.T) {
	text := strings.Repeat("e\u0301\u1100\u1161😀", 200_000)
	m := Count(text, Options{})
	require.Equal(t, 4*200_000, m.Characters)
	require.Equal(t, []Outside{{"가", 2, "", false}, {"😀", 4, ":D", false}}, m.OutsideGSM7)
}

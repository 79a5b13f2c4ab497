package pdu

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const home = "+34600111222"

func octets(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	require.NoError(t, err)
	return b
}

// The octets of these were worked out by hand from TS 23.040 and TS 23.038.
func TestEncodeOctets(t *testing.T) {
	for _, c := range []struct {
		name, to, text string
		o              Options
		want           []string
	}{
		{"one character", home, "A", Options{},
			[]string{"01 00 0B914306101122F2 00 00 01 41"}},
		{"report and validity", home, "hello", Options{Report: true, Validity: 24 * time.Hour},
			[]string{"31 00 0B914306101122F2 00 00 A7 05 E8329BFD06"}},
		{"short code has an unknown type of number", "5555", "A", Options{},
			[]string{"01 00 04815555 00 00 01 41"}},
		{"odd short code", "217", "A", Options{},
			[]string{"01 00 038112F7 00 00 01 41"}},
		{"extension character", home, "€", Options{},
			[]string{"01 00 0B914306101122F2 00 00 02 9B32"}},
		{"at signs at an octet's end", home, "@@@@@@@@", Options{},
			[]string{"01 00 0B914306101122F2 00 00 08 00000000000000"}},
		{"flash", home, "A", Options{Flash: true},
			[]string{"01 00 0B914306101122F2 00 10 01 41"}},
		{"UCS-2", home, "á", Options{},
			[]string{"01 00 0B914306101122F2 00 08 02 00E1"}},
		{"UCS-2 flash", home, "😀", Options{Flash: true},
			[]string{"01 00 0B914306101122F2 00 18 04 D83DDE00"}},
		{"composed first", home, "e\u0301", Options{},
			[]string{"01 00 0B914306101122F2 00 00 01 05"}},
		{"Spanish shift table", home, "á", Options{Shift: []Table{Spanish}},
			// header of 4 octets: 3 bits of fill, then ESC 0x61
			[]string{"41 00 0B914306101122F2 00 00 07 03 24 01 02 D88401"}},
		{"Turkish locking table", home, "ı", Options{Locking: []Table{1}},
			[]string{"41 00 0B914306101122F2 00 00 06 03 25 01 01 3800"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			segments, err := Encode(c.to, c.text, c.o)
			require.NoError(t, err)
			var got, want []string
			for _, s := range segments {
				got = append(got, hex.EncodeToString(s.TPDU))
			}
			for _, w := range c.want {
				want = append(want, hex.EncodeToString(octets(t, w)))
			}
			require.Equal(t, want, got)
		})
	}
}

func TestConcatenation(t *testing.T) {
	text := strings.Repeat("0123456789", 17)
	narrow, err := Encode(home, text, Options{Ref: 0xABCD})
	require.NoError(t, err)
	require.Len(t, narrow, 2)
	require.Len(t, narrow[0].Text, 153)
	require.Len(t, narrow[1].Text, 17)
	require.Equal(t, text, narrow[0].Text+narrow[1].Text)
	for i, s := range narrow {
		require.Equal(t, byte(0x41), s.TPDU[0], "TP-UDHI is set")
		require.Contains(t, string(s.TPDU), string([]byte{5, 0, 3, 0xCD, 2, byte(i + 1)}))
	}

	wide, err := Encode(home, text, Options{Ref: 0xABCD, Wide: true})
	require.NoError(t, err)
	require.Len(t, wide[0].Text, 152)
	require.Contains(t, string(wide[0].TPDU), string([]byte{6, 8, 4, 0xAB, 0xCD, 2, 1}))
}

func TestNothingIsSplit(t *testing.T) {
	// The 153rd septet would be an escape, the 67th unit a high surrogate.
	segments, err := Encode(home, strings.Repeat("x", 152)+"€"+strings.Repeat("y", 20), Options{})
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("x", 152), segments[0].Text)

	segments, err = Encode(home, strings.Repeat("á", 66)+"😀"+strings.Repeat("é", 10), Options{})
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("á", 66), segments[0].Text)
	require.True(t, strings.HasPrefix(segments[1].Text, "😀"))
}

func TestTooLong(t *testing.T) {
	segments, err := Encode(home, strings.Repeat("a", 255*153), Options{})
	require.NoError(t, err)
	require.Len(t, segments, MaxSegments)

	_, err = Encode(home, strings.Repeat("a", 255*153+1), Options{})
	var long *TooLongError
	require.ErrorAs(t, err, &long)
	require.Equal(t, 256, long.Segments)
	require.Equal(t, 256, Count(strings.Repeat("a", 255*153+1), Options{}).Segments)
}

func TestEncodeRefuses(t *testing.T) {
	_, err := Encode(home, "", Options{})
	require.ErrorIs(t, err, ErrEmpty)

	_, err = Encode(home, "Mañana a las 9 en la estación 😀, estación", Options{Encoding: GSM7})
	var outside *EncodingError
	require.ErrorAs(t, err, &outside)
	require.Equal(t, []Outside{{Char: "ó", At: 27, Suggestion: "o"}, {Char: "😀", At: 30, Suggestion: ":D"}}, outside.Outside)

	_, err = Encode(home, "a", Options{Encoding: Binary})
	require.ErrorAs(t, err, &outside)
}

// F6 of the reliability notes: the library takes any of these.
func TestNumbersThatAreNone(t *testing.T) {
	for _, to := range []string{"", "+", "12ab", "+49*1#", "12", "+12", strings.Repeat("1", 16), "+" + strings.Repeat("1", 16),
		"34 600 111 222", "++34600111222", "+34600111222\r", "٣٤٦٠٠", "34600111222;", "\x1a"} {
		_, err := Encode(to, "a", Options{})
		var address *AddressError
		require.ErrorAs(t, err, &address, "%q", to)
		require.NotContains(t, err.Error(), "600111", "only the end of a number may reach a log")
	}
	for _, to := range []string{"112", "+112", strings.Repeat("1", 15), "+" + strings.Repeat("1", 15)} {
		segments, err := Encode(to, "a", Options{})
		require.NoError(t, err)
		require.Equal(t, to, DecodeSubmit(segments[0].TPDU).Address)
	}
}

// U+001B in a text must not become an escape on the air, nor any control
// character be dropped in silence.
func TestControlCharacters(t *testing.T) {
	for _, text := range []string{"a\x1be", "a\x00b", "a\tb", "a\x7fb", "a\u0085b"} {
		m := Count(text, Options{})
		require.Equal(t, UCS2, m.Encoding)
		require.Len(t, m.OutsideGSM7, 1)
		segments, err := Encode(home, text, Options{})
		require.NoError(t, err)
		require.Equal(t, text, DecodeSubmit(segments[0].TPDU).Text)
		_, err = Encode(home, text, Options{Encoding: GSM7})
		require.Error(t, err)
	}
	require.True(t, Count("a\x1be", Options{}).OutsideGSM7[0].Drop)
	require.Equal(t, " ", Count("a\tb", Options{}).OutsideGSM7[0].Suggestion)
	for _, text := range []string{"a\nb", "a\r\nb", "a\fb"} {
		require.Equal(t, GSM7, Count(text, Options{}).Encoding, "%q", text)
	}
}

func TestInvalidUTF8(t *testing.T) {
	segments, err := Encode(home, "a\xff\xfeb", Options{})
	require.NoError(t, err)
	require.Equal(t, "a\uFFFD\uFFFDb", DecodeSubmit(segments[0].TPDU).Text)
	require.Equal(t, 4, Count("a\xff\xfeb", Options{}).Characters)

	// Composing stops at an octet that is no UTF-8, unless that is mended first.
	segments, err = Encode(home, "\xf4\u0341", Options{})
	require.NoError(t, err)
	require.Equal(t, "\uFFFD\u0301", DecodeSubmit(segments[0].TPDU).Text)
}

// Each octet is the smallest that gives at least the time asked for.
func TestValidity(t *testing.T) {
	for vp := range 256 {
		d := vpDuration(byte(vp))
		require.Equal(t, byte(vp), relativeVP(d))
		if vp < 255 {
			require.Equal(t, byte(vp+1), relativeVP(d+1), "rounded up")
		}
		segments, err := Encode(home, "a", Options{Validity: d})
		require.NoError(t, err)
		require.Equal(t, byte(vp), segments[0].TPDU[12])
		require.Equal(t, d, DecodeSubmit(segments[0].TPDU).Validity)
	}
	require.Equal(t, 5*time.Minute, vpDuration(0))
	require.Equal(t, 12*time.Hour, vpDuration(143))
	require.Equal(t, 24*time.Hour, vpDuration(167))
	require.Equal(t, 30*24*time.Hour, vpDuration(196))
	require.Equal(t, 63*7*24*time.Hour, vpDuration(255))
	require.Equal(t, byte(255), relativeVP(100*365*24*time.Hour))
	require.Equal(t, byte(0), relativeVP(time.Second))

	segments, err := Encode(home, "a", Options{Validity: -time.Second})
	require.NoError(t, err)
	require.Zero(t, segments[0].TPDU[0]&0x18, "no TP-VP")
}

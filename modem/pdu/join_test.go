package pdu

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

// foreign makes the segments of an encoder that cuts anywhere, every n octets.
func foreign(e Encoding, data []byte, n int) []Received {
	var parts []Received
	total := (len(data) + n - 1) / n
	for i := range total {
		part := data[i*n : min(len(data), (i+1)*n)]
		octets := []byte{0x44, 4, 0x81, 0x55, 0x55, 0, 0, 0x62, 0x11, 0x22, 0x51, 0x40, 0x50, 0x40}
		header := []byte{5, 0, 3, 1, byte(total), byte(i + 1)}
		fill, septets := fillBits(len(header))
		if e == UCS2 {
			octets[6] = 0x08
			octets = append(octets, byte(len(header)+len(part)))
			octets = append(append(octets, header...), part...)
		} else {
			octets = append(octets, byte(septets+len(part)))
			octets = append(append(octets, header...), packSeptets(part, fill)...)
		}
		parts = append(parts, DecodeTPDU(octets, MT))
	}
	return parts
}

func ucs2(text string) (octets []byte) {
	for _, u := range utf16.Encode([]rune(text)) {
		octets = binary.BigEndian.AppendUint16(octets, u)
	}
	return octets
}

func TestJoinWhatAForeignEncoderSplit(t *testing.T) {
	text := "a😀b👍c😀é"
	// Odd numbers cut within a unit too: 140 octets less a header of 7.
	for n := 1; n <= 12; n++ {
		parts := foreign(UCS2, ucs2(text), n)
		require.Equal(t, text, JoinText(parts), "every %d octets", n)
	}
	parts := foreign(UCS2, ucs2("a😀b"), 4)
	require.Equal(t, "a\uFFFD", parts[0].Text)
	require.NoError(t, parts[0].Err)
	require.Equal(t, "\uFFFDb", parts[1].Text)

	septets := []byte("10\x1be [\x1b<\x1b>]")
	for n := 1; n <= 8; n++ {
		require.Equal(t, "10€ Ä[]Ñ", JoinText(foreign(GSM7, septets, n)), "every %d septets", n)
	}
}

func TestJoinWithAGap(t *testing.T) {
	parts := foreign(UCS2, ucs2("a😀bc😀"), 4) // a+half, half+b, c+half, half
	require.Len(t, parts, 4)
	require.Equal(t, "a\uFFFD\uFFFD", JoinText([]Received{parts[0], parts[3]}), "halves that are not each other's")
	require.Equal(t, "a\uFFFD", JoinText(parts[:1]))
	require.Empty(t, JoinText(nil))

	// Segments of two alphabets: some encoders choose for each.
	mixed := append(foreign(GSM7, []byte("hello "), 3), foreign(UCS2, ucs2("ш"), 2)...)
	require.Equal(t, "hello ш", JoinText(mixed))
}

func TestJoinData(t *testing.T) {
	parts := []Received{{Encoding: Binary, Data: []byte{1, 2}}, {Encoding: Binary, Data: []byte{3}}}
	require.Equal(t, []byte{1, 2, 3}, JoinData(parts))
	require.Empty(t, JoinText(parts))
}

// National tables are of each segment, not of the message.
func TestJoinNationalSegments(t *testing.T) {
	segments, err := Encode(home, strings.Repeat("reunión ", 40), Options{Shift: []Table{Spanish}, Ref: 3})
	require.NoError(t, err)
	var parts []Received
	for _, s := range segments {
		parts = append(parts, DecodeSubmit(s.TPDU))
	}
	require.Equal(t, strings.Repeat("reunión ", 40), JoinText(parts))
}

// Septets come out as they went in, whatever the fill.
func TestSeptets(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for h := range 16 {
		fill, septets := fillBits(h)
		require.Equal(t, septets*7, h*8+fill)
		require.Less(t, fill, 7)
		for n := range 161 {
			in := make([]byte, n)
			for i := range in {
				in[i] = byte(random.IntN(128))
			}
			require.Equal(t, string(in), string(unpackSeptets(packSeptets(in, fill), fill, n)))
			require.LessOrEqual(t, len(unpackSeptets(packSeptets(in, fill), fill, 1000)), n+1)
		}
	}
}

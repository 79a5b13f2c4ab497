package pdu

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPackUSSD(t *testing.T) {
	for _, row := range []struct{ text, octets string }{
		{"*100#", "AA180C3602"},
		{"1", "31"},
		{"*123#", "AA986C3602"},
		{"", ""},
		{"*12345#", "AA986C46AB8D1A"},     // seven characters: filled with CR
		{"1234567\r", "31D98C56B3DD1A0D"}, // a CR of its own would be lost: it is doubled
		{"12345678", "31D98C56B3DD70"},    // eight need no filling
		{"5€", "B54D19"},                  // an escape takes two septets
	} {
		octets, ok := PackUSSD(row.text)
		require.True(t, ok)
		require.Equal(t, row.octets, strings.ToUpper(hex.EncodeToString(octets)), row.text)
		require.Equal(t, strings.TrimRight(row.text, "\r"), strings.TrimRight(UnpackUSSD(octets), "\r"))
	}
	_, ok := PackUSSD("Ж")
	require.False(t, ok)
	at, err := hex.DecodeString("31D98C56B3DD00")
	require.NoError(t, err)
	require.Equal(t, "1234567", UnpackUSSD(at), "a network that fills with zeros")
	for n := range 40 { // whatever the length, nothing is added or lost
		text := strings.Repeat("x", n)
		octets, _ := PackUSSD(text)
		require.Equal(t, text, UnpackUSSD(octets), "%d", n)
		require.Len(t, octets, (n*7+7)/8, "%d", n)
	}
	require.Equal(t, "ñ €à", DecodeSeptets([]byte{0x7d, ' ', 0x1b, 'e', 0x7f}))
}

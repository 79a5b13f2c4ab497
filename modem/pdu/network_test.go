package pdu

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDeliverTPDU(t *testing.T) {
	scts := time.Date(2026, 11, 22, 15, 4, 5, 0, cet)
	made, err := DeliverTPDU(home, "hello", scts, Options{})
	require.NoError(t, err)
	require.Equal(t, [][]byte{octets(t, "04 0B914306101122F2 00 00 62112251405040 05 E8329BFD06")}, made)

	made, err = DeliverTPDU("Banco", "😀", scts, Options{Flash: true})
	require.NoError(t, err)
	require.Equal(t, [][]byte{octets(t, "04 09D0C2B07BFC06 00 18 62112251405040 04 D83DDE00")}, made)
}

func TestSenders(t *testing.T) {
	for _, from := range []string{"+34600111222", "600111222", "217", "1", "22", "+1", strings.Repeat("9", 20), "*123#",
		"A", "Vodafone", "Ayto Leon 1", "12345678901", "1a2b", "€€€€€", "@", "@@@@@@@@", "Señal", "#hola"} {
		made, err := DeliverTPDU(from, "hola", time.Unix(1e9, 0), Options{})
		require.NoError(t, err, from)
		r := DecodeTPDU(made[0], MT)
		require.NoError(t, r.Err, from)
		require.Equal(t, from, r.Address)
		require.Equal(t, "hola", r.Text)
	}
	for _, from := range []string{"", "doce letras ", "€€€€€€", "Móstoles", "+" + strings.Repeat("9", 21)} {
		_, err := DeliverTPDU(from, "hola", time.Unix(1e9, 0), Options{})
		var address *AddressError
		require.ErrorAs(t, err, &address, from)
	}
	_, err := DeliverTPDU(home, "", time.Unix(1e9, 0), Options{})
	require.ErrorIs(t, err, ErrEmpty)
}

func TestStatusReportTPDU(t *testing.T) {
	scts, dt := time.Date(2026, 11, 22, 15, 4, 5, 0, cet), time.Date(2026, 11, 22, 15, 4, 11, 0, cet)
	for _, ra := range []string{home, "5555", "1", "*123#"} {
		for _, st := range []uint8{0, 0x20, 0x46, 0xFF} {
			octets, err := StatusReportTPDU(200, ra, scts, dt, st)
			require.NoError(t, err)
			r := DecodeTPDU(octets, MT)
			require.NoError(t, r.Err)
			require.Equal(t, KindStatusReport, r.Kind)
			require.Equal(t, uint8(200), r.MR)
			require.Equal(t, ra, r.Address)
			require.Equal(t, st, r.ST)
			require.True(t, scts.Equal(r.SCTS))
			require.True(t, dt.Equal(r.DT))
		}
	}
	_, err := StatusReportTPDU(0, "name", scts, dt, 0)
	var address *AddressError
	require.ErrorAs(t, err, &address)
}

package pdu

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/warthog618/sms"
	"github.com/warthog618/sms/encoding/tpdu"
	"golang.org/x/text/unicode/norm"
)

func seeds(f *testing.F) {
	for _, g := range goldens(f) {
		for _, m := range append(g.Submit, g.Deliver...) {
			for _, line := range m.PDUs {
				raw, err := hex.DecodeString(line)
				require.NoError(f, err)
				f.Add(raw)
			}
		}
	}
	report, err := StatusReportTPDU(1, home, time.Unix(1e9, 0), time.Unix(1e9, 0), 0x30)
	require.NoError(f, err)
	f.Add(append([]byte{0}, report...))
	f.Add(append(append([]byte{0}, report...), 0x07))
	f.Add([]byte{0, 0x01, 0xC5, 0, 0x62, 0x11, 0x22, 0x51, 0x40, 0x50, 0x40})
	f.Add([]byte{0, 0x44, 0xFF, 0xD0})
}

// sane is what holds of anything decoded.
func sane(t *testing.T, r Received, raw []byte) {
	t.Helper()
	require.Equal(t, string(raw), string(r.Raw), "the raw PDU is kept")
	require.True(t, utf8.ValidString(r.Text))
	require.True(t, utf8.ValidString(r.Address))
	require.GreaterOrEqual(t, r.Class, -1)
	require.LessOrEqual(t, r.Class, 3)
	if r.Kind == KindUnknown {
		require.Error(t, r.Err)
	}
	if c := r.Concat; c != nil {
		require.True(t, c.Total > 1 && c.Seq >= 1 && c.Seq <= c.Total)
	}
	if r.Encoding == GSM7 {
		for _, s := range r.Data {
			require.Less(t, s, byte(0x80))
		}
	}
	if r.Err != nil {
		require.NotContains(t, r.Err.Error(), "\n")
	}
	_ = JoinText([]Received{r, r})
	require.Equal(t, r.Text, JoinText([]Received{r}))
}

func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := Decode(raw)
		sane(t, r, raw)
		require.Equal(t, r, Decode(raw))
		require.Equal(t, r.Text, DecodeHex(strings.ToUpper(hex.EncodeToString(raw))).Text)
	})
}

func FuzzDecodeHex(f *testing.F) {
	f.Add("07914306090909F9040B914306101122F200006211225140504005E8329BFD06\r\n")
	f.Add("+CMT: ,23")
	f.Fuzz(func(t *testing.T, line string) {
		r := DecodeHex(line)
		if raw, err := hex.DecodeString(strings.TrimSpace(line)); err == nil {
			sane(t, r, raw)
		} else {
			sane(t, r, []byte(line))
			require.Error(t, r.Err)
		}
	})
}

// FuzzDecodeTPDU holds our reader against the library's: where that one reads a
// TPDU, ours reads the same.
func FuzzDecodeTPDU(f *testing.F) {
	for _, g := range goldens(f) {
		for _, m := range append(g.Submit, g.Deliver...) {
			for _, line := range m.PDUs {
				r := DecodeHex(line)
				f.Add(r.Raw[1+r.Raw[0]:], r.Kind == KindSubmit)
			}
		}
	}
	report, err := StatusReportTPDU(1, home, time.Unix(1e9, 0), time.Unix(1e9, 0), 0x30)
	require.NoError(f, err)
	f.Add(report, false)
	f.Fuzz(func(t *testing.T, octets []byte, mo bool) {
		dir, option := MT, sms.AsMT
		if mo {
			dir, option = MO, sms.AsMO
		}
		r := DecodeTPDU(octets, dir)
		sane(t, r, octets)
		theirs, err := sms.Unmarshal(octets, option)
		if err != nil {
			return
		}
		sameAsLibrary(t, r, theirs)
	})
}

func sameAsLibrary(t *testing.T, r Received, theirs *tpdu.TPDU) {
	var address tpdu.Address
	switch theirs.SmsType() {
	case tpdu.SmsDeliver:
		require.Equal(t, KindDeliver, r.Kind)
		address = theirs.OA
	case tpdu.SmsSubmit:
		require.Equal(t, KindSubmit, r.Kind)
		require.Equal(t, theirs.MR, r.MR)
		require.Equal(t, theirs.FirstOctet.SRR(), r.Report)
		if theirs.VP.Format == tpdu.VpfRelative {
			require.Equal(t, theirs.VP.Duration, r.Validity)
		}
		address = theirs.DA
	case tpdu.SmsStatusReport:
		if theirs.PI&0x80 != 0 {
			return // the library does not know of a second TP-PI
		}
		require.Equal(t, KindStatusReport, r.Kind)
		require.Equal(t, theirs.MR, r.MR)
		require.Equal(t, theirs.ST, r.ST)
		require.True(t, r.DT.IsZero() || r.DT.Equal(theirs.DT.Time))
		address = theirs.RA
	default:
		return
	}
	// Fill in the midst of a number makes the library read on into the fill at its
	// end.
	require.True(t, strings.HasPrefix(address.Number(), r.Address), "%q, not %q", r.Address, address.Number())
	if !strings.ContainsRune(hex.EncodeToString(r.Raw), 'f') {
		require.Equal(t, address.Number(), r.Address)
	}
	require.True(t, r.SCTS.IsZero() || r.SCTS.Equal(theirs.SCTS.Time))
	require.Equal(t, theirs.PID, r.PID)
	require.Equal(t, byte(theirs.DCS), r.DCS)
	if theirs.DCS.Compressed() || len(theirs.UD) == 0 {
		return
	}
	udhl := 0
	if len(theirs.UDH) > 0 {
		udhl = theirs.UDH.UDHL() + 1
	}
	if udhl != len(r.UDH) {
		return // it reads elements beyond the header's end
	}
	require.Equal(t, string(theirs.UD), string(r.Data))
}

// FuzzEncode: whatever the text, what goes out is what was meant.
func FuzzEncode(f *testing.F) {
	for _, text := range benchTexts {
		f.Add(text, uint8(0), uint8(2), uint8(0), false)
	}
	f.Add("a\x1b\x00😀\xff", uint8(1), uint8(0), uint8(3), true)
	f.Add("e\u0301\u1100\u1161", uint8(2), uint8(1), uint8(1), true)
	f.Fuzz(func(t *testing.T, text string, encoding, shift, locking uint8, wide bool) {
		o := Options{Encoding: Encoding(encoding % 4), Shift: []Table{Table(shift)}, Locking: []Table{Table(locking)}, Wide: wide, Ref: 300}
		m := Count(text, o)
		segments, err := Encode(home, text, o)
		if err != nil {
			require.Nil(t, segments)
			return
		}
		require.Len(t, segments, m.Segments)
		var parts []Received
		for _, s := range segments {
			r := DecodeSubmit(s.TPDU)
			require.NoError(t, r.Err)
			require.Equal(t, s.Text, r.Text)
			parts = append(parts, r)
		}
		require.Equal(t, norm.NFC.String(string([]rune(text))), JoinText(parts))
		require.Equal(t, Transliterate(text), Transliterate(Transliterate(text)))
	})
}

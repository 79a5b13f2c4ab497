package emulator

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/warthog618/sms"
	"github.com/warthog618/sms/encoding/tpdu"
	"pgregory.net/rapid"
)

// The library that others decode with reads what the network writes.
func TestDeliverIsReadByTheLibrary(t *testing.T) {
	madrid := time.FixedZone("", 2*3600)
	scts := time.Date(2026, 7, 14, 9, 30, 15, 0, madrid)
	rapid.Check(t, func(t *rapid.T) {
		alphabet := rapid.SampledFrom([]string{"abcñ€[]@Ωè", "añ你好ж😀", "x"}).Draw(t, "alphabet")
		runes := []rune(alphabet)
		text := string(rapid.SliceOfN(rapid.SampledFrom(runes), 1, 500).Draw(t, "text"))
		var parts []*tpdu.TPDU
		for _, p := range segments(text, 9) {
			raw := p.deliver("+34600222333", scts)
			got, err := sms.Unmarshal(raw)
			require.NoError(t, err)
			require.Equal(t, "+34600222333", got.OA.Number())
			require.True(t, scts.Equal(got.SCTS.Time))
			require.LessOrEqual(t, len(p.ud), 140)
			parts = append(parts, got)
		}
		got, err := sms.Decode(parts)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	})
}

// What the library encodes, the network reads.
func TestSubmitOfTheLibraryIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runes := []rune(rapid.SampledFrom([]string{"abcñ€[]@Ωè", "añ你好ж", "x"}).Draw(t, "alphabet"))
		text := string(rapid.SliceOfN(rapid.SampledFrom(runes), 1, 500).Draw(t, "text"))
		list, err := sms.Encode([]byte(text), sms.AsSubmit, sms.To("+34600111222"))
		require.NoError(t, err)
		whole := ""
		for i := range list {
			raw, err := list[i].MarshalBinary()
			require.NoError(t, err)
			got, err := parseSubmit(raw, time.Now())
			require.NoError(t, err)
			require.Equal(t, "+34600111222", got.number)
			whole += got.text
		}
		require.Equal(t, text, whole)
	})
}

func TestStatusReportIsReadByTheLibrary(t *testing.T) {
	scts := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", -(3*3600+1800)))
	raw := statusReport(200, address("+346001112223"), scts, scts.Add(time.Minute), 0x46)
	got, err := sms.Unmarshal(raw)
	require.NoError(t, err)
	require.Equal(t, tpdu.SmsStatusReport, got.SmsType())
	require.Equal(t, byte(200), got.MR)
	require.Equal(t, "+346001112223", got.RA.Number())
	require.Equal(t, byte(0x46), got.ST)
	require.True(t, scts.Equal(got.SCTS.Time), got.SCTS)
	require.True(t, scts.Add(time.Minute).Equal(got.DT.Time))
}

func TestAlphanumericSender(t *testing.T) {
	for _, name := range []string{"Ayto", "Servicios", "ABCDEFGHIJK", "ABCDEFGH"} {
		got, ok := addressText(address(name))
		require.True(t, ok)
		require.Equal(t, name, strings.TrimRight(got, "@"))
		d, err := sms.Unmarshal(makeSegment("x", 0, nil).deliver(name, time.Now()))
		require.NoError(t, err)
		require.Equal(t, name, d.OA.Number())
	}
}

func TestNationalTables(t *testing.T) {
	// TS 23.038 annex A.2.2: Spanish shift table, ç is 0x1b 0x09, Á 0x1b 0x41.
	udh := []byte{3, 0x24, 1, 2}
	septets := []byte{0x1b, 0x09, 0x1b, 0x41}
	ud := pack(septets, 5*7)
	copy(ud, udh)
	require.Equal(t, "çÁ", userText(0, byte(5+len(septets)), ud, udh))
}

func TestRelativeValidity(t *testing.T) {
	// TS 23.040 clause 9.2.3.12.1
	for vp, want := range map[byte]time.Duration{
		0: 5 * time.Minute, 143: 12 * time.Hour, 167: 24 * time.Hour, 168: 48 * time.Hour,
		196: 30 * 24 * time.Hour, 197: 5 * 7 * 24 * time.Hour, 255: 63 * 7 * 24 * time.Hour,
	} {
		require.Equal(t, want, relativeValidity(vp), "%d", vp)
	}
}

func TestMalformedSubmitsAreRefused(t *testing.T) {
	good := submitTPDU("+34600111222", "hola")
	_, err := parseSubmit(good, time.Now())
	require.NoError(t, err)
	for i := range good {
		_, err := parseSubmit(good[:i], time.Now())
		require.Error(t, err, "%d octets", i)
	}
	for name, change := range map[string]func(b []byte){
		"is a DELIVER":        func(b []byte) { b[0] &^= mtiMask },
		"no recipient":        func(b []byte) { b[2] = 0 },
		"digit F":             func(b []byte) { b[4] |= 0xf0 },
		"UDL too big":         func(b []byte) { b[len(b)-5]++; b[len(b)-5]++ },
		"header that is none": func(b []byte) { b[0] |= foUDHI },
	} {
		b := append([]byte(nil), good...)
		change(b)
		_, err := parseSubmit(b, time.Now())
		require.Error(t, err, name)
	}
	_, err = parseSubmit(append(append([]byte(nil), good...), 0), time.Now())
	require.Error(t, err, "an octet too many")
}

func FuzzParseSubmit(f *testing.F) {
	f.Add(submitTPDU("+34600111222", "hola €"))
	f.Add(submitTPDUs("22000", strings.Repeat("你", 100), true)[1])
	f.Add([]byte{0x11, 0, 0x0b, 0x91, 0, 0, 0, 0, 0, 0xf0, 0, 0, 0xff, 1, 0x41})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSubmit(b, time.Unix(0, 0))
		if err != nil {
			return
		}
		// What it brings to the recipient is a DELIVER with the same text.
		d := deliverOf(s, "+34600222333", time.Unix(0, 0).UTC())
		dcs, ok := deliverDCS(d)
		require.True(t, ok)
		require.Equal(t, s.dcs, dcs)
		require.Equal(t, s.ud, d[len(d)-len(s.ud):])
	})
}

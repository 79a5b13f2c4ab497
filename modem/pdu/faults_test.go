package pdu

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/warthog618/sms"
	"github.com/warthog618/sms/encoding/tpdu"
)

// Each of these is a fault of the library (C1 to C14 of the driver notes) that
// this package is built around. The library's own behaviour is asserted where
// the test would otherwise pass without our guard.

func libraryRefuses(t *testing.T, octets []byte) {
	t.Helper()
	_, err := sms.Unmarshal(octets, sms.AsMT)
	require.Error(t, err, "the library reads it now: is our own way still needed?")
}

// C1 and F5: every long message of the library carries reference 1 and TP-MR 1.
func TestC1ReferenceIsTheCallers(t *testing.T) {
	text := strings.Repeat("a", 200)
	for _, ref := range []uint16{0, 1, 77, 255, 256, 65535} {
		for _, wide := range []bool{false, true} {
			segments, err := Encode(home, text, Options{Ref: ref, Wide: wide})
			require.NoError(t, err)
			for _, s := range segments {
				r := DecodeSubmit(s.TPDU)
				require.Zero(t, r.MR, "the modem sets TP-MR")
				if wide {
					require.Equal(t, ref, r.Concat.Ref)
				} else {
					require.Equal(t, ref&0xFF, r.Concat.Ref)
				}
			}
		}
	}
}

// C2: the library makes any number international.
func TestC2ShortCodeIsNotInternational(t *testing.T) {
	for to, toa := range map[string]byte{"1234": 0x81, "600111222": 0x81, "+34600111222": 0x91} {
		segments, err := Encode(to, "a", Options{})
		require.NoError(t, err)
		require.Equal(t, toa, segments[0].TPDU[3])
		require.Equal(t, to, DecodeSubmit(segments[0].TPDU).Address)
	}
}

// C3: the library's tables are filled at first use. Under -race this fails when
// anything but fillAlphabets touches them.
func TestC3TablesAreSafeForConcurrentUse(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			o := Options{Locking: []Table{Table(i + 1), 13, 5}, Shift: []Table{Spanish, Table(i + 3)}}
			segments, err := Encode(home, "áğãक € "+strings.Repeat("x", 200), o)
			if err != nil {
				t.Error(err)
				return
			}
			for _, s := range segments {
				_ = DecodeSubmit(s.TPDU)
			}
			Count("faça você", o)
			Transliterate("según «ﬁ» ½")
			if _, err := sms.Encode([]byte("áğãक"), sms.To("34600111222"), sms.WithAllCharsets); err != nil {
				t.Error(err) // the library itself is safe once this package is there
			}
		})
	}
	wg.Wait()
}

// C4: the bits after the last septet need not be zero, and octets may follow.
func TestC4Padding(t *testing.T) {
	// 7 septets leave a whole septet of padding in the last octet.
	whole := octets(t, "04 0B914306101122F2 00 00 62112251405040 07 E8329BFD06DD01")
	require.Equal(t, "hello w", DecodeTPDU(whole, MT).Text[:7])
	padded := append([]byte(nil), whole...)
	padded[len(padded)-1] |= 0xFE
	libraryRefuses(t, padded)
	r := DecodeTPDU(padded, MT)
	require.NoError(t, r.Err)
	require.Len(t, r.Data, 7)
	require.Equal(t, "hello ", r.Text[:6])

	// A SIM's record is filled up with FF.
	record := append(append([]byte(nil), whole...), 0xFF, 0xFF, 0xFF)
	libraryRefuses(t, record)
	r = DecodeTPDU(record, MT)
	require.NoError(t, r.Err)
	require.Equal(t, "hello ", r.Text[:6])
	require.Equal(t, record, r.Raw)
}

// C5: 3GPP TS 23.038 clause 4 has a reserved coding read as the default alphabet.
func TestC5ReservedCodingScheme(t *testing.T) {
	for dcs := 0x80; dcs < 0xC0; dcs++ {
		octets := octets(t, "04 0B914306101122F2 00 00 62112251405040 05 E8329BFD06")
		octets[10] = byte(dcs)
		libraryRefuses(t, octets)
		r := DecodeTPDU(octets, MT)
		require.NoError(t, r.Err)
		require.Equal(t, "hello", r.Text)
		require.Equal(t, uint8(dcs), r.DCS)
		require.Equal(t, -1, r.Class)
	}
}

// C6: a time stamp that is none costs the time stamp only.
func TestC6TimeStamp(t *testing.T) {
	for name, scts := range map[string]string{
		"no zone":     "621122514050FF",
		"not decimal": "AB112251405040",
		"all ones":    "FFFFFFFFFFFFFF",
	} {
		octets := octets(t, "04 0B914306101122F2 00 00"+scts+"05 E8329BFD06")
		libraryRefuses(t, octets)
		r := DecodeTPDU(octets, MT)
		require.Error(t, r.Err, name)
		require.True(t, r.SCTS.IsZero())
		require.Equal(t, "hello", r.Text)
		require.Equal(t, home, r.Address)
	}
	// These the library reads as some other day.
	for name, scts := range map[string]string{
		"all zero":            "00000000000000",
		"thirteenth month":    "62312251405000",
		"thirtieth February":  "62200351405000",
		"twenty-fifth hour":   "62112252405000",
		"sixty-first second":  "62112251401600",
		"seventy-nine minute": "62112251970000",
	} {
		r := DecodeTPDU(octets(t, "04 0B914306101122F2 00 00"+scts+"05 E8329BFD06"), MT)
		require.Error(t, r.Err, name)
		require.True(t, r.SCTS.IsZero(), name)
		require.Equal(t, "hello", r.Text)
	}
}

// C7: a name may have an escape in it.
func TestC7NameWithEscape(t *testing.T) {
	made, err := DeliverTPDU("Café€[]", "hola", time.Unix(0, 0), Options{})
	require.NoError(t, err)
	libraryRefuses(t, made[0])
	r := DecodeTPDU(made[0], MT)
	require.NoError(t, r.Err)
	require.True(t, r.Alphanumeric)
	require.Equal(t, "Café€[]", r.Address)
	require.Equal(t, "hola", r.Text)
}

// C8: an odd number whose last half octet is no F.
func TestC8MissingFill(t *testing.T) {
	octets := octets(t, "04 0B914306101122 02 00 00 62112251405040 05 E8329BFD06")
	libraryRefuses(t, octets)
	r := DecodeTPDU(octets, MT)
	require.NoError(t, r.Err)
	require.Equal(t, home, r.Address)
	require.Equal(t, "hello", r.Text)
}

// C9: TP-PI announces what is not there.
func TestC9StatusReportWithoutWhatItAnnounces(t *testing.T) {
	whole, err := StatusReportTPDU(42, home, time.Unix(1e9, 0), time.Unix(1e9+5, 0), 0x46)
	require.NoError(t, err)
	for _, optional := range []string{"07", "01", "06", "07 00", "07 00 00", "87 00", "FF", "04"} {
		octets := append(append([]byte(nil), whole...), octets(t, optional)...)
		if optional != "07 00 00" {
			libraryRefuses(t, octets[:len(whole)+1])
		}
		r := DecodeTPDU(octets, MT)
		require.NoError(t, r.Err, optional)
		require.Equal(t, KindStatusReport, r.Kind)
		require.Equal(t, uint8(42), r.MR)
		require.Equal(t, home, r.Address)
		require.Equal(t, StatusExpired, StatusOf(r.ST))
		require.Equal(t, int64(1e9), r.SCTS.Unix())
		require.Equal(t, int64(1e9+5), r.DT.Unix())
	}
}

// C10: the report of an accepted SUBMIT has no TP-FCS.
func TestC10SubmitReport(t *testing.T) {
	accepted := DecodeTPDU(octets(t, "01 00 62112251405040"), MT)
	require.NoError(t, accepted.Err)
	require.Equal(t, KindSubmitReport, accepted.Kind)
	require.Zero(t, accepted.FCS)
	require.Equal(t, time.Date(2026, 11, 22, 15, 4, 5, 0, time.FixedZone("", 3600)).Unix(), accepted.SCTS.Unix())

	refused := DecodeTPDU(octets(t, "01 C5 00 62112251405040"), MT)
	require.NoError(t, refused.Err)
	require.Equal(t, uint8(0xC5), refused.FCS)
	require.False(t, refused.SCTS.IsZero())

	library, err := sms.Unmarshal(octets(t, "01 00 62112251405040"), sms.AsMT)
	require.True(t, err != nil || library.SCTS.Unix() != accepted.SCTS.Unix(), "the library reads it now")
}

// C12: the library sends U+001B as a raw escape, and lets the count wrap.
func TestC12NoRawEscapeAndNoWrap(t *testing.T) {
	library, err := sms.Encode([]byte("a\x1be"), sms.To("34600111222"))
	require.NoError(t, err)
	require.Contains(t, string(library[0].UD), "\x1b", "the library's fault is gone")

	for table := range lastTable + 1 {
		o := Options{Encoding: GSM7, Locking: []Table{table}, Shift: []Table{table}}
		require.Equal(t, []Outside{{Char: "\x1b", At: 1, Drop: true}}, Count("a\x1be", o).OutsideGSM7)
	}
	_, err = Encode(home, strings.Repeat("a", 40000), Options{})
	var long *TooLongError
	require.ErrorAs(t, err, &long)
}

// C13: the library cannot tell that a coding scheme has no class.
func TestC13MessageClass(t *testing.T) {
	_, err := tpdu.DCS(0).Class()
	require.Error(t, err)
	for dcs, want := range map[byte]int{0x00: -1, 0x08: -1, 0x10: 0, 0x11: 1, 0x12: 2, 0x13: 3, 0x18: 0, 0x52: 2, 0xF0: 0, 0xF3: 3, 0xF6: 2, 0xC8: -1, 0xE0: -1, 0x80: -1} {
		_, class, _, _ := codingScheme(dcs)
		require.Equal(t, want, class, "%#x", dcs)
	}
}

// C14: the library's collector forgets at a restart and keeps the first of two
// duplicates. Nothing here remembers: what a segment says is all in Received,
// and the same segments in a new process give the same text.
func TestC14NothingIsRemembered(t *testing.T) {
	made, err := DeliverTPDU(home, strings.Repeat("😀", 100), time.Unix(1e9, 0), Options{Ref: 9})
	require.NoError(t, err)
	first := DecodeTPDU(made[0], MT)
	again := DecodeTPDU(made[0], MT)
	require.Equal(t, first, again)
	parts := []Received{first}
	for _, octets := range made[1:] {
		parts = append(parts, DecodeTPDU(octets, MT))
	}
	require.Equal(t, strings.Repeat("😀", 100), JoinText(parts))
}

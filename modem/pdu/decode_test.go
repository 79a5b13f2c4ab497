package pdu

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var cet = time.FixedZone("", 3600)

func TestDecodeDeliver(t *testing.T) {
	sent := time.Date(2026, 11, 22, 15, 4, 5, 0, cet)
	octets := octets(t, "07914306090909F9 04 0B914306101122F2 00 00 62112251405040 05 E8329BFD06")
	r := Decode(octets)
	require.True(t, sent.Equal(r.SCTS), "%v", r.SCTS)
	_, zone := r.SCTS.Zone()
	require.Equal(t, 3600, zone)
	r.SCTS = time.Time{}
	require.Equal(t, Received{
		Kind: KindDeliver, Raw: octets, SCA: "+34609090909", Address: home, Encoding: GSM7, Class: -1,
		Text: "hello", Data: []byte("hello"), DstPort: -1, SrcPort: -1,
	}, r)

	require.Equal(t, Decode(octets), DecodeHex(strings.ToUpper(hex.EncodeToString(octets))+"\r\n"))
	require.Equal(t, Decode(octets), DecodeHex(hex.EncodeToString(octets)))
}

func TestDecodeZones(t *testing.T) {
	for zone, hours := range map[string]float64{"00": 0, "40": 1, "08": 0, "48": -1, "65": 14, "22": 5.5, "6A": -6.5} {
		r := DecodeTPDU(octets(t, "04 0B914306101122F2 00 00 621122514050"+zone+"00"), MT)
		require.NoError(t, r.Err, zone)
		_, offset := r.SCTS.Zone()
		require.Equal(t, int(hours*3600), offset, zone)
		require.Equal(t, 15, r.SCTS.Hour())
	}
}

func TestDecodeAddresses(t *testing.T) {
	for field, want := range map[string]string{
		"0B914306101122F2":           "+34600111222",
		"0B91430610112202":           "+34600111222", // no fill
		"0C914306101122F2":           "+34600111222", // the fill counted in
		"09A106101122F2":             "600111222",    // national
		"04815555":                   "5555",
		"038112F7":                   "217",
		"0581A1B2C3":                 "1*2#3", // whatever the last half octet is
		"14A001866616700000931828":   "10686661070000398182",
		"169100000000000000000000FF": "+00000000000000000000",
		"0081":                       "",
		"00D0":                       "",
		"14D0C4F23C7D760390EF7619":   "Design@Home",
		"0ED0D637396C7EBBCB":         "Vodafone",
	} {
		r := DecodeTPDU(octets(t, "04"+field+"0000 62112251405040 00"), MT)
		require.NoError(t, r.Err, field)
		require.Equal(t, want, r.Address, field)
		require.Equal(t, field[2:4] == "D0", r.Alphanumeric, field)
	}
}

// What the header and the coding scheme say.
func TestDecodeKindsOfMessage(t *testing.T) {
	head := "0B914306101122F2"
	scts := "62112251405040"
	for _, c := range []struct {
		name, octets string
		want         func(*Received)
	}{
		{"UCS-2", "04" + head + "0008" + scts + "06 00E1D83DDE00",
			func(r *Received) { r.DCS, r.Encoding, r.Text = 8, UCS2, "á😀" }},
		{"8-bit", "04" + head + "0004" + scts + "03 00FF41",
			func(r *Received) { r.DCS, r.Encoding = 4, Binary }},
		{"class 0", "04" + head + "0010" + scts + "01 41",
			func(r *Received) { r.DCS, r.Encoding, r.Class, r.Text = 0x10, GSM7, 0, "A" }},
		{"class 1, 8-bit", "04" + head + "00F5" + scts + "01 41",
			func(r *Received) { r.DCS, r.Encoding, r.Class = 0xF5, Binary, 1 }},
		{"class 2, UCS-2", "04" + head + "001A" + scts + "02 0041",
			func(r *Received) { r.DCS, r.Encoding, r.Class, r.Text = 0x1A, UCS2, 2, "A" }},
		{"class 3", "04" + head + "00F3" + scts + "01 41",
			func(r *Received) { r.DCS, r.Encoding, r.Class, r.Text = 0xF3, GSM7, 3, "A" }},
		{"automatic deletion", "04" + head + "0048" + scts + "02 0041",
			func(r *Received) { r.DCS, r.Encoding, r.Text = 0x48, UCS2, "A" }},
		{"reserved alphabet", "04" + head + "000C" + scts + "01 41",
			func(r *Received) { r.DCS, r.Encoding, r.Text = 0x0C, GSM7, "A" }},
		{"type 0", "04" + head + "4000" + scts + "01 41",
			func(r *Received) { r.PID, r.Encoding, r.Text = 0x40, GSM7, "A" }},
		{"waiting, discard", "04" + head + "00C8" + scts + "01 41",
			func(r *Received) { r.DCS, r.Encoding, r.MWI, r.Text = 0xC8, GSM7, true, "A" }},
		{"waiting, UCS-2", "04" + head + "00E8" + scts + "02 0041",
			func(r *Received) { r.DCS, r.Encoding, r.MWI, r.Text = 0xE8, UCS2, true, "A" }},
		{"waiting, by header", "44" + head + "0000" + scts + "06 04 01 02 80 01",
			func(r *Received) { r.Encoding, r.MWI, r.UDH = GSM7, true, []byte{4, 1, 2, 0x80, 1} }},
		{"waiting, by voice mail header", "44" + head + "0000" + scts + "06 04 23 02 00 00",
			func(r *Received) { r.Encoding, r.MWI, r.UDH = GSM7, true, []byte{4, 0x23, 2, 0, 0} }},
		{"call back", "04" + head + "5F00" + scts + "01 41",
			func(r *Received) { r.PID, r.Encoding, r.Text = 0x5F, GSM7, "A" }},
		{"for the SIM, by TP-PID", "04" + head + "7FF6" + scts + "02 0041",
			func(r *Received) { r.PID, r.DCS, r.Encoding, r.Class = 0x7F, 0xF6, Binary, 2 }},
		{"for the SIM, by header", "44" + head + "0016" + scts + "05 02 70 00 0041",
			func(r *Received) {
				r.DCS, r.Encoding, r.Class, r.Toolkit, r.UDH = 0x16, Binary, 2, true, []byte{2, 0x70, 0}
			}},
		{"replaces", "04" + head + "4100" + scts + "01 41",
			func(r *Received) { r.PID, r.Encoding, r.Text = 0x41, GSM7, "A" }},
		{"a picture is no language", "44" + head + "0000" + scts + "06 03 19 01 01 3800",
			func(r *Received) { r.Encoding, r.Text, r.UDH = GSM7, "ì", []byte{3, 0x19, 1, 1} }},
		{"application ports", "44" + head + "00F5" + scts + "09 06 05 04 0B84 23F0 0106",
			func(r *Received) {
				r.DCS, r.Encoding, r.Class, r.DstPort, r.SrcPort = 0xF5, Binary, 1, 2948, 9200
				r.UDH = []byte{6, 5, 4, 0x0B, 0x84, 0x23, 0xF0}
			}},
		{"8-bit ports", "44" + head + "0004" + scts + "06 04 04 02 F0F1 01",
			func(r *Received) {
				r.DCS, r.Encoding, r.DstPort, r.SrcPort, r.UDH = 4, Binary, 0xF0, 0xF1, []byte{4, 4, 2, 0xF0, 0xF1}
			}},
		{"concatenated", "44" + head + "0008" + scts + "08 05 00 03 2A 03 02 0041",
			func(r *Received) {
				r.DCS, r.Encoding, r.Concat, r.Text, r.UDH = 8, UCS2, &Concat{Ref: 42, Total: 3, Seq: 2}, "A", []byte{5, 0, 3, 42, 3, 2}
			}},
		{"concatenated, 16-bit", "44" + head + "0008" + scts + "09 06 08 04 012A 03 02 0041",
			func(r *Received) {
				r.DCS, r.Encoding, r.Concat, r.Text, r.UDH = 8, UCS2, &Concat{Ref: 298, Total: 3, Seq: 2, Wide: true}, "A", []byte{6, 8, 4, 1, 42, 3, 2}
			}},
		{"segment 4 of 3 is none", "44" + head + "0008" + scts + "08 05 00 03 2A 03 04 0041",
			func(r *Received) { r.DCS, r.Encoding, r.Text, r.UDH = 8, UCS2, "A", []byte{5, 0, 3, 42, 3, 4} }},
		{"segment 1 of 1 is whole", "44" + head + "0008" + scts + "08 05 00 03 2A 01 01 0041",
			func(r *Received) { r.DCS, r.Encoding, r.Text, r.UDH = 8, UCS2, "A", []byte{5, 0, 3, 42, 1, 1} }},
		{"Spanish single shift", "44" + head + "0000" + scts + "07 03 24 01 02 D88401",
			func(r *Received) { r.Encoding, r.Text, r.UDH = GSM7, "á", []byte{3, 0x24, 1, 2} }},
		{"Turkish locking shift", "44" + head + "0000" + scts + "06 03 25 01 01 3800",
			func(r *Received) { r.Encoding, r.Text, r.UDH = GSM7, "ı", []byte{3, 0x25, 1, 1} }},
		{"a language that is none", "44" + head + "0000" + scts + "06 03 25 01 7F 3800",
			func(r *Received) { r.Encoding, r.Text, r.UDH = GSM7, "ì", []byte{3, 0x25, 1, 0x7F} }},
		{"reserved TP-MTI", "07" + head + "0000" + scts + "01 41",
			func(r *Received) { r.Encoding, r.Text = GSM7, "A" }},
		{"empty", "04" + head + "0000" + scts + "00",
			func(r *Received) { r.Encoding = GSM7 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := octets(t, c.octets)
			r := DecodeTPDU(raw, MT)
			want := Received{Kind: KindDeliver, Raw: raw, Address: home, Class: -1, DstPort: -1, SrcPort: -1, SCTS: r.SCTS, Data: r.Data}
			c.want(&want)
			require.Equal(t, want, r)
			require.False(t, r.SCTS.IsZero())
			require.Equal(t, c.name == "type 0", r.Silent())
			require.Equal(t, strings.HasPrefix(c.name, "waiting") || c.name == "call back", r.Waiting())
			require.Equal(t, strings.HasPrefix(c.name, "for the SIM"), r.Download())
			if r.Encoding == Binary {
				require.Equal(t, raw[len(raw)-len(r.Data):], r.Data)
				require.NotEmpty(t, r.Data)
			}
		})
	}
}

// What cannot be read costs only itself.
func TestDecodeBestEffort(t *testing.T) {
	whole := "04 0B914306101122F2 00 00 62112251405040 "
	for _, c := range []struct {
		name, octets, text string
		kind               Kind
	}{
		{"text cut off", whole + "05 E8329B", "hel", KindDeliver},
		{"UCS-2 of odd length", "04 0B914306101122F2 00 08 62112251405040 03 004100", "A", KindDeliver},
		{"compressed", "04 0B914306101122F2 00 20 62112251405040 02 4142", "", KindDeliver},
		{"header longer than the data", "44 0B914306101122F2 00 08 62112251405040 04 4E2D0041", "中A", KindDeliver},
		{"element longer than the header", "44 0B914306101122F2 00 08 62112251405040 06 03 00 09 01 0041", "A", KindDeliver},
		{"no user data length", whole, "", KindDeliver},
		{"ends in the time stamp", "04 0B914306101122F2 00 00 6211", "", KindDeliver},
		{"ends in the address", "04 0B9143", "", KindDeliver},
		{"address longer than all", "04 FF914306101122F2 00 00", "", KindDeliver},
		{"one octet", "04", "", KindDeliver},
		{"nothing", "", "", KindUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := octets(t, c.octets)
			r := DecodeTPDU(raw, MT)
			require.Error(t, r.Err)
			require.Equal(t, c.kind, r.Kind)
			require.Equal(t, c.text, r.Text)
			require.Equal(t, string(raw), string(r.Raw))
		})
	}
}

// A status report without a status must not be read as "delivered".
func TestStatusReportCutOff(t *testing.T) {
	whole, err := StatusReportTPDU(7, home, time.Unix(1e9, 0), time.Unix(1e9, 0), 0)
	require.NoError(t, err)
	r := DecodeTPDU(whole, MT)
	require.Equal(t, KindStatusReport, r.Kind)
	require.NoError(t, r.Err)
	for n := range len(whole) {
		r := DecodeTPDU(whole[:n], MT)
		require.Equal(t, KindUnknown, r.Kind)
		require.Error(t, r.Err)
	}
	// A time stamp that is none costs no status.
	broken := append([]byte(nil), whole...)
	broken[11] = 0xFF
	r = DecodeTPDU(broken, MT)
	require.Equal(t, KindStatusReport, r.Kind)
	require.Error(t, r.Err)
	require.Equal(t, uint8(7), r.MR)
}

func TestDecodeSMSC(t *testing.T) {
	tpdu := octets(t, "04 0B914306101122F2 00 00 62112251405040 05 E8329BFD06")
	for _, sca := range []string{"", "+34609090909", "609090909", "+3460909090"} {
		raw, err := WithSMSC(sca, tpdu)
		require.NoError(t, err)
		r := Decode(raw)
		require.NoError(t, r.Err)
		require.Equal(t, sca, r.SCA)
		require.Equal(t, "hello", r.Text)
	}
	_, err := WithSMSC("name", tpdu)
	require.Error(t, err)
	// One that has a type and no digits is seen in the wild.
	r := Decode(append([]byte{1, 0}, tpdu...))
	require.NoError(t, r.Err)
	require.Equal(t, "hello", r.Text)

	require.Error(t, Decode([]byte{9, 0x91}).Err)
	require.Error(t, Decode(nil).Err)
}

func TestDecodeHexOfNoHex(t *testing.T) {
	for _, line := range []string{"+CMTI: \"SM\",1", "0791x", "07914306090909F", ""} {
		r := DecodeHex(line)
		require.Error(t, r.Err)
		if line != "" {
			require.Equal(t, line, string(r.Raw))
		}
	}
	// Half an octet more costs nothing of what was there.
	r := DecodeHex("00040B914306101122F200006211225140504005E8329BFD060")
	require.Error(t, r.Err)
	require.Equal(t, "hello", r.Text)
}

// SUBMITs that other devices left on a SIM.
func TestDecodeStoredSubmit(t *testing.T) {
	for _, c := range []struct {
		octets   string
		validity time.Duration
		report   bool
	}{
		{"00 11 2A 0B914306101122F2 00 00 A7 05 E8329BFD06", 24 * time.Hour, false},
		{"00 21 2A 0B914306101122F2 00 00 05 E8329BFD06", 0, true},
		{"00 39 2A 0B914306101122F2 00 00 62112251405040 05 E8329BFD06", 0, true},
		{"00 09 2A 0B914306101122F2 00 00 01000000000000 05 E8329BFD06", 0, false},
	} {
		r := Decode(octets(t, c.octets))
		require.NoError(t, r.Err)
		require.Equal(t, KindSubmit, r.Kind)
		require.Equal(t, uint8(42), r.MR)
		require.Equal(t, home, r.Address)
		require.Equal(t, "hello", r.Text)
		require.Equal(t, c.validity, r.Validity)
		require.Equal(t, c.report, r.Report)
	}
	require.Equal(t, KindUnknown, DecodeTPDU([]byte{0x02, 0x00}, MO).Kind, "an SMS-COMMAND")
}

func TestEscapes(t *testing.T) {
	for septets, want := range map[string]string{
		"\x1be":     "€",
		"a\x1bb":    "ab", // not in the extension table: the base table's character
		"\x1b\x1be": " e",
		"a\x1b":     "a ",
		"\x1b\x0a":  "\f",
	} {
		require.Equal(t, want, gsm7Tables{}.decode([]byte(septets)), "%q", septets)
	}
	require.Equal(t, "Ê", gsm7Tables{shift: 3}.decode([]byte("\x1b\x1f")), "missing in the library's table")
}

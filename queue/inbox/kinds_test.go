package inbox

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/pdu"
)

// raw makes a PDU: first octet, TP-PID, TP-DCS, and TP-UDL with the user data,
// in hex.
func (b *box) raw(first, pid, dcs byte, ud string) []byte {
	b.t.Helper()
	octets, err := hex.DecodeString(fmt.Sprintf("00%02X0B914306101122F2%02X%02X62112251405040%s", first, pid, dcs, strings.ReplaceAll(ud, " ", "")))
	require.NoError(b.t, err)
	return octets
}

// TestKindsOfWhatIsReceived: one raw row each, and a message only for what a
// reader or an application may want.
func TestKindsOfWhatIsReceived(t *testing.T) {
	const a = "01 41" // one letter
	for _, c := range []struct {
		name            string
		first, pid, dcs byte
		ud, kind, text  string
		message         bool
	}{
		{"a text", 0x04, 0, 0, a, KindText, "A", true},
		{"class 0, flash", 0x04, 0, 0x10, a, KindFlash, "A", true},
		{"class 0 of the other group", 0x04, 0, 0xF0, a, KindFlash, "A", true},
		{"class 0, UCS-2", 0x04, 0, 0x18, "02 0041", KindFlash, "A", true},
		{"class 1", 0x04, 0, 0x11, a, KindText, "A", true},
		{"class 2, on the SIM", 0x04, 0, 0xF2, a, KindText, "A", true},
		{"class 3", 0x04, 0, 0xF3, a, KindText, "A", true},
		{"type 0", 0x04, 0x40, 0, a, KindSilent, "", false},
		{"type 0 of class 0", 0x04, 0x40, 0x10, a, KindSilent, "", false},
		{"waiting, to be discarded", 0x04, 0, 0xC8, a, KindMWI, "", false},
		{"waiting, to be stored", 0x04, 0, 0xD8, a, KindMWI, "", false},
		{"waiting, UCS-2", 0x04, 0, 0xE8, "02 0041", KindMWI, "", false},
		{"the last of the waiting group", 0x04, 0, 0xEF, "02 0041", KindMWI, "", false},
		{"waiting, by its header", 0x44, 0, 0, "06 04 01 02 80 01", KindMWI, "", false},
		{"waiting, voice mail header", 0x44, 0, 0, "06 04 23 02 00 00", KindMWI, "", false},
		{"waiting, call back", 0x04, 0x5F, 0, a, KindMWI, "", false},
		{"replaces 1", 0x04, 0x41, 0, a, KindText, "A", true},
		{"replaces 7", 0x04, 0x47, 0, a, KindText, "A", true},
		{"8-bit data", 0x04, 0, 0x04, a, KindBinary, "", true},
		{"WAP push", 0x44, 0, 0xF5, "09 06 05 04 0B84 23F0 0106", KindBinary, "", true},
		{"a text to a port", 0x44, 0, 0x08, "09 06 05 04 1582 0000 0041", KindBinary, "", true},
		{"8-bit ports", 0x44, 0, 0x08, "07 04 04 02 F0F1 0041", KindBinary, "", true},
		{"SIM data download", 0x04, 0x7F, 0xF2, a, KindBinary, "", true},
		{"ME data download", 0x04, 0x7D, 0, a, KindBinary, "", true},
		{"ME de-personalisation", 0x04, 0x7E, 0, a, KindBinary, "", true},
		{"ANSI-136 R-data", 0x04, 0x7C, 0, a, KindBinary, "", true},
		{"a toolkit's command", 0x44, 0, 0x08, "05 02 70 00 0041", KindBinary, "", true},
		{"compressed", 0x04, 0, 0x20, "02 4142", KindBinary, "", true},
		{"a reserved coding scheme", 0x04, 0, 0x8C, a, KindText, "A", true},
		{"telematic interworking", 0x04, 0x21, 0, a, KindText, "A", true},
		{"cut off in the text", 0x04, 0, 0, "05 E8329B", KindText, "hel", true},
		{"cut off before the text", 0x04, 0, 0, "05", KindUndecodable, "", true},
		{"an empty text", 0x04, 0, 0, "00", KindText, "", true},
		{"a draft", 0x01, 0, 0, a, KindForeign, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			raw := b.raw(c.first, c.pid, c.dcs, c.ud)
			if c.kind == KindForeign {
				raw = []byte{0, 0x01, 0, 0x0B, 0x91, 0x43, 0x06, 0x10, 0x11, 0x22, 0xF2, 0, 0, 1, 0x41}
			}
			b.ingest(raw)
			b.restart()
			b.ingest(raw) // the deletion failed
			var kind string
			require.NoError(t, b.db.Read().QueryRow(`SELECT kind FROM inbound_raw WHERE dup_count = 1`).Scan(&kind))
			require.Equal(t, c.kind, kind)
			require.Equal(t, 1, b.count(`SELECT count(*) FROM inbound_raw`))
			list := b.list(Filter{})
			talks, _, err := b.Conversations(context.Background(), Filter{})
			require.NoError(t, err)
			if !c.message {
				require.Empty(t, list)
				require.Empty(t, talks)
				require.Empty(t, b.events())
				return
			}
			require.Len(t, list, 1)
			require.Equal(t, []string{c.kind, c.text}, []string{list[0].Kind, list[0].Text})
			require.Equal(t, []string{"inbound.received"}, b.events())
			require.Len(t, talks, 1)
			require.Equal(t, c.text, talks[0].LastText, "no garbage")
			require.Equal(t, list, b.list(Filter{Kind: c.kind}))
			require.Empty(t, b.list(Filter{Kind: "other"}))
		})
	}
}

// TestUndecodableBlocksNothing: whatever the octets, they are kept once and the
// modem may delete them.
func TestUndecodableBlocksNothing(t *testing.T) {
	b := newBox(t)
	r := rand.New(rand.NewPCG(1, 2))
	const n = 300
	for i := range n {
		octets := make([]byte, 1+r.IntN(60))
		for j := range octets {
			octets[j] = byte(r.UintN(256))
		}
		octets[0] = byte(i % 3) // often a plausible beginning
		in := b.in(octets)
		in.PDU.SCTS = time.Time{}
		if in.PDU.Kind == pdu.KindStatusReport {
			continue
		}
		require.NoError(t, b.Ingest(context.Background(), in))
	}
	require.NoError(t, b.Ingest(context.Background(), In{PDU: pdu.DecodeHex("no hex at all"), ICCID: iccid, At: b.clock.Now()}))
	require.Equal(t, 1, b.count(`SELECT count(*) FROM inbound_raw WHERE kind = 'undecodable' AND raw = CAST('no hex at all' AS BLOB) AND error <> ''`))
	require.Zero(t, b.count(`SELECT count(*) FROM inbound_raw WHERE kind IN ('text','flash','binary','undecodable') AND inbound IS NULL`))
	require.Zero(t, b.count(`SELECT count(*) FROM inbound WHERE kind NOT IN ('text','flash') AND text NOT IN ('', '`+Gap+`')`))
}

// TestPartsThatCannotBe: TS 23.040 9.2.3.24.1 has such an element ignored: the
// text is shown as it is.
func TestPartsThatCannotBe(t *testing.T) {
	for name, ie := range map[string]string{
		"part 0": "00 03 2A 03 00", "above the total": "00 03 2A 03 04", "of none": "00 03 2A 00 01", "1 of 1": "00 03 2A 01 01",
		"16 bit, part 0": "08 04 012A 03 00", "16 bit, above": "08 04 012A 03 04", "too short": "00 02 2A 03",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			udh := strings.ReplaceAll(ie, " ", "")
			udh = fmt.Sprintf("%02X%s", len(udh)/2, udh)
			b.ingest(b.raw(0x44, 0, 8, fmt.Sprintf("%02X%s0041", len(udh)/2+2, udh)))
			list := b.list(Filter{})
			require.Len(t, list, 1)
			require.Equal(t, "A", list[0].Text)
			require.True(t, list[0].Complete)
			require.Zero(t, b.count(`SELECT count(*) FROM inbound WHERE open = 1`))
			require.Equal(t, []string{"inbound.received"}, b.events())
		})
	}
}

// TestOneReferenceTwoTotals: the same sender and reference with another total,
// or a reference of another width, is another message.
func TestOneReferenceTwoTotals(t *testing.T) {
	b := newBox(t)
	three := b.parts(ana, strings.Repeat("tres ", 70), 9)
	two := b.parts(ana, strings.Repeat("dos ", 50), 9)
	wide, err := pdu.DeliverTPDU(ana, strings.Repeat("ancho ", 60), b.clock.Now(), pdu.Options{Ref: 9, Wide: true})
	require.NoError(t, err)
	require.Equal(t, []int{3, 2, 3}, []int{len(three), len(two), len(wide)})
	for i := range 3 {
		b.ingest(three[i])
		if i < 2 {
			b.ingest(two[i])
		}
		raw, err := pdu.WithSMSC("+34600000000", wide[i])
		require.NoError(t, err)
		b.ingest(raw)
	}
	var texts []string
	for _, m := range b.list(Filter{}) {
		require.True(t, m.Complete)
		texts = append(texts, m.Text)
	}
	require.ElementsMatch(t, []string{strings.Repeat("tres ", 70), strings.Repeat("dos ", 50), strings.Repeat("ancho ", 60)}, texts)
}

// Test255Parts: the longest message there is, shuffled, with every part twice.
func Test255Parts(t *testing.T) {
	b := newBox(t)
	var text strings.Builder
	for i := range 255 {
		fmt.Fprintf(&text, "%03d%s", i, strings.Repeat("ñ", 150))
	}
	parts := b.parts(ana, text.String(), 200)
	require.Len(t, parts, 255)
	all := append(append([][]byte{}, parts...), parts...)
	r := rand.New(rand.NewPCG(3, 4))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	b.ingest(all...)
	list := b.list(Filter{})
	require.Len(t, list, 1)
	require.True(t, list[0].Complete)
	require.Equal(t, text.String(), list[0].Text)
	require.Equal(t, 255, list[0].Of)
	require.Equal(t, []string{"inbound.received"}, b.events())
	require.Equal(t, 255, b.count(`SELECT count(*) FROM inbound_raw`))
	require.Equal(t, 255, b.count(`SELECT sum(dup_count) FROM inbound_raw`))
}

// TestALongFlashMessageAndALongPush are what their parts are.
func TestALongFlashMessageAndALongPush(t *testing.T) {
	b := newBox(t)
	text := strings.Repeat("urgente ", 40)
	tpdus, err := pdu.DeliverTPDU(ana, text, b.clock.Now(), pdu.Options{Ref: 5, Flash: true})
	require.NoError(t, err)
	for i := range tpdus {
		raw, err := pdu.WithSMSC("+34600000000", tpdus[len(tpdus)-1-i])
		require.NoError(t, err)
		b.ingest(raw)
	}
	for n := range 2 {
		b.ingest(b.raw(0x44, 0, 0xF5, fmt.Sprintf("0E 0B 00 03 2A 02 %02X 05 04 0B84 23F0 %02X%02X", n+1, 0x61+n, 0x41)))
	}
	list := b.list(Filter{})
	require.Len(t, list, 2)
	require.Equal(t, []string{KindBinary, ""}, []string{list[0].Kind, list[0].Text})
	require.True(t, list[0].Complete)
	require.Equal(t, []string{KindFlash, text}, []string{list[1].Kind, list[1].Text})
	require.Len(t, b.events(), 2)
}

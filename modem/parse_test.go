package modem

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseRegistration(t *testing.T) {
	for _, c := range []struct {
		in          string
		unsolicited bool
		stat, act   int
		ok          bool
	}{
		{"0,1", false, 1, -1, true},
		{"000,001", false, 1, -1, true},
		{`2,1,"00C3","0000A1B2",7`, false, 1, 7, true},
		{`2,5,"00C3","0000A1B2"`, false, 5, -1, true},
		{`2,1,00C3,A1B2,2`, false, 1, 2, true},
		{`2,6,"00C3","0000A1B2",7,,`, false, 6, 7, true},
		{"1", true, 1, -1, true},
		{"2", true, 2, -1, true},
		{`1,"00C3","0000A1B2",7`, true, 1, 7, true},
		{`5,00C3,A1B2`, true, 5, -1, true},
		{`2,1`, true, 1, -1, true},
		{`2,1,"00C3","A1B2",0`, true, 1, 0, true},
		{"", false, 0, 0, false},
		{"ERROR", false, 0, 0, false},
		{"2,99", false, 0, 0, false},
	} {
		r, ok := parseRegistration(c.in, c.unsolicited)
		require.Equal(t, c.ok, ok, c.in)
		if ok {
			require.Equal(t, registration{Stat: c.stat, AcT: c.act}, r, c.in)
		}
	}
}

func TestRegistrationWords(t *testing.T) {
	words := map[int]string{0: "not_registered", 1: "home", 2: "searching", 3: "denied", 4: "unknown", 5: "roaming", 6: "sms_only", 7: "sms_only", 8: "unknown"}
	for stat, word := range words {
		r := registration{Stat: stat}
		require.Equal(t, word, r.word())
		require.Equal(t, stat == 1 || stat >= 5 && stat <= 7, r.registered(), stat)
	}
}

func TestParseSignal(t *testing.T) {
	sig, ok := parseSignal("17,0")
	require.True(t, ok)
	require.Equal(t, Signal{Known: true, RSSI: -79, BER: 0}, sig)
	sig, ok = parseSignal("0,99")
	require.True(t, ok)
	require.Equal(t, Signal{Known: true, RSSI: -113, BER: -1}, sig, "0 is a signal, the weakest")
	sig, ok = parseSignal("99,99")
	require.True(t, ok)
	require.Equal(t, Signal{BER: -1}, sig, "99 is unknown")
	_, ok = parseSignal("nonsense")
	require.False(t, ok)
}

func TestParseOperator(t *testing.T) {
	for in, want := range map[string]struct {
		name string
		act  int
	}{
		`0,0,"Movistar",7`:  {"Movistar", 7},
		`0,0,"vodafone ES"`: {"vodafone ES", -1},
		`0,2,"21407",2`:     {"21407", 2},
		`0`:                 {"", -1},
		`1,0,Orange, 0`:     {"Orange", 0},
		`0,0,"A,B",7`:       {"A,B", 7},
	} {
		name, act := parseOperator(in)
		require.Equal(t, want.name, name, in)
		require.Equal(t, want.act, act, in)
	}
}

func TestParseMemories(t *testing.T) {
	mem, ok := parseMemories(`"SM",3,30,"SM",3,30,"ME",0,100`, "")
	require.True(t, ok)
	require.Equal(t, memory{"SM", 3, 30}, mem)
	mem, ok = parseMemories(`3,30,3,30,3,30`, "ME")
	require.True(t, ok)
	require.Equal(t, memory{"ME", 3, 30}, mem)
	_, ok = parseMemories(``, "SM")
	require.False(t, ok)

	require.Equal(t, []string{"SM", "ME"}, parseMemoryNames(`("SM","ME"),("SM","ME"),("SM")`))
	require.Equal(t, []string{"SM", "BM", "SR"}, parseMemoryNames(`(("SM","BM","SR"),("SM"))`))
	require.Equal(t, []string{"ME", "MT", "SM", "SR"}, parseMemoryNames(`("ME","MT","SM","SR"), ("ME")`))
	require.Empty(t, parseMemoryNames(`(),(),()`))
}

func TestParseOwnNumber(t *testing.T) {
	require.Equal(t, "+34600111222", parseOwnNumber(`"Line 1","+34600111222",145`))
	require.Equal(t, "+34600111222", parseOwnNumber(`"","34600111222",145`))
	require.Equal(t, "600111222", parseOwnNumber(`,"600111222",129`))
	require.Equal(t, "600111222", parseOwnNumber(`"a,b","600111222"`), "the type may be missing")
	require.Equal(t, "", parseOwnNumber(`"","",129`))
	require.Equal(t, "", parseOwnNumber(`""`))
	require.Equal(t, "", parseOwnNumber(`"","*#62#",129`))
}

func TestParseICCID(t *testing.T) {
	for _, c := range []struct {
		want  string
		lines []string
	}{
		{"8934071234567890123", []string{"+CCID: 8934071234567890123"}},
		{"8934071234567890123", []string{"8934071234567890123F"}},
		{"8934071234567890123", []string{`+ICCID: "8934071234567890123"`}},
		{"8934071234567890123", []string{"^ICCID: 8934071234567890123F"}},
		{"8934071234567890123", []string{`+CRSM: 144,0,"984370214365870921F3"`}},
		{"", []string{"+CRSM: 106,130"}},
		{"", []string{"356938035643809"}},
		{"", nil},
	} {
		require.Equal(t, c.want, parseICCID(c.lines), c.lines)
	}
}

func TestParseListAndRead(t *testing.T) {
	list := parseList([]string{
		"+CMGL: 0,1,,24", "07913396050066F0", "+CMGL: 3,0,\"\",5", "0011AA",
		"+CMGL: 4,2,,9", // its PDU is lost
		"+CMGL: x,1,,3", "00",
	})
	require.Equal(t, []stored{{0, 1, "07913396050066F0", true}, {3, 0, "0011AA", true}, {4, 2, "", true}}, list)
	require.True(t, list[2].foreign())

	e, ok := parseRead([]string{"+CMGR: 0,,24", "07913396050066f0"}, 7)
	require.True(t, ok)
	require.Equal(t, stored{7, 0, "07913396050066f0", true}, e)
	_, ok = parseRead(nil, 7)
	require.False(t, ok, "a bare OK is no message")
	_, ok = parseRead([]string{"+CMGR: 0,,24"}, 7)
	require.False(t, ok)
}

func TestParseIndexes(t *testing.T) {
	require.Equal(t, []int{1, 3, 7}, parseIndexes("(1,3,7),(0-4)", 100))
	require.Equal(t, []int{0, 1, 2, 5}, parseIndexes("(0-2,5),(0-4)", 100))
	require.Len(t, parseIndexes("(1-999999999),(0-4)", 100), 100)
	require.Empty(t, parseIndexes("(),(0-4)", 100))
}

func TestParseHint(t *testing.T) {
	for in, want := range map[string]hint{
		` "SM",3`:  {mem: "SM", index: 3},
		`"ME", 12`: {mem: "ME", index: 12},
		`"SM",-1`:  {mem: "SM", index: -1},
		` ,-1`:     {index: -1},
		`,5`:       {index: -1},
		``:         {index: -1},
	} {
		mem, index := parseHint(in)
		require.Equal(t, want, hint{mem: mem, index: index}, in)
	}
}

func TestIdentity(t *testing.T) {
	require.Equal(t, "QUALCOMM INCORPORATED", identity([]string{"", "QUALCOMM INCORPORATED"}, "+CGMI"))
	require.Equal(t, "E3131", identity([]string{`+CGMM: "E3131"`}, "+CGMM"))
	require.Equal(t, "x", identity([]string{"x\x1b\x00"}, "+CGMM"), "no control characters")
	require.Equal(t, "356938035643809", digits("+CGSN: 356938035643809"))
	require.Equal(t, "214070000000001", imsi([]string{"", "214070000000001"}))
}

// FuzzAnswers feeds every parser with the same foreign bytes; what they give
// must be within what the snapshot promises.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		"+CREG: 2,1,\"00C3\",\"A1B2\",7", "+CREG: 000,001", `(("SM","BM","SR"),("SM"))`, "99,99", "0,0,\"x\",7",
		`"","600",129`, "+CRSM: 144,0,\"98437021436587\"", "+CSIM: 4,\"63C3\"", "+CMGL: 1,1,,3\n00", "+CMGR: 0,,3\n00",
		"(1-5),(0-4)", "\"SM\",-1", "+CPINR: SIM PIN,3", "\"", ",,,", ":", "+CMGL:", "(", "(-", "1-", "-2", "-2,-1", "\x86,0,0",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lines := strings.Split(s, "\n")
		for _, unsolicited := range []bool{false, true} {
			if r, ok := parseRegistration(s, unsolicited); ok {
				require.Contains(t, []string{"not_registered", "home", "searching", "denied", "unknown", "roaming", "sms_only"}, r.word())
				require.True(t, r.AcT >= -1 && r.AcT <= 20)
			}
		}
		if sig, ok := parseSignal(s); ok {
			require.True(t, !sig.Known && sig.RSSI == 0 || sig.RSSI >= -116 && sig.RSSI <= -25)
			require.True(t, sig.BER >= -1 && sig.BER <= 7)
		}
		name, _ := parseOperator(s)
		require.NotContains(t, name, "\x1b")
		if mem, ok := parseMemories(s, "SM"); ok {
			require.True(t, mem.Used >= 0 && mem.Total >= 0 && mem.Name != "")
		}
		for _, n := range parseMemoryNames(s) {
			require.Len(t, n, 2)
		}
		require.LessOrEqual(t, len(parseOwnNumber(s)), 16)
		if id := parseICCID(lines); id != "" {
			require.True(t, len(id) >= 18 && len(id) <= 20)
		}
		for _, e := range parseList(lines) {
			require.GreaterOrEqual(t, e.Index, 0)
		}
		parseRead(lines, 1)
		require.LessOrEqual(t, len(parseIndexes(s, 50)), 50)
		_, index := parseHint(s)
		require.GreaterOrEqual(t, index, -1)
		identity(lines, "+CGMI")
		imsi(lines)
	})
}

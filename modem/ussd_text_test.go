package modem

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"recado/modem/family"
)

func TestParseUSSD(t *testing.T) {
	for line, want := range map[string]ussdCode{
		`+CUSD: 0,"Saldo 5 EUR",15`:    {m: 0, text: "Saldo 5 EUR", has: true, dcs: 15},
		`+CUSD:1,"a",0`:                {m: 1, text: "a", has: true, dcs: 0},
		`+CUSD: 0, "Saldo", 64`:        {m: 0, text: "Saldo", has: true, dcs: 64},
		"+CUSD: 1,\"Menu\n1. a,b\",72": {m: 1, text: "Menu\n1. a,b", has: true, dcs: 72},
		`+CUSD: 2`:                     {m: 2, dcs: -1},
		`+CUSD: "4"`:                   {m: 4, dcs: -1},
		`+CUSD: 0,"",15`:               {m: 0, has: true, dcs: 15},
		`+CUSD: 0,"sin dcs"`:           {m: 0, text: "sin dcs", has: true, dcs: -1},
		`+CUSD: 0,"di "hola", ya",15`:  {m: 0, text: `di "hola", ya`, has: true, dcs: 15},
		`+CUSD: 0,"di "hola"`:          {m: 0, text: `di "hola`, has: true, dcs: -1},
		"+CUSD: 0,\"se pierde\nel fin": {m: 0, text: "se pierde\nel fin", has: true, dcs: -1},
		`+CUSD: 0,sin comillas, 5,15`:  {m: 0, text: "sin comillas, 5", has: true, dcs: 15},
		`+CUSD: 0,sin comillas`:        {m: 0, text: "sin comillas", has: true, dcs: -1},
		`+CUSD: 9,"x",999`:             {m: 9, text: `x",999`, has: true, dcs: -1},
		`+CUSD: ,"x",15`:               {m: -1, text: "x", has: true, dcs: 15},
		`+CUSD: 300,"x"`:               {m: -1, text: "x", has: true, dcs: -1},
		`+CUSD: 0,`:                    {m: 0, dcs: -1},
		`+CUSD: 0,"`:                   {m: 0, has: true, dcs: -1},
	} {
		got, ok := parseUSSD(line)
		require.True(t, ok, line)
		require.Equal(t, want, got, line)
	}
	_, ok := parseUSSD("+CUSDX: 1")
	require.False(t, ok)
}

func TestEncodeUSSD(t *testing.T) {
	for _, row := range []struct {
		coding        family.USSDCoding
		charset, want string
	}{
		{family.USSDText, "GSM", "*123#"}, {family.USSDText, "IRA", "*123#"}, {family.USSDText, "", "*123#"},
		{family.USSDText, "UCS2", "002A0031003200330023"}, {family.USSDUCS2, "UCS2", "002A0031003200330023"},
		{family.USSDText, "HEX", "2A31323323"}, {family.USSDPacked, "GSM", "AA986C3602"}, {family.USSDPacked, "UCS2", "AA986C3602"},
	} {
		got, ok := encodeUSSD("*123#", row.coding, row.charset)
		require.True(t, ok)
		require.Equal(t, row.want, got)
	}
	require.Equal(t, "*1#Aa +2", ussdText("*1#\"Aa\r\n\x1a +ñ2;"))
}

func TestDecodeUSSD(t *testing.T) {
	for _, row := range []struct {
		says, text string
		dcs        int
		charset    string
		packed     bool
		want       string
	}{
		{"plain", "Saldo: 5,20 EUR", 15, "GSM", false, "Saldo: 5,20 EUR"},
		{"the GSM alphabet", "Se\x05or\x7f 5\x1be }a\x00b ]", 15, "GSM", false, "Seéorà 5€ ña@b Ñ"},
		{"and IRA, where these are themselves", "a}[@_$", 15, "IRA", false, "a}[@_$"},
		{"UTF-8 though GSM was asked", "Válido mañana", 15, "GSM", false, "Válido mañana"},
		{"Latin-1", "Ma\xf1ana", 15, "8859-1", false, "Mañana"},
		{"UCS-2, 72", "00530061006C0064006F003A00200035201320AC", 72, "GSM", false, "Saldo: 5–€"},
		{"UCS-2, 0x48 is 72; 8", "0053006100ED", 8, "GSM", false, "Saí"},
		{"UCS-2 by another DCS with those bits", "041F044004380432043504420021", 0x58, "IRA", false, "Привет!"},
		{"an emoji", "D83DDE000021", 72, "GSM", false, "😀!"},
		{"AT+CSCS=\"UCS2\" whatever the DCS", "00530061006C0064006F", 15, "UCS2", false, "Saldo"},
		{"and without one", "00530061006C0064006F", -1, "UCS2", false, "Saldo"},
		{"UCS-2 that no DCS tells of", "00530061006C0064006F0020003520AC", 15, "GSM", false, "Saldo 5€"},
		{"half a character too much", "00530061006C0064006F00", 72, "GSM", false, "Saldo"},
		{"a digit too much", "00530061006C0064006F0", 72, "GSM", false, "Saldo"},
		{"a language, packed", "E53900530061006C0064006F", 0x11, "GSM", false, "Saldo"},
		{"a language, DCS missing", "E53900530061006C0064006F", -1, "GSM", false, "Saldo"},
		{"a language, as characters", "0065007300530061006C0064006F", 0x11, "GSM", false, "Saldo"},
		{"no language after all", "00530061006C0064006F", 0x11, "GSM", false, "Saldo"},
		{"a language in GSM 7-bit", "es\nSaldo: 5", 0x10, "GSM", false, "Saldo: 5"},
		{"GSM 7-bit, English", "Balance: 5", 1, "GSM", false, "Balance: 5"},
		{"packed", packedSaldo, 15, "GSM", true, "Su saldo es 12,34 €."},
		{"packed, DCS missing", packedSaldo, -1, "GSM", true, "Su saldo es 12,34 €."},
		{"packed, DCS 1", packedSaldo, 1, "GSM", true, "Su saldo es 12,34 €."},
		{"packed, from a modem of which it was not known", packedSaldo, 15, "GSM", false, "Su saldo es 12,34 €."},
		{"packed though AT+CSCS is UCS2", packedSaldo, 15, "UCS2", true, "Su saldo es 12,34 €."},
		{"hex that is none", "1250", 15, "GSM", false, "1250"},
		{"the same of a modem that packs", "1250", 15, "GSM", true, "1250"},
		{"the same with a DCS of UCS-2", "12501250", 72, "GSM", false, "12501250"},
		{"a number", "34600111222333", 15, "GSM", false, "34600111222333"},
		{"a word of hex digits", "CAFE", 15, "GSM", false, "CAFE"},
		{"an odd number of digits", "125", 15, "GSM", true, "125"},
		{"a DCS of UCS-2 and a plain text", "Saldo 5", 72, "GSM", false, "Saldo 5"},
		{"8-bit", "53616C646F", 0x44, "GSM", false, "Saldo"},
		{"Spanish is no 8-bit", "Saldo", 4, "GSM", false, "Saldo"},
		{"HEX", "53616C646F20357D", 15, "HEX", false, "Saldo 5ñ"},
		{"lines and controls", "a\r\nb\rc\td\x00\x1f\x7f", 15, "IRA", false, "a\nb\nc d"},
		{"nothing turns the line round", "00610062202E0063", 72, "GSM", false, "abc"},
		{"blank", "  ", 15, "GSM", false, ""},
		{"empty", "", 15, "GSM", true, ""},
	} {
		t.Run(row.says, func(t *testing.T) {
			require.Equal(t, row.want, decodeUSSD(row.text, row.dcs, row.charset, row.packed))
		})
	}
}

// packedSaldo is what a modem that packs says of a balance.
const packedSaldo = "D33A681E6693DFA0F21C1493B16634D0A6EC02"

func FuzzUSSD(f *testing.F) {
	for _, s := range []string{
		`+CUSD: 0,"Saldo 5 EUR",15`, "+CUSD: 1,\"Menu\n1. a\",72", `+CUSD: 2`, `+CUSD: 0,"0053006100ED",72`, `+CUSD: 0,"E53900530061",17`,
		`+CUSD: 0,"` + packedSaldo + `",15`, "+CUSD: 0,\"5\x1be\x00\",0", `+CUSD: ,"`, `+CUSD: 0,D83D,72`, "+CUSD: 0,\"\xff\xfe\",4", `+CUSD: 0,"D83DD83D202E",72`,
	} {
		f.Add(s, byte(0))
		f.Add(s, byte(7))
	}
	charsets := []string{"GSM", "UCS2", "IRA", "HEX", "8859-1", ""}
	f.Fuzz(func(t *testing.T, line string, how byte) {
		c, ok := parseUSSD(line)
		if !ok {
			c = ussdCode{text: line, dcs: int(how)}
		}
		text := decodeUSSD(c.text, c.dcs, charsets[int(how/2)%len(charsets)], how%2 == 1)
		if !utf8.ValidString(text) || utf8.RuneCountInString(text) > ussdLimit {
			t.Fatalf("%q", text)
		}
		if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }); i >= 0 {
			t.Fatalf("a control character at %d of %q", i, text)
		}
	})
}

package at

import (
	"encoding/hex"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// TestRedact_WithoutQuotesAndUnderOtherNames: what modems make of private things
// that do not look as the standard says.
func TestRedact_WithoutQuotesAndUnderOtherNames(t *testing.T) {
	for line, want := range map[string]string{
		`+CUSD: 0,Su saldo es 5 EUR,15`:       `+CUSD: 0,<text of 17>,15`,
		`+CUSD: 0,4829,15`:                    `+CUSD: 0,<text of 4>,15`,
		`AT+CUSD=1,AA180C3602,15`:             `AT+CUSD=1,<text of 10>,15`,
		`*PSUSSD: 0,"hola"`:                   `*PSUSSD: 0,<text of 4>`,
		`+CMT: "Banco",,"26/11/22,10:00:00"`:  `+CMT: <text of 5>,,<text of 17>`,
		`+CMGR: REC READ,MiBanco,,26/11/22`:   `+CMGR: <text of 8>,<text of 7>,,26/11/22`,
		`+CNUM : "Ana","600111222",129`:       `+CNUM : <text of 3>,"******222",129`,
		`^HCMGR: 600111222,2026,11,22,hola`:   `^HCMGR: <text of 9>,<text of 4>,11,22,<text of 4>`,
		`+CPBR: 3,"600111222",129,"Ana G"`:    `+CPBR: 3,"******222",129,<text of 5>`,
		`+CCWA: "600111222",129,1,"Ana"`:      `+CCWA: "******222",129,1,<text of 3>`,
		`ATD*101*4829#;`:                      `ATD<text of 11>`,
		`AT+CLCK="SC",1,"4829"`:               `AT+CLCK="SC",*,"****"`,
		`AT+CPIN="12345678","4829"`:           `AT+CPIN="********","****"`,
		`AT^CARDLOCK="48291357"`:              `AT^CARDLOCK="********"`,
		`AT+CSIM=26,"0020000108343832390000"`: `AT+CSIM=**,"**********************"`,
		`+XYZ: E8329BFD06DD`:                  `+XYZ: <hex of 12>`,
		`+CREG: 2,1,"00C3","0A1B2C3D"`:        `+CREG: 2,1,"00C3","0A1B2C3D"`,
		`+CMGL: 3,1,,28`:                      `+CMGL: 3,1,,28`,
		`+CMGS: 12`:                           `+CMGS: 12`,
	} {
		require.Equal(t, want, redact(line, false), line)
	}
	require.Equal(t, "<text of 6>", redact("482913", true), "a text of digits")
	require.Equal(t, "<text of 10>", redact("E8329BFD06", true), "a piece of a PDU")
}

// TestTrace_NothingPrivateHoweverItComes: a modem in text mode, a USSD answer
// over several lines and after its time, echoes that lost characters.
func TestTrace_NothingPrivateHoweverItComes(t *testing.T) {
	const number, text, pin = "+34600111222", "Clave 482913 Ana", "4829"
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		m.exchange(c, `+CPIN="`+pin+`"`, "AT+CPI=\""+pin+"\"\r\r\n+PIN: \""+pin+"\"\r\n\r\nOK\r\n")
		m.exchange(c, `+CUSD=1,"*101*`+pin+`#",15`, "AT+CSD=1,\"*101*"+pin+"#\"\r\r\nOK\r\n")
		m.says("\r\n+CMT: \"" + number + "\",,\"26/11/22,10:00:00+04\"\r\n" + text + "\r\n")
		m.says("\r\n+CUSD: 0,\"" + text + "\r\n" + text + "\r\n")
		m.exchange(c, "+CSQ", "\r\n"+text+"\r\n+CSQ: 20,99\r\n\r\nOK\r\n")
		synctest.Wait()
		m.says("\r\n482913\r\n" + strings.ToUpper(hex.EncodeToString([]byte(text)))[:10] + "\r\n$GPGGA,4024.4,N\r\n")
		m.exchange(c, "+CGSN", "\r\n867698041234567\r\n\r\nOK\r\n")
		synctest.Wait()
		var all strings.Builder
		for _, e := range m.seen {
			all.WriteString(e.Line + "\n")
		}
		for _, secret := range []string{"600111", "Clave", "Ana", "4829", "436C61", "4024", "86769804"} {
			require.NotContains(t, all.String(), secret)
		}
		require.Contains(t, all.String(), "+CSQ: 20,99")
		require.Contains(t, all.String(), "************567")
		require.Contains(t, all.String(), "$GPGGA<text of ")
	})
}

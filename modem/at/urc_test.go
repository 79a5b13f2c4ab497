package at

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A1: the library gives an unsolicited line to the handler and to the command.
func TestURC_InTheMiddleOfAnAnswer(t *testing.T) {
	for _, urc := range []string{
		"+CMTI: \"SM\",3", "+CDSI: \"SR\",0", "RING", "+CRING: VOICE", "NO CARRIER", "RDY", "Call Ready", "SMS Ready",
		"^RSSI: 20", "^BOOT:28912784,0,0,0,75", "^SYSSTART", "^SMMEMFULL: \"SM\"", "+SMS FULL", "+ZUSIMR:2", "+PACSP1",
		"+CREG: 5", "+CREG: 1,\"00C3\",\"00001234\",7", "+CREG: 1,00C3,00001234", "+CGREG: 2", "+CEREG: 1",
		"+CUSD: 0,\"Saldo: 5 EUR\",15", "+COPS: 0,0,\"Movistar\",7", "+CPIN: NOT READY", "+QIND: SMS DONE", "*PSUTTZ: 1,2",
		"POWERED DOWN", "DST: 0", "+CLIP: \"+34600111222\",145", "#STN: 33", "+CMGS: 12", "+CSQ: 3,3",
	} {
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			info := []string{"+CMGL: 1,1,,24", pduLine, "+CMGL: 2,1,,24", pduLine}
			for i := range len(info) + 1 {
				says := append(append(append([]string{}, info[:i]...), urc), info[i:]...)
				a := m.exchange(c, "+CMGL=4", "\r\n"+strings.Join(says, "\r\n\r\n")+"\r\n\r\nOK\r\n")
				require.Equal(t, answer{info: info}, a, urc)
				require.Equal(t, lines(urc), m.gotURCs())
			}
			m.says("\r\n" + urc + "\r\n") // with no command in flight
			require.Equal(t, lines(urc), m.gotURCs())
		})
	}
}

// The same code is an answer or unsolicited, depending on the command in flight
// and its shape.
func TestURC_SolicitedOrNot(t *testing.T) {
	for _, c := range []struct{ cmd, says, info, urcs string }{
		{"+CREG?", "+CREG: 2,1,\"00C3\",\"00001234\",7", "+CREG: 2,1,\"00C3\",\"00001234\",7", ""},
		{"+CREG?", "+CREG: 000,001", "+CREG: 000,001", ""},
		{"+CREG?", "+CREG: 2, 5", "+CREG: 2, 5", ""},
		{"+CREG?", "+CREG: 5|+CREG: 2,1", "+CREG: 2,1", "+CREG: 5"},
		{"+CREG?", "+CREG: 1,\"00C3\",\"00001234\",7|+CREG: 2,1", "+CREG: 2,1", "+CREG: 1,\"00C3\",\"00001234\",7"},
		{"+CREG?", "+CREG: 1,00C3,1234|+CREG: 2,1|+CREG: 2,5", "+CREG: 2,1", "+CREG: 1,00C3,1234|+CREG: 2,5"},
		{"+CREG=2", "+CREG: 2,1", "", "+CREG: 2,1"},
		{"+CREG=?", "+CREG: 1|+CREG: (0-2)", "+CREG: (0-2)", "+CREG: 1"},
		{"+CGREG?", "+CREG: 0,1|+CGREG: 0,1", "+CGREG: 0,1", "+CREG: 0,1"},
		{"+CEREG?", "+CEREG: 2,1,\"00C3\",\"01\",7", "+CEREG: 2,1,\"00C3\",\"01\",7", ""},
		{"+CPIN?", "+CPIN: SIM PIN", "+CPIN: SIM PIN", ""},
		{"+CPIN=\"1234\"", "+CPIN: READY", "", "+CPIN: READY"},
		{"+CFUN=1", "+CPIN: READY|Call Ready", "", "+CPIN: READY|Call Ready"},
		{"+CSQ", "+CSQ: 20,99|+CSQ: 21,99", "+CSQ: 20,99", "+CSQ: 21,99"},
		{"+COPS?", "+COPS: 0,0,\"Movistar\"", "+COPS: 0,0,\"Movistar\"", ""},
		{"+COPS=0", "+COPS: 0,0,\"Movistar\"", "", "+COPS: 0,0,\"Movistar\""},
		{"+COPS=?", "+COPS: (2,\"Movistar\",,\"21407\")", "+COPS: (2,\"Movistar\",,\"21407\")", ""},
		{"+CUSD?", "+CUSD: 1", "+CUSD: 1", ""},
		{"+CUSD=1,\"*100#\",15", "+CUSD: 0,\"5 EUR\",15", "", "+CUSD: 0,\"5 EUR\",15"},
		{"+CREG?;+CSQ", "+CREG: 0,1|^RSSI: 3|+CSQ: 20,99", "+CREG: 0,1|+CSQ: 20,99", "^RSSI: 3"},
		{"+CCID", "+ICCID: 8934", "+ICCID: 8934", ""},
		{"+CCID", "8934071100000000001", "8934071100000000001", ""},
		{"+CICCID", "+ICCID: 8934", "+ICCID: 8934", ""},
		{"+ZPINPUK=?", "+ZUSIMR:2|+ZPINPUK: 3,10", "+ZPINPUK: 3,10", "+ZUSIMR:2"},
		{"^ICCID?", "^RSSI: 1|^ICCID: 8934", "^ICCID: 8934", "^RSSI: 1"},
		{"+CGMI", "huawei", "huawei", ""},
		{"+CLAC", "+CREG|+CSQ|^RSSI", "+CREG|+CSQ|^RSSI", ""},
		{"", "hello", "", "hello"},
		{"E0", "RING", "", "RING"},
		{"+CNUM", "+CNUM: \"Own\",\"+34600111222\",145", "+CNUM: \"Own\",\"+34600111222\",145", ""},
		{"+CLIP?", "+CLIP: \"600111222\",129|+CLIP: 1,1", "+CLIP: 1,1", "+CLIP: \"600111222\",129"},
		{"+CNMI?", "+CNMI: 2,1,0,1,0", "+CNMI: 2,1,0,1,0", ""},
		{"+CPMS=\"SM\"", "+CPMS: 1,20,1,20,1,20", "+CPMS: 1,20,1,20,1,20", ""},
	} {
		bubble(t, func(t *testing.T) {
			ch, m := start(t, Options{})
			a := m.exchange(ch, c.cmd, "\r\n"+strings.ReplaceAll(c.says, "|", "\r\n\r\n")+"\r\n\r\nOK\r\n")
			require.NoError(t, a.err)
			require.Equal(t, c.info, strings.Join(a.info, "|"), "%s: %s", c.cmd, c.says)
			var got []string
			for _, u := range m.gotURCs() {
				got = append(got, u.Line)
			}
			require.Equal(t, c.urcs, strings.Join(got, "|"), "%s: %s", c.cmd, c.says)
		})
	}
}

func TestURC_Trailers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		for _, head := range []string{"+CMT: ,24", "+CMT: \"Ana\",24", "+CDS: 24", "+CDS: ,24", "+CDS:24", "+CBM: 24", "+CMT: 24 "} {
			m.says("\r\n" + head + "\r\n" + pduLine + "\r\n")
			require.Equal(t, []URC{{Line: strings.TrimSpace(head), Trailer: pduLine}}, m.gotURCs())
			// within an answer, also between a header and its PDU
			a := m.exchange(c, "+CMGR=1", "\r\n+CMGR: 1,,24\r\n\r\n"+head+"\r\n"+pduLine+"\r\n"+pduLine+"\r\n\r\nOK\r\n")
			require.Equal(t, answer{info: []string{"+CMGR: 1,,24", pduLine}}, a)
			require.Equal(t, []URC{{Line: strings.TrimSpace(head), Trailer: pduLine}}, m.gotURCs())
		}
		m.says("\r\n+CDS: 6,5,\"+34600\",145,\"26/09/30\",\"26/09/30\",0\r\n") // text mode has no PDU line
		require.Equal(t, lines("+CDS: 6,5,\"+34600\",145,\"26/09/30\",\"26/09/30\",0"), m.gotURCs())
		m.says("\r\n+CMT: ,99\r\n" + pduLine + "\r\n") // a modem that counts wrongly
		require.Equal(t, []URC{{Line: "+CMT: ,99", Trailer: pduLine}}, m.gotURCs())
	})
}

// A2: a lost trailer eats the next line in the library, were it OK, and blocks
// the handlers for ever.
func TestURC_ALostTrailer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		for _, x := range []struct {
			cmd, says string
			want      answer
		}{
			{"+CSQ", "+CMT: ,24|+CSQ: 1,0|OK", answer{info: []string{"+CSQ: 1,0"}}},
			{"+CSQ", "+CSQ: 1,0|+CMT: ,24|OK", answer{info: []string{"+CSQ: 1,0"}}},
			{"+CSQ", "+CMT: ,24|ERROR", answer{err: ErrFailed}},
			{"+CSQ", "+CMT: ,24|+CMS ERROR: 302", answer{err: CMSError(302)}},
			{"+CSQ", "+CSQ: 1,0|+CUSD: 1,\"no end|OK", answer{info: []string{"+CSQ: 1,0"}}},
			{"+CSQ", "+CUSD: 1,\"no end|+CSQ: 1,0|OK", answer{info: []string{"+CSQ: 1,0"}}},
			{"+CGSN", "+CMT: ,24|867698041234567|OK", answer{info: []string{"867698041234567"}}},
			{"+CCID", "+CMT: ,24|89340711000000000012|OK", answer{info: []string{"89340711000000000012"}}},
			{"+CMGR=1", "+CMGR: 1,,24|+CDS: 30|" + pduLine + "|OK", answer{info: []string{"+CMGR: 1,,24", pduLine}}},
		} {
			a := m.exchange(c, x.cmd, "\r\n"+strings.ReplaceAll(x.says, "|", "\r\n\r\n")+"\r\n")
			require.Equal(t, x.want, a, x.says)
			got := m.gotURCs()
			require.Len(t, got, 1)
			require.Empty(t, got[0].Trailer, x.says)
		}
		m.says("\r\n+CMT: ,24\r\n")
		time.Sleep(trailerTimeout - time.Millisecond)
		require.Empty(t, m.gotURCs())
		time.Sleep(time.Millisecond)
		require.Equal(t, lines("+CMT: ,24"), m.gotURCs())
		m.says("\r\n+CMT: ,24\r\n\r\n+CMTI: \"SM\",1\r\n")
		require.Equal(t, lines("+CMT: ,24", "+CMTI: \"SM\",1"), m.gotURCs())
		m.says("\r\n+CUSD: 1,\"no end\r\n")
		time.Sleep(trailerTimeout)
		require.Equal(t, lines("+CUSD: 1,\"no end"), m.gotURCs())
	})
}

// The PDU that ATE1 echoes must not pass for the lost trailer of a URC.
func TestURC_TheEchoIsNoTrailer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		long := make([]byte, 40)
		done := make(chan Submission)
		go func() { done <- c.Submit(t.Context(), long, nil) }()
		m.hears("AT+CMGS=40\r")
		m.says("\r\n> ")
		body := <-m.got
		m.says("\r\n+CDS: 40\r\n" + strings.TrimSuffix(body, ctrlZ) + "\r\n\r\n+CMGS: 3\r\nOK\r\n")
		require.Equal(t, 3, (<-done).MR)
		require.Equal(t, lines("+CDS: 40"), m.gotURCs())
	})
}

func TestURC_USSDOverSeveralLines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		m.says("\r\n+CUSD: 1,\"Menu\r\n1. Saldo\r\n+34 600\r\n2. Bonos\",15\r\n")
		require.Equal(t, lines("+CUSD: 1,\"Menu\n1. Saldo\n+34 600\n2. Bonos\",15"), m.gotURCs())
		a := m.exchange(c, "+CUSD=1,\"*100#\",15", "\r\nOK\r\n")
		require.NoError(t, a.err)
	})
}

// What a text contains is text, whatever it looks like, also while a command
// waits for its answer.
func TestURC_USSDTextThatLooksLikeSomethingElse(t *testing.T) {
	for _, text := range []string{
		"\"Menu\nOK\n+CMTI: \"SM\",3\nERROR\n+CMS ERROR: 500\n1. Saldo\",15",
		"\"Su plan \"Plus\"\nvale\",15", "\"di \"hola\nya\",15", "\"a \"b\" c\",0", "\"a \"b\"\nc\"", "\"\nvacio\",15", "\"uno \"dos\",15",
		"\"a\n> \n0\n4\nNA\nb\"", "\"uno\nRING\n867698041234567\", 72", "\"5\x1be, d\x05bito\n\x1b(a\x1b)\x00\x7f\",15",
	} {
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			urc := "+CUSD: 1," + text
			says := "\r\n" + strings.ReplaceAll(urc, "\n", "\r\n") + "\r\n"
			want := lines(strings.ReplaceAll(strings.ReplaceAll(urc, "\n\n", "\n"), "> \n", ">\n"))
			m.says(says)
			require.Equal(t, want, m.gotURCs(), "nothing in flight")
			for _, cmd := range []string{"+CUSD=1,\"*100#\",15", "+CREG?", "+CGSN", "E0"} {
				began := time.Now()
				require.Equal(t, answer{}, m.exchange(c, cmd, says+"\r\nOK\r\n"), cmd)
				require.Zero(t, time.Since(began), "nothing is waited for")
				require.Equal(t, want, m.gotURCs(), cmd)
			}
		})
	}
}

// A closing quote that never comes costs a moment: what came after it is not lost.
func TestURC_ALostQuote(t *testing.T) {
	for _, x := range []struct {
		cmd, says string
		want      answer
		urcs      []string
		wait      time.Duration
	}{
		{"+CUSD=1,\"*1#\",15", "+CUSD: 1,\"Menu|1. Saldo|OK", answer{}, []string{"+CUSD: 1,\"Menu\n1. Saldo"}, holdTimeout},
		{"+CREG?", "+CREG: 0,1|+CUSD: 1,\"Menu|OK", answer{info: []string{"+CREG: 0,1"}}, []string{"+CUSD: 1,\"Menu"}, holdTimeout},
		{"+COPS?", "+CUSD: 1,\"Menu|+COPS: 0,0,\"Movistar\",7|OK", answer{info: []string{"+COPS: 0,0,\"Movistar\",7"}}, []string{"+CUSD: 1,\"Menu"}, holdTimeout},
		{"+CGSN", "+CUSD: 1,\"Menu|867698041234567|OK", answer{info: []string{"867698041234567"}}, []string{"+CUSD: 1,\"Menu"}, holdTimeout},
		{"+CSQ", "+CUSD: 1,\"Menu|a|+CMTI: \"SM\",1|+CMS ERROR: 302", answer{err: CMSError(302)}, []string{"+CUSD: 1,\"Menu", "+CMTI: \"SM\",1"}, holdTimeout},
		{"+CSQ", "+CUSD: 1,\"a|+CUSD: 1,\"b|+CUSD: 1,\"c|+CSQ: 1,1|OK", answer{info: []string{"+CSQ: 1,1"}}, []string{"+CUSD: 1,\"a", "+CUSD: 1,\"b", "+CUSD: 1,\"c"}, holdTimeout},
		{"E0", "+CUSD: 1,\"" + strings.Repeat("x|", maxText/2) + "OK", answer{}, nil, 0},
	} {
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			began := time.Now()
			require.Equal(t, x.want, m.exchange(c, x.cmd, "\r\n"+strings.ReplaceAll(x.says, "|", "\r\n")+"\r\n"), x.says)
			require.Equal(t, x.wait, time.Since(began), x.says)
			var got []string
			for _, u := range m.gotURCs() {
				got = append(got, u.Line)
			}
			if x.urcs != nil {
				require.Equal(t, x.urcs, got)
			}
			require.Equal(t, answer{info: []string{"+CSQ: 9,9"}}, m.exchange(c, "+CSQ", "\x00+CSQ: 9,9\x1a\r\nOK\r\n"), "the next is not disturbed")
		})
	}
	bubble(t, func(t *testing.T) { // chatter does not hold an answer for ever
		c, m := start(t, Options{})
		done := command(c, "+CSQ", 10*time.Second)
		m.hears("AT+CSQ\r")
		m.says("\r\n+CSQ: 1,1\r\n+CUSD: 1,\"Menu\r\nOK\r\n")
		began := time.Now()
		for range 8 {
			time.Sleep(200 * time.Millisecond)
			m.says("\r\n^RSSI: 3\r\n")
		}
		require.Equal(t, answer{info: []string{"+CSQ: 1,1"}}, <-done)
		require.Len(t, m.gotURCs(), 9)
		require.Equal(t, 1600*time.Millisecond, time.Since(began))
	})
}

// A9: the library calls each handler in a goroutine of its own.
func TestURC_TheOrderIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, m := start(t, Options{})
		var want []URC
		for i := range 300 {
			line := fmt.Sprintf("+CMTI: \"SM\",%d", i)
			want = append(want, URC{Line: line})
			m.says("\r\n" + line + "\r\n")
		}
		require.Equal(t, want, m.gotURCs())
	})
}

// ZTE sticks flood until they crash. A slow handler costs chatter, not memory,
// no PDU, and no answer.
func TestURC_AFloodAndASlowHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var got []URC
		release := make(chan struct{})
		c, m := start(t, Options{URC: func(u URC) { <-release; got = append(got, u) }})
		for range 100 {
			m.says(strings.Repeat("\r\n+ZUSIMR:2\r\n", 100))
		}
		m.says("\r\n+CMT: ,24\r\n" + pduLine + "\r\n")
		require.Equal(t, answer{info: []string{"+CSQ: 1,0"}}, m.exchange(c, "+CSQ", "+CSQ: 1,0\r\nOK\r\n"))
		close(release)
		synctest.Wait()
		require.LessOrEqual(t, len(got), 2*maxChatter+1)
		require.Equal(t, URC{Line: "+CMT: ,24", Trailer: pduLine}, got[len(got)-1])
	})
}

func TestTrace_HidesWhatIsPrivate(t *testing.T) {
	for line, want := range map[string]string{
		`AT+CPIN="1234"`:                      `AT+CPIN="****"`,
		`AT+CPIN="12345678","4321"`:           `AT+CPIN="********","****"`,
		`AT+CLCK="SC",1,"1234"`:               `AT+CLCK="SC",*,"****"`,
		`AT+CPWD="SC","1234","5678"`:          `AT+CPWD="SC","****","****"`,
		`AT^CPIN="1234"`:                      `AT^CPIN="****"`,
		`+CPIN: SIM PIN`:                      `+CPIN: SIM PIN`,
		`+CMTI: "SM",3`:                       `+CMTI: "SM",3`,
		`+CMGS: 12`:                           `+CMGS: 12`,
		`AT+CMGS=23`:                          `AT+CMGS=23`,
		`+CNUM: "Ana","+34600111222",145`:     `+CNUM: <text of 3>,"+********222",145`,
		`+CLIP: "600111222",129,,,"Ana"`:      `+CLIP: "******222",129,,,<text of 3>`,
		`+CSCA: "+34609090909",145`:           `+CSCA: "+********909",145`,
		`+CUSD: 0,"Su PIN es 12",15`:          `+CUSD: 0,<text of 12>,15`,
		`+CUSD: 1,"Menu`:                      `+CUSD: 1,<text of 4>`,
		`AT+CUSD=1,"*101*1234#",15`:           `AT+CUSD=1,<text of 10>,15`,
		`867698041234567`:                     `************567`,
		`89340711000000000012`:                `*****************012`,
		pduLine:                               `<PDU of 32 octets>`,
		`+CMGS: 7,010062900321102080`:         `+CMGS: 7,***************080`,
		`+CREG: 2,1,"00C3","00001234",7`:      `+CREG: 2,1,"00C3","00001234",7`,
		`+CRSM: 144,0,"98437011000000000021"`: `+CRSM: 144,0,"*****************021"`,
		`+CUSD: 0,"00530061006C0064006F",72`:  `+CUSD: 0,<text of 20>,72`,
		"+COPS: 0,0,\"Movi\x01star\"":         `+COPS: 0,0,"Movi.star"`,
		`SIMCOM_SIM7600E`:                     `SIMCOM_SIM7600E`,
		`F0034600111222`:                      `F**********222`,
	} {
		require.Equal(t, want, redact(line, false))
	}
	require.Equal(t, "<text of 4>", redact("Hola", true))
	require.Len(t, redact(strings.Repeat("x", 5000), false), maxTrace+len("…"))
}

func TestTrace_OfADialogue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		m.exchange(c, "+CPIN=\"1234\"", "AT+CPIN=\"1234\"\r\r\nOK\r\n")
		done := submit(t.Context(), c, opened)
		m.hears(cmgs)
		m.says("\r\n> ")
		m.hears(sent)
		m.says("\r\n+CMGS: 1\r\nOK\r\n")
		<-done
		m.exchange(c, "+CMGR=1", "\r\n+CMGR: \"REC READ\",\"+34600111222\"\r\nHola Ana\r\nOK\r\n")
		synctest.Wait()
		var got []string
		for _, e := range m.seen {
			got = append(got, map[bool]string{true: "→ ", false: "← "}[e.Out]+e.Line)
		}
		require.Equal(t, []string{
			`→ AT+CPIN="****"`, `← AT+CPIN="****"`, `← OK`,
			`→ AT+CMGS=5`, `← >`, `→ <PDU of 6 octets><Ctrl-Z>`, `← +CMGS: 1`, `← OK`,
			`→ AT+CMGR=1`, `← +CMGR: <text of 8>,"+********222"`, `← <text of 8>`, `← OK`,
		}, got)
	})
}

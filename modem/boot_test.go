package modem

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// plain is the script of a modem that does what a driver needs at the least.
func plain() map[string]string {
	return map[string]string{
		"E0": "", "+CMGF=0": "", "+CPIN?": "+CPIN: READY", "+CIMI": "214070000000001", "+CREG?": "+CREG: 0,1",
		"+CPMS=?": `+CPMS: ("SM"),("SM"),("SM")`, `+CPMS="SM","SM","SM"`: "+CPMS: 0,10,0,10,0,10", "+CPMS?": `+CPMS: "SM",0,10`,
		"+CMGL=4": "", "+CSQ": "+CSQ: 20,99", "+COPS?": "+COPS: 0", "+CNMI=2,1,0,1,0": "", "+CNMI?": "+CNMI: 2,1,0,1,0", "+CMGF?": "+CMGF: 0",
		"V1": "", "Q0": "", "+CMEE=1": "", "+CGSN": "356938035643809", "+CCID": "+CCID: 8934079900000000011",
	}
}

// TestLateBootLinesEndNoSubmission: "SMS Ready" and its like come up to a
// minute after a start, or when the SIM was read anew: the answer still comes.
func TestLateBootLinesEndNoSubmission(t *testing.T) {
	for _, line := range []string{"SMS Ready", "Call Ready", "SMS DONE", "PB DONE", "+CFUN: 1", "+QIND: SMS DONE"} {
		t.Run(line, func(t *testing.T) {
			scripted(t, plain(), func(l *lifeOf, p *peer) {
				l.ready()
				p.mu.Lock()
				p.submitted = func(c io.Writer) {
					time.Sleep(2 * time.Second) // the network's, in the bubble's time
					io.WriteString(c, "\r\n"+line+"\r\n")
					time.Sleep(2 * time.Second)
					io.WriteString(c, "\r\n+CMGS: 9\r\n\r\nOK\r\n")
				}
				p.mu.Unlock()
				settings, sims := p.count("AT+CNMI?"), p.count("AT+CCID")
				o, _ := l.send("+34600111222", "hola")
				require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
				require.Equal(l.t, 9, o.MR)
				l.pass(5 * time.Second)
				require.Equal(l.t, 1, p.count("AT+CMEE"), "it has not restarted")
				require.Greater(l.t, p.count("AT+CNMI?"), settings, "but the settings are looked at")
				require.Greater(l.t, p.count("AT+CCID"), sims, "and the SIM")
			})
		})
	}
}

// TestAnswerAfterABootLine: what looked like a restart was none.
func TestAnswerAfterABootLine(t *testing.T) {
	scripted(t, plain(), func(l *lifeOf, p *peer) {
		l.ready()
		p.mu.Lock()
		p.submitted = func(c io.Writer) {
			io.WriteString(c, "\r\nRDY\r\n")
			time.Sleep(2 * time.Second)
			io.WriteString(c, "\r\n+CMGS: 9\r\n\r\nOK\r\n")
		}
		p.mu.Unlock()
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Ambiguous, o.Verdict)
		require.Equal(l.t, "rebooted", o.Code)
		require.NotNil(l.t, o.Late)
		late, ok := <-o.Late
		require.True(l.t, ok)
		require.Equal(l.t, Accepted, late.Verdict)
		require.Equal(l.t, 9, late.MR)
		l.until("a new look at it", 30*time.Second, func() bool { return p.count("AT+CMEE") == 2 })
		l.ready()
		require.Zero(l.t, l.m.Snapshot().AmbiguousRecent)
	})
}

package emulator

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// scene is one fault and what the host sees of it.
type scene struct {
	fault Fault
	// do plays it on a quiet modem with CNMI 2,1,0,1,0.
	do func(h *host, n *Network, m *Modem) string
	// want is in what do heard; or all of it when it starts with =.
	want string
	// accepted and answered are of the last submission; -1: there is none.
	accepted, answered int
}

func sendHello(h *host, _ *Network, _ *Modem) string {
	h.submit(submitTPDU("+34600111222", "hola"))
	return h.heard()
}

func inbound(h *host, n *Network, m *Modem) string {
	_ = n.Inbound(m.ICCID(), "+34600222333", "hola")
	return h.heard()
}

func say(line string) func(*host, *Network, *Modem) string {
	return func(h *host, _ *Network, _ *Modem) string { return h.command(line) }
}

func TestFaults(t *testing.T) {
	no := -1
	scenes := []scene{
		{Fault{Kind: FaultURC, On: "+CSQ", Text: "RING"}, say("+CSQ"), "=\r\nRING\r\n\r\n+CSQ: 14,99\r\n\r\nOK\r\n", no, no},
		{Fault{Kind: FaultURC, On: "+CMGL", Code: 1}, func(h *host, n *Network, m *Modem) string {
			inbound(h, n, m)
			got := h.command("+CMGL=4")
			return got[:strings.LastIndex(got, "0791")]
		}, "=\r\n+CMGL: 1,0,,23\r\n\r\n+CMTI: \"SM\",0\r\n\r\n", no, no},
		{Fault{Kind: FaultLostTrailer}, func(h *host, n *Network, m *Modem) string {
			h.command("+CNMI=2,2,0,1,0")
			return inbound(h, n, m) + h.command("")
		}, "=\r\n+CMT: ,23\r\n\r\nOK\r\n", no, no},
		{Fault{Kind: FaultLateCMGS, Delay: 135 * time.Second}, func(h *host, n *Network, m *Modem) string {
			if got := sendHello(h, n, m); got != "\r\n+CDS: " && strings.Contains(got, "+CMGS") {
				return "too early"
			}
			h.write("AT+CSQ\r")
			h.after(134 * time.Second)
			got := h.after(time.Second)
			return got[:strings.Index(got, "+CSQ")]
		}, "=\r\n+CMGS: 0\r\n\r\nOK\r\n\r\n", 1, 1},
		{Fault{Kind: FaultNeverCMGS}, func(h *host, n *Network, m *Modem) string {
			h.command("+CNMI=2,1,0,0,0")
			return sendHello(h, n, m) + h.after(time.Hour) + h.command("")
		}, "=\r\nOK\r\n", 1, 0},
		{Fault{Kind: FaultLostSubmit}, func(h *host, n *Network, m *Modem) string {
			return sendHello(h, n, m) + h.after(time.Hour)
		}, "=", 0, 0},
		{Fault{Kind: FaultCMSSent}, sendHello, "\r\n+CMS ERROR: 500\r\n", 1, 0},
		{Fault{Kind: FaultCMSRefused, Code: 42}, sendHello, "=\r\n+CMS ERROR: 42\r\n", 0, 1},
		{Fault{Kind: FaultErrorAfterPDU}, sendHello, "=\r\nERROR\r\n", 0, 1},
		{Fault{Kind: FaultCMSBeforePrompt}, say("+CMGS=18"), "=\r\n+CMS ERROR: 302\r\n", no, no},
		{Fault{Kind: FaultNoPrompt}, func(h *host, _ *Network, _ *Modem) string {
			got := h.command("+CMGS=18") + h.after(time.Hour)
			h.write("\x1b")
			return got + h.heard()
		}, "=\r\nOK\r\n", no, no},
		{Fault{Kind: FaultLatePrompt, Delay: 9 * time.Second}, func(h *host, _ *Network, _ *Modem) string {
			return h.command("+CMGS=18") + h.after(9*time.Second-1) + "|" + h.after(1)
		}, "=|\r\n> ", no, no},
		{Fault{Kind: FaultDoublePrompt}, sendHello, "\r\n> \r\n+CMGS: 0\r\n", 1, 1},
		{Fault{Kind: FaultPromptCR}, say("+CMGS=18"), "=\r> ", no, no},
		{Fault{Kind: FaultGarbage, On: "+CREG"}, say("+CREG?"), "\x00\xff", no, no},
		{Fault{Kind: FaultPartial, Delay: time.Second}, func(h *host, _ *Network, _ *Modem) string {
			return h.command("") + "|" + h.after(time.Second) + "|" + h.after(10*time.Second)
		}, "=\r|\n|OK\r\n", no, no},
		{Fault{Kind: FaultStuckReader, Delay: time.Minute}, func(h *host, _ *Network, _ *Modem) string {
			wrote := make(chan struct{})
			go func() {
				defer close(wrote)
				_, _ = h.port.Write([]byte("AT\r"))
			}()
			select {
			case <-wrote:
				return "the write did not block"
			case <-time.After(59 * time.Second):
			}
			<-wrote
			return h.heard()
		}, "=\r\nOK\r\n", no, no},
		{Fault{Kind: FaultStuckReader, On: "+CMGS", Delay: time.Minute}, func(h *host, n *Network, m *Modem) string {
			h.write("AT+CMGS=" + itoa(len(submitTPDU("+34600111222", "hola"))) + "\r")
			got := h.heard()
			go func() { _, _ = h.port.Write([]byte("00" + upperHex(submitTPDU("+34600111222", "hola")) + "\x1a")) }()
			return got + h.after(59*time.Second) + h.after(2*time.Second)
		}, "\r\n> \r\n+CMGS: 0", 1, 1},
		{Fault{Kind: FaultMute, On: "+CSQ"}, func(h *host, _ *Network, _ *Modem) string {
			return h.command("+CSQ") + h.after(time.Hour) + h.command("")
		}, "=\r\nOK\r\n", no, no},
		{Fault{Kind: FaultSlow, Delay: 3 * time.Second}, func(h *host, _ *Network, _ *Modem) string {
			return h.command("") + "|" + h.after(3*time.Second)
		}, "=|\r\nOK\r\n", no, no},
		{Fault{Kind: FaultAnswer, On: "+CPIN", Text: "+CPIN: \"READY\"\n\n"}, say("+CPIN?"), "=+CPIN: \"READY\"\n\n", no, no},
		{Fault{Kind: FaultError, On: "+CPMS"}, say("+CPMS?"), "=\r\nERROR\r\n", no, no},
		{Fault{Kind: FaultError, On: "+CPMS", Code: 322}, say("+CPMS?"), "=\r\n+CMS ERROR: 322\r\n", no, no},
		{Fault{Kind: FaultError, On: "+COPS", Code: 30}, say("+COPS?"), "=\r\n+CME ERROR: 30\r\n", no, no},
		{Fault{Kind: FaultLostResult}, say("+CSQ"), "=\r\n+CSQ: 14,99\r\n", no, no},
		{Fault{Kind: FaultCPINNoOK}, say("+CPIN?"), "=\r\n+CPIN: READY\r\n", no, no},
		{Fault{Kind: FaultCPINBareOK}, say("+CPIN?"), "=\r\nOK\r\n", no, no},
		{Fault{Kind: FaultSIMBusy, Count: 2}, func(h *host, _ *Network, _ *Modem) string {
			return h.command("+CIMI") + h.command("+CPMS?") + h.command("+CIMI")
		}, "=\r\n+CME ERROR: 14\r\n\r\n+CMS ERROR: 314\r\n\r\n214070004000000\r\n\r\nOK\r\n", no, no},
		{Fault{Kind: FaultCMGL}, func(h *host, _ *Network, _ *Modem) string {
			return h.command(`+CMGL="ALL"`) + h.command("+CMGL=4")
		}, "=\r\nOK\r\n\r\n+CMS ERROR: 303\r\n", no, no},
		{Fault{Kind: FaultCMGRBareOK}, func(h *host, n *Network, m *Modem) string {
			inbound(h, n, m)
			return h.command("+CMGR=1") + h.command("+CMGR=1")
		}, "\r\nOK\r\n\r\n+CMGR: 0,,23", no, no},
		{Fault{Kind: FaultCMTIMinus}, inbound, "=\r\n+CMTI: \"SM\",-1\r\n", no, no},
		{Fault{Kind: FaultLostCMTI}, inbound, "=", no, no},
		{Fault{Kind: FaultCMTIWrong, Text: "ME", Code: 0}, inbound, "=\r\n+CMTI: \"ME\",0\r\n", no, no},
		{Fault{Kind: FaultStorageLies, Code: 7}, say("+CPMS?"), `"SM",7,30`, no, no},
		{Fault{Kind: FaultDeleteFails}, func(h *host, n *Network, m *Modem) string {
			inbound(h, n, m)
			return h.command("+CMGD=1") + h.command("+CMGR=1")
		}, "\r\nOK\r\n\r\n+CMGR: 0,,23", no, no},
		{Fault{Kind: FaultEchoStuck}, func(h *host, _ *Network, _ *Modem) string {
			h.command("E1")
			h.command("E0")
			return h.command("")
		}, "=AT\r\r\nOK\r\n", no, no},
		{Fault{Kind: FaultDuplicateInbound}, inbound, "=\r\n+CMTI: \"SM\",1\r\n\r\n+CMTI: \"SM\",2\r\n", no, no},
	}
	for _, sc := range scenes {
		t.Run(string(sc.fault.Kind), func(t *testing.T) {
			one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
				h.quiet().command("+CNMI=2,1,0,1,0")
				m.Inject(sc.fault)
				got := sc.do(h, n, m)
				if exact, ok := strings.CutPrefix(sc.want, "="); ok {
					require.Equal(t, exact, got)
				} else {
					require.Contains(t, got, sc.want)
				}
				l := typed(n, EntrySubmit)
				if sc.accepted < 0 {
					require.Empty(t, l)
				} else {
					require.Equal(t, []bool{sc.accepted == 1, sc.answered == 1}, []bool{l[0].Accepted, l[0].Answered})
				}
				// Once is once.
				require.Empty(t, m.faults)
			})
		})
	}
}

func TestReportBeforeTheAnswer(t *testing.T) {
	one(t, NetworkOptions{ReportDelay: time.Minute}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet().command("+CNMI=2,1,0,1,0")
		m.Inject(Fault{Kind: FaultCDSFirst})
		got := sendHello(h, n, m)
		require.Less(t, strings.Index(got, "+CDS: "), strings.Index(got, "+CMGS: "), got)
		require.True(t, strings.HasPrefix(got, "\r\n+CDS: "), got)
	})
}

func TestPowerFaultsInEachPhase(t *testing.T) {
	for _, kind := range []FaultKind{FaultUnplug, FaultReboot} {
		for phase, accepted := range map[Phase]int{PhaseCommand: -1, PhasePrompt: -1, PhasePDU: 0, PhaseAccepted: 1} {
			t.Run(string(kind)+" "+string(phase), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := NewNetwork(NetworkOptions{})
					m := n.AddModem(ModemOptions{})
					h := open(t, m)
					h.quiet()
					m.Inject(Fault{Kind: kind, Phase: phase, Delay: 3 * time.Second})
					_, _ = h.port.Write([]byte("AT+CMGS=18\r"))
					h.heard()
					_, _ = h.port.Write([]byte("0021000B914306111122F2000005C8329BFD06\x1a"))
					h.heard()
					_, err := h.port.Read(make([]byte, 1))
					require.ErrorIs(t, err, io.EOF)
					l := typed(n, EntrySubmit)
					if accepted < 0 {
						require.Empty(t, l)
					} else {
						require.Len(t, l, 1)
						require.Equal(t, accepted == 1, l[0].Accepted)
						require.False(t, l[0].Answered)
					}
					time.Sleep(6 * time.Second)
					h2 := open(t, m)
					require.Contains(t, h2.command(""), "OK")
					h2.close()
					require.NoError(t, n.Close())
				})
			})
		}
	}
}

func TestRegistrationFaults(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet().command("+CREG=1")
		m.Inject(Fault{Kind: FaultRegistrationLost, Delay: time.Minute})
		require.Equal(t, "\r\n+CREG: 2\r\n", h.heard())
		require.Contains(t, h.command("+CREG?"), "+CREG: 1,2")
		require.NoError(t, n.Inbound(m.ICCID(), "22000", "x"))
		require.Zero(t, m.Stored())
		h.write("AT+CMGS=18\r000021000B914306111122F2000005C8329BFD06\x1a")
		require.Contains(t, h.heard(), "+CMS ERROR: ")
		require.Equal(t, "\r\n+CREG: 1\r\n", h.after(time.Minute+1))
		require.Equal(t, 1, m.Stored())
		m.Inject(Fault{Kind: FaultRegistrationDenied})
		require.Equal(t, "\r\n+CREG: 3\r\n", h.heard())
		h.after(time.Hour)
		m.ClearFaults()
		require.Equal(t, "\r\n+CREG: 1\r\n", h.heard())
	})
}

func TestSkipAndCount(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet()
		m.Inject(Fault{Kind: FaultError, On: "+CSQ", Skip: 1, Count: 2})
		var got []bool
		for range 4 {
			got = append(got, strings.Contains(h.command("+CSQ"), "ERROR"))
		}
		require.Equal(t, []bool{false, true, true, false}, got)
	})
}

func TestChatterUntilItIsSilenced(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{Family: "huawei"}, func(t *testing.T, n *Network, m *Modem, h *host) {
		got := h.after(61 * time.Second)
		require.Equal(t, 6, strings.Count(got, "^RSSI:18"))
		h.command("^CURC=0")
		require.Empty(t, h.after(time.Hour))
	})
}

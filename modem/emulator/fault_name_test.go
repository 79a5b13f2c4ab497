package emulator

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Every kind that is declared can be chosen by name, and names differ.
func TestEveryFaultHasItsName(t *testing.T) {
	declared := 0
	for _, file := range []string{"fault.go", "fault_line.go", "fault_life.go", "clock.go", "link.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Fault") {
				declared++
			}
			return true
		})
	}
	require.Len(t, Faults(), declared)
	seen := map[FaultKind]bool{}
	for _, k := range Faults() {
		require.False(t, seen[k], k)
		seen[k] = true
		f, err := ParseFault(string(k) + " count=2 delay=3s")
		require.NoError(t, err)
		require.Equal(t, Fault{Kind: k, Count: 2, Delay: 3 * time.Second}, f)
	}
}

func TestParseFault(t *testing.T) {
	f, err := ParseFault("Unplug in phase phase=pdu on=+CMGS skip=1 count=-1 code=7 delay=1m30s text=a b=c")
	require.NoError(t, err)
	require.Equal(t, Fault{Kind: FaultUnplug, Phase: PhasePDU, On: "+CMGS", Skip: 1, Count: -1, Code: 7, Delay: 90 * time.Second, Text: "a b=c"}, f)
	for _, bad := range []string{"", "no such thing", "mute delay=x", "mute phase=later", "mute colour=red", "mute count="} {
		_, err := ParseFault(bad)
		require.Error(t, err, bad)
	}
}

func FuzzParseFault(f *testing.F) {
	f.Add("late +CMGS delay=135s count=2")
	f.Add("raw answer on=+CSQ text=\r\nOK")
	f.Fuzz(func(t *testing.T, s string) {
		if f, err := ParseFault(s); err == nil && f.Kind == "" {
			t.Fatal("a fault without a kind")
		}
	})
}

func TestFaultsFromOutside(t *testing.T) {
	one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, n *Network, m *Modem, h *host) {
		h.quiet()
		require.Equal(t, "\r\nOK\r\n", h.command(`+XFAULT="mute on=+CSQ count=-1"`))
		require.Empty(t, h.command("+CSQ"))
		require.Equal(t, "\r\nOK\r\n", h.command("+XFAULT=0"))
		require.Contains(t, h.command("+CSQ"), "OK")
		require.Contains(t, h.command("+XFAULT=?"), "+XFAULT: \"hang\"\r\n")
		require.Equal(t, "\r\nERROR\r\n", h.command(`+XFAULT="nonsense"`))
		require.Equal(t, "\r\nERROR\r\n", h.command("+XFAULT"))
		h.command(`+XFAULT="hang"`)
		require.Empty(t, h.command(""))
		require.Equal(t, "\r\nOK\r\n", h.command("+XFAULT=0"), "heard even so")
		require.Equal(t, "\r\nOK\r\n", h.command(""))
	})
}

func TestFaultsOfTheLine(t *testing.T) {
	say := func(line string) func(*host) string { return func(h *host) string { return h.command(line) } }
	for _, c := range []struct {
		fault Fault
		do    func(h *host) string
		want  string
	}{
		{Fault{Kind: FaultLostOctets, Code: 4}, say("+CSQ"), "\r\n+SQ:14,9\r\n\nOK\n"},
		{Fault{Kind: FaultDoubledLines}, say("+CSQ"), "\r\n+CSQ: 14,99\r\n+CSQ: 14,99\r\n\r\nOK\r\nOK\r\n"},
		{Fault{Kind: FaultCROnly}, say("+CSQ"), "\r+CSQ: 14,99\r\rOK\r"},
		{Fault{Kind: FaultLFOnly}, say("+CSQ"), "\n+CSQ: 14,99\n\nOK\n"},
		{Fault{Kind: FaultOKFirst}, say("+CSQ"), "\r\nOK\r\n\r\n+CSQ: 14,99\r\n"},
		{Fault{Kind: FaultGlued}, say("+CSQ"), "\r\n+CSQ: 14,99\r\n\r\nOKRING\r\n"},
		{Fault{Kind: FaultLongLine, Code: 5}, say(""), "\r\nxxxxx\r\n\r\nOK\r\n"},
		{Fault{Kind: FaultNUL}, say(""), "\x00\r\x00\n\x00O\x00K\x00\r\x00\n"},
		{Fault{Kind: FaultBaud}, say(""), "\x9b\x95\x9f\x97\x9b\x95"},
		{Fault{Kind: FaultOtherAnswer}, say("+CREG?"), "\r\n+CSQ: 9,99\r\n\r\nOK\r\n"},
		{Fault{Kind: FaultEchoBack}, func(h *host) string { return h.command("") + "|" + h.command("") }, "\r\nOK\r\n|AT\r\r\nOK\r\n"},
		{Fault{Kind: FaultDeaf, Count: 2}, func(h *host) string {
			got := h.command("") + "|" + h.after(99*time.Millisecond) + h.command("") + "|"
			return got + h.after(100*time.Millisecond) + h.command("")
		}, "||\r\nOK\r\n"},
		{Fault{Kind: FaultSpeechless}, func(h *host) string { return h.command("E1") + h.command("") }, "AT\r\r\nOK\r\n"},
		{Fault{Kind: FaultSpontaneousError}, (*host).heard, "\r\nERROR\r\n"},
		{Fault{Kind: FaultOtherProgram, Count: 2}, func(h *host) string { return h.after(time.Minute) }, "\r\n+CSQ: 31,99\r\n\r\nOK\r\n\r\nOK\r\n"},
		{Fault{Kind: FaultFlood, Delay: time.Second}, func(h *host) string {
			n := strings.Count(h.after(time.Minute), "\r\n^")
			require.InDelta(h.t, 1000, n, 20)
			return ""
		}, ""},
		{Fault{Kind: FaultHang, Delay: time.Minute}, func(h *host) string {
			return h.command("") + "|" + h.after(time.Minute) + h.command("")
		}, "|\r\nOK\r\n"},
	} {
		t.Run(string(c.fault.Kind), func(t *testing.T) {
			one(t, NetworkOptions{}, ModemOptions{}, func(t *testing.T, _ *Network, m *Modem, h *host) {
				h.quiet()
				m.Inject(c.fault)
				got := c.do(h)
				require.Equal(t, c.want, got)
				require.Empty(t, m.faults)
			})
		})
	}
}

func TestFaultsOfTheModule(t *testing.T) {
	stage := func(t *testing.T, family string, f func(t *testing.T, n *Network, m *Modem, h *host)) {
		one(t, NetworkOptions{}, ModemOptions{Family: family}, func(t *testing.T, n *Network, m *Modem, h *host) {
			h.quiet().command("+CNMI=2,1,0,1,0")
			f(t, n, m, h)
		})
	}
	t.Run("silent reboot", func(t *testing.T) {
		stage(t, "neoway", func(t *testing.T, _ *Network, m *Modem, h *host) {
			m.Inject(Fault{Kind: FaultSilentReboot})
			require.Empty(t, h.heard())
			require.Contains(t, h.command("+CNMI?"), "AT+CNMI?\r\r\n+CNMI: 0,0,0,0,0")
			require.Contains(t, h.command("+CREG?"), ",1")
		})
	})
	t.Run("forgets its settings", func(t *testing.T) {
		stage(t, "generic", func(t *testing.T, _ *Network, m *Modem, h *host) {
			m.Inject(Fault{Kind: FaultForgets, Code: 1})
			require.Contains(t, h.command("+CNMI?"), "+CNMI: 0,0,0,0,0")
			require.Contains(t, h.command("+CMGF?"), "+CMGF: 1")
		})
	})
	t.Run("brown-out", func(t *testing.T) {
		stage(t, "simcom800", func(t *testing.T, _ *Network, m *Modem, h *host) {
			m.Inject(Fault{Kind: FaultBrownOut, Count: 3})
			require.Equal(t, 3, strings.Count(h.after(time.Hour), "RDY"))
		})
	})
	t.Run("slow boot", func(t *testing.T) {
		stage(t, "simcom800", func(t *testing.T, _ *Network, m *Modem, h *host) {
			m.Inject(Fault{Kind: FaultSlowBoot})
			m.Reboot()
			require.Empty(t, h.after(61*time.Second))
			require.Contains(t, h.after(2*time.Second), "RDY")
		})
	})
	t.Run("SIM out", func(t *testing.T) {
		stage(t, "generic", func(t *testing.T, _ *Network, m *Modem, h *host) {
			was := m.ICCID()
			m.Inject(Fault{Kind: FaultSIMOut, Delay: time.Minute})
			require.Contains(t, h.command("+CPIN?"), "+CME ERROR: 10")
			h.after(time.Minute)
			require.Equal(t, was, m.ICCID())
			m.Inject(Fault{Kind: FaultSIMOut})
			h.after(time.Hour)
			require.Empty(t, m.ICCID())
			m.ClearFaults()
			require.Equal(t, was, m.ICCID())
			m.Inject(Fault{Kind: FaultSIMSwap})
			require.NotEqual(t, was, m.ICCID())
			require.Contains(t, h.command("+CPIN?"), "READY")
		})
	})
	t.Run("LTE without SMS", func(t *testing.T) {
		stage(t, "generic", func(t *testing.T, n *Network, m *Modem, h *host) {
			m.Inject(Fault{Kind: FaultNoSMS, Count: -1})
			require.Contains(t, h.command("+CREG?"), "+CREG: 0,0")
			require.Contains(t, h.command("+CEREG?"), "+CEREG: 0,1")
			h.submit(submitTPDU("+34600111222", "hola"))
			require.Empty(t, h.after(134*time.Second))
			require.Equal(t, "\r\n+CMS ERROR: 350\r\n", h.after(2*time.Second))
			require.False(t, typed(n, EntrySubmit)[0].Accepted)
		})
	})
	t.Run("CDSI wrong memory", func(t *testing.T) {
		stage(t, "generic", func(t *testing.T, _ *Network, m *Modem, h *host) {
			h.command("+CNMI=2,1,0,2,0")
			m.Inject(Fault{Kind: FaultCDSIWrong, Code: 3})
			h.submit(submitTPDU("+34600111222", "hola"))
			require.Contains(t, h.heard()+h.after(time.Second), `+CDSI: "SM",3`)
			require.Contains(t, h.command(`+CPMS="SR"`), "+CPMS: 1,")
		})
	})
	t.Run("CSMP wipes CSCA", func(t *testing.T) {
		stage(t, "generic", func(t *testing.T, n *Network, m *Modem, h *host) {
			m.Inject(Fault{Kind: FaultCSMPWipes})
			h.command("+CSMP=17,167,0,0")
			require.Contains(t, h.command("+CSCA?"), `+CSCA: "",`)
			h.submit(submitTPDU("+34600111222", "hola"))
			require.Equal(t, "\r\n+CMS ERROR: 330\r\n", h.heard())
			require.Empty(t, n.Ledger())
		})
	})
	t.Run("incoming call", func(t *testing.T) {
		stage(t, "generic", func(t *testing.T, _ *Network, m *Modem, h *host) {
			m.Inject(Fault{Kind: FaultCall, Code: 2})
			require.Equal(t, 2, strings.Count(h.after(time.Minute), "RING"))
		})
	})
	t.Run("at once", func(t *testing.T) {
		stage(t, "simcom800", func(t *testing.T, _ *Network, m *Modem, h *host) {
			m.Inject(Fault{Kind: FaultReboot})
			require.Contains(t, h.after(3*time.Second), "RDY")
			m.Inject(Fault{Kind: FaultUnplug, Delay: time.Second})
			_, err := m.Open(t.Context())
			require.Error(t, err)
			time.Sleep(5 * time.Second)
			p, err := m.Open(t.Context())
			require.NoError(t, err)
			require.NoError(t, p.Close())
		})
	})
}

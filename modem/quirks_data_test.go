package modem

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/at"
	"recado/modem/emulator"
	"recado/modem/family"
)

// Cells of the families' table that are a word or a number, where no dialogue and
// no emulated habit shows them.

func TestQuirkNumbersOfTheMakes(t *testing.T) {
	for _, c := range []struct {
		maker, model string
		err          error
		verdict      Verdict
		class        ErrorClass
	}{
		{"Quectel", "EC25", at.CMSError(512), NotSent, ClassBusy},
		{"Quectel", "EC25", at.CMSError(529), NotSent, ClassSIM},
		{"Quectel_Ltd", "Quectel_M95", at.CMSError(512), NotSent, ClassBusy},
		{"Quectel", "BG96", at.CMSError(517), NotSent, ClassDevice},
		{"SIMCOM_Ltd", "SIMCOM_SIM800L", at.CMSError(517), NotSent, ClassContent},
		{"SIEMENS", "MC35i", at.CMSError(515), NotSent, ClassBusy},
		{"Cinterion", "EHS6", at.CMSError(538), NotSent, ClassContent},
		{"WAVECOM MODEM", "MULTIBAND  900E  1800", at.CMSError(515), NotSent, ClassBusy},
		{"WAVECOM MODEM", "MULTIBAND  900E  1800", at.CMEError(515), NotSent, ClassBusy},
		{"Sierra Wireless, Incorporated", "MC7304", at.CMSError(350), Ambiguous, ClassUnknown}, // says anything
	} {
		m := meaningFor(family.Match(c.maker, c.model), c.err)
		require.Equal(t, c.verdict, m.Verdict, "%s %s: %v", c.maker, c.model, c.err)
		require.Equal(t, c.class, m.Class, "%s %s: %v", c.maker, c.model, c.err)
	}
}

func TestQuirkBootWords(t *testing.T) {
	for _, c := range []struct{ maker, model, line string }{
		{"Quectel", "EC25", "RDY"}, {"Quectel", "EC25", "APP RDY"}, {"Quectel", "EC25", "POWERED DOWN"},
		{"SIMCOM_Ltd", "SIMCOM_SIM800L", "Call Ready"}, {"SIMCOM_Ltd", "SIMCOM_SIM800L", "SMS Ready"}, {"SIMCOM_Ltd", "SIMCOM_SIM800L", "NORMAL POWER DOWN"},
		{"SIMCOM_Ltd", "SIMCOM_SIM800L", "UNDER-VOLTAGE POWER DOWN"}, {"SIMCOM INCORPORATED", "SIMCOM_SIM7600E-H", "SMS DONE"},
		{"u-blox", "TOBY-L4006", "+READY"}, {"SIEMENS", "MC35i", "^SYSSTART"}, {"SIEMENS", "MC35i", "^SHUTDOWN"},
	} {
		// What is said seconds after a boot is a kind of its own.
		require.Contains(t, []urcKind{urcBoot, urcLate}, classify(c.line, family.Match(c.maker, c.model)), "%s %s", c.model, c.line)
	}
	// A module that comments on itself has not restarted.
	for _, line := range []string{"+CNSMOD: 8", "#STN: 254", "^BOOT:23594356,0,0,0,72", "^SRVST:2", "+WIND: 4", "+CSQ: 20,99"} {
		require.Equal(t, urcOther, classify(line, &family.Generic), line)
	}
	require.Equal(t, urcTime, classify("+NITZ: 1", &family.Generic))
}

// Every port of a Huawei that could chatter unread is told to be silent.
func TestQuirkHuaweiHush(t *testing.T) {
	seen := 0
	for _, r := range family.PortRules() {
		if r.VID != 0x12d1 {
			continue
		}
		seen++
		if r.Role == family.RoleGPS {
			require.Empty(t, r.Hush, "%+v", r)
		} else {
			require.Equal(t, "^CURC=0", r.Hush, "%+v", r)
		}
	}
	require.GreaterOrEqual(t, seen, 6)
}

func TestQuirkResetOfMU736(t *testing.T) {
	require.Equal(t, "+CFUN=16", family.Match("Huawei Technologies", "MU736").Reset)
	require.Empty(t, family.Match("Neoway", "M590E").Reset)
	require.Empty(t, family.Match("Neoway", "M590E").RadioOff)
}

// Old serial modules need a pause between commands and before the PDU.
func TestQuirkPace(t *testing.T) {
	for _, c := range [][2]string{{"Quectel_Ltd", "Quectel_M95"}, {"SIMCOM_Ltd", "SIMCOM_SIM800L"}, {"WAVECOM MODEM", "MULTIBAND"}, {"SIEMENS", "MC35i"}, {"Neoway", "M590E"}} {
		f := family.Match(c[0], c[1])
		require.GreaterOrEqual(t, f.Pace, 50*time.Millisecond, f.Name)
		require.GreaterOrEqual(t, f.AfterPrompt, 20*time.Millisecond, f.Name)
	}
	for _, name := range []string{"simcom800", "siemens", "wavecom", "neoway", "quectel-2g"} {
		live(t, emulator.ModemOptions{Family: name}, nil, func(l *lifeOf) {
			l.ready()
			l.em.Inject(emulator.Fault{Kind: emulator.FaultDeaf, Delay: 45 * time.Millisecond, Count: -1})
			for range 3 {
				l.goesOn()
			}
			require.Zero(l.t, l.m.Snapshot().Restarts)
			require.Equal(l.t, 3, l.wrote("AT+CMGS"), "%s: a command was lost", name)
		})
	}
}

// TestSetUpOfEveryFamily: what 3.1 of the reference asks of all of them.
func TestSetUpOfEveryFamily(t *testing.T) {
	for _, name := range emulator.Families() {
		t.Run(name, func(t *testing.T) {
			live(t, emulator.ModemOptions{Family: name}, nil, func(l *lifeOf) {
				l.ready()
				for _, cmd := range []string{"ATE0", "AT+CMEE=1", "AT+CMGF=0", `AT+CSCS="GSM"`, "AT+CSMS=", "AT+CPMS=", "AT+CNMI=", "AT+CREG=2", "AT+CEREG=2", "AT+CLIP=0"} {
					require.Positive(l.t, l.wrote(cmd), cmd)
				}
				for _, never := range []string{"ATZ", "AT&F", "AT&W", "AT+CMGD=1,4", "AT+CSMP", "AT^SETPORT", "AT^U2DIAG", "AT+CGSMS="} {
					require.Zero(l.t, l.wrote(never), never)
				}
			})
		})
	}
}
